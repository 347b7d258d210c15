//! `kill -9` before and after every action, while making and while undoing, then recovery by who is alive.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tempfile::TempDir;
use virt_tailor::prep::engine::{Engine, Unguarded};

use crate::hand::{Crash, ModelHands};
use crate::model::Model;
use crate::{BOOT, GPU, gpu, owner, quiet};

/// Runs until the engine dies at a place; `false` if it got through.
fn dies(state: &TempDir, hands: ModelHands, undo: bool) -> bool {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (engine, _) = Engine::open(state.path(), BOOT, hands, Unguarded).unwrap();
        if undo {
            engine.undo(&owner("vm"), &mut quiet).map(drop)
        } else {
            engine.apply(&gpu("vm"), &mut quiet).map(drop)
        }
        .unwrap();
    }));
    match outcome {
        Ok(()) => false,
        Err(panic) => {
            assert!(panic.is::<Crash>(), "a panic that is no crash of ours");
            true
        }
    }
}

#[test]
fn at_every_action_of_a_plan() {
    for alive in [false, true] {
        let mut places = 0;
        loop {
            let (model, state) = (Model::new(), crate::state());
            let before = model.picture();
            if !dies(&state, ModelHands::dying_at(&model, places), false) {
                break;
            }
            let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), Unguarded).unwrap();
            let recovered = engine.recover(&|_| Ok(alive), &mut quiet).unwrap();
            assert_eq!(recovered.len(), 1);
            if alive {
                assert_eq!(model.driver(GPU).as_deref(), Some("vfio-pci"), "place {places}");
                engine.undo(&owner("vm"), &mut quiet).unwrap();
            }
            assert_eq!(model.picture(), before, "place {places}, alive: {alive}");
            assert!(engine.ledger().is_empty());
            places += 1;
        }
        // 4 switches, 2 × (override, unbind, probe, wait): 12 actions.
        assert_eq!(places, 24);
    }
}

#[test]
fn at_every_action_of_an_undo_and_of_the_recovery_after_it() {
    let mut first = 0;
    loop {
        let mut second = 0;
        let mut died = false;
        loop {
            let (model, state) = (Model::new(), crate::state());
            let before = model.picture();
            assert!(!dies(&state, model.hands(), false));
            if !dies(&state, ModelHands::dying_at(&model, first), true) {
                break;
            }
            died = true;
            let again = dies(&state, ModelHands::dying_at(&model, second), true);
            let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), Unguarded).unwrap();
            engine.recover(&|_| Ok(true), &mut quiet).unwrap();
            assert_eq!(model.picture(), before, "places {first}, {second}");
            assert!(engine.ledger().is_empty());
            if !again {
                break;
            }
            second += 1;
        }
        if !died {
            break;
        }
        first += 1;
    }
    assert_eq!(first, 20, "2 × (override, unbind, probe) and 4 switches");
}

#[test]
fn another_boot_begins_anew() {
    let (model, state) = (Model::new(), crate::state());
    assert!(dies(&state, ModelHands::dying_at(&model, 9), false));
    let writes = model.writes();
    let (engine, opened) = Engine::open(state.path(), "another", model.hands(), Unguarded).unwrap();
    assert_eq!(opened.earlier.unwrap().holdings.len(), 1);
    assert!(engine.ledger().is_empty());
    assert_eq!(engine.recover(&|_| Ok(true), &mut quiet).unwrap().len(), 0);
    assert_eq!(model.writes(), writes);
}
