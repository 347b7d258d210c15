//! What the kernel writes into the attributes of a PCI function, as values. `None` is a text it would not write.

use super::facts::Bar;

/// Flags in `resource` (kernel: include/linux/ioport.h).
const IORESOURCE_MEM: u64 = 0x200;
const IORESOURCE_PREFETCH: u64 = 0x2000;
const IORESOURCE_MEM_64: u64 = 0x10_0000;

/// BARs of a function; in `resource` the ROM and, on a physical function, the BARs of its virtual functions come after them (kernel:
/// include/linux/pci.h, PCI_STD_RESOURCES).
const BARS: u8 = 6;

/// A number as `%#x` prints it.
pub(super) fn hexadecimal(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // from_str_radix would take a sign.
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// A vendor or device id.
pub(super) fn id(text: &str) -> Option<u16> {
    u16::try_from(hexadecimal(text)?).ok()
}

/// A class code: 24 bits.
pub(super) fn class(text: &str) -> Option<u32> {
    u32::try_from(hexadecimal(text)?).ok().filter(|class| *class <= 0xff_ffff)
}

/// A whole number without a sign.
pub(super) fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A NUMA node; the inner `None` is the kernel's NUMA_NO_NODE, -1.
pub(super) fn numa_node(text: &str) -> Option<Option<u32>> {
    if text == "-1" {
        return Some(None);
    }
    number(text).map(Some)
}

/// A switch: 0 or 1.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// The memory BARs in the text of `resource`: one line `start end flags` each. Ports are left out, and so is what has no size.
///
/// A BAR that has a size but got no place (start 0, IORESOURCE_UNSET) counts: a guest gives it one.
pub(super) fn bars(text: &str) -> Option<Vec<Bar>> {
    let mut lines = text.lines();
    let mut bars = Vec::new();
    for index in 0..BARS {
        let mut fields = lines.next()?.split_ascii_whitespace().map(hexadecimal);
        let (start, end, flags) = (fields.next()??, fields.next()??, fields.next()??);
        if fields.next().is_some() {
            return None;
        }
        let size = match (start, end) {
            (0, 0) => 0,
            // The kernel's way to write an empty range is an end just before the start.
            _ if end.wrapping_add(1) == start => 0,
            _ => end.checked_sub(start)?.checked_add(1)?,
        };
        if size > 0 && flags & IORESOURCE_MEM != 0 {
            bars.push(Bar {
                index,
                size,
                wide: flags & IORESOURCE_MEM_64 != 0,
                prefetchable: flags & IORESOURCE_PREFETCH != 0,
            });
        }
    }
    Some(bars)
}

/// The header type in the first bytes of config space: byte 0x0e without the multifunction bit. `None` if the bytes do not reach that
/// far, or the device does not answer: all bits set is what a read of an absent device gives. (The vendor id would not tell: a virtual
/// function always shows 0xffff there, by the SR-IOV specification.)
pub(super) fn header_type(config: &[u8]) -> Option<u8> {
    match config.get(0x0e)? {
        0xff => None,
        byte => Some(byte & 0x7f),
    }
}

/// Whether a driver is a VFIO driver by its name: vfio-pci, and the variants for one kind of device, which are all called so
/// (mlx5_vfio_pci, nvgrace_gpu_vfio_pci, xe-vfio-pci …; kernel: drivers/vfio/pci).
pub(super) fn is_vfio_name(driver: &str) -> bool {
    driver == "vfio-pci" || driver.ends_with("_vfio_pci") || driver.ends_with("-vfio-pci")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNUSED: &str = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";

    fn resource(first: &str, unused: usize) -> Option<Vec<Bar>> {
        bars(&format!("{first}\n{}", UNUSED.repeat(unused)))
    }

    #[test]
    fn reads_what_the_kernel_writes() {
        assert_eq!(id("0x10de"), Some(0x10de));
        assert_eq!(class("0x030000"), Some(0x03_0000));
        assert_eq!(numa_node("-1"), Some(None));
        assert_eq!(numa_node("1"), Some(Some(1)));
        assert_eq!(switch("1"), Some(true));
    }

    #[test]
    fn refuses_what_it_does_not_write() {
        for text in ["", "10de", "0x", "0x10dg", "0x110de", "0x+1", "-1", "0X1"] {
            assert_eq!(id(text), None, "{text}");
        }
        assert_eq!(class("0x1030000"), None);
        for text in ["", "-2", "one", "+1", "4294967296"] {
            assert_eq!(numa_node(text), None, "{text}");
        }
        for text in ["", "2", "yes"] {
            assert_eq!(switch(text), None, "{text}");
        }
    }

    #[test]
    fn takes_memory_bars_only() {
        let memory = "0x000000e000000000 0x000000ffffffffff 0x000000000014220c";
        let size = 128 << 30;
        let bar = Bar { index: 0, size, wide: true, prefetchable: true };
        assert_eq!(resource(memory, 5), Some(vec![bar]));
        // Ports; the empty range at 0 and elsewhere.
        for none in [
            "0x000000000000e000 0x000000000000e07f 0x0000000000040101",
            "0x0000000000000000 0xffffffffffffffff 0x0000000000040200",
            "0x00000000e0000000 0x00000000dfffffff 0x0000000000040200",
        ] {
            assert_eq!(resource(none, 5), Some(vec![]), "{none}");
        }
    }

    #[test]
    fn counts_a_bar_without_a_place() {
        let unset = "0x0000000000000000 0x000000000fffffff 0x0000000020040200";
        let bars = resource(unset, 12).unwrap();
        assert_eq!((bars[0].size, bars[0].wide), (256 << 20, false));
    }

    #[test]
    fn refuses_a_resource_file_of_another_shape() {
        assert_eq!(bars(""), None);
        assert_eq!(bars(&UNUSED.repeat(5)), None, "a line per BAR");
        for line in ["0x0 0x0", "0x0 0x0 0x0 0x0", "0x0 0x0 zero", "0x2000 0x1000 0x40200"] {
            assert_eq!(resource(line, 5), None, "{line}");
        }
    }

    #[test]
    fn header_types() {
        let mut config = [0u8; 64];
        for (byte, kind) in [(0x00, Some(0)), (0x80, Some(0)), (0x81, Some(1)), (0xff, None)] {
            config[0x0e] = byte;
            assert_eq!(header_type(&config), kind, "{byte:#x}");
        }
        assert_eq!(header_type(&config[..0x0e]), None);
    }

    #[test]
    fn vfio_drivers_by_name() {
        for driver in ["vfio-pci", "mlx5_vfio_pci", "xe-vfio-pci"] {
            assert!(is_vfio_name(driver), "{driver}");
        }
        for driver in ["pci-stub", "nvidia", "vfio-pci-core", "xhci_hcd"] {
            assert!(!is_vfio_name(driver), "{driver}");
        }
    }
}
