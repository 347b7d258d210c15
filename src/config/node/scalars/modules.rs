//! Kernel modules and their parameters.

use std::str::FromStr;

use crate::config::tree::quote;

use super::{ScalarError, refuse, shown_as_is, written_as_text};

/// A module's name in the form of `/sys/module`: `-` and `_` are the same to the kernel, and it is `_` here. At most 55 characters
/// (kernel: `MODULE_NAME_LEN`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleName(String);

/// A parameter's name, with `_` for `-` (kernel: `parameq`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterName(String);

/// A parameter's value: one line of printable ASCII without quotes, at most 1000 characters (kernel: `STANDARD_PARAM_DEF` reads less
/// than 1024).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterValue(String);

shown_as_is!(ModuleName, ParameterName, ParameterValue);
written_as_text!(ModuleName, ParameterName, ParameterValue);

fn name(text: &str, what: &str, most: usize) -> Result<String, ScalarError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=most).contains(&text.len()) && text.bytes().all(good) {
        return Ok(text.replace('-', "_"));
    }
    refuse(format!(
        "{} is not the name of a {what}: at most {most} letters, digits, '-' and '_' (no path, no .ko)",
        quote(text)
    ))
}

impl FromStr for ModuleName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        name(text, "kernel module", 55).map(Self)
    }
}

impl FromStr for ParameterName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        name(text, "module parameter", 63).map(Self)
    }
}

impl FromStr for ParameterValue {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let good = |c: char| (c.is_ascii_graphic() && c != '"' && c != '\'') || c == ' ';
        if text.len() > 1000 {
            return refuse("the value has more than the 1000 characters that a parameter takes");
        }
        match text.chars().find(|c| !good(*c)) {
            Some(c) => refuse(format!("{} has {c:?}, which a module's parameter does not take", quote(text))),
            None => Ok(Self(text.to_owned())),
        }
    }
}
