//! What a request would do, without doing it.

use serde::Serialize;

use super::Engine;
use super::conflicts::{along, conflicts};
use super::error::EngineError;
use super::guard::Guard;
use crate::prep::action::Action;
use crate::prep::hand::{Hand, Hands};
use crate::prep::journal::{Ledger, Request};
use crate::prep::kind::Sharing;
use crate::prep::owner::Owner;
use crate::prep::step::{Step, StepState};
use crate::prep::trouble::Trouble;

/// Everything a request would do, in order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What was asked for.
    pub request: Request,
    /// What stands in the way; nothing would be done.
    pub refused: Vec<String>,
    /// The steps.
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// What, in words.
    pub what: String,
    /// As it is.
    pub now: Option<StepState>,
    /// As it would be.
    pub wanted: Option<StepState>,
    /// What would be done for it, in order.
    pub actions: Vec<Action>,
    /// What that would amount to.
    pub how: How,
}

/// What making a step would amount to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum How {
    /// The actions would be carried out.
    Change,
    /// It is as it should be.
    Already,
    /// The actions would be carried out once a step above has made what they are about; what that is like then is foreseen, not seen.
    Later,
    /// Others have done it, and it would stay until the last of all goes.
    Join {
        /// Who.
        owners: Vec<Owner>,
    },
    /// It cannot be told before the steps above are made, or not at all.
    Unknown {
        /// Why.
        why: String,
    },
}

impl<H: Hands, G: Guard> Engine<H, G> {
    /// What a request would do now.
    ///
    /// # Errors
    ///
    /// [`EngineError::System`]: the system cannot be read.
    pub fn plan(&self, request: &Request) -> Result<Plan, EngineError> {
        Plan::make(&self.ledger(), &self.guard, &self.hands, request)
    }
}

impl Plan {
    /// What a request would do beside what a ledger says is held. Needs no journal of its own, so it can be asked while another process
    /// works.
    ///
    /// # Errors
    ///
    /// [`EngineError::System`]: the system cannot be read.
    pub fn make(
        ledger: &Ledger,
        guard: &impl Guard,
        hands: &impl Hands,
        request: &Request,
    ) -> Result<Self, EngineError> {
        let mut refused = conflicts(ledger, request);
        if !ledger.holdings.contains_key(&request.owner) {
            refused.extend(guard.before_plan(request)?);
        }
        let mut hand = hands.hire()?;
        let steps: Vec<PlannedStep> =
            request.steps.iter().enumerate().map(|(at, step)| planned(ledger, &mut hand, request, at, step)).collect();
        // What only looks and does not like what it sees stands in the way.
        for (step, planned) in request.steps.iter().zip(&steps) {
            if let (true, How::Unknown { why }) = (step.is_check(), &planned.how) {
                refused.push(why.clone());
            }
        }
        Ok(Self { request: request.clone(), refused, steps })
    }
}

/// `at` is the step's place in the request.
fn planned(ledger: &Ledger, hand: &mut impl Hand, request: &Request, at: usize, step: &Step) -> PlannedStep {
    let unknown = |now, why: String| PlannedStep {
        what: step.describe(),
        now,
        wanted: None,
        actions: Vec::new(),
        how: How::Unknown { why },
    };
    // What hangs there would keep this look, too, and that for ever.
    if let Some(held) = ledger.quarantine_of(&[step.effect().lock()]) {
        return unknown(None, format!("process {} still hangs in the kernel: {}", held.process, held.what));
    }
    let now = match hand.observe(step) {
        Ok(now) => now,
        Err(error) => return unknown(None, error.to_string()),
    };
    let made = request.steps.iter().take(at).any(|step| matches!(step, Step::MakeVfs(_)));
    if let Some(later) = step.foreseen(&now).filter(|_| made) {
        return match step.wanted(&later).and_then(|wanted| Ok((step.moves(&later, &wanted, 0)?, wanted))) {
            Ok((actions, wanted)) => {
                PlannedStep { what: step.describe(), now: Some(now), wanted: Some(wanted), actions, how: How::Later }
            }
            Err(trouble) => unknown(Some(now), trouble.message),
        };
    }
    let effect = step.effect();
    let others = ledger
        .of_effect(&effect)
        .filter(|_| effect.sharing == Sharing::Shared)
        .map(|(_, record)| record.owners.iter().filter(|owner| **owner != request.owner).cloned().collect::<Vec<_>>())
        .filter(|owners| !owners.is_empty());
    let planned = step.wanted(&now).and_then(|wanted| match &*along(ledger, &request.owner, step, &now, &wanted) {
        [] => Ok((step.moves(&now, &wanted, 0)?, wanted)),
        reasons => Err(Trouble::new(reasons.join("; "))),
    });
    let (actions, wanted) = match planned {
        Ok(planned) => planned,
        Err(trouble) => return unknown(Some(now), trouble.message),
    };
    let how = match others {
        Some(owners) => How::Join { owners },
        None if actions.is_empty() => How::Already,
        None => How::Change,
    };
    PlannedStep { what: step.describe(), now: Some(now), wanted: Some(wanted), actions, how }
}
