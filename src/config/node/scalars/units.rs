//! Units of systemd.

use std::str::FromStr;

use crate::base::did_you_mean;
use crate::config::tree::quote;

use super::{ScalarError, glob, refuse, shown_as_is, written_as_text};

/// Kinds of units that are held: stopping one of another kind stops more, or less, than its name says.
const KINDS: [&str; 4] = [".service", ".socket", ".timer", ".path"];

/// All kinds there are (systemd.unit(5)).
const ALL_KINDS: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".path",
    ".target",
    ".mount",
    ".automount",
    ".swap",
    ".device",
    ".slice",
    ".scope",
];

/// A unit that can be stopped: `.service`, `.socket`, `.timer` or `.path`, by the rule of systemd's `unit_name_is_valid`
/// (src/basic/unit-name.c): letters, digits and `:-_.\@`, at most 255; an instance, not a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(String);

/// A pattern of units, with `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPattern(String);

shown_as_is!(UnitName, UnitPattern);
written_as_text!(UnitName, UnitPattern);

impl UnitName {
    /// The name without its kind: `chronyd` of `chronyd.service`.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or(&self.0, |(stem, _)| stem)
    }
}

impl UnitPattern {
    /// Whether a unit fits.
    pub fn matches(&self, unit: &UnitName) -> bool {
        glob::matches(self.0.as_bytes(), unit.0.as_bytes())
    }
}

fn in_unit(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b)
}

impl FromStr for UnitName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} is not a unit to be stopped: {why}", quote(text)));
        if text.is_empty() || text.len() > 255 || !text.bytes().all(in_unit) {
            return no("a unit's name has letters, digits and :-_.\\@, at most 255");
        }
        let Some(stem) = KINDS.iter().find_map(|kind| text.strip_suffix(kind)) else {
            if ALL_KINDS.iter().any(|kind| text.ends_with(kind)) {
                return no("only services, sockets, timers and paths are held");
            }
            let kind = text.rfind('.').map_or("", |dot| &text[dot..]);
            let near = if kind.is_empty() { String::new() } else { did_you_mean(kind, KINDS) };
            return if near.is_empty() {
                no(&format!("write its kind too, e.g. {}.service", quote(text).trim_matches('"')))
            } else {
                no(&format!("{kind} is no kind of unit{near}"))
            };
        };
        match stem.split_once('@') {
            None if stem.is_empty() => no("it has no name before its kind"),
            None => Ok(Self(text.to_owned())),
            Some(("", _)) => no("it has no name before the @"),
            Some((_, "")) => no("it is a template: name an instance, with a text after the @"),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }
}

impl FromStr for UnitPattern {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let good = (1..=255).contains(&text.len()) && text.bytes().all(|b| in_unit(b) || b"*?".contains(&b));
        if !good {
            return refuse(format!(
                "{} matches no unit: letters, digits, :-_.\\@, and * and ? are taken, at most 255",
                quote(text)
            ));
        }
        if !text.ends_with('*') && !ALL_KINDS.iter().any(|kind| text.ends_with(kind)) {
            return refuse(format!("{} matches no unit: write its kind too, e.g. .service, or * for any", quote(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_systemds_rule() {
        for text in ["display-manager.service", "getty@tty1.service", "a:b_c\\x2d.socket", "x.y.timer"] {
            assert_eq!(text.parse::<UnitName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "chronyd",
            "chronyd.serivce",
            ".service",
            "getty@.service",
            "@x.service",
            "graphical.target",
            "a b.service",
            "a/b.service",
            "*.service",
        ] {
            println!("{}", text.parse::<UnitName>().unwrap_err());
        }
        let long = format!("{}.service", "x".repeat(248));
        assert!(long.parse::<UnitName>().is_err());
    }
}
