//! The engine here, its hand in the machine: steps are tried on a real kernel without the command line around them.

use serde_json::{Value, json};
use tempfile::TempDir;
use virt_tailor::prep::engine::{Applied, Engine, EngineError, Progress, Undone, Unguarded};
use virt_tailor::prep::hand::{Hand, HandError, Hands};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::{Action, Owner, Step, StepState, Trouble};

use crate::vm::Vm;

/// An engine whose hands are `virt-tailor node hand` in a machine, one process for each order.
#[derive(Debug)]
pub(crate) struct Remote<'vm> {
    engine: Engine<RemoteHands<'vm>, Unguarded>,
    _state: TempDir,
}

#[derive(Debug)]
pub(crate) struct RemoteHands<'vm>(&'vm Vm);

#[derive(Debug)]
pub(crate) struct RemoteHand<'vm>(&'vm Vm);

impl<'vm> Remote<'vm> {
    pub(crate) fn new(vm: &'vm Vm) -> Self {
        let state = tempfile::tempdir().unwrap();
        let boot = "11111111-2222-3333-4444-555555555555";
        let (engine, _) = Engine::open(&state.path().join("journal"), boot, RemoteHands(vm), Unguarded).unwrap();
        Self { engine, _state: state }
    }

    /// Makes steps for an owner, who keeps them under that name.
    pub(crate) fn apply(&self, owner: &str, steps: Value) -> Result<Applied, EngineError> {
        self.apply_told(owner, steps).0
    }

    /// The same, with the actions that were carried out, one line each.
    pub(crate) fn apply_told(&self, owner: &str, steps: Value) -> (Result<Applied, EngineError>, Vec<String>) {
        let steps: Vec<Step> = serde_json::from_value(steps).expect("steps");
        let owner: Owner = owner.parse().unwrap();
        let (devices, unit, domain) = (Vec::new(), Vec::new(), Vec::new());
        let request = Request { owner, purpose: "a test".to_owned(), devices, unit, domain, steps };
        let mut actions = Vec::new();
        let applied = self.engine.apply(&request, &mut |progress| {
            if let Progress::Action(action) = progress {
                actions.push(action.to_string());
            }
        });
        (applied, actions)
    }

    /// Undoes all that an owner has. That something is left is an error.
    #[track_caller]
    pub(crate) fn undo(&self, owner: &str) -> Undone {
        self.try_undo(owner).unwrap_or_else(|why| panic!("{owner}: {why}"))
    }

    /// The same, with what is left.
    pub(crate) fn try_undo(&self, owner: &str) -> Result<Undone, EngineError> {
        self.engine.undo(&owner.parse().unwrap(), &mut |_| ())
    }
}

/// Today's state, as JSON; or the refusal's message.
pub(crate) fn observe(vm: &Vm, step: &Value) -> Result<Value, String> {
    let answer = ask(vm, &json!({ "observe": step }));
    match answer.get("state") {
        Some(state) => Ok(state["state"].clone()),
        None => Err(answer["refused"]["message"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()),
    }
}

/// One order and its answer.
#[track_caller]
fn ask(vm: &Vm, order: &Value) -> Value {
    let name = format!("order-{:016x}", std::ptr::from_ref(order).addr());
    vm.put(&name, format!("{order}\n").as_bytes());
    let output = vm.run_within(180, &format!("virt-tailor node hand </vt/{name}")).ok();
    serde_json::from_str(&output).unwrap_or_else(|why| panic!("{why}: {output}"))
}

impl<'vm> Hands for RemoteHands<'vm> {
    type Hand = RemoteHand<'vm>;

    fn hire(&self) -> Result<RemoteHand<'vm>, Trouble> {
        Ok(RemoteHand(self.0))
    }
}

impl Hand for RemoteHand<'_> {
    fn observe(&mut self, step: &Step) -> Result<StepState, HandError> {
        let answer = ask(self.0, &json!({ "observe": step }));
        match answer.get("state") {
            Some(state) => Ok(serde_json::from_value(state.clone()).unwrap()),
            None => Err(refusal(&answer)),
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), HandError> {
        let answer = ask(self.0, &json!({ "act": action }));
        if answer == "done" { Ok(()) } else { Err(refusal(&answer)) }
    }
}

fn refusal(answer: &Value) -> HandError {
    let trouble: Trouble = serde_json::from_value(answer["refused"].clone()).unwrap_or_else(|_| panic!("{answer}"));
    trouble.into()
}
