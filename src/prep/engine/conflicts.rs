//! What other owners have that a request wants. Pure.

use std::collections::BTreeSet;

use crate::prep::journal::{HoldingPhase, Ledger, Record, RecordPhase, Request};
use crate::prep::kind::Sharing;
use crate::prep::owner::Owner;
use crate::prep::step::{Step, StepState};

/// Reasons why a request cannot be met beside what is held already, a line each; none if it can.
pub(super) fn conflicts(ledger: &Ledger, request: &Request) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(holding) = ledger.holdings.get(&request.owner) {
        match &holding.phase {
            HoldingPhase::Releasing => reasons.push(format!("{} is still being given back", request.owner)),
            HoldingPhase::Failed { why } => {
                reasons.push(format!("{} failed before and is not undone yet: {why}", request.owner));
            }
            _ if holding.request != *request => {
                reasons.push(format!(
                    "{} already has something else ({}): undo that first",
                    request.owner, holding.request.purpose
                ));
            }
            _ => (),
        }
    }
    quarantined(ledger, request, &mut reasons);
    let others = || ledger.holdings.iter().filter(|(owner, _)| **owner != request.owner);
    for key in &request.unit {
        if let Some((owner, _)) = others().find(|(_, holding)| holding.request.unit.contains(key)) {
            reasons.push(format!("{key} belongs to {owner}"));
        }
    }
    for step in &request.steps {
        let effect = step.effect();
        let overlapping = ledger.records.values().filter(|record| record.step.effect().overlaps(&effect));
        for record in overlapping {
            if let Some(owner) = record.owners.iter().find(|owner| **owner != request.owner) {
                reasons.push(format!("{} belong in part to {owner}: {}", effect.key, record.step.describe()));
            }
        }
        let Some((_, record)) = ledger.of_effect(&effect) else { continue };
        let foreign = record.owners.iter().find(|owner| **owner != request.owner);
        match (effect.sharing, foreign) {
            (Sharing::Additive, _) | (_, None) => (),
            (Sharing::Exclusive, Some(owner)) => reasons.push(format!("{} belongs to {owner}", effect.key)),
            (Sharing::Shared, Some(owner)) if record.step != *step => reasons.push(format!(
                "{} is wanted differently by {owner}: {}, and not {}",
                effect.key,
                record.step.describe(),
                step.describe()
            )),
            (Sharing::Shared, Some(owner)) => {
                if let RecordPhase::Stuck { why } = &record.phase {
                    reasons.push(format!("{} of {owner} could not be undone: {why}", effect.key));
                }
            }
        }
    }
    taken_from_under(ledger, request, &mut reasons);
    reasons.sort();
    reasons.dedup();
    reasons
}

/// A function changes hands only if nobody else has anything done on it, nor is anything done on one that somebody else has: virtual
/// functions and mediated devices go when their physical function goes, whoever has them.
fn taken_from_under(ledger: &Ledger, request: &Request, reasons: &mut Vec<String>) {
    let foreign = |record: &&Record| record.owners.iter().any(|owner| *owner != request.owner);
    // To be kept awake does not bind a function to anybody.
    let counts = |step: &Step| !matches!(step, Step::PinPower(_));
    for record in ledger.records.values().filter(foreign).filter(|record| counts(&record.step)) {
        for step in request.steps.iter().filter(|step| counts(step) && !step.is_check()) {
            let (theirs, ours) = (record.step.effect(), step.effect());
            let meet = theirs.device.is_some() && theirs.device == ours.device && theirs.key != ours.key;
            let moves = matches!(record.step, Step::Bind(_)) || matches!(step, Step::Bind(_));
            if meet
                && moves
                && let Some(owner) = record.owners.iter().find(|owner| **owner != request.owner)
            {
                reasons.push(format!(
                    "{} stands against what {owner} has: {}",
                    step.describe(),
                    record.step.describe()
                ));
            }
        }
    }
}

/// What others have that making a step would take along, a line each.
pub(super) fn along(ledger: &Ledger, owner: &Owner, step: &Step, now: &StepState, wanted: &StepState) -> Vec<String> {
    let along = step.along(now, wanted);
    let records = ledger.records.values().filter(|record| along.contains(&record.step.effect().key));
    let theirs = records.filter_map(|record| Some((record, record.owners.iter().find(|other| *other != owner)?)));
    theirs
        .map(|(record, other)| {
            format!("{} stands against what {other} has: {}", step.describe(), record.step.describe())
        })
        .collect()
}

/// The keys of all effects that others than an owner have.
pub(super) fn held_by_others(ledger: &Ledger, owner: &Owner) -> BTreeSet<String> {
    let theirs = ledger.records.values().filter(|record| record.owners.iter().any(|other| other != owner));
    theirs.map(|record| record.step.effect().key).collect()
}

/// What hangs.
fn quarantined(ledger: &Ledger, request: &Request, reasons: &mut Vec<String>) {
    let locks = request.steps.iter().map(|step| step.effect().lock());
    let keys: Vec<String> = request.domain.iter().cloned().chain(locks).collect();
    if let Some(quarantine) = ledger.quarantine_of(&keys) {
        reasons.push(format!(
            "process {} still hangs in the kernel: {} (for {}); what it touches is left alone until it is gone",
            quarantine.process, quarantine.what, quarantine.owner
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::journal::RecordId;
    use crate::prep::steps::{Bind, CheckDisks, DisksState, PinPower};

    const PF: &str = "0000:3b:00.0";

    /// Something that is about a function and is not its driver.
    fn about(function: &str) -> Step {
        Step::CheckDisks(CheckDisks { address: function.parse().unwrap(), may_hold_data: false })
    }

    fn bind(function: &str) -> Step {
        Step::Bind(Bind { address: function.parse().unwrap(), driver: "vfio-pci".to_owned() })
    }

    fn ledger(owners: &[&str], step: Step) -> Ledger {
        let nothing = StepState::CheckDisks(DisksState(Vec::new()));
        let record = Record {
            step,
            original: nothing.clone(),
            wanted: nothing,
            owners: owners.iter().map(|owner| owner.parse().unwrap()).collect(),
            phase: RecordPhase::Done,
            goal: None,
            unfinished: false,
        };
        let mut ledger = Ledger::default();
        ledger.records.insert(RecordId(0), record);
        ledger
    }

    fn reasons(ledger: &Ledger, step: Step) -> Vec<String> {
        let request = Request {
            owner: "b".parse().unwrap(),
            purpose: "example.com/nic".to_owned(),
            devices: Vec::new(),
            unit: Vec::new(),
            domain: Vec::new(),
            steps: vec![step],
        };
        conflicts(ledger, &request)
    }

    #[test]
    fn nothing_is_taken_from_under_another_owner() {
        assert_eq!(
            reasons(&ledger(&["a"], about(PF)), bind(PF)),
            [
                "bind 0000:3b:00.0 to vfio-pci stands against what a has: see that the disks of 0000:3b:00.0 are idle and empty"
            ]
        );
        assert_eq!(reasons(&ledger(&["b"], about(PF)), bind(PF)), [""; 0], "it is one's own");
        assert_eq!(reasons(&ledger(&["a", "b"], about(PF)), bind(PF)).len(), 1, "it is not only one's own");
        assert_eq!(reasons(&ledger(&["a"], about("0000:3b:00.1")), bind(PF)), [""; 0], "it is about another function");
    }

    #[test]
    fn to_be_kept_awake_is_in_nobodys_way() {
        let pin = Step::PinPower(PinPower { address: PF.parse().unwrap() });
        assert_eq!(reasons(&ledger(&["a"], pin), bind(PF)), [""; 0]);
    }
}
