//! The engine here, its hand in the machine: steps are tried on a real kernel without the command line around them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use virt_tailor::prep::engine::{Applied, Engine, EngineError, Progress, Undone, Unguarded};
use virt_tailor::prep::hand::{Hand, HandError, Hands};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::{Action, Owner, Step, StepState, Trouble};

use crate::vm::{Job, Vm};

/// An engine whose hand is one `virt-tailor node hand` in a machine.
#[derive(Debug)]
pub(crate) struct Remote<'vm> {
    /// None only while another one is opened.
    engine: Option<Engine<RemoteHands<'vm>, Unguarded>>,
    line: Arc<Line<'vm>>,
    state: TempDir,
}

/// The one process, and how many answers it has given.
#[derive(Debug)]
struct Line<'vm> {
    vm: &'vm Vm,
    hand: Job<'vm>,
    fifo: String,
    answered: Mutex<usize>,
    /// So many places before the engine dies; those that are passed are told.
    dies_at: Mutex<Option<usize>>,
    passed: Mutex<Vec<String>>,
}

#[derive(Debug)]
pub(crate) struct RemoteHands<'vm>(Arc<Line<'vm>>);

#[derive(Debug)]
pub(crate) struct RemoteHand<'vm>(Arc<Line<'vm>>);

/// What an engine dies of here; nothing of its own runs after that but destructors, as after `kill -9`.
#[derive(Debug)]
struct Crash;

impl<'vm> Remote<'vm> {
    pub(crate) fn new(vm: &'vm Vm) -> Self {
        let state = tempfile::tempdir().unwrap();
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let fifo = format!("/run/hand.{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        vm.run(&format!("mkfifo {fifo}")).ok();
        // Open for writing too, so that it never sees an end.
        let hand = vm.spawn(&format!("exec 3<>{fifo}; exec virt-tailor node hand <&3"));
        let (answered, dies_at, passed) = (Mutex::default(), Mutex::default(), Mutex::default());
        let line = Arc::new(Line { vm, hand, fifo, answered, dies_at, passed });
        let mut remote = Self { engine: None, line, state };
        remote.open();
        remote
    }

    /// Opens the journal anew, as whoever comes after a crash does.
    fn open(&mut self) {
        let boot = "11111111-2222-3333-4444-555555555555";
        drop(self.engine.take());
        let hands = RemoteHands(Arc::clone(&self.line));
        self.engine = Some(Engine::open(&self.state.path().join("journal"), boot, hands, Unguarded).unwrap().0);
    }

    fn engine(&self) -> &Engine<RemoteHands<'vm>, Unguarded> {
        self.engine.as_ref().expect("an engine")
    }

    /// Lets the engine die at a place: before or after an action, counted from 0. False if it got through before.
    pub(crate) fn dies_at(&mut self, place: usize, what: impl FnOnce(&Self)) -> bool {
        *self.line.dies_at.lock().unwrap() = Some(place);
        let outcome = catch_unwind(AssertUnwindSafe(|| what(self)));
        *self.line.dies_at.lock().unwrap() = None;
        match outcome {
            Ok(()) => false,
            Err(panic) if panic.is::<Crash>() => {
                self.open();
                true
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// The places that are passed, each with the kind of step.
    pub(crate) fn places(&self, what: impl FnOnce(&Self)) -> Vec<String> {
        self.line.passed.lock().unwrap().clear();
        what(self);
        self.line.passed.lock().unwrap().clone()
    }

    /// As after a crash, with nobody who uses anything.
    pub(crate) fn recover(&self) {
        self.engine().recover(&|_| Ok(false), &mut |_| ()).unwrap();
        assert!(self.engine().ledger().is_empty());
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
        let applied = self.engine().apply(&request, &mut |progress| {
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
        self.engine().undo(&owner.parse().unwrap(), &mut |_| ())
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

impl Line<'_> {
    /// One order to the process, and its answer.
    fn ask(&self, order: &Value) -> Value {
        let mut answered = self.answered.lock().unwrap();
        self.vm.put("order", format!("{order}\n").as_bytes());
        self.vm.run(&format!("cat /vt/order >{}", self.fifo)).ok();
        let begin = Instant::now();
        loop {
            let said = self.hand.so_far().stdout;
            // A line that has no end yet is not all of the answer.
            if let Some(line) = said.split_inclusive('\n').nth(*answered).filter(|line| line.ends_with('\n')) {
                *answered += 1;
                return serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
            }
            assert_eq!(self.hand.finished(), None, "{order}");
            assert!(begin.elapsed() < Duration::from_secs(300), "no answer to {order}\n{}", self.vm.console());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A place where the engine may die.
    fn pass(&self, place: String) {
        self.passed.lock().unwrap().push(place);
        let mut dies_at = self.dies_at.lock().unwrap();
        match dies_at.as_mut() {
            Some(0) => {
                drop(dies_at);
                // Without a word: it is what was asked for.
                resume_unwind(Box::new(Crash));
            }
            Some(left) => *left -= 1,
            None => {}
        }
    }
}

impl<'vm> Hands for RemoteHands<'vm> {
    type Hand = RemoteHand<'vm>;

    fn hire(&self) -> Result<RemoteHand<'vm>, Trouble> {
        Ok(RemoteHand(Arc::clone(&self.0)))
    }
}

impl Hand for RemoteHand<'_> {
    fn observe(&mut self, step: &Step) -> Result<StepState, HandError> {
        let answer = self.0.ask(&json!({ "observe": step }));
        match answer.get("state") {
            Some(state) => Ok(serde_json::from_value(state.clone()).unwrap()),
            None => Err(refusal(&answer)),
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), HandError> {
        self.0.pass(format!("before {action}"));
        let answer = self.0.ask(&json!({ "act": action }));
        if answer != "done" {
            return Err(refusal(&answer));
        }
        self.0.pass(format!("after {action}"));
        Ok(())
    }
}

fn refusal(answer: &Value) -> HandError {
    let trouble: Trouble = serde_json::from_value(answer["refused"].clone()).unwrap_or_else(|_| panic!("{answer}"));
    trouble.into()
}
