//! Whether the firmware's framebuffer lies on a GPU.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::steps::sysfs::function;
use crate::prep::trouble::Trouble;

/// Where the firmware's framebuffer lies, seen from a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// In one of the GPU's BARs.
    OnGpu,
    /// Its range is not known, but this is the display that the firmware used, or the only one.
    Likely,
    /// In memory of something else.
    Elsewhere,
    /// Nothing says.
    Unknown,
}

/// Names under which the framebuffer's memory is claimed: by sysfb, and by the drivers.
const CLAIMS: &[&str] = &["BOOTFB", "efifb", "vesafb", "simplefb", "simpledrm", "efidrm", "vesadrm"];

/// Where it lies.
pub(super) fn of(root: &Root, gpu: PciAddress) -> Result<Place, Trouble> {
    let claims = claims(&root.text("proc/iomem")?.unwrap_or_default());
    let bars = bars(&root.text(function(gpu, "resource"))?.unwrap_or_default());
    if !claims.is_empty() {
        let within = |claim: &RangeInclusive<u64>| {
            bars.iter().any(|bar| bar.contains(claim.start()) && bar.contains(claim.end()))
        };
        return Ok(if claims.iter().any(within) { Place::OnGpu } else { Place::Elsewhere });
    }
    let (mut displays, mut firmware) = (0, None);
    for name in root.names("sys/bus/pci/devices")? {
        let file = |file| root.text(format!("sys/bus/pci/devices/{name}/{file}"));
        if file("class")?.is_some_and(|class| class.starts_with("0x03")) {
            displays += 1;
        }
        if file("boot_vga")?.is_some_and(|text| text == "1") {
            firmware = name.parse::<PciAddress>().ok();
        }
    }
    Ok(match firmware {
        Some(firmware) if firmware == gpu => Place::Likely,
        Some(_) => Place::Elsewhere,
        None if displays == 1 => Place::Likely,
        None => Place::Unknown,
    })
}

/// The ranges that `/proc/iomem` says a firmware's framebuffer has. Who is not root is told zeros.
fn claims(iomem: &str) -> Vec<RangeInclusive<u64>> {
    let line = |line: &str| {
        let (range, name) = line.trim().split_once(" : ")?;
        let (first, last) = range.split_once('-')?;
        let range = hex(first)?..=hex(last)?;
        let known =
            CLAIMS.contains(&name) || name.split_once('.').is_some_and(|(stem, _)| stem.ends_with("-framebuffer"));
        (known && *range.end() > 0).then_some(range)
    };
    iomem.lines().filter_map(line).collect()
}

/// The BARs of a function: a line each of first, last and flags (kernel: Documentation/PCI/sysfs-pci.rst), of which bit 9 is memory.
fn bars(resource: &str) -> Vec<RangeInclusive<u64>> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (first, last, flags) = (hex(words.next()?)?, hex(words.next()?)?, hex(words.next()?)?);
        (flags & 0x200 != 0).then_some(first..=last)
    };
    resource.lines().filter_map(line).collect()
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const IOMEM: &str = "80000000-8fffffff : PCI Bus 0000:00
  80000000-80ffffff : 0000:00:01.0
    80000000-802fffff : BOOTFB
  81000000-81000fff : 0000:00:02.0
";

    fn gpu(root: &Path, address: &str, bar: &str, boot_vga: Option<&str>) {
        let folder = root.join("sys/bus/pci/devices").join(address);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("class"), "0x030000\n").unwrap();
        let none = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        fs::write(folder.join("resource"), format!("{none}{bar}\n")).unwrap();
        if let Some(boot_vga) = boot_vga {
            fs::write(folder.join("boot_vga"), format!("{boot_vga}\n")).unwrap();
        }
    }

    const FIRST: &str = "0x0000000080000000 0x0000000080ffffff 0x0000000000042208";
    const SECOND: &str = "0x0000000081000000 0x0000000081000fff 0x0000000000040200";

    #[test]
    fn a_known_range_decides() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        fs::create_dir(folder.path().join("proc")).unwrap();
        fs::write(folder.path().join("proc/iomem"), IOMEM).unwrap();
        // That the other one is boot_vga is outdone.
        gpu(folder.path(), "0000:00:01.0", FIRST, Some("0"));
        gpu(folder.path(), "0000:00:02.0", SECOND, Some("1"));
        assert_eq!(of(&root, "0000:00:01.0".parse().unwrap()).unwrap(), Place::OnGpu);
        assert_eq!(of(&root, "0000:00:02.0".parse().unwrap()).unwrap(), Place::Elsewhere);
    }

    #[test]
    fn without_a_range_the_firmwares_display_or_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let (one, two): (PciAddress, PciAddress) = ("0000:00:01.0".parse().unwrap(), "0000:00:02.0".parse().unwrap());
        gpu(folder.path(), "0000:00:01.0", FIRST, None);
        assert_eq!(of(&root, one).unwrap(), Place::Likely);
        gpu(folder.path(), "0000:00:02.0", SECOND, None);
        assert_eq!(of(&root, one).unwrap(), Place::Unknown);
        gpu(folder.path(), "0000:00:02.0", SECOND, Some("1"));
        assert_eq!((of(&root, one).unwrap(), of(&root, two).unwrap()), (Place::Elsewhere, Place::Likely));
    }

    #[test]
    fn zeros_are_no_range_and_ports_no_memory() {
        assert_eq!(claims("00000000-00000000 : BOOTFB\n"), []);
        assert_eq!(claims("80000000-802fffff : simple-framebuffer.0\n").len(), 1);
        assert_eq!(bars("0x000000000000c000 0x000000000000c03f 0x0000000000040101\n"), []);
    }
}
