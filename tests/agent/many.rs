//! A node with many devices.

use std::os::unix::fs::symlink;

use crate::rig::{Rig, allocate, offers, place, prepare, settle};

const VFS: &str = "example.com/vf";

/// 256 functions in groups of their own, like virtual ones.
fn rig() -> Rig {
    let rig = Rig::new();
    for index in 0..256_u32 {
        let (address, group) = (address(index), 100 + index);
        place(&rig.model.root(), &address);
        let folder = format!("sys/bus/pci/devices/{address}");
        rig.write(&format!("{folder}/vendor"), "0x8086\n");
        rig.write(&format!("{folder}/device"), "0x154c\n");
        rig.write(&format!("{folder}/class"), "0x120000\n");
        rig.write(&format!("{folder}/config"), [0_u8; 64]);
        rig.write(&format!("{folder}/resource"), "0x0 0x0 0x0\n".repeat(13));
        rig.write(&format!("{folder}/reset_method"), "flr\n");
        rig.write(&format!("{folder}/driver_override"), "(null)\n");
        rig.write(&format!("{folder}/power/control"), "auto\n");
        rig.write(&format!("{folder}/d3cold_allowed"), "1\n");
        let root = rig.model.root();
        let members = root.path(format!("sys/kernel/iommu_groups/{group}/devices"));
        std::fs::create_dir_all(&members).unwrap();
        symlink(format!("../../../../bus/pci/devices/{address}"), members.join(&address)).unwrap();
        let link = root.path(format!("{folder}/iommu_group"));
        symlink(format!("../../../../kernel/iommu_groups/{group}"), link).unwrap();
    }
    rig
}

fn address(index: u32) -> String {
    format!("0000:{:02x}:{:02x}.{}", 0x40 + index / 256, index / 8 % 32, index % 8)
}

#[tokio::test]
async fn two_hundred_and_fifty_six() {
    let rig = rig();
    let resources = "  - {name: example.com/vf, selector: {vendor: \"8086\", device: \"154c\"}}\n";
    let agent = rig.start_with(rig.hands.clone(), resources);
    let list = offers(&agent, VFS);
    assert_eq!(list.len(), 256);
    assert!(list.iter().all(|offer| offer.healthy), "{:?}", agent.status().devices.first_key_value());
    let ids: std::collections::BTreeSet<&String> = list.iter().map(|offer| &offer.id).collect();
    assert_eq!(ids.len(), 256);
    // One falls off the bus: kubelet is told, of the others as before.
    rig.write(&format!("sys/bus/pci/devices/{}/config", address(7)), [0xff_u8; 64]);
    let began = std::time::Instant::now();
    agent.refresh().unwrap();
    println!("refreshed in {:?}", began.elapsed());
    let list = offers(&agent, VFS);
    let sick: Vec<&str> = list.iter().filter(|offer| !offer.healthy).map(|offer| offer.id.as_str()).collect();
    assert!(sick.len() == 1 && sick[0].starts_with(&address(7)), "{sick:?}");
}

/// Cycles in parallel over the devices of one resource: nothing is lost.
#[tokio::test]
async fn many_cycles_at_once() {
    let rig = Rig::new();
    let resources = "  - {name: example.com/vf, selector: {vendor: \"8086\", device: \"1234\"}, companions: auto}\n";
    let agent = rig.start_with(rig.hands.clone(), resources);
    let before = rig.model.picture();
    let ids: Vec<String> = offers(&agent, VFS).into_iter().map(|offer| offer.id).collect();
    assert_eq!(ids.len(), 2);
    for round in 0..25 {
        for id in &ids {
            allocate(&agent, VFS, id);
        }
        let (one, two) = tokio::join!(prepare(&agent, VFS, &ids[0]), prepare(&agent, VFS, &ids[1]));
        assert_eq!((one, two), (Ok(()), Ok(())), "round {round}");
        rig.pass(1);
        agent.look(&rig.seen(&[&ids[0], &ids[1]]));
        // One ends before the other, in turns.
        rig.pass(1);
        agent.look(&rig.seen(&[&ids[round % 2]]));
        rig.pass(10);
        agent.look(&rig.seen(&[&ids[round % 2]]));
        settle(&agent);
        rig.pass(10);
        agent.look(&rig.seen(&[]));
        rig.pass(10);
        agent.look(&rig.seen(&[]));
        settle(&agent);
        assert_eq!(rig.model.picture(), before, "round {round}");
    }
    assert!(agent.engine().ledger().is_empty() && !agent.has_anything());
}
