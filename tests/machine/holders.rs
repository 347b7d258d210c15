use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use virt_tailor::host::{DevT, DeviceNode, NodeKind, Root, device_nodes, holders, process};

use crate::{Tree, address};

const GPU: &str = "0000:65:00.0";

fn names(nodes: &[DeviceNode]) -> Vec<String> {
    nodes.iter().map(|node| format!("{:?} {} {}", node.kind, node.number, node.name)).collect()
}

#[test]
fn the_device_files_of_a_graphics_card() {
    let folder = format!("sys/devices/pci0000:64/{GPU}");
    let text = format!(
        "[sys/bus/pci/devices]\n{GPU} -> ../../../devices/pci0000:64/{GPU}\n[{folder}]\niommu_group -> ../../../kernel/iommu_groups/12\n\
         [{folder}/drm/card1]\ndev = 226:1\nuevent = DEVNAME=dri/card1\nsubsystem -> ../../../../../class/drm\n\
         [{folder}/drm/renderD129]\ndev = 226:129\nuevent = DEVNAME=dri/renderD129\n\
         [{folder}/vfio-dev/vfio3]\ndev = 510:3\nuevent = DEVNAME=vfio/devices/vfio3\n\
         [sys/class/vfio]\n12 -> ../../devices/virtual/vfio/12\n[sys/devices/virtual/vfio/12]\ndev = 511:0\nuevent = DEVNAME=vfio/12\n\
         [proc/driver/nvidia/gpus/{GPU}]\ninformation = Device Minor: \t 2\n"
    );
    let nodes = device_nodes(&Tree::new(&text).root(), address(GPU)).unwrap();
    assert_eq!(
        names(&nodes),
        [
            "Char 195:2 nvidia2",
            "Char 226:1 dri/card1",
            "Char 226:129 dri/renderD129",
            "Char 510:3 vfio/devices/vfio3",
            "Char 511:0 vfio/12"
        ]
    );
    assert_eq!(device_nodes(&Tree::new(&text).root(), address("0000:66:00.0")).unwrap(), []);
}

#[test]
fn a_disk_s_device_files_are_of_blocks() {
    let folder = "sys/devices/pci0000:00/0000:00:01.0/nvme/nvme0";
    let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    let text = format!(
        "[sys/bus/pci/devices]\n0000:00:01.0 -> ../../../devices/pci0000:00/0000:00:01.0\n[{folder}]\ndev = 242:0\nuevent = DEVNAME=nvme0\n\
         [sys/class/nvme-subsystem]\nnvme-subsys0 -> ../../devices/virtual/nvme-subsystem/nvme-subsys0\n\
         [{subsystem}]\nnvme0 -> ../../../pci0000:00/0000:00:01.0/nvme/nvme0\n[{subsystem}/nvme0n1]\ndev = 259:0\nsubsystem -> ../../../../../class/block\n\
         [{subsystem}/nvme0n1/nvme0n1p1]\ndev = 259:1\nsubsystem -> ../../../../../../class/block\n"
    );
    let nodes = device_nodes(&Tree::new(&text).root(), address("0000:00:01.0")).unwrap();
    assert_eq!(names(&nodes), ["Char 242:0 nvme0", "Block 259:0 nvme0n1", "Block 259:1 nvme0n1p1"]);
}

/// A child that is ended with the value.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn node(path: &str) -> DeviceNode {
    let number = std::fs::metadata(path).unwrap().rdev();
    let part = |number: u64| u32::try_from(number).unwrap();
    let number = DevT { major: part(nix::sys::stat::major(number)), minor: part(nix::sys::stat::minor(number)) };
    DeviceNode { kind: NodeKind::Char, number, name: path.to_owned() }
}

#[test]
fn a_process_that_holds_a_device_file() {
    // /dev/full: nobody else holds it for long.
    let child =
        Sleeper(Command::new("sleep").arg("600").stdin(Stdio::from(File::open("/dev/full").unwrap())).spawn().unwrap());
    let (full, zero) = (node("/dev/full"), node("/dev/zero"));
    let of_child = |nodes: &[DeviceNode]| {
        let found = holders(&Root::new("/"), nodes).unwrap().found;
        found.into_iter().filter(|holder| holder.process.pid == child.0.id()).collect::<Vec<_>>()
    };
    let held = of_child(&[zero.clone(), full.clone()]);
    let [held] = held.as_slice() else { panic!("{held:?}") };
    assert_eq!((held.node.clone(), held.descriptor, held.process.comm.as_str()), (full.clone(), 0, "sleep"));
    assert_eq!(Some(held.process.clone()), process(&Root::new("/"), child.0.id()).unwrap());
    assert_eq!(of_child(&[zero]), []);
    // The same number among block devices is another device.
    assert_eq!(of_child(&[DeviceNode { kind: NodeKind::Block, ..full.clone() }]), []);
    let pid = child.0.id();
    drop(child);
    assert!(holders(&Root::new("/"), &[full]).unwrap().found.iter().all(|holder| holder.process.pid != pid));
    assert_eq!(process(&Root::new("/"), pid).unwrap(), None);
}

#[test]
fn a_dead_process_nobody_waited_for_stops_no_view() {
    let mut child = Command::new("true").spawn().unwrap();
    // Until it is dead, without waiting for it in the sense of the kernel.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), flags).unwrap();
    let root = Root::new("/");
    assert_eq!(process(&root, child.id()).unwrap().unwrap().comm, "true");
    let found = holders(&root, &[node("/dev/null")]).unwrap();
    assert!(found.found.iter().all(|holder| holder.process.pid != child.id()));
    assert!(found.unseen.iter().all(|process| process.pid != child.id()));
    virt_tailor::host::block::Blocks::read(&root).unwrap();
    child.wait().unwrap();
}
