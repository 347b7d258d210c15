//! Device numbers and device files, as sysfs names them.

use std::fmt;

/// Major and minor number. Character and block devices number apart: see [`DeviceNode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevT {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

/// Whether a device file is one of characters or of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// A device file by what it stands for, wherever it lies: containers have their own in their own `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceNode {
    /// Of characters or of blocks.
    pub kind: NodeKind,
    /// Its number.
    pub number: DevT,
    /// The name the kernel proposes below `/dev`: `vfio/12`, `dri/card0`.
    pub name: String,
}

impl DevT {
    /// A number as sysfs and mountinfo write it, `8:1`; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once(':')?;
        Some(Self { major: super::values::number(major)?, minor: super::values::number(minor)? })
    }
}

impl fmt::Display for DevT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl serde::Serialize for DevT {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
