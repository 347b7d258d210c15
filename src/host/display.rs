//! Who draws on what: virtual terminals, framebuffers, DRM cards, and the consoles of the kernel.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::attribute;
use super::error::HostError;
use super::framebuffer::{FirmwareFramebuffer, claimed_memory};
use super::pci::Pci;
use super::place::{functions_on, resolve};
use super::root::Root;
use super::values;
use crate::base::PciAddress;

/// The displays and consoles of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Display {
    /// Drivers of virtual terminals, by number.
    pub vtconsoles: BTreeMap<u32, VtConsole>,
    /// Framebuffers the firmware left behind.
    pub firmware_framebuffers: Vec<FirmwareFramebuffer>,
    /// `/proc/fb`: framebuffers by number, with what their drivers call themselves.
    pub framebuffers: BTreeMap<u32, String>,
    /// DRM cards, by name (`card0`), with the device each is on.
    pub cards: BTreeMap<String, Parent>,
    /// `/proc/consoles`: where the kernel's messages go, in its order.
    pub consoles: Vec<Console>,
    /// What `/dev/console` is, the last one: `tty0 ttyS0`.
    pub active: Vec<String>,
}

/// A driver of virtual terminals (kernel: Documentation/driver-api/console.rst).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VtConsole {
    /// Its number: `vtcon1`. Which one draws on a framebuffer is not fixed.
    pub id: u32,
    /// What it calls itself: `(M) frame buffer device`.
    pub name: String,
    /// Whether it has any terminals.
    pub bound: bool,
    /// Whether it can be unbound: `(M)`, as opposed to the one the kernel started with, `(S)`.
    pub modular: bool,
    /// What it draws on.
    pub kind: VtKind,
}

/// What a driver of virtual terminals draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum VtKind {
    /// A framebuffer: what keeps a graphics card busy.
    FrameBuffer,
    /// Nothing.
    Dummy,
    /// VGA text mode, or something else.
    Other,
}

/// The device that something of a class is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Parent {
    /// A PCI function.
    Pci(PciAddress),
    /// A device of another bus: of a platform device, a firmware framebuffer's name.
    Other(String),
    /// None: it is purely virtual (vkms).
    None,
}

/// A line of `/proc/consoles` (kernel: Documentation/filesystems/proc.rst).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Console {
    /// `tty0`, `ttyS0`, `hvc0` …
    pub name: String,
    /// Whether messages go there (flag `E`).
    pub enabled: bool,
    /// Whether it is what `/dev/console` is (flag `C`).
    pub preferred: bool,
    /// Whether one can log in there: it has a terminal, other than what only keeps messages (pstore, netconsole) or drops them (ttynull).
    pub terminal: bool,
    /// The PCI functions on the way to it; empty where it says nothing of that (displays, a hypervisor's console).
    pub functions: Vec<PciAddress>,
}

impl Console {
    /// Whether it is a virtual terminal, on a display, rather than a serial line or the like.
    pub fn is_display(&self) -> bool {
        self.name.strip_prefix("tty").is_some_and(|number| values::number(number).is_some() && !number.is_empty())
    }
}

impl Display {
    /// Reads displays and consoles.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let cards = cards(root)?;
        Ok(Self {
            vtconsoles: vtconsoles(root)?,
            firmware_framebuffers: FirmwareFramebuffer::read_all(root, &cards, &claimed_memory(root))?,
            framebuffers: attribute::value(root, "proc/fb", framebuffers).unwrap_or_default(),
            cards,
            consoles: console_lines(root)?,
            active: attribute::text(root, "sys/class/tty/console/active")
                .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
        })
    }

    /// The DRM cards on a PCI function.
    pub fn cards_of(&self, address: PciAddress) -> impl Iterator<Item = &str> {
        self.cards.iter().filter(move |(_, parent)| **parent == Parent::Pci(address)).map(|(card, _)| card.as_str())
    }

    /// The firmware framebuffers that lie in a PCI function's BARs.
    pub fn firmware_framebuffers_of<'a>(
        &'a self,
        pci: &'a Pci,
        address: PciAddress,
    ) -> impl Iterator<Item = &'a FirmwareFramebuffer> {
        self.firmware_framebuffers.iter().filter(move |framebuffer| framebuffer.owner(pci) == Some(address))
    }
}

fn vtconsoles(root: &Root) -> Result<BTreeMap<u32, VtConsole>, HostError> {
    let folder = "sys/class/vtconsole";
    let mut found = BTreeMap::new();
    for entry in root.names(folder)? {
        let Some(id) = entry.strip_prefix("vtcon").and_then(values::number) else { continue };
        let Some(name) = attribute::text(root, &format!("{folder}/{entry}/name")) else { continue };
        let kind = if name.contains("frame buffer") {
            VtKind::FrameBuffer
        } else if name.contains("dummy") {
            VtKind::Dummy
        } else {
            VtKind::Other
        };
        // (kernel: drivers/tty/vt/vt.c, show_name)
        let modular = name.starts_with("(M)");
        let bound = attribute::value(root, &format!("{folder}/{entry}/bind"), values::switch).unwrap_or_default();
        found.insert(id, VtConsole { id, name, bound, modular, kind });
    }
    Ok(found)
}

/// The DRM cards. Their connectors (`card0-HDMI-A-1`) stand beside them.
fn cards(root: &Root) -> Result<BTreeMap<String, Parent>, HostError> {
    let mut cards = BTreeMap::new();
    for name in root.names("sys/class/drm")? {
        if name.strip_prefix("card").is_none_or(|number| number.is_empty() || values::number(number).is_none()) {
            continue;
        }
        let parent = match attribute::link_name(root, &format!("sys/class/drm/{name}/device")) {
            Some(device) => device.parse().map_or(Parent::Other(device), Parent::Pci),
            None => Parent::None,
        };
        cards.insert(name, parent);
    }
    Ok(cards)
}

/// The lines `0 EFI VGA`.
fn framebuffers(text: &str) -> Option<BTreeMap<u32, String>> {
    let line = |line: &str| {
        let (number, name) = line.trim().split_once(' ')?;
        Some((values::number(number)?, name.to_owned()))
    };
    text.lines().map(line).collect()
}

/// The consoles, with where they are.
fn console_lines(root: &Root) -> Result<Vec<Console>, HostError> {
    let mut found = attribute::value(root, "proc/consoles", consoles).unwrap_or_default();
    for console in &mut found {
        if let Some(folder) = resolve(root, &Path::new("sys/class/tty").join(&console.name))? {
            console.functions = functions_on(&folder);
        }
    }
    Ok(found)
}

/// The lines `ttyS0  -W- (EC  p a)    4:64`; what has no terminal has no number.
fn consoles(text: &str) -> Option<Vec<Console>> {
    let line = |line: &str| {
        let name = line.split_ascii_whitespace().next()?.to_owned();
        let (flags, number) = line.split_once('(')?.1.split_once(')')?;
        let terminal = !number.trim().is_empty() && !name.starts_with("ttynull");
        let (enabled, preferred) = (flags.contains('E'), flags.contains('C'));
        Some(Console { name, enabled, preferred, terminal, functions: Vec::new() })
    };
    text.lines().map(line).collect()
}
