//! Facts read from captured hosts, from broken ones, and from the machine the tests run on.

// clippy.toml lets tests unwrap, but not the functions beside them.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "host/machine.rs"]
mod machine;

use std::error::Error as _;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::host_tree;
use virt_tailor::base::{ByteSize, PciAddress};
use virt_tailor::host::{HostFacts, PciFunction, read_pci};

const ENTRY: &str = "sys/bus/pci/devices/0000:01:00.0";

/// A host with one function and nothing that is not required; more lines about it can be appended.
const PLAIN: &str = "[sys/bus/pci/devices/0000:01:00.0]
vendor = 0x10de
device = 0x2206
class = 0x030000
resource[0] = 0xfb000000 0xfbffffff 0x40200
";

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

/// The one function of [`PLAIN`] with these lines added.
fn function(lines: &str) -> PciFunction {
    let root = host_tree::unpack_text(&format!("{PLAIN}{lines}"));
    let facts = read_pci(root.path()).unwrap();
    facts.pci[&address("0000:01:00.0")].clone()
}

/// Error and cause of reading a root, with the name of the root taken out.
fn failure(root: &Path) -> String {
    let error = read_pci(root).unwrap_err();
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default()).replace(root.to_str().unwrap(), "ROOT")
}

/// Facts as a person would compare them.
fn render(facts: &HostFacts) -> String {
    let mut text = String::new();
    for function in facts.pci.values() {
        let or = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let kind = if function.is_bridge() { "bridge" } else { "endpoint" };
        writeln!(
            text,
            "{} {:04x}:{:04x} class {:06x} {kind}, header type {}",
            function.address,
            function.vendor,
            function.device,
            function.class,
            or(function.header_type.map(|kind| kind.to_string())),
        )
        .unwrap();
        writeln!(text, "  driver {}{}", or(function.driver.clone()), if function.vfio { " (VFIO)" } else { "" },)
            .unwrap();
        let mates: Vec<String> =
            facts.group_mates(function.address).iter().map(|mate| mate.address.to_string()).collect();
        writeln!(
            text,
            "  group {} with {mates:?}, node {}",
            or(function.iommu_group.map(|group| group.to_string())),
            or(function.numa_node.map(|node| node.to_string())),
        )
        .unwrap();
        writeln!(
            text,
            "  can reset: {}; entry {}, methods {:?}",
            function.can_reset(),
            function.reset,
            function.reset_methods,
        )
        .unwrap();
        if let Some(boot) = function.boot_vga {
            writeln!(text, "  boot VGA {boot}").unwrap();
        }
        for bar in &function.bars {
            writeln!(
                text,
                "  BAR {}: {}, {}-bit{}",
                bar.index,
                ByteSize::bytes(bar.size),
                if bar.wide { 64 } else { 32 },
                if bar.prefetchable { ", prefetchable" } else { "" },
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn captured_hosts() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/host");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let names = host_tree::names();
    assert!(!names.is_empty());
    for name in &names {
        let root = host_tree::unpack(name);
        let actual = render(&read_pci(root.path()).unwrap());
        let golden = goldens.join(format!("{name}.txt"));
        if update {
            fs::write(&golden, &actual).unwrap();
        }
        let expected = fs::read_to_string(&golden)
            .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", golden.display()));
        assert_eq!(actual, expected, "{name} (UPDATE_GOLDEN=1 rewrites)");
    }
    for golden in fs::read_dir(&goldens).unwrap() {
        let name = golden.unwrap().path().file_stem().unwrap().to_owned();
        let name = name.to_str().unwrap();
        assert!(names.iter().any(|host| host == name), "{name}: no such host");
    }
}

#[test]
fn this_machine() {
    let devices = Path::new("/sys/bus/pci/devices");
    if !devices.exists() {
        return;
    }
    let facts = read_pci(Path::new("/")).unwrap();
    for entry in fs::read_dir(devices).unwrap() {
        let name = entry.unwrap().file_name();
        let address = address(name.to_str().unwrap());
        assert!(facts.pci.contains_key(&address), "{address}");
        assert_eq!(name.to_str().unwrap(), address.to_string());
    }
}

#[test]
fn what_is_optional_may_be_missing() {
    let function = function("");
    assert_eq!(function.header_type, None);
    assert_eq!(function.driver, None);
    assert!(!function.vfio);
    assert_eq!(function.iommu_group, None);
    assert_eq!(function.numa_node, None);
    assert_eq!(function.reset_methods, None);
    assert!(!function.can_reset());
    assert_eq!(function.boot_vga, None);
    assert_eq!(function.bars.len(), 1);
}

#[test]
fn config_space_may_be_short_or_unreadable() {
    assert_eq!(function("config =").header_type, None);
    let head = "config : de 10 06 22 00 00 10 00 a1 00 00 03 10 00";
    assert_eq!(function(head).header_type, None);
    assert_eq!(function(&format!("{head} 81")).header_type, Some(1));
    assert_eq!(function(&format!("{head} ff")).header_type, None);
    assert_eq!(function("config/").header_type, None);
    // Without a header type the class decides what is a bridge.
    assert!(!function("config =").is_bridge());
    assert!(function("config =\nclass = 0x060400").is_bridge());
}

#[test]
fn vfio_by_name_or_by_entry() {
    let vfio = |lines| function(lines).vfio;
    assert!(vfio("driver -> ../drivers/vfio-pci"));
    assert!(vfio("driver -> ../drivers/nvgrace_gpu_vfio_pci"));
    // A vGPU function: NVIDIA's own driver registers it with VFIO.
    assert!(vfio("driver -> ../drivers/nvidia\nvfio-dev/vfio0/"));
    assert!(!vfio("driver -> ../drivers/nvidia"));
    assert!(!vfio("driver -> ../drivers/pci-stub"));
}

#[test]
fn reset_by_list_or_by_entry() {
    assert!(function("reset =\nreset_method = flr bus").can_reset());
    assert!(!function("reset =\nreset_method =").can_reset());
    // Before Linux 5.15.
    assert!(function("reset =").can_reset());
}

#[test]
fn refuses_what_is_no_host_root() {
    let folder = tempfile::tempdir().unwrap();
    let message = "ROOT is no host root: it has no sys folder";
    assert_eq!(failure(folder.path()), message);
    fs::write(folder.path().join("sys"), "").unwrap();
    assert_eq!(failure(folder.path()), message);
    let missing = folder.path().join("missing");
    assert_eq!(failure(&missing), message);
}

#[test]
fn a_machine_without_pci_has_empty_facts() {
    for tree in ["[sys]", "[sys/bus/pci]", "[sys/bus/pci/devices]"] {
        let root = host_tree::unpack_text(tree);
        assert_eq!(read_pci(root.path()).unwrap(), HostFacts::default());
    }
}

#[test]
fn refuses_what_the_kernel_does_not_write() {
    let long = format!("vendor = {}", "0".repeat(5000));
    for (lines, message) in [
        ("vendor = 10de", r#"vendor holds "10de", which is not a PCI vendor id"#),
        ("device =", r#"device holds "", which is not a PCI device id"#),
        ("class = 0x01030000", r#"class holds "0x01030000", which is not a PCI class of 24 bits"#),
        ("numa_node = -2", r#"numa_node holds "-2", which is not a NUMA node or -1"#),
        ("boot_vga = yes", r#"boot_vga holds "yes", which is not 0 or 1"#),
        ("iommu_group -> ../groups/x", r#"iommu_group holds "x", which is not a group number"#),
        ("driver -> ..", r#"driver holds "..", which is not a link that ends in a name"#),
        ("driver = vfio-pci", "driver is not a link"),
        ("numa_node/", "numa_node is not a plain file"),
        ("numa_node -> vendor", "numa_node is not a plain file"),
        (
            "resource = 0x0 0x0 0x0",
            r#"resource holds "0x0 0x0 0x0", which is not six or more lines of start, end and flags"#,
        ),
        ("vendor : 30 78 ff", "vendor holds \"0x\u{fffd}\", which is not a PCI vendor id"),
        (long.as_str(), "of at most 4096 bytes"),
    ] {
        let root = host_tree::unpack_text(&format!("{PLAIN}{lines}"));
        let failure = failure(root.path());
        assert!(failure.starts_with(&format!("ROOT/{ENTRY}/")), "{failure}");
        assert!(failure.ends_with(message), "{failure}");
        assert!(failure.len() < 300, "{failure}");
    }
}

#[test]
fn refuses_what_is_missing() {
    for name in ["vendor", "device", "class", "resource"] {
        let root = host_tree::unpack_text(PLAIN);
        fs::remove_file(root.path().join(ENTRY).join(name)).unwrap();
        assert_eq!(failure(root.path()), format!("ROOT/{ENTRY}/{name} is missing"));
    }
}

#[test]
fn refuses_other_names() {
    let root = host_tree::unpack_text("[sys/bus/pci/devices/lost+found]");
    let failure = failure(root.path());
    let message =
        "ROOT/sys/bus/pci/devices/lost+found is not named like a PCI function: \"lost+found\" is not a PCI address";
    assert!(failure.starts_with(message), "{failure}");
}

#[test]
fn stays_inside_the_root() {
    let other = host_tree::unpack_text(PLAIN);
    let root = host_tree::unpack_text("[sys/bus/pci/devices]");
    symlink(other.path().join(ENTRY), root.path().join(ENTRY)).unwrap();
    let failure_of_entry = failure(root.path());
    let message = format!("ROOT/{ENTRY} leads out of the host root, to ");
    assert!(failure_of_entry.starts_with(&message), "{failure_of_entry}");

    let root = tempfile::tempdir().unwrap();
    symlink(other.path().join("sys"), root.path().join("sys")).unwrap();
    assert!(failure(root.path()).contains("leads out of the host root"));
}

#[test]
fn a_root_may_be_a_link() {
    let real = host_tree::unpack("workstation");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("host");
    symlink(real.path(), &link).unwrap();
    assert_eq!(read_pci(&link).unwrap(), read_pci(real.path()).unwrap());
}

#[test]
fn links_without_their_targets_are_a_fault_of_the_tree() {
    let root =
        host_tree::unpack_text("[sys/bus/pci/devices]\n0000:01:00.0 -> ../../../devices/pci0000:00/0000:01:00.0");
    let failure = failure(root.path());
    assert!(failure.starts_with(&format!("cannot read ROOT/{ENTRY}: ")), "{failure}");
}

/// Functions are plugged and unplugged, in the kernel's order, while the tree is read: that is never an error, and what stays is there.
#[test]
fn leaves_out_what_vanishes() {
    let root = host_tree::unpack_text(PLAIN);
    let devices = root.path().join("sys/bus/pci/devices");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..400 {
                let name = format!("0000:{:02x}:{:02x}.0", 2 + number / 32, number % 32);
                let real = root.path().join("sys/devices").join(&name);
                fs::create_dir_all(&real).unwrap();
                for file in ["vendor", "device", "class", "resource"] {
                    fs::copy(root.path().join(ENTRY).join(file), real.join(file)).unwrap();
                }
                let entry = devices.join(&name);
                symlink(format!("../../../devices/{name}"), &entry).unwrap();
                std::thread::yield_now();
                fs::remove_file(&entry).unwrap();
                fs::remove_dir_all(&real).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let facts = read_pci(root.path()).unwrap();
            assert!(facts.pci.contains_key(&address("0000:01:00.0")));
        }
    });
}
