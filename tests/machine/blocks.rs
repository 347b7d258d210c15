use virt_tailor::host::block::{BlockKind, Blocks, Use, What};

use crate::{Tree, address};

const NVME: &str = "0000:01:00.0";
const SATA: &str = "0000:00:17.0";

/// One block device with what every one has.
fn device(name: &str, number: &str, folder: &str, more: &str) -> String {
    format!(
        "[sys/class/block]\n{name} -> ../../{}\n[{folder}]\ndev = {number}\nsize = 2048\nro = 0\nholders/\nslaves/\n{more}\n",
        folder.strip_prefix("sys/").unwrap()
    )
}

fn nvme(name: &str, more: &str) -> String {
    device(name, "259:0", &format!("sys/devices/pci0000:00/0000:00:1c.0/{NVME}/nvme/nvme0/{name}"), more)
}

fn partition(of: &str, name: &str, number: &str, more: &str) -> String {
    let folder = format!("sys/devices/pci0000:00/0000:00:1c.0/{NVME}/nvme/nvme0/{of}/{name}");
    device(name, number, &folder, &format!("partition = 1\n{more}"))
}

fn virtual_device(name: &str, number: &str, more: &str) -> String {
    device(name, number, &format!("sys/devices/virtual/block/{name}"), more)
}

/// One line of mountinfo.
fn mounted(number: &str, at: &str, fs: &str, source: &str) -> String {
    format!("30 1 {number} / {at} rw,relatime shared:1 - {fs} {source} rw\n")
}

/// A process with a mount namespace of its own.
fn process(tree: Tree, pid: u32, namespace: u32, mountinfo: &str) -> Tree {
    let folder = tree.folder.path().join(format!("proc/{pid}/ns"));
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(format!("mnt:[{namespace}]"), folder.join("mnt")).unwrap();
    std::os::unix::fs::symlink("/", folder.parent().unwrap().join("root")).unwrap();
    tree.with(&format!("proc/{pid}/mountinfo"), mountinfo)
}

/// What stands on the disks of a function, as short words.
fn uses(tree: &Tree, function: &str) -> Vec<String> {
    let blocks = Blocks::read(&tree.root()).unwrap();
    let word = |Use { disk, device, what }: Use| {
        let what = match what {
            What::Mounted { at, fs, pid, .. } => format!("mounted at {} ({fs}) pid {pid}", at.display()),
            What::Member { fs, uuid } => format!("member of {fs} {uuid}"),
            What::Swap { path } => format!("swap {}", path.display()),
            What::Lvm { group, volume } => format!("lvm {group} {volume}"),
            What::Multipath { name } => format!("multipath {name}"),
            What::Crypt { name } => format!("crypt {name}"),
            What::Dm { name } => format!("dm {name}"),
            What::Md { name, level } => format!("md {name} {level}"),
            What::Loop { name, backing } => format!("loop {name} {backing}"),
            What::Bcache => "bcache".to_owned(),
            What::Zfs { pools } => format!("zfs {}", pools.join(" ")),
            What::Held { by } => format!("held by {by}"),
        };
        format!("{disk}: {device}: {what}")
    };
    blocks.uses(address(function)).into_iter().map(word).collect()
}

#[test]
fn an_idle_disk() {
    let text =
        nvme("nvme0n1", "[sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/nvme/nvme0]\nserial = S1\nmodel = Fast")
            + &partition("nvme0n1", "nvme0n1p1", "259:1", "");
    let text = text.replace("serial = S1", "serial = ignored").replace("ro = 0\n", "ro = 1\n");
    let tree = Tree::new(&text);
    let blocks = Blocks::read(&tree.root()).unwrap();
    let disk = blocks.device("nvme0n1").unwrap();
    assert_eq!((disk.size, disk.read_only, disk.number.to_string().as_str()), (1 << 20, true, "259:0"));
    assert_eq!(disk.functions, [address("0000:00:1c.0"), address(NVME)]);
    assert_eq!(disk.function(), Some(address(NVME)));
    assert_eq!(blocks.device("nvme0n1p1").unwrap().partition_of(), Some("nvme0n1"));
    assert_eq!(blocks.disks(address(NVME)).len(), 1, "partitions are no disks");
    assert_eq!(uses(&tree, NVME), Vec::<String>::new());
    assert_eq!(blocks.disks(address(SATA)), Vec::<&virt_tailor::host::block::BlockDevice>::new());
}

