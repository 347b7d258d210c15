//! Why a machine could not be read.

use std::io;
use std::path::PathBuf;

use crate::base::PciAddressError;

/// Why the facts of a host could not be read. One cause per level: what lies below is the `source`.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder named as host root holds no `sys`.
    #[error("{root} is no host root: it has no sys folder", root = root.display())]
    NoRoot {
        /// What was given as host root.
        root: PathBuf,
    },
    /// The kernel, or the file system of a captured tree, refused.
    #[error("cannot read {path}", path = path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something that sysfs always has is not there.
    #[error("{path} is missing", path = path.display())]
    Missing {
        /// What is not there.
        path: PathBuf,
    },
    /// A file stands where sysfs has a folder or a link, or the other way round.
    #[error("{path} is not {expected}", path = path.display())]
    Shape {
        /// What was looked at.
        path: PathBuf,
        /// What sysfs has there.
        expected: &'static str,
    },
    /// A link leads out of the host root, so that another machine's facts would be read.
    #[error("{path} leads out of the host root, to {target}", path = path.display(), target = target.display())]
    Outside {
        /// The link, or a folder reached through one.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// An entry among the PCI devices is not named like one.
    #[error("{path} is not named like a PCI function", path = path.display())]
    Name {
        /// The entry.
        path: PathBuf,
        /// What its name should look like.
        source: PciAddressError,
    },
    /// A file or the name a link leads to does not hold what the kernel writes there.
    #[error("{path} holds {text:?}, which is not {expected}", path = path.display())]
    Malformed {
        /// The file or link.
        path: PathBuf,
        /// What it holds; the beginning, if that is long.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
}
