//! What other owners have that a request wants. Pure.

use crate::prep::journal::{HoldingPhase, Ledger, RecordPhase, Request};
use crate::prep::kind::Sharing;

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
    reasons.sort();
    reasons.dedup();
    reasons
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
