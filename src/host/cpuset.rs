//! Sets of CPUs and NUMA nodes as the kernel writes them: `0-3,8` (kernel: Documentation/admin-guide/kernel-parameters.rst, cpu lists).

use std::collections::BTreeSet;
use std::fmt;

/// No machine has more CPUs (kernel: NR_CPUS_RANGE_END is 8192 at most); a list that names more is none the kernel wrote.
const MOST: u32 = 65_536;

/// A set of CPUs, or of NUMA nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuSet(pub BTreeSet<u32>);

impl CpuSet {
    /// The set a list names; `None` if it is not written as the kernel does. An empty text is the empty set, and so is `(null)`, which
    /// some kernels print for a mask that was never made.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text == "(null)" {
            return Some(Self::default());
        }
        let mut set = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            set.extend(first..=last);
        }
        Some(Self(set))
    }

    /// Whether a CPU is in it.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn number(text: &str) -> Option<u32> {
    super::attribute::number(text).and_then(|number| u32::try_from(number).ok()).filter(|number| *number < MOST)
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

impl serde::Serialize for CpuSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
    }

    #[test]
    fn refuses_what_the_kernel_does_not_write() {
        for text in ["a", "3-1", "0-", ",", "0,", "-1", "0-4294967295", "0 1"] {
            assert_eq!(CpuSet::parse(text), None, "{text}");
        }
    }
}
