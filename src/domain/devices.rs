//! Emulated devices: video, balloon, shared memory.

use crate::config::Devices;
use crate::xml::Element;

use super::editor::Editor;
use super::pci;

/// Sets the emulated devices that are asked for.
pub(super) fn apply(editor: &mut Editor<'_>, devices: &Devices) {
    if devices.video.is_some() {
        no_video(editor);
    }
    if devices.balloon.is_some() {
        no_balloon(editor);
    }
    for (name, size) in &devices.shared_memory {
        let why = editor.why(&format!("devices.sharedMemory.{name}"), "a memory region shared with the host");
        let parent = editor.devices(&why);
        let doc = &editor.doc;
        let is_it = |device: &Element| {
            doc.is(*device, "", "shmem") && doc.attribute(*device, "name").as_deref() == Some(name.as_str())
        };
        let known = pci::devices(doc).find(is_it);
        let element = known.unwrap_or_else(|| {
            let element = editor.add(parent, "shmem", &why);
            editor.set(element, "name", name, &why);
            element
        });
        let model = editor.child_or_new(element, "model", &why);
        editor.set(model, "type", "ivshmem-plain", &why);
        // A plain region has no server and interrupts nobody.
        for name in ["server", "msi"] {
            if let Some(child) = editor.doc.child(element, name) {
                editor.remove(child, &why);
            }
        }
        let known = editor.doc.child(element, "size");
        if known.and_then(|known| super::units::bytes(&editor.doc, known)) != Some(size.as_bytes()) {
            let element = editor.child_or_new(element, "size", &why);
            editor.set(element, "unit", "M", &why);
            editor.set_text(element, &(size.as_bytes() >> 20).to_string(), &why);
        }
    }
}

/// No emulated video. With `<graphics>` libvirt would add a default one, unless there is one of model none.
fn no_video(editor: &mut Editor<'_>) {
    let why = editor.why("devices.video", "no emulated display is wanted");
    let doc = &editor.doc;
    let is_none = |video: Element| {
        doc.child(video, "model").is_some_and(|model| doc.attribute(model, "type").as_deref() == Some("none"))
    };
    let videos: Vec<Element> = pci::devices(doc).filter(|device| doc.is(*device, "", "video")).collect();
    let graphics = pci::devices(doc).any(|device| doc.is(device, "", "graphics"));
    let none = videos.iter().copied().find(|video| is_none(*video));
    let mut gone: Vec<Element> = videos.iter().copied().filter(|video| Some(*video) != none).collect();
    if none.is_none() && graphics {
        let video = match gone.first() {
            Some(anchor) => editor.add_after(*anchor, "video", &why),
            None => {
                let parent = editor.devices(&why);
                editor.add(parent, "video", &why)
            }
        };
        let model = editor.add(video, "model", &why);
        editor.set(model, "type", "none", &why);
    }
    for video in gone.drain(..) {
        editor.remove(video, &why);
    }
}

/// No memory balloon: `<memballoon model='none'/>`, for without an element libvirt adds one.
fn no_balloon(editor: &mut Editor<'_>) {
    let why =
        editor.why("devices.balloon", "no memory balloon is wanted: assigned devices pin all guest memory anyway");
    let parent = editor.devices(&why);
    let known = pci::devices(&editor.doc).find(|device| editor.doc.is(*device, "", "memballoon"));
    let balloon = known.unwrap_or_else(|| editor.add(parent, "memballoon", &why));
    editor.set(balloon, "model", "none", &why);
    for name in ["autodeflate", "freePageReporting"] {
        editor.unset(balloon, name, &why);
    }
    let children: Vec<Element> = editor.doc.children(balloon).collect();
    for child in children {
        editor.remove(child, &why);
    }
}
