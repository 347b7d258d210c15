//! What goes on: one thread for each owner, and whoever waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::prep::engine::{Guard, Progress};
use crate::prep::hand::Hands;

use super::{Agent, Desk};

/// How it ended: nothing to say, or one line.
pub(super) type Outcome = Result<(), String>;

/// In which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Something is made ready.
    Ready,
    /// Something is given back.
    Back,
}

/// One thing that goes on.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) course: Course,
    step: Mutex<Step>,
    done: watch::Sender<Option<Outcome>>,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Which step, from 1; 0 before the first.
    pub(super) number: usize,
    /// Of how many.
    pub(super) of: usize,
    /// What it is.
    pub(super) what: String,
}

impl Task {
    /// How far it is.
    pub(super) fn step(&self) -> Step {
        self.step.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the engine's progress in.
    pub(super) fn tell(&self, progress: Progress<'_>) {
        if let Progress::Step { number, of, step, undo } = progress {
            let what = format!("{}{}", if undo { "undo: " } else { "" }, step.describe());
            *self.step.lock().unwrap_or_else(PoisonError::into_inner) = Step { number, of, what };
        }
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Outcome {
        let mut done = self.done.subscribe();
        let ended = done.wait_for(Option::is_some).await;
        // The sender is this very task: it is not dropped while somebody waits.
        ended.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| Err("it ended without a word".to_owned()))
    }
}

impl<H, G> Agent<H, G>
where
    H: Hands + Send + Sync + 'static,
    G: Guard + Send + Sync + 'static,
{
    /// Begins something for an owner who has nothing under way. The thread goes on whoever stops waiting.
    pub(super) fn start(
        &self,
        desk: &mut Desk,
        owner: &str,
        course: Course,
        job: impl FnOnce(&Self, &Task) -> Outcome + Send + 'static,
    ) -> Arc<Task> {
        let task = Arc::new(Task { course, step: Mutex::default(), done: watch::Sender::new(None) });
        desk.tasks.insert(owner.to_owned(), Arc::clone(&task));
        let (agent, key, ours) = (self.clone(), owner.to_owned(), Arc::clone(&task));
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| job(&agent, &ours)));
            let outcome =
                outcome.unwrap_or_else(|_| Err("a mistake of ours, please report it: see the agent's log".to_owned()));
            agent.ended(&key, &ours, outcome);
        };
        let named = std::thread::Builder::new().name(format!("plan {owner}").chars().take(15).collect());
        if let Err(error) = named.spawn(run) {
            desk.tasks.remove(owner);
            task.done.send_replace(Some(Err(format!("no thread can be started: {error}"))));
        }
        task
    }

    fn ended(&self, key: &str, task: &Arc<Task>, outcome: Outcome) {
        let mut desk = self.desk();
        if desk.tasks.get(key).is_some_and(|other| Arc::ptr_eq(other, task)) {
            desk.tasks.remove(key);
        }
        self.publish(&mut desk);
        drop(desk);
        task.done.send_replace(Some(outcome));
        self.want_look();
    }
}
