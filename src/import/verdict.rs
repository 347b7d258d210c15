//! What has become of an action.

use super::place::Place;

/// What becomes of one boot-time action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done per VM now, and undone after it: what does it.
    Now(String),
    /// It must stay at boot.
    Stays {
        /// Why.
        why: String,
        /// The kernel argument that is really needed; none: the node's own wish, no device or VM needs it.
        argument: Option<String>,
    },
    /// It never did anything: why, and what does it now, if anything does.
    Never(String),
    /// It prepares no device and no VM: left as it is.
    Aside(String),
    /// It is not understood: why.
    Unclear(String),
}

impl Verdict {
    pub(super) fn now(text: impl Into<String>) -> Self {
        Self::Now(text.into())
    }

    pub(super) fn never(text: impl Into<String>) -> Self {
        Self::Never(text.into())
    }

    pub(super) fn unclear(text: impl Into<String>) -> Self {
        Self::Unclear(text.into())
    }

    pub(super) fn aside(text: impl Into<String>) -> Self {
        Self::Aside(text.into())
    }

    /// At boot, for which this argument is needed.
    pub(super) fn needs(argument: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Stays { why: why.into(), argument: Some(argument.into()) }
    }

    /// At boot, by the node's own wish.
    pub(super) fn stays(why: impl Into<String>) -> Self {
        Self::Stays { why: why.into(), argument: None }
    }

    /// The words for a person.
    pub fn why(&self) -> &str {
        match self {
            Self::Now(why) | Self::Never(why) | Self::Aside(why) | Self::Unclear(why) | Self::Stays { why, .. } => why,
        }
    }
}

/// One action of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub place: Place,
    /// As it was written, or in short.
    pub said: String,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// How many actions became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Actions in all that prepare a device, a VM or its CPUs and memory: the sum of the next four.
    pub found: usize,
    /// Now per VM.
    pub now: usize,
    /// Must stay at boot.
    pub stay: usize,
    /// Never worked.
    pub never: usize,
    /// Not understood.
    pub unclear: usize,
    /// Besides: what prepares nothing.
    pub aside: usize,
}

impl Counts {
    /// Counts.
    pub fn of(items: &[Item]) -> Self {
        let mut counts = Self::default();
        for item in items {
            let one = match item.verdict {
                Verdict::Now(_) => &mut counts.now,
                Verdict::Stays { .. } => &mut counts.stay,
                Verdict::Never(_) => &mut counts.never,
                Verdict::Unclear(_) => &mut counts.unclear,
                Verdict::Aside(_) => &mut counts.aside,
            };
            *one += 1;
        }
        counts.found = counts.now + counts.stay + counts.never + counts.unclear;
        counts
    }
}
