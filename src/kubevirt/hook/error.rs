//! Why a call is not answered with a document: one complete line, the only thing a user sees (in the VMI's condition).

use crate::config::Problems;
use crate::domain::{DomainError, Refusal};

use super::super::VmiError;
use super::super::cloudinit::CloudInitError;
use super::MAX_ANSWER;

/// Why there is no answer. `Display` may have several lines; [`one_line`] makes one of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// Nothing came.
    #[error("the call brings no domain XML")]
    NoDomain,
    /// Nothing came.
    #[error("the call brings no VirtualMachineInstance")]
    NoVmi,
    /// What came is no domain.
    #[error("the domain XML of the call: {0}")]
    Domain(DomainError),
    /// What came is no text.
    #[error("the VirtualMachineInstance of the call is not UTF-8 text (byte {at})")]
    VmiNotText {
        /// Where that shows.
        at: usize,
    },
    /// What came is no VMI.
    #[error("the VirtualMachineInstance of the call: {0}")]
    Vmi(VmiError),
    /// A domain of another kind than libvirt's (Plugin API).
    #[error("the call brings a domain of type {found:?}: only libvirt's are known")]
    DomainType {
        /// Its kind.
        found: String,
    },
    /// Profiles, annotations or settings are wrong.
    #[error("{}", .0.one_line())]
    Request(Problems),
    /// The domain cannot take what is asked.
    #[error("{}", .0.one_line())]
    Refused(Refusal),
    /// KubeVirt could not receive the answer.
    #[error("{what} has {bytes} bytes; KubeVirt receives {MAX_ANSWER} at most: {instead}")]
    TooLong {
        /// The answer.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// What to do.
        instead: &'static str,
    },
    /// A hook point that was not asked for.
    #[error("{what} is not served: {instead}")]
    NotServed {
        /// The hook point.
        what: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// Cloud-init data that cannot be merged with what is asked.
    #[error("cloud-init: {0}")]
    CloudInit(CloudInitError),
    /// The node's agent has not done yet what the VM needs.
    #[error("{line}")]
    Agent {
        /// Why.
        line: String,
        /// Whether that passes by itself.
        passes: bool,
    },
    /// A mistake of ours.
    #[error("this is a mistake of virt-tailor, please report it: {0}")]
    Bug(String),
}

/// Longest line that is told; etcd, events and people have limits. The log has all of it.
const MAX_LINE: usize = 4096;

/// A message as one line of bounded length, whatever is in it.
pub fn one_line(message: &str) -> String {
    const MORE: &str = " … (all of it is in the sidecar's log)";
    let mut line = String::with_capacity(message.len().min(MAX_LINE));
    // U+2028 and U+2029 are line ends too, for those who show the text.
    let blank = |c: char| c.is_control() || c.is_whitespace() || c == '\u{2028}' || c == '\u{2029}';
    for word in message.split(blank).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_LINE {
            let mut end = MAX_LINE - MORE.len();
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push_str(MORE);
            break;
        }
    }
    line
}
