//! What a device is, and what stands between it and memory.

use super::*;
use crate::host::{RegionKind, ReservedRegion, Sriov};

const GPU: u32 = 0x03_0000;

fn gpu() -> Node {
    Node::new().function(DEVICE, GPU, "nouveau")
}

#[test]
fn a_gpu_beside_a_serial_console_goes() {
    let unit = gpu().unit(&format!("selector: {{address: '{DEVICE}'}}"), "");
    assert_eq!(unit.refusals, [""; 0]);
    assert_eq!(unit.functions().collect::<Vec<_>>(), [address(DEVICE)]);
}

#[test]
fn what_is_not_there() {
    assert_eq!(Node::new().refusals(""), ["there is no PCI function 0000:01:00.0 on this node"]);
}

#[test]
fn without_an_iommu_the_node_says_it_once() {
    for (state, words) in [
        (IommuState::Absent, "the firmware offers no IOMMU"),
        (IommuState::PresentButOff, "the firmware offers an IOMMU (Intel VT-d) which the kernel does not use"),
        (IommuState::Unknown, "there is no IOMMU group, and the firmware's tables are hidden"),
    ] {
        let node = gpu().with(|node| {
            node.0.groups = Groups::default();
            node.0.iommu.state = state;
        });
        let refusals = node.refusals("");
        assert!(refusals.len() == 1 && refusals[0].starts_with(words), "{refusals:?}");
    }
    assert_eq!(gpu().with(|node| node.0.iommu.state = IommuState::Identity).refusals(""), [""; 0]);
}

#[test]
fn groups_that_guard_nothing() {
    assert_eq!(
        gpu().with(|node| node.0.groups = Groups::default()).refusals(""),
        ["0000:01:00.0 is in no IOMMU group: no IOMMU stands between it and memory"]
    );
    assert_eq!(
        gpu().with(|node| node.0.groups.0.get_mut(&0).unwrap().no_iommu = true).refusals(""),
        [
            "IOMMU group 0 of 0000:01:00.0 is one without an IOMMU (vfio's enable_unsafe_noiommu_mode): a guest could write anywhere"
        ]
    );
}

#[test]
fn memory_the_firmware_keeps() {
    let region = |kind| {
        gpu().with(|node| {
            let region = ReservedRegion { start: 0x7b80_0000, end: 0x7fff_ffff, kind };
            node.0.groups.0.get_mut(&0).unwrap().reserved_regions.push(region);
        })
    };
    assert_eq!(
        region(RegionKind::Direct).refusals(""),
        [
            "the firmware keeps memory 0x7b800000-0x7fffffff for IOMMU group 0 of 0000:01:00.0 (RMRR), so the kernel will not let a VM \
          have it: see the firmware's settings"
        ]
    );
    assert_eq!(region(RegionKind::DirectRelaxable).refusals(""), [""; 0]);
}

#[test]
fn interrupts_that_are_not_remapped() {
    let node = |remapping, allowed| {
        gpu().with(|node| {
            node.0.iommu.interrupt_remapping = remapping;
            node.0.kernel.unsafe_interrupts = allowed;
        })
    };
    let off = node(InterruptRemapping::Off, None).refusals("");
    assert!(off.len() == 1 && off[0].starts_with("interrupts are not remapped, so VFIO refuses devices"), "{off:?}");
    let never = node(InterruptRemapping::Unsupported, Some(false)).refusals("");
    assert!(never.len() == 1 && never[0].starts_with("the platform does not remap interrupts"), "{never:?}");
    // Somebody has decided that already, for the whole node.
    assert_eq!(node(InterruptRemapping::Off, Some(true)).refusals(""), [""; 0]);
    assert_eq!(node(InterruptRemapping::Unknown, None).refusals(""), [""; 0]);
}

