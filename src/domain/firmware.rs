//! Firmware: EFI over what KubeVirt wrote or from nothing, BIOS back, OVMF's 64-bit aperture (libvirt docs/formatdomain.rst, "Operating system booting").

use crate::config::{AutoSize, Firmware, FirmwareType, OnOff};
use crate::xml::{Document, Element};

use super::editor::Editor;
use super::features::feature;
use super::qemu;

/// OVMF's own name for its aperture; the native `<sysinfo type='fwcfg'>` refuses it as reserved (libvirt docs/formatdomain.rst, "Operating system booting").
const APERTURE: &str = "opt/ovmf/X-PciMmio64Mb";

/// The loader of a domain.
pub(super) fn loader(doc: &Document) -> Option<Element> {
    doc.descend(doc.root(), &["os", "loader"])
}

/// Whether the domain boots by UEFI: a pflash loader, or autoselected EFI.
pub(super) fn is_efi(doc: &Document) -> bool {
    let auto = doc.child(doc.root(), "os").and_then(|os| doc.attribute(os, "firmware")).is_some_and(|f| f == "efi");
    let pflash = loader(doc).and_then(|loader| doc.attribute(loader, "type")).is_some_and(|kind| kind == "pflash");
    auto || pflash
}

/// Sets the firmware that is asked for; `need` is what `mmio64: auto` comes to, in bytes.
pub(super) fn apply(editor: &mut Editor<'_>, firmware: &Firmware, need: Option<u64>) {
    match firmware.kind {
        Some(FirmwareType::Bios) => bios(editor),
        Some(FirmwareType::Efi) => efi(editor, firmware),
        None if is_efi(&editor.doc) && touches_loader(firmware) => efi(editor, firmware),
        None if !is_efi(&editor.doc) && needs_efi(firmware) => {
            editor.refuse("firmware: the domain boots by BIOS; set firmware.type: efi with loader and nvramTemplate");
        }
        None => {}
    }
    if let Some(wanted) = firmware.mmio64 {
        aperture(editor, wanted, need);
    }
}

/// Whether something is asked for that the loader decides.
fn touches_loader(firmware: &Firmware) -> bool {
    needs_efi(firmware) || firmware.secure_boot.is_some() || firmware.stateless.is_some()
}

/// Whether something is asked for that only EFI has; what is off is off under BIOS too.
fn needs_efi(firmware: &Firmware) -> bool {
    firmware.loader.is_some()
        || firmware.nvram_template.is_some()
        || firmware.secure_boot == Some(OnOff::On)
        || firmware.stateless == Some(OnOff::On)
}

fn bios(editor: &mut Editor<'_>) {
    let why = editor.why("firmware.type", "BIOS is asked for");
    let Some(os) = editor.doc.child(editor.root(), "os") else { return };
    for name in ["loader", "nvram", "varstore", "firmware"] {
        if let Some(element) = editor.doc.child(os, name) {
            editor.remove(element, &why);
        }
    }
    editor.unset(os, "firmware", &why);
}

fn efi(editor: &mut Editor<'_>, firmware: &Firmware) {
    let why = editor.why("firmware", "UEFI as asked for");
    let os = editor.child_or_new(editor.root(), "os", &why);
    let existing =
        loader(&editor.doc).map(|loader| editor.doc.text(loader).trim().to_owned()).filter(|path| !path.is_empty());
    let Some(path) = firmware.loader.clone().or(existing) else {
        editor.refuse(
            "firmware.loader: the domain has no UEFI loader to start from; give firmware.loader and firmware.nvramTemplate \
             (nothing is guessed, and libvirt's autoselection is never used)",
        );
        return;
    };
    // A path that is given is meant; only KubeVirt's own is replaced by its sibling.
    let path = match (firmware.secure_boot, &firmware.loader) {
        (Some(OnOff::On), None) => match secboot_sibling(&path) {
            Some(sibling) => sibling,
            None => {
                editor.refuse(format!(
                    "firmware.secureBoot: no build with secure boot is known for the loader {path}; give firmware.loader and firmware.nvramTemplate"
                ));
                return;
            }
        },
        (Some(OnOff::Off), None) => path.replace(".secboot.fd", ".fd"),
        _ => path,
    };
    let stateless = firmware.stateless.map_or_else(|| is_stateless(&editor.doc), OnOff::is_on);
    let store = editor.doc.child(os, "nvram").or_else(|| editor.doc.child(os, "varstore"));
    if store.is_none() && firmware.nvram_template.is_none() && !stateless {
        editor.refuse(
            "firmware.nvramTemplate: the domain has no variable store; give the template that belongs to the loader, or stateless: on",
        );
        return;
    }
    editor.unset(os, "firmware", &why);
    if let Some(features) = editor.doc.child(os, "firmware") {
        editor.remove(features, &why);
    }
    let element = editor.child_or_new(os, "loader", &why);
    editor.set(element, "readonly", "yes", &why);
    editor.set(element, "type", "pflash", &why);
    let path_why = match (&firmware.loader, firmware.secure_boot) {
        (None, Some(_)) => {
            editor.why("firmware.secureBoot", "the build of this loader with or without secure boot, as asked for")
        }
        _ => editor.why("firmware.loader", "this loader is asked for"),
    };
    editor.set_text(element, &path, &path_why);
    if let Some(secure) = firmware.secure_boot {
        let why = editor.why("firmware.secureBoot", "secure boot as asked for");
        editor.set(element, "secure", secure.yes_no(), &why);
        if secure.is_on() {
            smm(editor);
        }
    }
    match firmware.stateless {
        Some(OnOff::On) => {
            let why = editor.why("firmware.stateless", "no variable store is wanted");
            editor.set(element, "stateless", "yes", &why);
            for name in ["nvram", "varstore"] {
                if let Some(store) = editor.doc.child(os, name) {
                    editor.remove(store, &why);
                }
            }
        }
        Some(OnOff::Off) => {
            let why = editor.why("firmware.stateless", "a variable store is wanted");
            editor.unset(element, "stateless", &why);
        }
        None => {}
    }
    if let Some(template) = &firmware.nvram_template {
        let why = editor.why("firmware.nvramTemplate", "the variable store that belongs to the loader");
        if let Some(other) = editor.doc.child(os, "varstore") {
            editor.remove(other, &why);
        }
        let nvram = editor.child_or_new(os, "nvram", &why);
        editor.set(nvram, "template", template, &why);
    }
    if firmware.secure_boot == Some(OnOff::On) {
        note_keys(editor, os);
    }
}

