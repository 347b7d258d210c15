//! Lists of CPUs.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::config::tree::quote;

use super::{ScalarError, refuse, written_as_text};

/// CPUs are numbered below this (kernel: the greatest `NR_CPUS` of x86).
pub const MOST_CPUS: u16 = 8192;

/// CPUs as the kernel writes them, `0-3,8`: at least one; ranges in order, apart from each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CpuList(Vec<RangeInclusive<u16>>);

written_as_text!(CpuList);

impl CpuList {
    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().cloned().flatten()
    }

    /// Whether a CPU is among them.
    pub fn contains(&self, cpu: u16) -> bool {
        self.0.iter().any(|range| range.contains(&cpu))
    }

    /// The first CPU that is in both.
    pub fn common(&self, other: &Self) -> Option<u16> {
        self.iter().find(|cpu| other.contains(*cpu))
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|cpu| *cpu < MOST_CPUS)
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = number(first)?..=number(last)?;
    (!range.is_empty()).then_some(range)
}

impl FromStr for CpuList {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let ranges: Option<Vec<_>> = text.split(',').map(|part| range(part.trim())).collect();
        let Some(mut ranges) = ranges.filter(|_| text.len() <= 1024) else {
            return refuse(format!(
                "{} is not a list of CPUs: write numbers and ranges below {MOST_CPUS}, e.g. 0-3,8",
                quote(text)
            ));
        };
        ranges.sort_by_key(|range| *range.start());
        let mut apart: Vec<RangeInclusive<u16>> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(last) if *range.start() <= last.end() + 1 => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => apart.push(range),
            }
        }
        Ok(Self(apart))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if range.start() == range.end() {
                write!(f, "{}", range.start())?;
            } else {
                write!(f, "{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, shown) in
            [("4-7", "4-7"), ("8,0-3", "0-3,8"), ("1, 2,3", "1-3"), ("0-3,2-5", "0-5"), ("8191", "8191")]
        {
            assert_eq!(text.parse::<CpuList>().unwrap().to_string(), shown);
        }
        for text in ["", "3-1", "8192", "0-", "-3", "0,,1", "a", "+1", "0-3-5", "65536"] {
            assert!(text.parse::<CpuList>().is_err(), "{text}");
        }
    }
}
