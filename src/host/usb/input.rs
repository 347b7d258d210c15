//! Keyboards and mice, wherever they hang.

use std::path::Path;

use super::super::error::HostError;
use super::super::place::{functions_on, resolve};
use super::super::root::Root;
use super::super::values;
use crate::base::PciAddress;

/// An input device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The kernel's name: `input3`.
    pub name: String,
    /// What it calls itself; foreign text.
    pub label: Option<String>,
    /// Whether one can type on it: it has the letters.
    pub keyboard: bool,
    /// Whether it moves a pointer.
    pub mouse: bool,
    /// The PCI functions on the way to it; empty for PS/2 and for what programs made up.
    pub functions: Vec<PciAddress>,
    /// Whether it hangs on a PS/2 port.
    pub ps2: bool,
    /// Whether it is no hardware: made up by a program (uinput).
    pub made_up: bool,
}

/// All keyboards and mice, by name. Other inputs (power buttons, lids, speakers) are left out.
pub(super) fn read(root: &Root) -> Result<Vec<Input>, HostError> {
    let class = Path::new("sys/class/input");
    let mut found = Vec::new();
    for name in root.names(class)? {
        if name.strip_prefix("input").and_then(values::number).is_none() {
            continue;
        }
        let Some(folder) = resolve(root, &class.join(&name))? else { continue };
        let bits = |kind: &str| {
            Ok::<_, HostError>(Bits::parse(&root.text(folder.join("capabilities").join(kind))?.unwrap_or_default()))
        };
        let (keyboard, mouse) = (is_keyboard(&bits("key")?), is_mouse(&bits("key")?, &bits("rel")?, &bits("abs")?));
        if keyboard || mouse {
            let on = |what: &str| folder.components().any(|part| part.as_os_str().to_string_lossy().starts_with(what));
            found.push(Input {
                label: root.text(folder.join("name"))?,
                keyboard,
                mouse,
                functions: functions_on(&folder),
                ps2: on("serio"),
                made_up: folder.starts_with("sys/devices/virtual"),
                name,
            });
        }
    }
    Ok(found)
}

/// Keys 1 to 31, Escape to S: what systemd takes for a keyboard (systemd: src/udev/udev-builtin-input_id.c). Remote controls, buttons and mice
/// with many buttons have not all of them.
fn is_keyboard(keys: &Bits) -> bool {
    (1..32).all(|key| keys.has(key))
}

/// A left button (BTN_LEFT) and two axes, relative or, in virtual machines and BMCs, absolute (kernel: include/uapi/linux/input-event-codes.h).
fn is_mouse(keys: &Bits, relative: &Bits, absolute: &Bits) -> bool {
    const BTN_LEFT: usize = 0x110;
    keys.has(BTN_LEFT) && [relative, absolute].iter().any(|axes| axes.has(0) && axes.has(1))
}

/// A set of numbers as the input subsystem writes it: words in hexadecimal, the highest first (kernel: drivers/input/input.c,
/// input_print_bitmap).
struct Bits(Vec<u64>);

impl Bits {
    fn parse(text: &str) -> Self {
        Self(
            text.split_ascii_whitespace().rev().map(|word| u64::from_str_radix(word, 16).unwrap_or_default()).collect(),
        )
    }

    fn has(&self, number: usize) -> bool {
        // The words are longs of the kernel; it is one of 64 bits everywhere we run.
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyboards_and_mice_by_what_they_can() {
        // An AT keyboard, a PS/2 mouse, a power button, a tablet of QEMU, a mouse with a macro key.
        let keyboard = Bits::parse("402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe");
        let mouse = Bits::parse("70000 0 0 0 0");
        let button = Bits::parse("10000000000000 0");
        let none = Bits::parse("0");
        assert!(is_keyboard(&keyboard));
        assert!(!is_mouse(&keyboard, &none, &none));
        assert!(is_mouse(&mouse, &Bits::parse("103"), &none));
        assert!(is_mouse(&mouse, &none, &Bits::parse("3")));
        assert!(!is_mouse(&mouse, &none, &none));
        for keys in [&mouse, &button, &none] {
            assert!(!is_keyboard(keys));
        }
    }
}
