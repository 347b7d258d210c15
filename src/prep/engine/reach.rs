//! From what is to what should be: observe, move, read back.

use super::fault;
use super::progress::Progress;
use crate::prep::hand::{Hand, HandError};
use crate::prep::kind::Reached;
use crate::prep::step::{Step, StepState};
use crate::prep::trouble::Trouble;

/// No kind of step tries as often; a bound on what a mistake in one could do.
const ATTEMPTS: u32 = 16;

/// How a goal was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Whether anything was done at all.
    pub(super) changed: bool,
    /// What is not quite as it should be, and why that is all right.
    pub(super) note: Option<String>,
}

/// Moves until the goal is reached or the step knows no further way.
pub(super) fn reach(
    hand: &mut impl Hand,
    step: &Step,
    goal: &StepState,
    mut now: StepState,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Arrival, HandError> {
    let mut changed = false;
    let mut refused: Option<Trouble> = None;
    for attempt in 0..ATTEMPTS {
        let verdict = step.reached(goal, &now);
        if verdict == Reached::Yes {
            return Ok(Arrival { changed, note: None });
        }
        let moves = step.moves(&now, goal, attempt)?;
        if moves.is_empty() {
            return match verdict {
                Reached::Yes => Ok(Arrival { changed, note: None }),
                Reached::Enough(note) => Ok(Arrival { changed, note: Some(note) }),
                Reached::No(why) => Err(short_of(why, refused).into()),
            };
        }
        for action in &moves {
            tell(Progress::Action(action));
            fault::point("before an action");
            match hand.act(action) {
                Ok(()) => (),
                // What follows builds on it. What is there now decides how it goes on.
                Err(HandError::Refused(trouble)) => {
                    refused = Some(trouble);
                    break;
                }
                Err(error) => return Err(error),
            }
            fault::point("after an action");
            changed = true;
        }
        now = hand.observe(step)?;
    }
    Err(Trouble::new(format!("{}: no end after {ATTEMPTS} attempts", step.describe())).into())
}

/// Where it ended, and what the node said to the last thing that was tried.
fn short_of(why: String, refused: Option<Trouble>) -> Trouble {
    match refused {
        Some(trouble) => Trouble { message: format!("{}; {why}", trouble.message), errno: trouble.errno },
        None => Trouble::new(why),
    }
}
