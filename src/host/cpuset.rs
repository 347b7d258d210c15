//! Sets of CPUs and NUMA nodes, in the kernel's two ways of writing them: lists `0-3,8` (kernel:
//! Documentation/admin-guide/kernel-parameters.rst, cpu lists) and masks `ff,00000003` (kernel: lib/bitmap-str.c).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// No machine has more CPUs (kernel: NR_CPUS_RANGE_END is 8192 at most); a list that names more is none the kernel wrote.
const MOST: u32 = 1 << 14;

/// A set of CPUs, or of NUMA nodes; as a value of a document it is a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(pub BTreeSet<u32>);

/// Why a text is no set of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no list of CPUs: write 0-3,8")]
pub struct CpuSetError {
    /// What was given.
    pub text: String,
}

impl CpuSet {
    /// The set a list of the kernel's names; `None` if it is not written as the kernel does. An empty text is the empty set, and so is
    /// `(null)`, which some kernels print for a mask that was never made.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "(null)" { Some(Self::default()) } else { text.parse().ok() }
    }

    /// A mask as the kernel prints it: `ff,00000003`, 32 CPUs between commas, the highest first.
    pub fn from_mask(text: &str) -> Option<Self> {
        let mut cpus = BTreeSet::new();
        for (group, digits) in text.trim().rsplit(',').enumerate() {
            let bits = u32::from_str_radix(digits, 16).ok()?;
            let first = u32::try_from(group).ok()?.checked_mul(32).filter(|first| *first < MOST)?;
            cpus.extend((0..32).filter(|bit| bits & (1 << bit) != 0).map(|bit| first + bit));
        }
        Some(Self(cpus))
    }

    /// The mask that [`Self::from_mask`] reads.
    pub fn to_mask(&self) -> String {
        let groups = self.0.last().map_or(1, |last| last / 32 + 1);
        let group = |group: u32| {
            let bits: u32 = (0..32).filter(|bit| self.0.contains(&(group * 32 + bit))).map(|bit| 1 << bit).sum();
            format!("{bits:08x}")
        };
        (0..groups).rev().map(group).collect::<Vec<_>>().join(",")
    }

    /// Whether a CPU is in it.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether something is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// What is in either.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

fn number(text: &str) -> Option<u32> {
    super::attribute::number(text).and_then(|number| u32::try_from(number).ok()).filter(|number| *number < MOST)
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..=last)
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(text: &str) -> Result<Self, CpuSetError> {
        let parts = text.trim().split(',').filter(|_| !text.trim().is_empty());
        let ranges: Option<Vec<_>> = parts.map(range).collect();
        let error = || CpuSetError { text: text.chars().take(80).collect() };
        Ok(Self(ranges.ok_or_else(error)?.into_iter().flatten().collect()))
    }
}

impl TryFrom<String> for CpuSet {
    type Error = CpuSetError;

    fn try_from(text: String) -> Result<Self, CpuSetError> {
        text.parse()
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().copied().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CpuSet;

    #[test]
    fn reads_what_it_writes() {
        for text in ["", "0", "0-3", "0,2-3,8-15,63"] {
            assert_eq!(CpuSet::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(CpuSet::parse("0,1,2").unwrap().to_string(), "0-2");
        assert_eq!(CpuSet::parse("(null)"), Some(CpuSet::default()));
        assert!("(null)".parse::<CpuSet>().is_err(), "nobody but the kernel writes that");
    }

    #[test]
    fn refuses_what_the_kernel_does_not_write() {
        for text in ["a", "3-1", "0-", ",", "0,", "-1", "+1", "1,,2", "99999", "0-4294967295", "0 1"] {
            assert_eq!(CpuSet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_and_masks() {
        for (list, mask) in [("0-3,8", "0000010f"), ("", "00000000"), ("33", "00000002,00000000"), ("0,2", "00000005")]
        {
            let set: CpuSet = list.parse().unwrap();
            assert_eq!(set.to_mask(), mask);
            assert_eq!(CpuSet::from_mask(mask).unwrap(), set);
        }
        assert_eq!(CpuSet::from_mask("f").unwrap().to_string(), "0-3");
    }
}
