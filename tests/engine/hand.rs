//! A hand that works on the model, in this process: it can hang, and die at any action.

use std::panic::resume_unwind;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use virt_tailor::host::Root;
use virt_tailor::prep::hand::{Hand, HandError, Hands, ProcessId};
use virt_tailor::prep::{Action, Step, StepState, Trouble, perform};

use crate::model::Model;

/// What a crash of the engine unwinds with.
pub(crate) struct Crash;

#[derive(Debug, Clone)]
pub(crate) struct ModelHands {
    model: Model,
    /// The engine dies before the action of this number (even numbers: 0, 2, …) or after it (1, 3, …).
    pub(crate) dies_at: Arc<Mutex<Option<u64>>>,
    passed: Arc<Mutex<u64>>,
    hanging: Arc<Mutex<Option<Hanging>>>,
    /// Whether hands are that process from the beginning, and outlive the engine.
    outlives: bool,
}

impl ModelHands {
    pub(crate) fn new(model: Model) -> Self {
        Self { model, dies_at: Arc::default(), passed: Arc::default(), hanging: Arc::default(), outlives: false }
    }

    /// Dies at a place, counted from 0.
    pub(crate) fn dying_at(model: &Model, place: u64) -> Self {
        Self { dies_at: Arc::new(Mutex::new(Some(place))), ..Self::new(model.clone()) }
    }

    /// They outlive the engine.
    pub(crate) fn that_outlive(self) -> Self {
        Self { outlives: true, ..self }
    }

    /// Whoever hung is gone.
    pub(crate) fn let_go(&self) {
        self.hanging.lock().unwrap().take();
    }

    fn place(&self) {
        let mut passed = self.passed.lock().unwrap();
        let here = *passed;
        *passed += 1;
        drop(passed);
        if *self.dies_at.lock().unwrap() == Some(here) {
            resume_unwind(Box::new(Crash));
        }
    }

    fn hang(&self, what: String) -> HandError {
        let mut hanging = self.hanging.lock().unwrap();
        let process = hanging.get_or_insert_with(Hanging::new).id;
        HandError::Stuck { what, seconds: 10, process }
    }
}

/// A process that stands for the one that hangs.
#[derive(Debug)]
struct Hanging {
    child: Child,
    id: ProcessId,
}

impl Hanging {
    fn new() -> Self {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let id = ProcessId::of(&Root::new("/"), child.id()).unwrap();
        Self { child, id }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Hands for ModelHands {
    type Hand = ModelHand;

    fn hire(&self) -> Result<ModelHand, Trouble> {
        Ok(ModelHand(self.clone(), false))
    }
}

/// A hand, and whether it is dead.
pub(crate) struct ModelHand(ModelHands, bool);

impl ModelHand {
    fn gone(&self, what: &str) -> HandError {
        HandError::Gone { what: what.to_owned(), why: "it closed its pipe".to_owned() }
    }
}

impl Hand for ModelHand {
    fn observe(&mut self, step: &Step) -> Result<StepState, HandError> {
        if self.1 {
            return Err(self.gone(&step.describe()));
        }
        if let Some(device) = step.effect().device
            && self.0.model.hangs_at(&device.to_string())
            && self.0.hanging.lock().unwrap().is_some()
        {
            return Err(self.0.hang(format!("look at {device}")));
        }
        Ok(step.observe(&self.0.model.root())?)
    }

    fn act(&mut self, action: &Action) -> Result<(), HandError> {
        self.0.place();
        if let Action::Write { file, .. } = action {
            self.1 |= self.0.model.kills(file);
            if self.0.model.hangs(file) {
                return Err(self.0.hang(action.to_string()));
            }
        }
        if self.1 {
            return Err(self.gone(&action.to_string()));
        }
        // Nobody sleeps here: what the model does is done at once.
        let quick = match action {
            Action::Pause { .. } => Action::Pause { millis: 0 },
            Action::Await { path, present, .. } => Action::Await { path: path.clone(), present: *present, millis: 0 },
            other => other.clone(),
        };
        let mut effects = self.0.model.clone();
        let done = perform(&quick, &self.0.model.root(), &mut effects);
        self.0.place();
        if let Action::Write { file, .. } = action
            && self.0.model.is_late(file)
        {
            return Err(self.0.hang(action.to_string()));
        }
        Ok(done?)
    }

    fn process(&self) -> Option<ProcessId> {
        self.0.outlives.then(|| self.0.hanging.lock().unwrap().get_or_insert_with(Hanging::new).id)
    }
}