fn is_stateless(doc: &Document) -> bool {
    loader(doc).and_then(|loader| doc.attribute(loader, "stateless")).is_some_and(|stateless| stateless == "yes")
}

/// Secure boot needs SMM; `<smm></smm>` counts as on, for KubeVirt drops the attribute between its passes.
fn smm(editor: &mut Editor<'_>) {
    let why = editor.why("firmware.secureBoot", "secure boot needs SMM");
    let known = feature(&editor.doc, "smm");
    let off = known.is_some_and(|smm| editor.doc.attribute(smm, "state").as_deref() == Some("off"));
    if known.is_none() || off {
        let smm = editor.feature("smm", &why);
        editor.set(smm, "state", "on", &why);
    }
}

/// Secure boot verifies nothing until keys are enrolled: those come from the template.
fn note_keys(editor: &mut Editor<'_>, os: Element) {
    let template = editor.doc.child(os, "nvram").and_then(|nvram| editor.doc.attribute(nvram, "template"));
    if let Some(template) = template.filter(|template| !template.contains(".secboot.") && !template.contains(".ms.")) {
        let note = format!(
            "firmware.secureBoot: the variable store is made from {template}, which by its name holds no keys; nothing is verified until keys are enrolled"
        );
        editor.note(note);
    }
}

/// `OVMF_CODE.fd` → `OVMF_CODE.secboot.fd`, as the distributions name them; `None` for builds that have no such sibling (`.cc.fd`, …).
fn secboot_sibling(path: &str) -> Option<String> {
    let stem = path.strip_suffix(".fd")?;
    if stem.ends_with(".secboot") {
        return Some(path.to_owned());
    }
    let plain = ["OVMF_CODE", "OVMF_CODE_4M"].iter().any(|name| stem.ends_with(name));
    plain.then(|| format!("{stem}.secboot.fd"))
}

/// Refuses raw arguments that set the window as well, to another size: one of the two would be lost.
pub(super) fn contradiction(editor: &mut Editor<'_>, firmware: &Firmware, args: &[String]) {
    let Some(AutoSize::Size(size)) = firmware.mmio64 else { return };
    let mib = size.as_bytes().div_ceil(1 << 20).to_string();
    for group in qemu::cut(args) {
        if qemu::fw_cfg_name(&group) == Some(APERTURE)
            && !group[1].split(',').any(|part| part == format!("string={mib}"))
        {
            editor.refuse(format!(
                "firmware.mmio64: qemu.args sets {APERTURE} to another size ({}); leave out one of the two",
                group[1]
            ));
        }
    }
}

/// OVMF's window for 64-bit BARs. Not below what is there already.
fn aperture(editor: &mut Editor<'_>, wanted: AutoSize, need: Option<u64>) {
    let explicit = matches!(wanted, AutoSize::Size(_));
    if !is_efi(&editor.doc) {
        if explicit {
            editor.refuse("firmware.mmio64: only OVMF has this window, and the domain boots by BIOS; use pci.hole64, or firmware.type: efi");
        } else {
            editor.note("firmware.mmio64: the domain boots by BIOS, which has no such window; auto does nothing");
        }
        return;
    }
    let (size, reason) = match (wanted, need) {
        (AutoSize::Size(size), _) => (size.as_bytes(), "this size is asked for"),
        (AutoSize::Auto, Some(need)) => (need, "auto: the BARs of the assigned devices need so much"),
        (AutoSize::Auto, None) => return,
    };
    let mib = size.div_ceil(1 << 20);
    let existing: Option<u64> = qemu::fw_cfg(&editor.doc, APERTURE).and_then(|text| text.parse().ok());
    if !explicit && existing.is_some_and(|existing| existing >= mib) {
        return;
    }
    let why = editor.why("firmware.mmio64", reason);
    qemu::add_group(editor, &["-fw_cfg".to_owned(), format!("name={APERTURE},string={mib}")], &why);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sibling_is_named_as_distributions_do() {
        for (plain, secure) in [
            ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_CODE.secboot.fd"),
            ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"),
            ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_CODE.secboot.fd"),
        ] {
            assert_eq!(super::secboot_sibling(plain).as_deref(), Some(secure));
        }
        assert_eq!(super::secboot_sibling("/usr/share/OVMF/OVMF_CODE.cc.fd"), None);
    }
}
