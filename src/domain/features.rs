//! Hypervisor features: the KVM leaf, Hyper-V's vendor id, the I/O APIC.

use crate::config::{Features, Ioapic};

use crate::xml::{Document, Element};

use super::editor::{Editor, Why};

/// The feature of this name. Several `<features>` are one to libvirt, and the last of a name counts.
pub(super) fn feature(doc: &Document, name: &str) -> Option<Element> {
    doc.children_named(doc.root(), "features").flat_map(|features| doc.children_named(features, name)).last()
}

/// Sets the features that are asked for.
pub(super) fn apply(editor: &mut Editor<'_>, features: &Features) {
    if let Some(hide) = features.hide_kvm {
        let why = editor.why("features.hideKvm", "the guest shall not see that it runs on KVM");
        let kvm = editor.feature("kvm", &why);
        let hidden = editor.child_or_new(kvm, "hidden", &why);
        editor.set(hidden, "state", hide.as_str(), &why);
    }
    if let Some(vendor) = &features.hyperv_vendor_id {
        vendor_id(editor, vendor);
    }
    if let Some(driver) = features.ioapic {
        let why = editor.why("features.ioapic", "this I/O APIC is asked for");
        set_ioapic(editor, driver, &why);
    }
}

fn vendor_id(editor: &mut Editor<'_>, vendor: &str) {
    let hyperv = feature(&editor.doc, "hyperv");
    let mode = hyperv.and_then(|hyperv| editor.doc.attribute(hyperv, "mode"));
    if mode.as_deref() == Some("passthrough") {
        editor.refuse(
            "features.hypervVendorId: the domain's <hyperv mode='passthrough'> drops every single feature; \
             leave it out, or list the enlightenments in the VM instead of passing them through",
        );
        return;
    }
    let why = editor.why("features.hypervVendorId", "the Hyper-V vendor id that the guest sees");
    let hyperv = editor.feature("hyperv", &why);
    let element = editor.child_or_new(hyperv, "vendor_id", &why);
    editor.set(element, "state", "on", &why);
    editor.set(element, "value", vendor, &why);
}

/// Sets who emulates the I/O APIC.
pub(super) fn set_ioapic(editor: &mut Editor<'_>, driver: Ioapic, why: &Why) {
    let ioapic = editor.feature("ioapic", why);
    editor.set(ioapic, "driver", driver.as_str(), why);
}
