//! Framebuffers that the firmware set up and the kernel draws on until a real driver comes. They lie in the memory of some graphics card,
//! which nobody can have as long as they are in use.
//!
//! Their names change with the kernel (efi-framebuffer, simple-framebuffer since 5.15, efidrm and vesadrm since 6.16): so they are found by
//! kind, and their place by their parent, or by what has claimed memory in `/proc/iomem`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::attribute;
use super::display::Parent;
use super::error::HostError;
use super::hex;
use super::pci::Pci;
use super::root::Root;
use crate::base::PciAddress;

const FOLDER: &str = "sys/bus/platform/devices";

/// What claims the memory of such a framebuffer is called: the device's own resource (kernel: drivers/firmware/sysfb_simplefb.c), and the
/// drivers that draw there.
const CLAIMANTS: [&str; 7] = ["BOOTFB", "efifb", "vesafb", "simplefb", "simpledrm", "efidrm", "vesadrm"];

/// A framebuffer of the firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FirmwareFramebuffer {
    /// The platform device, `simple-framebuffer.0`.
    pub device: String,
    /// Its driver; `None` if nobody draws.
    pub driver: Option<String>,
    /// The PCI function the kernel put it below (kernel: drivers/firmware/sysfb.c, sysfb_parent_dev); `None` on older kernels, and where
    /// it lies in no BAR.
    pub parent: Option<PciAddress>,
    /// Where it lies; `None` if the kernel does not say, or says it to root alone.
    pub memory: Option<MemoryRange>,
    /// Its DRM card, `card0`, if a DRM driver draws.
    pub card: Option<String>,
}

/// A range of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryRange {
    /// First address.
    #[serde(serialize_with = "hex::prefixed")]
    pub start: u64,
    /// Last address.
    #[serde(serialize_with = "hex::prefixed")]
    pub end: u64,
}

impl FirmwareFramebuffer {
    /// The PCI function in one of whose BARs it lies; `None` if it lies in none, or its place is not known.
    pub fn owner(&self, pci: &Pci) -> Option<PciAddress> {
        let by_memory = |memory: MemoryRange| pci.owner_of(memory.start, memory.end);
        self.parent.or_else(|| self.memory.and_then(by_memory))
    }

    /// Reads all of them; `claimed` is what [`claimed_memory`] found.
    pub(super) fn read_all(
        root: &Root,
        cards: &BTreeMap<String, Parent>,
        claimed: &[Claim],
    ) -> Result<Vec<Self>, HostError> {
        let card_of = |device: &str| {
            let on = |(_, parent): &(&String, &Parent)| matches!(parent, Parent::Other(name) if name == device);
            cards.iter().find(on).map(|(card, _)| card.clone())
        };
        let mut found = Vec::new();
        for device in root.names(FOLDER)? {
            // A DRM card of a platform device may be a display controller of its own, on Arm: only these are the firmware's.
            let known = ["framebuffer", "efidrm", "vesadrm"].iter().any(|part| device.contains(part));
            if !known {
                continue;
            }
            let driver = attribute::link_name(root, &format!("{FOLDER}/{device}/driver"));
            // A claim by the device or its driver; else the only one there is.
            let named = |claim: &&Claim| claim.name == device || Some(&claim.name) == driver.as_ref();
            let only = || claimed.iter().min_by_key(|claim| claim.range).filter(|_| distinct(claimed) == 1);
            let memory = claimed.iter().find(named).or_else(only).map(|claim| claim.range);
            // The link leads to ../../../devices/pci0000:00/0000:00:01.0/efi-framebuffer.0, or to …/devices/platform/….
            let path = root.link(format!("{FOLDER}/{device}")).ok().flatten();
            let above = path.as_deref().and_then(Path::parent).and_then(Path::file_name);
            let parent = above.and_then(|name| name.to_str()?.parse().ok());
            found.push(Self { card: card_of(&device), driver, parent, memory, device });
        }
        Ok(found)
    }
}

/// A line of `/proc/iomem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    name: String,
    range: MemoryRange,
}

/// How many places the claims are for: one place is often claimed twice, by the device and within by its driver.
fn distinct(claims: &[Claim]) -> usize {
    let outer = |claim: &&Claim| {
        let around = |other: &Claim| {
            (other.range.start <= claim.range.start && claim.range.end <= other.range.end) && other.range != claim.range
        };
        !claims.iter().any(around)
    };
    claims.iter().filter(outer).map(|claim| claim.range).collect::<BTreeSet<_>>().len()
}

/// The memory that firmware framebuffers have claimed: from `/proc/iomem`, which shows addresses to root alone and zeros to others.
pub(super) fn claimed_memory(root: &Root) -> Vec<Claim> {
    let claim = |line: &str| {
        let (range, name) = line.trim().split_once(" : ")?;
        let (start, end) = range.split_once('-')?;
        let range =
            MemoryRange { start: u64::from_str_radix(start, 16).ok()?, end: u64::from_str_radix(end, 16).ok()? };
        let framebuffer = CLAIMANTS.contains(&name) || name.contains("framebuffer");
        (framebuffer && range.end > 0).then(|| Claim { name: name.to_owned(), range })
    };
    attribute::text(root, "proc/iomem").unwrap_or_default().lines().filter_map(claim).collect()
}
