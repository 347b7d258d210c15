//! What a person reads: the course of a start on standard output, times and warnings on standard error.

use std::time::{Duration, Instant};

use similar::{ChangeTag, TextDiff};

use crate::base::PciAddress;
use crate::commands::{Failure, output, tell};
use crate::xml::{Document, Limits};

/// From here on a call is too slow for comfort.
const SLOW: Duration = Duration::from_secs(5);

/// Writes lines.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    output::write(format!("{text}\n").as_bytes(), None)
}

/// Measures one step.
#[derive(Debug)]
pub(super) struct Step {
    name: String,
    begin: Instant,
}

impl Step {
    pub(super) fn begin(name: impl Into<String>) -> Self {
        Self { name: name.into(), begin: Instant::now() }
    }

    fn told(&self) -> Duration {
        let taken = self.begin.elapsed();
        tell(format_args!("time: {}: {:.1} ms", self.name, taken.as_secs_f64() * 1000.0));
        taken
    }

    /// Says how long it took, before or after what virt-handler waits for.
    pub(super) fn end_unjudged(self) {
        self.told();
    }

    /// Says how long it took, and whether that is too long for virt-handler.
    pub(super) fn end(self) {
        let taken = self.told();
        if taken > SLOW {
            tell(format_args!(
                "warning: {} takes {:.1} s; virt-handler gives a whole start 20 s, so no step should take more than {} s",
                self.name,
                taken.as_secs_f64(),
                SLOW.as_secs()
            ));
        }
    }
}

/// What an answer changed: how many lines, and which.
pub(super) fn changes(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let diff = TextDiff::from_lines(before.as_ref(), after.as_ref());
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(ChangeTag::Insert), count(ChangeTag::Delete));
    if added + removed == 0 {
        return "nothing changes".to_owned();
    }
    let shown = diff.unified_diff().context_radius(1).to_string();
    let shown: String =
        shown.lines().filter(|line| !line.starts_with("\\ No newline")).map(|line| format!("\n    {line}")).collect();
    format!("{} added, {} removed{}", lines(added), lines(removed), shown.replace('\t', "  "))
}

fn lines(count: usize) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

/// Where the guest sees its host devices.
pub(super) fn host_devices(domain: &[u8]) -> Vec<String> {
    let Ok(document) = Document::parse(domain, &Limits::default()) else {
        return Vec::new();
    };
    let Some(devices) = document.child(document.root(), "devices") else {
        return Vec::new();
    };
    let hex = |element, name| {
        let text = document.attribute(element, name).unwrap_or_default();
        u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0)
    };
    let small = |element, name| u8::try_from(hex(element, name)).unwrap_or(0);
    document
        .children_named(devices, "hostdev")
        .filter_map(|device| {
            let address = document.child(device, "address")?;
            let at = PciAddress::new(
                hex(address, "domain"),
                small(address, "bus"),
                small(address, "slot"),
                small(address, "function"),
            )?;
            let alias = document.child(device, "alias").and_then(|alias| document.attribute(alias, "name"));
            Some(format!("{} at {at}", alias.as_deref().unwrap_or("a host device")))
        })
        .collect()
}
