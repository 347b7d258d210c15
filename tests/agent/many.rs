//! A node with many devices.

use std::os::unix::fs::symlink;

use tokio::task::JoinSet;

use crate::rig::{Rig, TestAgent, allocate, offers, place, prepare, settle};

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

/// Cycles in parallel over eight devices, half of which are asked for again while they are still being given back: nothing is lost.
#[tokio::test]
async fn two_hundred_cycles_at_once() {
    let more: Vec<_> = (0..8).map(|index| (address(index), 100 + index, "igb")).collect();
    let rig = Rig::with(&more);
    let addresses = more.iter().map(|(address, ..)| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    let resources = format!("  - {{name: example.com/vf, selector: {{address: [{addresses}]}}, nodes: [n]}}\n");
    let agent = rig.start_with(rig.hands.clone(), &resources);
    let before = rig.model.picture();
    let ids: Vec<String> = offers(&agent, VFS).into_iter().map(|offer| offer.id).collect();
    assert_eq!(ids.len(), 8, "{:?}", agent.status());
    let all: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut cycles = 0;
    for round in 0..20 {
        cycles += give(&agent, &all).await;
        rig.pass(1);
        agent.look(&rig.seen(&all));
        // Half of them end, in turns, and are wanted again at once.
        let (gone, left): (Vec<&str>, Vec<&str>) = all.iter().partition(|id| id.as_bytes()[11] % 2 == round % 2);
        rig.pass(1);
        agent.look(&rig.seen(&left));
        rig.pass(10);
        agent.look(&rig.seen(&left));
        cycles += give(&agent, &gone).await;
        for function in more.iter().map(|(address, ..)| address) {
            assert_eq!(rig.model.driver(function).as_deref(), Some("vfio-pci"), "round {round}");
        }
        rig.pass(1);
        agent.look(&rig.seen(&all));
        for _ in 0..3 {
            rig.pass(10);
            agent.look(&rig.seen(&[]));
        }
        settle(&agent);
        assert_eq!(rig.model.picture(), before, "round {round}");
    }
    assert_eq!(cycles, 240);
    assert!(agent.engine().ledger().is_empty() && !agent.has_anything());
}

/// Promises devices and makes them ready, all at once.
async fn give(agent: &TestAgent, ids: &[&str]) -> usize {
    let mut tasks = JoinSet::new();
    for id in ids {
        allocate(agent, VFS, id);
        let (agent, id) = (agent.clone(), (*id).to_owned());
        tasks.spawn(async move { prepare(&agent, VFS, &id).await });
    }
    let ready: Vec<_> = tasks.join_all().await;
    assert!(ready.iter().all(Result::is_ok), "{ready:?}");
    ready.len()
}
