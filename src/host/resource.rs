//! The lines of a function's `resource`: BARs, ROM, bridge windows (kernel: Documentation/PCI/sysfs-pci.rst, include/linux/ioport.h).

use serde::Serialize;

use super::hex;
use super::values;

/// Flags of a resource.
const IO: u64 = 0x100;
const MEMORY: u64 = 0x200;
const UNSET: u64 = 0x2000_0000;

/// Index of the ROM; below it are the BARs (kernel: include/linux/pci.h, PCI_ROM_RESOURCE).
const ROM: usize = 6;

/// A range of memory or ports of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Line in `resource`: 0–5 BARs, 6 the ROM, then on a physical function the BARs of its virtual ones, on a bridge its windows.
    pub index: usize,
    /// First address.
    #[serde(serialize_with = "hex::prefixed")]
    pub start: u64,
    /// Last address.
    #[serde(serialize_with = "hex::prefixed")]
    pub end: u64,
    /// The kernel's flags.
    #[serde(serialize_with = "hex::prefixed")]
    pub flags: u64,
}

impl Resource {
    /// Whether it is one of the function's own BARs.
    pub fn is_bar(self) -> bool {
        self.index < ROM
    }

    /// Whether it is memory.
    pub fn is_memory(self) -> bool {
        self.flags & MEMORY != 0
    }

    /// Whether it is a range of ports.
    pub fn is_ports(self) -> bool {
        self.flags & IO != 0
    }

    /// Whether it has a size but got no place: what is missing is room below the bridge (`pci=realloc`, "above 4G decoding").
    pub fn is_unset(self) -> bool {
        self.flags & UNSET != 0 || self.start == 0
    }

    /// Bytes or ports.
    pub fn size(self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }

    /// Whether a range of memory lies in it wholly.
    pub fn contains(self, start: u64, end: u64) -> bool {
        self.is_memory() && !self.is_unset() && self.start <= start && start <= end && end <= self.end
    }
}

/// What of the text of `resource` has a size; `None` if it is of another shape.
pub(super) fn resources(text: &str) -> Option<Vec<Resource>> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace().map(values::hexadecimal);
        let (start, end, flags) = (fields.next()??, fields.next()??, fields.next()??);
        // Unused is all zero; empty is an end just before the start.
        if fields.next().is_some() {
            return None;
        }
        if (start, end) != (0, 0) && end.wrapping_add(1) != start && start <= end {
            found.push(Resource { index, start, end, flags });
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::resources;

    const TEXT: &str = "0x00000000fb000000 0x00000000fbffffff 0x0000000000040200
0x00000000d0000000 0x00000000dfffffff 0x000000000014220c
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x00000000000fffff 0x0000000020040200
0x0000000000000000 0xffffffffffffffff 0x0000000000040200
0x000000000000f000 0x000000000000f07f 0x0000000000040101
0x00000000000c0000 0x00000000000dffff 0x0000000000000212
";

    #[test]
    fn lines_with_a_size() {
        let found = resources(TEXT).unwrap();
        let seen: Vec<(usize, u64)> = found.iter().map(|found| (found.index, found.size())).collect();
        assert_eq!(seen, [(0, 16 << 20), (1, 256 << 20), (3, 1 << 20), (5, 128), (6, 128 << 10)]);
        assert!(found[3].is_ports() && !found[3].is_memory());
        assert!(found[2].is_unset() && !found[1].is_unset());
        assert!(!found[4].is_bar());
    }

    #[test]
    fn a_range_lies_in_one_wholly_or_not() {
        let found = resources(TEXT).unwrap();
        assert!(found[1].contains(0xd000_0000, 0xd02f_ffff));
        assert!(!found[1].contains(0xd000_0000, 0xe000_0000));
        assert!(!found[2].contains(0x0, 0x10), "a BAR without a place is nowhere");
        assert!(!found[3].contains(0xf000, 0xf001), "ports are no memory");
    }

    #[test]
    fn another_shape() {
        assert_eq!(resources("0x0 0x0"), None);
        assert_eq!(resources("0x0 0x0 0x0 0x0"), None);
    }
}