#[test]
fn what_never_goes() {
    for (class, what) in [
        (0x06_0000, "a host bridge"),
        (0x06_0100, "an ISA bridge"),
        (0x0c_0500, "the system management bus"),
        (0x08_0600, "an IOMMU"),
    ] {
        let node = Node::new().function(DEVICE, class, "");
        assert_eq!(node.refusals(""), [format!("0000:01:00.0 is {what}: it stays with the host")]);
    }
    // By header type, whatever its class says.
    let bridge = gpu().with(|node| node.device(DEVICE).function.header_type = Some(1));
    assert_eq!(bridge.refusals(""), ["0000:01:00.0 is a bridge: it stays with the host"]);
}

#[test]
fn what_the_host_has_for_itself_goes_only_if_it_is_meant() {
    for (class, driver, what) in [
        (0x05_8000, "", "a memory controller"),
        (0x06_8000, "", "a bridge of another kind"),
        (0x07_8000, "mei_me", "a management engine or a console"),
        (0x08_8000, "", "a system peripheral"),
        (0x0c_0701, "ipmi_si", "a baseboard management controller (IPMI)"),
        (0x0c_0340, "thunderbolt", "a USB4 router"),
        (0x10_8000, "ccp", "the platform's secure processor"),
        (0x11_0100, "", "a performance counter"),
        (0x11_8000, "proc_thermal_pci", "a signal processor of the platform"),
    ] {
        let node = Node::new().function(DEVICE, class, driver);
        assert_eq!(
            node.refusals_of("selector: {vendor: '10de'}", ""),
            [format!("0000:01:00.0 is {what}: name it by address or device id if it is meant")]
        );
        assert_eq!(node.refusals_of("selector: {vendor: '10de', device: '2204'}", ""), [""; 0], "{what}");
        assert_eq!(node.refusals(""), [""; 0], "{what}");
    }
    // Accelerators, a USB controller: what people hand over.
    for (class, driver) in [(0x0b_4000, "qat"), (0x12_0000, ""), (0x10_8000, "qat"), (0x0c_0330, "xhci_hcd")] {
        let node = Node::new().function(DEVICE, class, driver);
        assert_eq!(node.refusals_of("selector: {vendor: '10de'}", ""), [""; 0], "{class:06x}");
    }
}

#[test]
fn what_does_not_answer() {
    assert_eq!(
        gpu().with(|node| node.device(DEVICE).answers = Some(false)).refusals(""),
        ["0000:01:00.0 does not answer (its config space reads ffff): it fell off the bus, or is in D3cold"]
    );
    assert_eq!(gpu().with(|node| node.device(DEVICE).answers = None).refusals(""), [""; 0], "it sleeps");
}

#[test]
fn virtual_functions_keep_their_physical_one() {
    let vfs = [(0, address("0000:01:10.0")), (1, address("0000:01:10.2"))].into();
    let sriov = Sriov { total_vfs: 8, drivers_autoprobe: Some(true), vfs };
    let node = Node::new().function(DEVICE, 0x02_0000, "igb").with(|node| node.device(DEVICE).sriov = Some(sriov));
    assert_eq!(
        node.refusals(""),
        ["0000:01:00.0 has 2 virtual functions, which go when it goes: 0000:01:10.0, 0000:01:10.2"]
    );
}

#[test]
fn what_carries_file_systems_and_memory_of_a_node_that_is_a_vm() {
    for driver in ["9pnet_virtio", "virtiofs", "virtio_mem", "virtio_pmem", "virtio_iommu"] {
        let node = Node::new().function(DEVICE, 0x00_0200, "virtio-pci").with(|node| {
            node.0.virtio.insert(address(DEVICE), [driver.to_owned()].into());
        });
        assert_eq!(
            node.refusals(""),
            [format!("0000:01:00.0 carries file systems or memory of this node ({driver}): it stays with the host")]
        );
    }
}

#[test]
fn what_is_with_vfio_already_is_asked_for_nothing_that_is_the_host_s() {
    let node = Node::new().function(DEVICE, 0x01_0802, "vfio-pci").with(|node| node.0.display.consoles.clear());
    assert_eq!(node.refusals_of("selector: {vendor: '10de'}", ""), [""; 0]);
}
