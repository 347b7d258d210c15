//! Hands that outlive the process they worked for: a `kill -9` of this program does not end a write that the kernel is in.

use std::thread;
use std::time::{Duration, Instant};

use super::Engine;
use super::guard::Guard;
use crate::host::Root;
use crate::prep::hand::{Hand, Hands, ProcessId};
use crate::prep::journal::{Event, Holding, JournalError, Ledger, RecordPhase};
use crate::prep::owner::Owner;
use crate::prep::trouble::Trouble;

/// How long one may go on that has lost whom it worked for. Its orders have ended, so it has at most one thing left to do.
const END_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl<H: Hands, G: Guard> Engine<H, G> {
    /// Somebody to carry out an owner's plan who is known to those that come after us.
    pub(super) fn hire(&self, owner: &Owner) -> Result<Result<H::Hand, Trouble>, JournalError> {
        let hand = match self.hands.hire() {
            Ok(hand) => hand,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.written_down(owner, &hand)?;
        Ok(Ok(hand))
    }

    /// Writes down who carries out an owner's plan, once there is one.
    pub(super) fn written_down(&self, owner: &Owner, hand: &H::Hand) -> Result<(), JournalError> {
        let begun = self.journal().ledger().holdings.contains_key(owner);
        match hand.process().filter(|_| begun) {
            Some(process) => self.note(Event::Hired { owner: owner.clone(), process }),
            None => Ok(()),
        }
    }

    /// Waits for those who worked for a process that is gone. What one is still at then is left alone until it ends.
    pub(super) fn leave_orphans_alone(&self) -> Result<(), JournalError> {
        let here = Root::new("/");
        let mut orphans: Vec<(ProcessId, Event)> = {
            let journal = self.journal();
            let ledger = journal.ledger();
            let known = |process| ledger.quarantines.iter().any(|quarantine| quarantine.process == process);
            let holdings = ledger.holdings.values().filter_map(|holding| Some((holding.hand?, holding)));
            holdings
                .filter(|(process, _)| !known(*process))
                .map(|(process, holding)| (process, at(ledger, holding, process)))
                .collect()
        };
        let end = Instant::now() + END_WITHIN;
        loop {
            orphans.retain(|(process, _)| process.is_alive(&here));
            if orphans.is_empty() || Instant::now() >= end {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        for (_, event) in orphans {
            self.append(event)?;
        }
        Ok(())
    }
}

/// What a hand can be at: the lock domain of its plan, and the step that is neither done nor undone. Others, a service to be started again
/// above all, do not wait for it.
fn at(ledger: &Ledger, holding: &Holding, process: ProcessId) -> Event {
    let records = holding.records.iter().filter_map(|id| ledger.records.get(id));
    let halves = records.filter(|record| matches!(record.phase, RecordPhase::Intended | RecordPhase::Undoing));
    let locks = halves.map(|record| record.step.effect().lock());
    Event::Quarantined {
        domain: holding.request.domain.iter().cloned().chain(locks).collect(),
        process,
        what: "what an earlier virt-tailor, which was killed, had told it".to_owned(),
        owner: holding.request.owner.clone(),
    }
}
