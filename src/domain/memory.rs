//! Memory limits and backing.

use crate::config::{AutoOffSize, Memory};
use crate::xml::{Document, Element};

use super::editor::Editor;
use super::hostdev::vfio_count;
use super::iommu::iommus;
use super::pci::devices;
use super::request::Request;
use super::units::bytes;

/// What QEMU itself may lock besides guest memory, in libvirt's formula (libvirt 11.3, qemuDomainGetMemLockLimitBytes).
const OVERHEAD: u64 = 1 << 30;

/// Sets the memory settings that are asked for.
pub(super) fn apply(editor: &mut Editor<'_>, memory: &Memory, request: &Request<'_>) {
    for (name, field, value, on, off) in [
        (
            "locked",
            "memory.locked",
            memory.locked,
            "all guest memory stays in RAM",
            "guest memory need not stay in RAM",
        ),
        (
            "nosharepages",
            "memory.nosharepages",
            memory.nosharepages,
            "the host may not merge this guest's pages",
            "the host may merge this guest's pages",
        ),
    ] {
        let Some(value) = value else { continue };
        let why = editor.why(field, if value.is_on() { on } else { off });
        let backing = editor.doc.child(editor.root(), "memoryBacking");
        let there = backing.and_then(|backing| editor.doc.child(backing, name));
        if value.is_on() {
            let backing = editor.child_or_new(editor.root(), "memoryBacking", &why);
            editor.child_or_new(backing, name, &why);
        } else if let Some(there) = there {
            editor.remove(there, &why);
        }
    }
    if let Some(limit) = memory.hard_limit {
        hard_limit(editor, limit, request);
    }
}

fn hard_limit(editor: &mut Editor<'_>, wanted: AutoOffSize, request: &Request<'_>) {
    let element = editor.doc.descend(editor.root(), &["memtune", "hard_limit"]);
    let existing = element.and_then(|element| bytes(&editor.doc, element));
    let (size, reason) = match wanted {
        AutoOffSize::Off => {
            let why = editor.why("memory.hardLimit", "no limit is wanted");
            if let (Some(element), Some(memtune)) = (element, editor.doc.child(editor.root(), "memtune")) {
                editor.remove(element, &why);
                if editor.doc.children(memtune).next().is_none() {
                    editor.remove(memtune, &why);
                }
            }
            return;
        }
        AutoOffSize::Size(size) => (size.as_bytes(), "this limit is asked for".to_owned()),
        AutoOffSize::Auto => {
            if vfio_count(&editor.doc) == 0 {
                editor.note("memory.hardLimit: the domain has no VFIO device, so auto sets no limit");
                return;
            }
            let Some((need, reason)) = needed(&editor.doc) else {
                editor.refuse("memory.hardLimit: auto cannot read how much memory the domain has; correct <memory>, or give a size");
                return;
            };
            (existing.unwrap_or(0).max(need), reason)
        }
    };
    let kib = size.div_ceil(1024);
    if request.session() {
        // kubevirt#17857: in session mode memtune is accepted at define and fails at start.
        editor.note(format!(
            "memory.hardLimit: {kib} KiB ({reason}); libvirt runs in session mode, where <memtune> cannot start, so the agent \
             delivers this as the limit of locked memory"
        ));
        return;
    }
    if existing.is_some_and(|existing| existing.div_ceil(1024) == kib) {
        return;
    }
    let why = editor.why("memory.hardLimit", reason);
    let memtune = editor.child_or_new(editor.root(), "memtune", &why);
    let element = editor.child_or_new(memtune, "hard_limit", &why);
    editor.set(element, "unit", "KiB", &why);
    editor.set_text(element, &kib.to_string(), &why);
}

/// How much memory must be allowed to be locked for a domain that is fitted, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockNeed {
    /// What the profile asks for and KubeVirt does not grant in all its versions; `Some(None)` is without limit.
    pub asked: Option<Option<u64>>,
    /// What its VFIO devices need, by libvirt's formula.
    pub of_devices: Option<u64>,
}

/// What must be allowed to be locked, in session mode, where nobody but the agent can deliver it.
///
/// Every KubeVirt grants a VM with VFIO devices its memory once and more than 1 GiB beyond (1.8.3: once for each device that the VMI
/// requests; later: without limit). So `auto` needs more only for several devices behind a vIOMMU.
pub fn lock_need(doc: &Document, memory: &Memory) -> LockNeed {
    let need = needed(doc).filter(|_| vfio_count(doc) > 0);
    let several = iommus(doc).next().is_some() && vfio_count(doc) > 1;
    let limit = match memory.hard_limit {
        Some(AutoOffSize::Size(size)) => Some(size.as_bytes()),
        Some(AutoOffSize::Auto) if several => need.as_ref().map(|(need, _)| *need),
        _ => None,
    };
    // libvirt 11.3, qemuDomainGetMemLockLimitBytes: locked memory is without limit unless there is a hard limit, and <memtune> is what
    // cannot be written here.
    let is_locked = memory.locked.is_some_and(|locked| locked.is_on());
    let asked = if is_locked { Some(None) } else { limit.map(Some) };
    LockNeed { asked, of_devices: need.map(|(need, _)| need) }
}

/// libvirt's own formula for locked memory (libvirt 11.3, qemuDomainGetMemLockLimitBytes), with the memory the guest may grow to: bytes and how they came about.
fn needed(doc: &Document) -> Option<(u64, String)> {
    let devices = vfio_count(doc);
    let (memory, what) = most_memory(doc)?;
    let iommu = iommus(doc).next().is_some();
    let factor = if iommu { devices } else { 1 };
    let behind = match (iommu, devices) {
        (true, 1) => "1 VFIO device behind a vIOMMU".to_owned(),
        (true, _) => format!("{devices} VFIO devices behind a vIOMMU"),
        (false, _) => "VFIO without a vIOMMU".to_owned(),
    };
    let need = memory.checked_mul(factor)?.checked_add(OVERHEAD)?;
    Some((need, format!("auto: {factor} x {what} of {} MiB + 1 GiB, for {behind}", memory >> 20)))
}

/// The memory a guest may grow to: `<maxMemory>`, else `<memory>` and its DIMMs.
fn most_memory(doc: &Document) -> Option<(u64, &'static str)> {
    if let Some(most) = doc.child(doc.root(), "maxMemory") {
        return Some((bytes(doc, most)?, "maxMemory"));
    }
    let base = doc.child(doc.root(), "memory").and_then(|element| bytes(doc, element))?;
    let size =
        |device: Element| doc.descend(device, &["target", "size"]).and_then(|size| bytes(doc, size)).unwrap_or(0);
    let modules: u64 = devices(doc).filter(|device| doc.is(*device, "", "memory")).map(size).sum();
    Some((base.checked_add(modules)?, "memory"))
}
