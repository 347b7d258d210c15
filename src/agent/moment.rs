//! Points in time that a restart of this program does not move.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Root;

/// Time since boot, sleep included, in milliseconds. What somebody does to the clock on the wall (its service may be stopped by us) does
/// not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// Now, from `/proc/uptime` (proc_uptime(5): seconds of CLOCK_BOOTTIME with two decimals). A machine without is at its beginning.
    pub fn now(root: &Root) -> Self {
        let parse = |text: &str| {
            let (seconds, hundredths) = text.split_ascii_whitespace().next()?.split_once('.')?;
            Some(seconds.parse::<u64>().ok()?.checked_mul(1000)? + hundredths.parse::<u64>().ok()?.min(99) * 10)
        };
        let text = root.text("proc/uptime").ok().flatten();
        Self(text.as_deref().and_then(parse).unwrap_or_default())
    }

    /// How long ago another was; nothing if it is yet to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::testing::Tree;

    #[test]
    fn from_uptime() {
        let tree = Tree::new().file("proc/uptime", "350735.47 234388.90\n");
        assert_eq!(Moment::now(&tree.root()), Moment(350_735_470));
        assert_eq!(Moment::now(&Tree::new().root()), Moment(0));
        assert_eq!(Moment(5).since(Moment(9)), Duration::ZERO);
    }
}
