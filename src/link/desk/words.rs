//! Why a VM cannot start yet, in one line for its condition.

use std::fmt;

use super::{PATIENCE, Policy};
use crate::link::Errand;

/// Why the agent has not done yet what a VM needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    node: Option<String>,
    why: Why,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// Nobody came.
    NoAgent {
        needs: Option<String>,
    },
    /// Somebody came and has not answered.
    Silent,
    Working {
        step: u32,
        of: u32,
        what: String,
    },
    Refused(String),
    /// It cannot do this.
    Older(&'static str),
    /// It does not confirm the memory lock. One that is too old answers as one whose admin allows less.
    Unlocked,
    /// Its answer means nothing to us.
    Newer,
    /// We have been told to end.
    Ending,
}

impl NotYet {
    pub(super) fn no_agent(errand: &Errand, policy: Policy) -> Self {
        let needs = (!errand.is_empty() || policy != Policy::Required).then(|| errand.to_string());
        Self { node: errand.node.clone(), why: Why::NoAgent { needs } }
    }

    pub(super) fn silent(node: Option<String>) -> Self {
        Self { node, why: Why::Silent }
    }

    pub(super) fn working(node: Option<String>, step: u32, of: u32, what: String) -> Self {
        Self { node, why: Why::Working { step, of, what } }
    }

    pub(super) fn refused(node: Option<String>, reason: String) -> Self {
        Self { node, why: Why::Refused(reason) }
    }

    pub(super) fn older(node: Option<String>, lacking: &'static str) -> Self {
        Self { node, why: Why::Older(lacking) }
    }

    pub(super) fn unlocked(node: Option<String>) -> Self {
        Self { node, why: Why::Unlocked }
    }

    pub(super) fn newer(node: Option<String>) -> Self {
        Self { node, why: Why::Newer }
    }

    pub(super) fn ending(node: Option<String>) -> Self {
        Self { node, why: Why::Ending }
    }

    pub(super) fn is_no_agent(&self) -> bool {
        matches!(self.why, Why::NoAgent { .. })
    }

    /// Whether waiting alone may help. If not, somebody has to change something.
    pub fn passes(&self) -> bool {
        matches!(self.why, Why::NoAgent { .. } | Why::Silent | Why::Working { .. } | Why::Ending)
    }
}

impl fmt::Display for NotYet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.node.as_ref().map(|node| format!("the node {node}"));
        let node = node.as_deref().unwrap_or("this node");
        match &self.why {
            Why::NoAgent { needs } => {
                match needs {
                    Some(needs) => write!(f, "this VM needs {needs} from virt-tailor's agent")?,
                    None => f.write_str("the sidecar was started with --agent required")?,
                }
                write!(
                    f,
                    ", and {node} has no agent (none has come within {} s): run the agent there, or start the sidecar with --agent off",
                    PATIENCE.as_secs()
                )
            }
            Why::Silent => {
                write!(f, "virt-tailor's agent on {node} has not answered yet; the VM starts as soon as it has")
            }
            Why::Working { step, of, what } => {
                write!(f, "{node} is being prepared for this VM, step {step} of {of}")?;
                if !what.is_empty() {
                    write!(f, ": {what}")?;
                }
                f.write_str("; the VM starts as soon as that is done")
            }
            Why::Refused(reason) => write!(f, "virt-tailor's agent on {node} refuses: {reason}"),
            Why::Older(lacking) => {
                write!(f, "virt-tailor's agent on {node} is too old to {lacking}: update the agent")
            }
            Why::Unlocked => write!(
                f,
                "virt-tailor's agent on {node} does not confirm that as much memory may be locked as the VM asks: limits.memlock.max of its \
                 NodeConfig allows less, or the agent is too old"
            ),
            Why::Ending => write!(f, "the sidecar was told to end before virt-tailor's agent on {node} had answered"),
            Why::Newer => write!(
                f,
                "virt-tailor's agent on {node} gave an answer that this sidecar does not know: update the sidecar's image"
            ),
        }
    }
}
