//! Verdicts on IOMMUs.

use super::groups::Groups;
use super::iommu::{InterruptRemapping, Iommu, IommuState, IommuVendor};
use super::testing::Tree;

fn iommu(tree: &Tree) -> Iommu {
    let root = tree.root();
    Iommu::read(&root, &Groups::read(&root).unwrap()).unwrap()
}

/// A machine with ACPI and one more table.
fn with_table(name: &str, bytes: impl AsRef<[u8]>) -> Tree {
    Tree::new()
        .file("sys/firmware/acpi/tables/FACP", "")
        .file(&format!("sys/firmware/acpi/tables/{name}"), bytes)
        .file("sys/kernel/irq/24/chip_name", "IO-APIC\n")
        .file("sys/kernel/irq/9/chip_name", "PCI-MSI\n")
}

fn group(tree: Tree, group: u32, kind: &str) -> Tree {
    tree.link(&format!("sys/kernel/iommu_groups/{group}/devices/0000:00:{group:02x}.0"), "x")
        .file(&format!("sys/kernel/iommu_groups/{group}/type"), format!("{kind}\n"))
}

/// A DMAR table with these flags.
fn dmar(flags: u8) -> Vec<u8> {
    let mut table = vec![0u8; 48];
    table[..4].copy_from_slice(b"DMAR");
    table[37] = flags;
    table
}

#[test]
fn the_firmware_offers_none() {
    let seen = iommu(&with_table("APIC", ""));
    assert_eq!((seen.state, seen.vendor, seen.works()), (IommuState::Absent, None, false));
    assert!(seen.sentence().contains("VT-d"));
}

#[test]
fn intel_is_off_without_its_argument() {
    let seen = iommu(&with_table("DMAR", dmar(1)));
    assert_eq!((seen.state, seen.vendor), (IommuState::PresentButOff, Some(IommuVendor::Intel)));
    assert_eq!(seen.missing_argument(), Some("intel_iommu=on"));
    assert!(seen.sentence().contains("intel_iommu=on"));
}

#[test]
fn amd_has_no_argument_that_is_missing() {
    let seen = iommu(&with_table("IVRS", ""));
    assert_eq!((seen.state, seen.missing_argument()), (IommuState::PresentButOff, None));
    assert!(!seen.sentence().contains("amd_iommu=on") && seen.sentence().contains("amd_iommu=off"));
}

#[test]
fn arm_counts_by_its_smmu_not_by_its_table() {
    // One node, an ITS group of 24 bytes.
    let mut table = vec![0u8; 72];
    (table[36], table[40], table[49]) = (1, 48, 24);
    assert_eq!(iommu(&with_table("IORT", &table)).state, IommuState::Absent);
    table[48] = 4;
    assert_eq!(iommu(&with_table("IORT", &table)).vendor, Some(IommuVendor::Arm));
}

#[test]
fn hidden_tables_are_said_to_be_hidden() {
    let seen = iommu(&Tree::new().folder("sys/firmware"));
    assert_eq!(seen.state, IommuState::Unknown);
    assert!(seen.sentence().contains("hidden"));
}

#[test]
fn groups_tell_that_it_works_whatever_the_tables_say() {
    let tree = group(Tree::new().folder("sys/firmware").folder("sys/class/iommu/ivhd0"), 1, "DMA-FQ");
    let seen = iommu(&tree);
    assert_eq!((seen.state, seen.vendor), (IommuState::On, Some(IommuVendor::Amd)));
}

#[test]
fn identity_is_what_most_groups_have() {
    let tree = group(group(group(Tree::new(), 1, "identity"), 2, "identity"), 3, "DMA");
    assert_eq!(iommu(&tree).state, IommuState::Identity);
    let tree = group(group(group(Tree::new(), 1, "identity"), 2, "DMA"), 3, "DMA-FQ");
    assert_eq!(iommu(&tree).state, IommuState::On, "a quirk for one device");
}

#[test]
fn groups_without_an_iommu_do_not_count() {
    let tree =
        group(with_table("DMAR", dmar(1)), 0, "unmanaged").file("sys/kernel/iommu_groups/0/name", "vfio-noiommu\n");
    assert_eq!(iommu(&tree).state, IommuState::PresentButOff);
}

#[test]
fn interrupts_are_remapped_when_the_kernel_does() {
    let on = |tree: Tree| group(tree, 1, "DMA").folder("sys/class/iommu/dmar0");
    let seen = iommu(&on(with_table("DMAR", dmar(1))).file("sys/kernel/irq/0/chip_name", "IR-IO-APIC\n"));
    assert_eq!((seen.interrupt_remapping, seen.interrupt_sentence()), (InterruptRemapping::On, None));

    let ecap = "sys/class/iommu/dmar0/intel-iommu/ecap";
    let seen = iommu(&on(with_table("DMAR", dmar(1))).file(ecap, "f050da\n"));
    assert_eq!(seen.interrupt_remapping, InterruptRemapping::Off, "0xda has bit 3");
    assert!(seen.interrupt_sentence().unwrap().contains("intremap=off"));

    let seen = iommu(&on(with_table("DMAR", dmar(0))).file(ecap, "f050da\n"));
    assert_eq!(seen.interrupt_remapping, InterruptRemapping::Unsupported, "not allowed by the firmware");
    let seen = iommu(&on(with_table("DMAR", dmar(1))).file(ecap, "f050d2\n"));
    assert_eq!(seen.interrupt_remapping, InterruptRemapping::Unsupported, "not by this unit");

    let seen = iommu(&group(with_table("IVRS", ""), 1, "DMA"));
    assert_eq!(seen.interrupt_remapping, InterruptRemapping::Off);
    assert_eq!(iommu(&Tree::new()).interrupt_remapping, InterruptRemapping::Unknown);
}

#[test]
fn sentences_are_one_line() {
    for tree in [with_table("DMAR", dmar(1)), with_table("IVRS", ""), with_table("APIC", ""), Tree::new()] {
        assert!(!iommu(&tree).sentence().contains('\n'));
    }
}
