//! What a profile's author may hand to the guest's shell, and how it is quoted: always as one word of data, never as code.
//!
//! Values also end up in boot loader and modprobe files, whose readers have quoting rules of their own; what would need quoting there
//! is refused rather than passed on and misread at boot.

use super::error::CloudInitError;

/// One word, in single quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The name of a kernel module.
pub(super) fn module(field: &'static str, name: &str) -> Result<(), CloudInitError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let ok = !name.is_empty() && !name.starts_with('-') && name.chars().all(legal);
    check(field, name, ok, "is not the name of a kernel module: letters, digits, _ and - make one")
}

/// Options of a module, as they stand after its name in a file of modprobe.d.
pub(super) fn options(text: &str) -> Result<(), CloudInitError> {
    // A backslash at the end would continue the line.
    let ok = text.chars().all(|c| c.is_ascii_graphic() && c != '\\' || c == ' ');
    check(
        "modules",
        text,
        ok,
        "has a character that a file of modprobe.d does not carry: use ASCII without backslashes",
    )
}

/// A kernel argument: GRUB expands, splits and comments by shell-like rules of its own.
pub(super) fn kernel_arg(arg: &str) -> Result<(), CloudInitError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.,:=/@+%!~-".contains(c);
    let ok = !arg.is_empty() && !arg.starts_with('-') && arg.chars().all(legal);
    let what = "cannot be set in every boot loader: letters, digits and _ . , : = / @ + % ! ~ - make an argument";
    check("kernelArgs", arg, ok, what)
}

fn check(field: &'static str, value: &str, ok: bool, what: &'static str) -> Result<(), CloudInitError> {
    if ok { Ok(()) } else { Err(CloudInitError::Guest { field, value: value.to_owned(), what }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
    }

    #[test]
    fn what_a_reader_in_the_guest_would_misread_is_refused() {
        for name in ["", "-r", "a b", "a/b", "ä", "a;b"] {
            assert!(module("modules", name).is_err(), "{name}");
        }
        for arg in ["", "-x", "a b", "a=\"b\"", "a$b", "a;b", "a`b", "#x", "a\\b", "a{b}", "a*", "ü"] {
            assert!(kernel_arg(arg).is_err(), "{arg}");
        }
        for text in ["a\\", "a\nb", "ü", "\u{1b}"] {
            assert!(options(text).is_err(), "{text:?}");
        }
        for arg in ["iommu=pt", "vfio-pci.ids=8086:154c,10de:*"] {
            assert_eq!(kernel_arg(arg).is_ok(), !arg.contains('*'), "{arg}");
        }
        assert!(options("dyndbg=\"file x +p\" a=1").is_ok());
        let error = kernel_arg("a$b").unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1);
        assert!(error.starts_with("guest.kernelArgs: \"a$b\" cannot be set"), "{error}");
    }
}
