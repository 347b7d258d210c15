//! What a person reads while something is done, and afterwards.

use std::io::{self, Write as _};

use crate::base::shown;
use crate::prep::StepState;
use crate::prep::engine::{How, Plan, Progress};
use crate::prep::journal::{HoldingPhase, Ledger, RecordPhase};

/// A line on standard error; whoever has closed it does not want it.
pub(super) fn note(text: &str) {
    crate::commands::tell(format_args!("{}", shown(text)));
}

/// Shows progress, step by step.
pub(super) fn progress(progress: Progress<'_>) {
    let line = match progress {
        Progress::Step { number, of, step, undo } => {
            format!("[{number}/{of}] {}{}", if undo { "undo: " } else { "" }, step.describe())
        }
        Progress::Action(action) => format!("      {action}"),
        Progress::Note(text) => format!("      {text}"),
    };
    let _ = writeln!(io::stderr().lock(), "{}", shown(&line));
}

/// A plan, for people.
pub(super) fn plan(plan: &Plan) -> String {
    let mut text = format!("{} for {}", plan.request.purpose, plan.request.owner);
    if !plan.request.devices.is_empty() {
        let devices: Vec<String> = plan.request.devices.iter().map(ToString::to_string).collect();
        text.push_str(&format!(": {}", devices.join(", ")));
    }
    text.push('\n');
    for (index, step) in plan.steps.iter().enumerate() {
        text.push_str(&format!("\n{}. {}", index + 1, step.what));
        text.push_str(&match &step.how {
            How::Change => String::new(),
            How::Already => " (it is so already)".to_owned(),
            How::Join { owners } => {
                let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
                format!(" (done already for {})", owners.join(", "))
            }
            How::Later => " (once the virtual functions are there)".to_owned(),
            How::Unknown { why } => format!(" (cannot be told now: {why})"),
        });
        text.push('\n');
        if let (How::Change, Some(now)) = (&step.how, &step.now) {
            text.push_str(&format!("   now: {}\n", state(now)));
        }
        for action in &step.actions {
            text.push_str(&format!("   - {action}\n"));
        }
    }
    for reason in &plan.refused {
        text.push_str(&format!("\nrefused: {}\n", shown(reason)));
    }
    text
}

/// A state in one line.
fn state(state: &StepState) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    flat(value.get("state").unwrap_or(&value))
}

/// JSON as `name value, name value`.
fn flat(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {}", flat(value))).collect();
            fields.join(", ")
        }
        serde_json::Value::Array(values) => {
            let values: Vec<String> = values.iter().map(flat).collect();
            format!("[{}]", values.join(", "))
        }
        serde_json::Value::Null => "none".to_owned(),
        serde_json::Value::String(text) => shown(text).into_owned(),
        other => other.to_string(),
    }
}

/// What is changed now, for people.
pub(super) fn ledger(ledger: &Ledger) -> String {
    if ledger.is_empty() {
        return "nothing on this node is changed\n".to_owned();
    }
    let mut text = String::new();
    for (owner, holding) in &ledger.holdings {
        let devices: Vec<String> = holding.request.devices.iter().map(ToString::to_string).collect();
        let phase = match &holding.phase {
            HoldingPhase::Preparing => "being prepared, or cut short".to_owned(),
            HoldingPhase::Ready => "ready".to_owned(),
            HoldingPhase::Failed { why } => format!("failed and not undone yet: {}", shown(why)),
            HoldingPhase::Releasing => "being given back, or cut short".to_owned(),
        };
        text.push_str(&format!("{owner}: {} {} ({phase})\n", holding.request.purpose, devices.join(", ")));
        for record in holding.records.iter().filter_map(|id| ledger.records.get(id)) {
            text.push_str(&format!("  {}", record.step.describe()));
            let others: Vec<String> =
                record.owners.iter().filter(|other| *other != owner).map(ToString::to_string).collect();
            if !others.is_empty() {
                text.push_str(&format!(" (with {})", others.join(", ")));
            }
            text.push_str(&match &record.phase {
                RecordPhase::Intended => " (begun)".to_owned(),
                RecordPhase::Done => String::new(),
                RecordPhase::Undoing => " (being undone)".to_owned(),
                RecordPhase::Stuck { why } => format!(" (could not be undone: {})", shown(why)),
            });
            text.push_str(&format!("\n    before: {}\n", state(&record.original)));
        }
    }
    for quarantine in &ledger.quarantines {
        text.push_str(&format!(
            "left alone: process {} hangs in the kernel: {} (for {})\n",
            quarantine.process,
            shown(&quarantine.what),
            quarantine.owner
        ));
    }
    text
}
