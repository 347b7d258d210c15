//! Single values: what is taken, and what is said if it is not.

use std::ops::RangeInclusive;

use crate::base::{ByteSize, PciAddress, did_you_mean};
use crate::config::scalars::{DeviceSelector, OnOff, OnOffAuto};
use crate::config::spec::{AutoOffSize, AutoSize, MaxPhysAddr, Memlock, PropertyValue};
use crate::config::tree::{Node, Scalar, ScalarKind, Value, quote};

/// What a reader of one value gives: the value, or what is wrong with it.
pub(crate) type Read<T> = Result<T, String>;

pub(crate) fn scalar<'a>(node: &'a Node, expected: &str) -> Read<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) => Ok(scalar),
        other => Err(format!("{} stands where {expected} is expected", other.describe())),
    }
}

/// One of the words; for a word of which `true` or `false` is another spelling, these are taken too (some tools write `on` and
/// `off` back as booleans).
pub(crate) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Node) -> Read<T> {
    move |node| {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let scalar = scalar(node, &one_of(&names))?;
        let text = match scalar.kind {
            ScalarKind::Bool(true) => "on",
            ScalarKind::Bool(false) => "off",
            _ => match scalar.text.as_str() {
                "true" => "on",
                "false" => "off",
                text => text,
            },
        };
        let found = words.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let meant = match text {
                // Near in meaning, not in letters.
                "yes" | "enabled" | "enable" if names.contains(&"on") => "on",
                "no" | "disabled" if names.contains(&"off") => "off",
                text => text,
            };
            let hint = if meant == text {
                did_you_mean(text, names.iter().copied())
            } else {
                format!(", did you mean {meant:?}?")
            };
            format!("{} is not {}{hint}", quote(&scalar.text), one_of(&names))
        })
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// `on` or `off`.
pub(crate) fn on_off(node: &Node) -> Read<OnOff> {
    word(&[("on", OnOff::On), ("off", OnOff::Off)])(node)
}

/// `on`, `off` or `auto`.
pub(crate) fn on_off_auto(node: &Node) -> Read<OnOffAuto> {
    word(&[("on", OnOffAuto::On), ("off", OnOffAuto::Off), ("auto", OnOffAuto::Auto)])(node)
}

/// Any text in one line; a number or boolean is taken as it was written.
pub(crate) fn text(node: &Node) -> Read<String> {
    let text = &scalar(node, "a text")?.text;
    // U+FFFE and U+FFFF are no characters to XML, and a domain is where most texts end.
    match text.chars().find(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) {
        Some(c) => Err(format!(
            "{} has the character {c:?}, which cannot be written to a domain: write one line of text",
            quote(text)
        )),
        None => Ok(text.clone()),
    }
}

/// A text that is not empty.
pub(crate) fn some_text(node: &Node) -> Read<String> {
    let text = text(node)?;
    if text.is_empty() {
        return Err("the text is empty".to_owned());
    }
    Ok(text)
}

/// A text that YAML takes for one: in a list of arguments a bare 4 or true is more often a slip than meant.
pub(crate) fn quoted_text(node: &Node) -> Read<String> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.kind != ScalarKind::Text
    {
        return Err(format!("{0} is not a text: quote it, \"{0}\"", scalar.text));
    }
    some_text(node)
}

/// An absolute path without `..`.
pub(crate) fn absolute_path(node: &Node) -> Read<String> {
    let path = text(node)?;
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("{} is not the absolute path of a file, as QEMU sees it", quote(&path)));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!("{} has a \"..\": write the path out", quote(&path)));
    }
    Ok(path)
}

/// A whole number within a range.
pub(crate) fn integer<T: TryFrom<i128>>(range: RangeInclusive<i128>) -> impl Fn(&Node) -> Read<T> {
    move |node| {
        let expected = || {
            if *range.end() == i128::from(u64::MAX) {
                format!("a whole number from {}", range.start())
            } else {
                format!("a whole number from {} to {}", range.start(), range.end())
            }
        };
        let scalar = scalar(node, &expected())?;
        let number = match scalar.kind {
            ScalarKind::Integer(number) => Some(number),
            // Quoted, as templates do.
            ScalarKind::Text => scalar.text.parse().ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("{} is not {}", quote(&scalar.text), expected()))
    }
}

fn bytes(scalar: &Scalar) -> Read<ByteSize> {
    scalar.text.parse().map_err(|error: crate::base::ByteSizeError| error.to_string())
}

fn some_bytes(scalar: &Scalar) -> Read<ByteSize> {
    let size = bytes(scalar)?;
    if size.as_bytes() == 0 {
        return Err("0 bytes are none: give a size, or null to reset the field".to_owned());
    }
    Ok(size)
}

/// A text that is no quantity and no word either: near a word, that was meant.
fn or_word(scalar: &Scalar, words: &[&str], error: &str) -> String {
    let hint = did_you_mean(&scalar.text, words.iter().copied());
    if hint.is_empty() {
        format!("{error}; or {}", one_of(words))
    } else {
        let mut all = words.to_vec();
        all.push("a quantity of bytes");
        format!("{} is not {}{hint}", quote(&scalar.text), one_of(&all))
    }
}

