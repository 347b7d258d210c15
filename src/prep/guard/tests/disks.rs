//! Disks, and what stands on them.

use super::*;
use crate::host::block::{Dm, Mount, Pooled, Swap};
use crate::prep::selected;

fn nvme() -> Node {
    Node::new().function(DEVICE, 0x01_0802, "nvme").disk("nvme0n1", DEVICE)
}

/// The only refusal without the beginning that all have.
#[track_caller]
fn use_of(node: &Node) -> String {
    let refusals = node.refusals(", mayHoldData: true");
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    refusals[0].strip_prefix("disk nvme0n1 of 0000:01:00.0 ").unwrap().to_owned()
}

/// Something that stands on the disk.
fn above(name: &str, kind: BlockKind) -> Node {
    nvme().with(|node| {
        node.0.blocks.devices[0].holders.push(name.to_owned());
        node.0.blocks.devices.push(disk(name, kind, &[]));
    })
}

fn mounted(at: &str, pid: u32) -> Mount {
    Mount { at: at.into(), fs: "ext4".to_owned(), devices: vec!["nvme0n1".to_owned()], pid, namespace: None }
}

#[test]
fn an_idle_disk_goes_if_it_is_named() {
    assert_eq!(nvme().refusals(""), [""; 0]);
    let words = ["0000:01:00.0 is storage: name it by address or serial, not by what it has in common with others"];
    assert_eq!(nvme().refusals_of("selector: {vendor: '10de'}", ""), words);
    assert_eq!(nvme().refusals_of("selector: {vendor: '10de', device: '2204'}", ""), words);
    // No class, no disk, no driver: it is the storage's own class that counts.
    let bare = Node::new().function(DEVICE, 0x01_0601, "");
    assert_eq!(bare.refusals_of("selector: {vendor: '10de'}", ""), words);
}

#[test]
fn by_serial() {
    let node = nvme().with(|node| node.0.blocks.devices[0].serial = Some("S4EV".to_owned()));
    assert_eq!(node.refusals_of("selector: {serial: S4EV}", ""), [""; 0]);
    assert_eq!(
        node.refusals_of("selector: {serial: OTHER}", ""),
        ["0000:01:00.0 is storage: name it by address or serial, not by what it has in common with others"]
    );
    let two = node.disk("sdb", DEVICE);
    assert_eq!(
        two.refusals_of("selector: {serial: S4EV}", ""),
        ["0000:01:00.0 has more than the disk with serial S4EV: sdb; if all are meant, name it by address"]
    );
    assert_eq!(two.refusals(""), [""; 0]);
}

#[test]
fn a_serial_means_the_controller_and_not_what_it_is_behind() {
    // As behind Intel VMD, which has PCI functions of its own behind it.
    let vmd = "0000:00:0e.0";
    let node = nvme().function(vmd, 0x01_0400, "vmd").with(|node| {
        node.0.blocks.devices[0].serial = Some("S4EV".to_owned());
        node.0.blocks.devices[0].functions = vec![address(vmd), address(DEVICE)];
        let upstream = vec![address(vmd)];
        let place = crate::host::Place { root_complex: "pci10000:e0".to_owned(), upstream, bridge: None };
        node.device(DEVICE).place = Some(place);
    });
    let config = config("selector: {serial: S4EV}", "");
    assert_eq!(selected(&node.0, &config.resources[0]), [address(DEVICE)]);
}

#[test]
fn mounted_here_and_elsewhere() {
    let one = |mount| nvme().with(|node| node.0.blocks.mounts.push(mount));
    assert_eq!(use_of(&one(mounted("/var", 1))), "is mounted at /var");
    assert_eq!(use_of(&one(mounted("/mnt", 4711))), "is mounted at /mnt (as process 4711 sees it)");
    let many = nvme().with(|node| node.0.blocks.mounts.extend((0..9).map(|n| mounted(&format!("/{n}"), 1))));
    let refusals = many.refusals("");
    assert_eq!(refusals.len(), 4);
    assert_eq!(refusals[3], "6 more uses of the disks of 0000:01:00.0");
}

