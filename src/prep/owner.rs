//! Who a change was made for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who holds something on a node: a VM, a pod, a device-plugin id. 1 to 128 of `A-Z a-z 0-9 . _ : / @ -`, the first one a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner(String);

/// Why a text names no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no owner: write 1 to 128 letters, digits or . _ : / @ -, e.g. default/my-vm")]
pub struct OwnerError {
    /// What was given.
    pub text: String,
}

impl Owner {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:/@-".contains(&c);
        let fits = (1..=128).contains(&text.len()) && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(OwnerError { text: crate::base::shown(text).chars().take(128).collect() })
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = OwnerError;

    fn try_from(text: String) -> Result<Self, OwnerError> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Owner;

    #[test]
    fn names_only() {
        for good in ["default/my-vm", "a", "0000:3b:00.0", "pod@uid"] {
            assert!(good.parse::<Owner>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
