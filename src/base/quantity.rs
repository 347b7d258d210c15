//! Byte quantities as Kubernetes writes them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes. Written with an optional suffix: `Ki Mi Gi Ti Pi` (powers of 1024) or `k K M G T P` (powers of 1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// Why a text is not a quantity of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity of bytes: write a whole number with Ki, Mi, Gi, Ti or k, M, G, T, e.g. 64Mi")]
pub struct ByteSizeError {
    /// What was given.
    pub text: String,
}

const SUFFIXES: [(&str, u64); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many bytes.
    pub const fn as_bytes(self) -> u64 {
        self.0
    }

    /// Rounded up to KiB, libvirt's unit for memory (its own parser rounds up too).
    pub const fn as_kib_up(self) -> u64 {
        self.0.div_ceil(1024)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, factor) in SUFFIXES[..6].iter().rev() {
            if self.0 >= *factor && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{suffix}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(split);
        let factor = if suffix.is_empty() {
            Some(1)
        } else {
            SUFFIXES.iter().find(|(s, _)| *s == suffix).map(|(_, factor)| *factor)
        };
        let parsed = digits.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
        parsed.map(Self).ok_or_else(|| ByteSizeError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, bytes, shown) in
            [("64Mi", 64 << 20, "64Mi"), ("1G", 1_000_000_000, "1000000000"), ("4096", 4096, "4Ki"), ("0", 0, "0")]
        {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.as_bytes(), size.to_string().as_str()), (bytes, shown));
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "Gi", "1.5Gi", "-1", "1Gb", "1 Gi", "99999999999Gi", "1e3"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