#[test]
fn a_partition_counts_as_its_disk() {
    let node = nvme().with(|node| {
        let part = disk("nvme0n1p2", BlockKind::Partition { of: "nvme0n1".to_owned() }, &[DEVICE]);
        node.0.blocks.devices.push(part);
        node.0.blocks.mounts.push(Mount { devices: vec!["nvme0n1p2".to_owned()], ..mounted("/", 1) });
    });
    assert_eq!(node.refusals(""), ["disk nvme0n1p2 on nvme0n1 of 0000:01:00.0 is mounted at /"]);
}

#[test]
fn everything_else_that_can_stand_on_a_disk() {
    let text = |text: &str| text.to_owned();
    let dm = |dm| above("dm-0", BlockKind::Dm(dm));
    assert_eq!(
        use_of(&dm(Dm::Lvm { group: text("vg"), volume: text("root") })),
        "holds the logical volume vg/root, which is active"
    );
    assert_eq!(use_of(&dm(Dm::Multipath { name: text("mpatha") })), "is a path of the multipath device mpatha");
    assert_eq!(use_of(&dm(Dm::Crypt { name: text("luks") })), "holds the encrypted device luks, which is open");
    let md = above("md0", BlockKind::Md { level: text("raid1"), members: vec![text("nvme0n1")] });
    assert_eq!(use_of(&md), "is a member of md0 (raid1)");
    let shown = above("loop0", BlockKind::Loop { backing: Some(text("/x")), on: vec![text("nvme0n1")] });
    assert_eq!(use_of(&shown), "holds what loop0 shows");
    assert_eq!(use_of(&above("drbd0", BlockKind::Disk)), "is held by drbd0");
    let swap = Swap { path: "/dev/nvme0n1".into(), devices: vec![text("nvme0n1")] };
    assert_eq!(use_of(&nvme().with(|node| node.0.blocks.swaps.push(swap))), "is swap (/dev/nvme0n1)");
    let pool = Pooled { fs: text("btrfs"), uuid: text("1f2e"), devices: vec![text("nvme0n1")] };
    assert_eq!(use_of(&nvme().with(|node| node.0.blocks.pooled.push(pool))), "is part of a mounted btrfs (1f2e)");
    assert_eq!(use_of(&nvme().with(|node| node.0.blocks.devices[0].bcache = true)), "belongs to a bcache set");
    let zfs = nvme().with(|node| {
        node.0.blocks.devices[0].udev_type = Some(text("zfs_member"));
        node.0.blocks.zfs_pools = vec![text("tank")];
    });
    assert_eq!(use_of(&zfs), "is a member of a ZFS pool (imported: tank)");
}

#[test]
fn a_mounted_stick_keeps_its_usb_controller() {
    let node = Node::new().function(DEVICE, 0x0c_0330, "xhci_hcd").disk("sda", DEVICE);
    assert_eq!(node.refusals(""), [""; 0], "it goes with its controller");
    let mount = Mount { devices: vec!["sda".to_owned()], ..mounted("/media", 1) };
    assert_eq!(
        node.with(|node| node.0.blocks.mounts.push(mount)).refusals(""),
        ["disk sda of 0000:01:00.0 is mounted at /media"]
    );
}

#[test]
fn one_path_of_a_disk_with_several_is_in_use_like_the_other() {
    let node = nvme().with(|node| {
        node.0.blocks.devices[0].functions = vec![address("0000:02:00.0"), address(DEVICE)];
        node.0.blocks.mounts.push(mounted("/srv", 1));
    });
    assert_eq!(use_of(&node), "is mounted at /srv");
}

#[test]
fn nobody_acknowledges_a_disk_in_use() {
    let node = nvme().with(|node| node.0.blocks.mounts.push(mounted("/", 1)));
    let all = ["uplink", "hiddenInterface", "lastConsole", "lastKeyboard"].map(|risk| format!("{DEVICE} {risk}"));
    let resource = format!("selector: {{address: '{DEVICE}'}}, mayHoldData: true");
    assert_eq!(node.refusals_of(&resource, &all.join(", ")).len(), 1);
}
