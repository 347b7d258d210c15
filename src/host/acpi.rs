//! The ACPI tables that tell whether the firmware offers an IOMMU (kernel: Documentation/ABI/testing/sysfs-firmware-acpi).

use std::collections::BTreeSet;

use serde::Serialize;

use super::error::HostError;
use super::root::Root;

const FOLDER: &str = "sys/firmware/acpi/tables";

/// Length of what every table begins with (ACPI Specification 6.5, 5.2.6).
const HEADER: usize = 36;

/// What can be seen of the firmware's tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum AcpiTables {
    /// The names of all tables. (What is in them only root may read.)
    Shown(BTreeSet<String>),
    /// Hidden from us: container runtimes cover `/sys/firmware` with an empty folder. The machine may have any table.
    Hidden,
    /// The kernel runs without ACPI: a device tree, or `acpi=off`.
    None,
}

impl AcpiTables {
    /// Reads the names of the tables.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed although it may be.
    pub(super) fn read(root: &Root) -> Result<Self, HostError> {
        // Two folders stand among the tables.
        let tables: BTreeSet<String> =
            names(root, FOLDER)?.into_iter().filter(|name| !matches!(name.as_str(), "data" | "dynamic")).collect();
        // FACP is what an ACPI machine cannot be without.
        if tables.contains("FACP") {
            return Ok(Self::Shown(tables));
        }
        let firmware = names(root, "sys/firmware")?;
        let other = firmware.iter().any(|name| name != "acpi");
        Ok(if other && !firmware.iter().any(|name| name == "acpi") { Self::None } else { Self::Hidden })
    }

    /// Whether there is a table of this name; `None` if that cannot be seen.
    pub fn has(&self, name: &str) -> Option<bool> {
        match self {
            Self::Shown(tables) => Some(tables.contains(name)),
            Self::Hidden => None,
            Self::None => Some(false),
        }
    }
}

/// The names in a folder, none where we may not look.
fn names(root: &Root, folder: &str) -> Result<Vec<String>, HostError> {
    match root.names(folder) {
        Err(HostError::Read { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => Ok(Vec::new()),
        other => other,
    }
}

/// The bytes of a table; `None` if it is not there, or we may not read it.
pub(super) fn table(root: &Root, name: &str) -> Option<Vec<u8>> {
    root.bytes(format!("{FOLDER}/{name}")).ok().flatten().filter(|bytes| bytes.len() > HEADER)
}

/// Whether the DMAR table says that the platform can remap interrupts: bit 0 of its flags (Intel VT-d Specification 4.1, 8.1).
pub(super) fn dmar_remaps_interrupts(table: &[u8]) -> Option<bool> {
    Some(table.get(HEADER + 1)? & 1 != 0)
}

/// Whether an IORT table has an SMMU in it: it is there for interrupts alone, too (Arm DEN 0049, 3: node types 3 and 4).
pub(super) fn iort_has_smmu(table: &[u8]) -> Option<bool> {
    let word = |at: usize| Some(u32::from_le_bytes(table.get(at..at + 4)?.try_into().ok()?));
    let (count, mut at) = (word(HEADER)?, usize::try_from(word(HEADER + 4)?).ok()?);
    for _ in 0..count {
        let kind = table.get(at)?;
        if matches!(kind, 3 | 4) {
            return Some(true);
        }
        let length = u16::from_le_bytes(table.get(at + 1..at + 3)?.try_into().ok()?);
        if length == 0 {
            return None;
        }
        at += usize::from(length);
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::{AcpiTables, dmar_remaps_interrupts, iort_has_smmu};
    use crate::host::testing::Tree;

    fn tables(tree: &Tree) -> AcpiTables {
        AcpiTables::read(&tree.root()).unwrap()
    }

    #[test]
    fn hidden_is_not_absent() {
        let shown = Tree::new()
            .file("sys/firmware/acpi/tables/FACP", "")
            .file("sys/firmware/acpi/tables/DMAR", "")
            .folder("sys/firmware/acpi/tables/dynamic");
        assert_eq!(tables(&shown), AcpiTables::Shown(["DMAR", "FACP"].map(str::to_owned).into()));
        assert_eq!((tables(&shown).has("DMAR"), tables(&shown).has("IVRS")), (Some(true), Some(false)));
        let masked = Tree::new().folder("sys/firmware");
        assert_eq!(tables(&masked), AcpiTables::Hidden, "as a container runtime leaves it");
        assert_eq!(tables(&Tree::new()), AcpiTables::Hidden);
        let half = Tree::new().folder("sys/firmware/acpi/tables").folder("sys/firmware/efi");
        assert_eq!(tables(&half).has("DMAR"), None);
        let device_tree = Tree::new().folder("sys/firmware/devicetree");
        assert_eq!(tables(&device_tree).has("IORT"), Some(false));
    }

    #[test]
    fn flags_of_dmar() {
        let mut table = [0u8; 48];
        assert_eq!(dmar_remaps_interrupts(&table), Some(false));
        table[37] = 0x05;
        assert_eq!(dmar_remaps_interrupts(&table), Some(true));
        assert_eq!(dmar_remaps_interrupts(&table[..36]), None);
    }

    #[test]
    fn iort_with_and_without_smmu() {
        // An ITS group (type 0, 24 bytes), then a node of the type in question.
        let table = |kind: u8| {
            let mut table = vec![0u8; 48];
            table[36] = 2;
            table[40] = 48;
            for (kind, length) in [(0u8, 24u8), (kind, 68)] {
                let mut node = vec![0u8; usize::from(length)];
                (node[0], node[1]) = (kind, length);
                table.extend(node);
            }
            table
        };
        assert_eq!(iort_has_smmu(&table(2)), Some(false), "a root complex");
        assert_eq!(iort_has_smmu(&table(4)), Some(true), "an SMMUv3");
        assert_eq!(iort_has_smmu(&[0; 40]), None);
    }
}