#[test]
fn a_mount_in_whatever_namespace() {
    let text = nvme("nvme0n1", "") + &partition("nvme0n1", "nvme0n1p1", "259:1", "");
    let tree = process(Tree::new(&text), 1, 1, &mounted("0:21", "/proc", "proc", "proc"));
    let tree = process(tree, 7, 2, &mounted("259:1", "/a\\040b", "ext4", "/dev/x"));
    // Another process of that namespace says nothing new.
    let tree = process(tree, 8, 2, &mounted("259:1", "/elsewhere", "ext4", "/dev/x"));
    assert_eq!(uses(&tree, NVME), ["nvme0n1: nvme0n1p1: mounted at /a b (ext4) pid 7"]);
    // The bridge above it, too, takes it away.
    assert_eq!(uses(&tree, "0000:00:1c.0").len(), 1);
    assert_eq!(uses(&tree, SATA), Vec::<String>::new());
}

#[test]
fn btrfs_by_its_source_and_all_its_devices() {
    let text = nvme("nvme0n1", "")
        + &device("sda", "8:0", &format!("sys/devices/pci0000:00/{SATA}/ata1/host0/target0:0:0/0:0:0:0/block/sda"), "")
        + "[sys/fs/btrfs/1234/devices]\nnvme0n1/\nsda/\n";
    let tree = process(Tree::new(&text), 1, 1, &mounted("0:40", "/data", "btrfs", "/dev/sda"));
    for (function, disk) in [(NVME, "nvme0n1"), (SATA, "sda")] {
        let expected = [
            format!("{disk}: {disk}: mounted at /data (btrfs) pid 1"),
            format!("{disk}: {disk}: member of btrfs 1234"),
        ];
        assert_eq!(uses(&tree, function), expected);
    }
}

#[test]
fn a_stack_of_md_crypt_and_lvm() {
    let text = nvme("nvme0n1", "")
        + &partition("nvme0n1", "nvme0n1p2", "259:2", "holders/\n")
        + &virtual_device(
            "md0",
            "9:0",
            "[sys/devices/virtual/block/md0/md]\nlevel = raid1\n[sys/devices/virtual/block/md0/md/dev-nvme0n1p2]\nblock -> ../../../../../pci0000:00/x/nvme0n1p2",
        )
        + &virtual_device(
            "dm-0",
            "253:0",
            "[sys/devices/virtual/block/dm-0/dm]\nname = safe\nuuid = CRYPT-LUKS2-1-safe\n[sys/devices/virtual/block/dm-0/slaves]\nmd0 -> ../../md0",
        )
        + &virtual_device(
            "dm-1",
            "253:1",
            "[sys/devices/virtual/block/dm-1/dm]\nname = my--vg-root\nuuid = LVM-xyz\n[sys/devices/virtual/block/dm-1/slaves]\ndm-0 -> ../../dm-0",
        )
        + "[sys/devices/virtual/block/dm-0/holders]\ndm-1 -> ../../dm-1\n";
    let tree = process(Tree::new(&text), 1, 1, &mounted("253:1", "/", "xfs", "/dev/mapper/my--vg-root"));
    assert_eq!(
        uses(&tree, NVME),
        [
            "nvme0n1: nvme0n1p2: md md0 raid1",
            "nvme0n1: md0: crypt safe",
            "nvme0n1: dm-0: lvm my-vg root",
            "nvme0n1: dm-1: mounted at / (xfs) pid 1",
        ]
    );
}

#[test]
fn swap_on_a_partition_and_in_a_file() {
    let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    let text = nvme("nvme0n1", "")
        + &partition("nvme0n1", "nvme0n1p1", "259:1", "")
        + &partition("nvme0n1", "nvme0n1p2", "259:2", "");
    let tree = process(Tree::new(&text), 1, 1, &mounted("259:1", "/", "ext4", "/dev/root"));
    let tree = tree.with(
        "proc/swaps",
        &format!("{heading}/dev/nvme0n1p2                          partition\t1\t0\t-2\n/swap\\040file                            file\t\t1\t0\t-3\n"),
    );
    assert_eq!(
        uses(&tree, NVME),
        [
            "nvme0n1: nvme0n1p1: mounted at / (ext4) pid 1",
            "nvme0n1: nvme0n1p1: swap /swap file",
            "nvme0n1: nvme0n1p2: swap /dev/nvme0n1p2",
        ]
    );
}

#[test]
fn what_anybody_may_mount_stands_on_nothing() {
    let mounts = mounted("0:31", "/mine", "tmpfs", "/dev/nvme0n1")
        + &mounted("0:32", "/too", "fuse.x", "/dev/nvme0n1")
        + &mounted("0:33", "/data", "btrfs", "/dev/nvme0n1");
    let tree = process(Tree::new(&nvme("nvme0n1", "")), 1, 1, &mounts);
    assert_eq!(uses(&tree, NVME), ["nvme0n1: nvme0n1: mounted at /data (btrfs) pid 1"]);
}

