//! PCI functions of small machines.

use super::pci::{Pci, PciDevice};
use super::testing::Tree;
use crate::base::PciAddress;

const FOLDER: &str = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0";

fn address() -> PciAddress {
    "0000:01:00.0".parse().unwrap()
}

fn gpu() -> Tree {
    Tree::new().pci("pci0000:00/0000:00:01.0", "0000:01:00.0", "0x030000", 0)
}

fn read(tree: &Tree) -> PciDevice {
    Pci::read_one(&tree.root(), address()).unwrap().unwrap()
}

#[test]
fn everything_about_a_function() {
    let tree = gpu()
        .file(&format!("{FOLDER}/subsystem_vendor"), "0x1458\n")
        .file(&format!("{FOLDER}/subsystem_device"), "0x403b\n")
        .file(&format!("{FOLDER}/revision"), "0xa1\n")
        .file(&format!("{FOLDER}/modalias"), "pci:v00008086d00001234sv00001458sd0000403Bbc03sc00i00\n")
        .file(&format!("{FOLDER}/power/control"), "auto\n")
        .file(&format!("{FOLDER}/power/runtime_status"), "active\n")
        .file(&format!("{FOLDER}/power_state"), "D0\n")
        .file(&format!("{FOLDER}/d3cold_allowed"), "1\n")
        .folder(&format!("{FOLDER}/vfio-dev/vfio3"));
    let device = read(&tree);
    let subsystem = device.subsystem.unwrap();
    assert_eq!((subsystem.vendor, subsystem.device, device.revision), (0x1458, 0x403b, Some(0xa1)));
    assert_eq!((device.power.control.as_deref(), device.power.d3cold_allowed), (Some("auto"), Some(true)));
    assert_eq!((device.vfio_device.as_deref(), device.answers), (Some("vfio3"), Some(true)));
    assert_eq!(device.place.as_ref().unwrap().bridge, Some("0000:00:01.0".parse().unwrap()));
    assert_eq!(Pci::read(&tree.root()).unwrap().functions[&address()], device, "one or all, the same");
}

#[test]
fn what_sysfs_does_not_have_is_open() {
    let device = read(&gpu());
    assert_eq!((device.subsystem, device.revision, device.modalias), (None, None, None));
    assert_eq!((device.sriov, device.physfn, device.vfio_device), (None, None, None));
    assert_eq!(device.power, super::pci::Power::default());
    assert!(!device.mdev_capable && !device.vendor_vgpu);
}

#[test]
fn a_device_that_fell_off_the_bus_answers_with_ones() {
    let device = read(&gpu().file(&format!("{FOLDER}/config"), [0xff; 64]));
    assert_eq!((device.answers, device.function.vendor), (Some(false), 0x8086), "the kernel remembers the vendor");
    // A virtual function has no ids of its own in config space, and is well.
    let mut config = [0u8; 64];
    config[..4].fill(0xff);
    assert_eq!(read(&gpu().file(&format!("{FOLDER}/config"), config)).answers, Some(true));
}

#[test]
fn a_device_without_power_is_not_asked() {
    let tree = gpu().file(&format!("{FOLDER}/power_state"), "D3cold\n").file(&format!("{FOLDER}/config"), [0xff; 64]);
    let device = read(&tree);
    assert_eq!((device.answers, device.function.header_type), (None, None));
    assert!(!device.function.is_bridge());
    let bridge = read(&tree.file(&format!("{FOLDER}/secondary_bus_number"), "2\n"));
    assert!(bridge.function.is_bridge());
}

#[test]
fn locked_attributes_are_not_read() {
    // A pipe that nobody writes to: whoever opens it hangs, as does a reader of these while an unbind hangs.
    let tree = gpu().file(&format!("{FOLDER}/sriov_totalvfs"), "4\n");
    for name in ["driver_override", "sriov_numvfs"] {
        let path = tree.root().path(format!("{FOLDER}/{name}"));
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    assert_eq!(read(&tree).sriov.unwrap().total_vfs, 4);
    super::machine::Machine::read(&tree.root()).unwrap();
}

#[test]
fn no_such_function() {
    assert_eq!(Pci::read_one(&gpu().root(), "0000:02:00.0".parse().unwrap()).unwrap(), None);
    assert_eq!(Pci::read_one(&Tree::new().root(), address()).unwrap(), None, "no PCI at all");
    assert!(Pci::read(&Tree::new().root()).unwrap().functions.is_empty());
}

#[test]
fn as_json() {
    let json = serde_json::to_value(read(&gpu())).unwrap();
    assert_eq!(
        (&json["address"], &json["vendor"], &json["class"]),
        (&"0000:01:00.0".into(), &"8086".into(), &"030000".into())
    );
    assert_eq!(json["place"]["rootComplex"], "pci0000:00");
    let all = serde_json::to_value(Pci::read(&gpu().root()).unwrap()).unwrap();
    assert_eq!(all["0000:01:00.0"], json);
}