/// A quantity of bytes above 0.
pub(crate) fn size(node: &Node) -> Read<ByteSize> {
    some_bytes(scalar(node, "a quantity of bytes")?)
}

/// A quantity of bytes for what firmware and libvirt count in units: a multiple of `unit` from `min` to `max`.
pub(crate) fn auto_size(unit: u64, min: u64, max: u64) -> impl Fn(&Node) -> Read<AutoSize> {
    move |node| {
        let scalar = scalar(node, "auto or a quantity of bytes")?;
        if scalar.text == "auto" {
            return Ok(AutoSize::Auto);
        }
        let size = bytes(scalar).map_err(|error| or_word(scalar, &["auto"], &error))?;
        if !size.as_bytes().is_multiple_of(unit) || !(min..=max).contains(&size.as_bytes()) {
            return Err(format!(
                "{} is not a multiple of {} from {} to {}",
                quote(&scalar.text),
                ByteSize::bytes(unit),
                ByteSize::bytes(min),
                ByteSize::bytes(max)
            ));
        }
        Ok(AutoSize::Size(size))
    }
}

/// `auto`, `off` or a quantity of bytes.
pub(crate) fn auto_off_size(node: &Node) -> Read<AutoOffSize> {
    let scalar = scalar(node, "auto, off or a quantity of bytes")?;
    match (scalar.text.as_str(), scalar.kind) {
        ("auto", _) => Ok(AutoOffSize::Auto),
        ("off" | "false", _) | (_, ScalarKind::Bool(false)) => Ok(AutoOffSize::Off),
        _ => some_bytes(scalar).map(AutoOffSize::Size).map_err(|error| or_word(scalar, &["auto", "off"], &error)),
    }
}

/// `unlimited` or a quantity of bytes.
pub(crate) fn memlock(node: &Node) -> Read<Memlock> {
    let scalar = scalar(node, "unlimited or a quantity of bytes")?;
    if scalar.text == "unlimited" {
        return Ok(Memlock::Unlimited);
    }
    some_bytes(scalar).map(Memlock::Size).map_err(|error| or_word(scalar, &["unlimited"], &error))
}

/// `passthrough`, `emulate` or a number of bits.
pub(crate) fn max_phys_addr(node: &Node) -> Read<MaxPhysAddr> {
    let words = ["passthrough", "emulate"];
    let scalar = scalar(node, "passthrough, emulate or a number of bits")?;
    match scalar.text.as_str() {
        "passthrough" => Ok(MaxPhysAddr::Passthrough),
        "emulate" => Ok(MaxPhysAddr::Emulate),
        text => integer(32..=64)(node).map(MaxPhysAddr::Bits).map_err(|_| {
            let hint = did_you_mean(text, words);
            format!("{} is not passthrough, emulate or a number of bits from 32 to 64{hint}", quote(text))
        }),
    }
}

/// A guest PCI address. libvirt has PCI domain 0 only, and reads all zeros as "please assign" (libvirt docs/pci-addresses.rst).
pub(crate) fn guest_address(node: &Node) -> Read<PciAddress> {
    let text = &scalar(node, "a PCI address")?.text;
    let address: PciAddress = text.parse().map_err(|error: crate::base::PciAddressError| error.to_string())?;
    if address.domain != 0 {
        return Err(format!("{text:?} is not in PCI domain 0000, the only one a guest has"));
    }
    if PciAddress::new(0, 0, 0, 0) == Some(address) {
        return Err(format!("{text:?} means \"please assign\" to libvirt: leave the field out for that"));
    }
    Ok(address)
}

/// What selects a device.
pub(crate) fn selector(node: &Node) -> Read<DeviceSelector> {
    scalar(node, "a KubeVirt name, an alias, a host address or vendor:device")?
        .text
        .parse()
        .map_err(|error: crate::config::scalars::DeviceSelectorError| error.to_string())
}

/// A typed QEMU property. libvirt passes signed and unsigned numbers in decimal only (libvirt 11.3, qemu_validate.c), so hexadecimal is converted here.
pub(crate) fn property(node: &Node) -> Read<PropertyValue> {
    let scalar = scalar(node, "a value")?;
    match scalar.kind {
        ScalarKind::Bool(value) => Ok(PropertyValue::Bool(value)),
        ScalarKind::Integer(number) => u64::try_from(number)
            .map(PropertyValue::Unsigned)
            .or_else(|_| i64::try_from(number).map(PropertyValue::Signed))
            .map_err(|_| format!("{} does not fit 64 bits", quote(&scalar.text))),
        ScalarKind::Float => Err(format!(
            "{0} is not a whole number without leading zeros: QEMU's properties have no others; quote it if a text is meant, \"{0}\"",
            scalar.text
        )),
        ScalarKind::Text => text(node).map(PropertyValue::Text),
    }
}
