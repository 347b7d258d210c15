//! Sets of CPUs, in the kernel's two ways of writing them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// More CPUs than any kernel is built for (NR_CPUS, 8192).
const MOST: u32 = 1 << 14;

/// A set of CPUs, written as a list: `0-3,8`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(BTreeSet<u32>);

/// Why a text is no set of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no list of CPUs: write 0-3,8")]
pub struct CpuSetError {
    /// What was given.
    pub text: String,
}

impl CpuSet {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// What is in this one and not in the other.
    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// What is in either.
    pub(super) fn with(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// What is in both.
    pub(in crate::prep) fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// A mask as the kernel prints it: `ff,00000003`, 32 CPUs between commas, the highest first.
    pub(super) fn from_mask(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for (group, digits) in text.trim().rsplit(',').enumerate() {
            let bits = u32::from_str_radix(digits, 16).ok()?;
            let first = u32::try_from(group).ok()?.checked_mul(32).filter(|first| *first < MOST)?;
            cpus.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| first + bit));
        }
        Some(Self(cpus))
    }

    /// The mask that [`Self::from_mask`] reads.
    pub(super) fn to_mask(&self) -> String {
        let groups = self.0.last().map_or(1, |last| last / 32 + 1);
        let group = |group: u32| {
            let bits: u32 = (0..32).filter(|bit| self.0.contains(&(group * 32 + bit))).map(|bit| 1 << bit).sum();
            format!("{bits:08x}")
        };
        (0..groups).rev().map(group).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<String> for CpuSet {
    type Error = CpuSetError;

    fn try_from(text: String) -> Result<Self, CpuSetError> {
        text.parse()
    }
}

impl std::str::FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(text: &str) -> Result<Self, CpuSetError> {
        let number = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse::<u32>().ok())
                .flatten()
                .filter(|cpu| *cpu < MOST)
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(first..=last)
        };
        let parts = text.trim().split(',').filter(|_| !text.trim().is_empty());
        let ranges: Option<Vec<_>> = parts.map(range).collect();
        let error = || CpuSetError { text: text.chars().take(80).collect() };
        Ok(Self(ranges.ok_or_else(error)?.into_iter().flatten().collect()))
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for cpu in &self.0 {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == *cpu => *last = *cpu,
                _ => ranges.push((*cpu, *cpu)),
            }
        }
        for (index, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if first == last { write!(f, "{comma}{first}")? } else { write!(f, "{comma}{first}-{last}")? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CpuSet;

    #[test]
    fn lists_and_masks() {
        for (list, mask) in [("0-3,8", "0000010f"), ("", "00000000"), ("33", "00000002,00000000"), ("0,2", "00000005")]
        {
            let set: CpuSet = list.parse().unwrap();
            assert_eq!(set.to_string(), list);
            assert_eq!(set.to_mask(), mask);
            assert_eq!(CpuSet::from_mask(mask).unwrap(), set);
        }
        assert_eq!(CpuSet::from_mask("f").unwrap().to_string(), "0-3");
        for bad in ["3-1", "a", "1-", "-1", "1,,2", "99999", "+1"] {
            assert!(bad.parse::<CpuSet>().is_err(), "{bad}");
        }
    }
}
