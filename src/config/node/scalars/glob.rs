//! Patterns of names: `*` is any text, `?` any one character.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::config::tree::quote;

use super::{ScalarError, refuse, shown_as_is, written_as_text};

/// A pattern of names of namespaces or nodes (RFC 1123: lower-case letters, digits, `-` and `.`), at most 253 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob(String);

shown_as_is!(Glob);
written_as_text!(Glob);

impl Glob {
    /// Whether a name fits.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }

    /// Whether some name fits both.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.is_name() {
            return other.matches(&self.0);
        }
        if other.is_name() {
            return self.matches(&other.0);
        }
        overlap(self.0.as_bytes(), other.0.as_bytes())
    }

    /// Whether it names exactly one.
    pub fn is_name(&self) -> bool {
        !self.0.contains(['*', '?'])
    }
}

impl FromStr for Glob {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} matches no name: {why}", quote(text)));
        if text.is_empty() {
            return refuse("the pattern is empty: write a name, or * for any");
        }
        if text.len() > 253 {
            return no("names have at most 253 characters");
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-.*?".contains(*c))) {
            return no(&format!(
                "{c:?} stands in none; besides lower-case letters, digits, '-' and '.', * and ? are taken"
            ));
        }
        if text.starts_with(['-', '.']) || text.ends_with(['-', '.']) || text.contains("..") {
            return no("one begins and ends with a letter or digit");
        }
        if text.contains("**") {
            return refuse(format!("{} has two * in a row: one is any text already", quote(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Patterns of which one is enough; at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Globs(Vec<Glob>);

impl Default for Globs {
    /// `*`.
    fn default() -> Self {
        Self(vec![Glob("*".to_owned())])
    }
}

impl Globs {
    /// Of one or more patterns; `None` without any.
    pub fn new(globs: Vec<Glob>) -> Option<Self> {
        (!globs.is_empty()).then_some(Self(globs))
    }

    /// Whether a name fits one of them.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(name))
    }

    /// A pattern of each that some name fits both of.
    pub fn overlap<'a>(&'a self, other: &'a Self) -> Option<(&'a Glob, &'a Glob)> {
        self.0.iter().find_map(|one| other.0.iter().find(|two| one.overlaps(two)).map(|two| (one, two)))
    }

    /// The patterns, as they were written.
    pub fn iter(&self) -> std::slice::Iter<'_, Glob> {
        self.0.iter()
    }

    /// Whether one of them is `*`.
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|glob| glob.0 == "*")
    }

    /// The one name they are, if they are that.
    pub fn only_name(&self) -> Option<&str> {
        match &self.0[..] {
            [glob] if glob.is_name() => Some(&glob.0),
            _ => None,
        }
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, glob) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            glob.fmt(f)?;
        }
        Ok(())
    }
}

/// Whether a text fits a pattern, in time of their product at most: on a mismatch only the last `*` takes one more character.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    p = *at + 1;
                    t = *taken;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether some text fits both patterns: `reached[j]` says whether the patterns up to here and up to `j` share one.
fn overlap(one: &[u8], two: &[u8]) -> bool {
    let mut reached = vec![true];
    for c in two {
        reached.push(reached.last() == Some(&true) && *c == b'*');
    }
    for c in one {
        let mut next = vec![reached[0] && *c == b'*'];
        for (j, d) in two.iter().enumerate() {
            let either = |star: bool| star && (reached[j + 1] || next[j]);
            let both = reached[j] && (*c == b'?' || *d == b'?' || c == d);
            next.push(either(*c == b'*' || *d == b'*') || (both && *c != b'*' && *d != b'*'));
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_or_not() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*", "anything", true),
            ("gpu-*", "gpu-1", true),
            ("gpu-*", "cpu-1", false),
            ("gpu-?", "gpu-", false),
            ("gpu-?", "gpu-12", false),
            ("*-gpu-*", "a-gpu-gpu-b", true),
            ("*b", "aab", true),
            ("*b", "aba", false),
            ("a*b*c", "axxbxxbc", true),
            ("node", "node", true),
            ("node", "nodes", false),
        ] {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_overlap_where_a_name_fits_both() {
        for (one, two, overlap) in [
            ("*", "*", true),
            ("a*", "*b", true),
            ("a*", "b*", false),
            ("a?", "a", false),
            ("a?", "?b", true),
            ("a*b", "ab", true),
            ("a*c", "ab", false),
            ("gpu-*", "gpu-1", true),
            ("gpu-1", "gpu-2", false),
            ("*x*", "abc*", true),
            ("a-*-z", "*-?", true),
        ] {
            let (one, two): (Glob, Glob) = (one.parse().unwrap(), two.parse().unwrap());
            assert_eq!((one.overlaps(&two), two.overlaps(&one)), (overlap, overlap), "{one} {two}");
        }
    }

    /// Against all short texts.
    #[test]
    fn overlap_is_what_matching_says() {
        let of = |alphabet: &str, most: usize| {
            let mut all = vec![String::new()];
            let mut last = all.clone();
            for _ in 0..most {
                last = last.iter().flat_map(|s| alphabet.chars().map(move |c| format!("{s}{c}"))).collect();
                all.extend(last.clone());
            }
            all
        };
        let texts = of("ab", 6);
        let patterns = of("ab*?", 3);
        for one in &patterns {
            for two in &patterns {
                let (one, two) = (one.as_bytes(), two.as_bytes());
                let shared = texts.iter().any(|text| matches(one, text.as_bytes()) && matches(two, text.as_bytes()));
                assert_eq!(overlap(one, two), shared, "{one:?} {two:?}");
            }
        }
    }
}