#[test]
fn a_loop_device_over_a_file() {
    let text = nvme("nvme0n1", "")
        + &virtual_device("loop0", "7:0", "[sys/devices/virtual/block/loop0/loop]\nbacking_file = /var/x.img")
        + &virtual_device("loop1", "7:1", "");
    let mounts = mounted("0:21", "/", "tmpfs", "none")
        + &mounted("259:0", "/var", "ext4", "/dev/x")
        + &mounted("7:0", "/mnt", "ext4", "/dev/loop0");
    let tree = process(Tree::new(&text), 1, 1, &mounts);
    assert_eq!(
        uses(&tree, NVME),
        [
            "nvme0n1: nvme0n1: mounted at /var (ext4) pid 1",
            "nvme0n1: nvme0n1: loop loop0 /var/x.img",
            "nvme0n1: loop0: mounted at /mnt (ext4) pid 1",
        ]
    );
    let blocks = Blocks::read(&tree.root()).unwrap();
    assert!(matches!(&blocks.device("loop1").unwrap().kind, BlockKind::Loop { backing: None, .. }));
}

#[test]
fn a_multipath_nvme_disk_hangs_on_all_its_controllers() {
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    let controller = |function: &str, name: &str| {
        format!(
            "[{subsystem}]\n{name} -> ../../../pci0000:00/{function}/nvme/{name}\n[sys/devices/pci0000:00/{function}/nvme/{name}]\nstate = live\n"
        )
    };
    let text = device("nvme0n1", "259:0", &format!("{subsystem}/nvme0n1"), "")
        + "[sys/class/nvme-subsystem]\nnvme-subsys0 -> ../../devices/virtual/nvme-subsystem/nvme-subsys0\n"
        + &controller("0000:00:01.0", "nvme0")
        + &controller("0000:00:02.0", "nvme1")
        // A path of the disk: hidden, without a number.
        + "[sys/class/block]\nnvme0c0n1 -> ../../devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0c0n1\n[sys/devices/pci0000:00/0000:00:01.0/nvme/nvme0/nvme0c0n1]\nsize = 2048\nhidden = 1\n";
    let tree = process(Tree::new(&text), 1, 1, &mounted("259:0", "/", "xfs", "/dev/nvme0n1"));
    for function in ["0000:00:01.0", "0000:00:02.0"] {
        assert_eq!(uses(&tree, function), ["nvme0n1: nvme0n1: mounted at / (xfs) pid 1"]);
    }
    assert_eq!(Blocks::read(&tree.root()).unwrap().devices.len(), 1);
}

#[test]
fn bcache_zfs_and_a_disk_behind_vmd() {
    let vmd = "sys/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0/nvme/nvme0/nvme0n1";
    let text = device("nvme0n1", "259:0", vmd, "bcache/")
        + "[run/udev/data]\nb259:0 = E:ID_FS_TYPE=zfs_member\n[proc/spl/kstat/zfs/tank]\nstate = ONLINE\n";
    let tree = Tree::new(&text);
    for function in ["0000:00:0e.0", "10000:e1:00.0"] {
        assert_eq!(uses(&tree, function), ["nvme0n1: nvme0n1: bcache", "nvme0n1: nvme0n1: zfs tank"]);
    }
}

#[test]
fn an_unknown_holder_counts() {
    let text =
        nvme("nvme0n1", "[sys/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/nvme/nvme0/nvme0n1/holders]\nstrange0/");
    assert_eq!(uses(&Tree::new(&text), NVME), ["nvme0n1: nvme0n1: held by strange0"]);
}

#[test]
fn a_machine_without_block_devices() {
    assert_eq!(Blocks::read(&Tree::new("[sys]\nclass/\n").root()).unwrap(), Blocks::default());
}

/// A virtio disk is asked for its serial number by reading the file: not where udev has written it down.
#[test]
fn a_virtio_disk_that_does_not_answer_has_a_serial_number_by_udev() {
    let disk = device("vda", "254:0", "sys/devices/pci0000:00/0000:00:05.0/virtio1/block/vda", "serial = ASKED");
    let asked = Tree::new(&disk);
    let serial = |tree: &Tree| Blocks::read(&tree.root()).unwrap().device("vda").unwrap().serial.clone();
    assert_eq!(serial(&asked).as_deref(), Some("ASKED"));
    let told = asked.with("run/udev/data/b254:0", "S:disk/by-id/virtio-TOLD\nE:ID_SERIAL=TOLD\n");
    assert_eq!(serial(&told).as_deref(), Some("TOLD"));
}
