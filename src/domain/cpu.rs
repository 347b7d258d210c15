//! CPU details: address width, cache, single features.

use crate::config::{Cpu, MaxPhysAddr};

use crate::xml::Document;

use super::editor::Editor;

/// Whether the CPU is libvirt's default: `<cpu>` without a mode other than custom, and without `<model>`.
fn names_no_model(doc: &Document) -> bool {
    let Some(cpu) = doc.child(doc.root(), "cpu") else { return true };
    let custom = doc.attribute(cpu, "mode").is_none_or(|mode| mode == "custom");
    custom && doc.child(cpu, "model").is_none()
}

/// Sets the CPU details that are asked for.
pub(super) fn apply(editor: &mut Editor<'_>, cpu: &Cpu) {
    if let Some(width) = cpu.max_phys_addr {
        let why =
            editor.why("cpu.maxPhysAddr", "decides how much address space the guest has for memory and large BARs");
        let parent = editor.child_or_new(editor.root(), "cpu", &why);
        let element = editor.child_or_new(parent, "maxphysaddr", &why);
        let (mode, bits) = match width {
            MaxPhysAddr::Passthrough => ("passthrough", None),
            MaxPhysAddr::Emulate => ("emulate", None),
            MaxPhysAddr::Bits(bits) => ("emulate", Some(bits)),
        };
        editor.set(element, "mode", mode, &why);
        match bits {
            Some(bits) => editor.set(element, "bits", &bits.to_string(), &why),
            None => editor.unset(element, "bits", &why),
        }
        match cpu.max_phys_addr_limit {
            Some(limit) => {
                let why = editor.why("cpu.maxPhysAddrLimit", "the address width may not be larger on any host");
                editor.set(element, "limit", &limit.to_string(), &why);
            }
            None if mode == "emulate" => editor.unset(element, "limit", &why),
            None => {}
        }
    }
    if let Some(cache) = cpu.cache {
        let why = editor.why("cpu.cache", "this cache is asked for");
        let parent = editor.child_or_new(editor.root(), "cpu", &why);
        let element = editor.child_or_new(parent, "cache", &why);
        editor.set(element, "mode", cache.as_str(), &why);
        // Only an emulated cache has a level, and only this one (libvirt 11.3, qemu_validate.c).
        if cache.as_str() == "emulate" {
            editor.set(element, "level", "3", &why);
        } else {
            editor.unset(element, "level", &why);
        }
    }
    if !cpu.features.is_empty() && names_no_model(&editor.doc) {
        editor.refuse(
            "cpu.features: the domain names no CPU model, and libvirt takes features only with one; set cpu.model in the VM, \
             e.g. host-passthrough",
        );
        return;
    }
    for (name, policy) in &cpu.features {
        let why = editor.why(&format!("cpu.features.{name}"), "this policy is asked for");
        let parent = editor.child_or_new(editor.root(), "cpu", &why);
        let doc = &editor.doc;
        let known = doc.children_named(parent, "feature").find(|f| doc.attribute(*f, "name").as_deref() == Some(name));
        let element = known.unwrap_or_else(|| editor.add(parent, "feature", &why));
        editor.set(element, "name", name, &why);
        editor.set(element, "policy", policy.as_str(), &why);
    }
}
