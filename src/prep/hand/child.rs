//! The hand's own side: reads orders until there are no more.

use std::io::{self, BufRead, Write};

use super::protocol::{Answer, Order};
use crate::host::Root;
use crate::prep::effects::{Effects, perform};
use crate::prep::trouble::Trouble;

/// Carries out orders from `orders`, answers on `answers`, and returns when there are no more: when whoever gives them is gone, nothing
/// is done that nobody wrote down.
///
/// # Errors
///
/// The pipe, or an order that is none.
pub fn serve(root: &Root, effects: &mut dyn Effects, orders: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for line in orders.lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let answer = match order {
            Order::Observe(step) => step.observe(root).map(Answer::State),
            Order::Act(action) => perform(&action, root, effects).map(|()| Answer::Done),
        };
        let answer = answer.unwrap_or_else(|trouble: Trouble| Answer::Refused(trouble));
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}
