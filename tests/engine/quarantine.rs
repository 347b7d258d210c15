//! A write that never returns.

use std::panic::{AssertUnwindSafe, catch_unwind};

use virt_tailor::prep::engine::{Engine, EngineError, How, PlannedStep, Recovered, Unguarded};

use crate::hand::ModelHands;
use crate::model::{Fault, Model};
use crate::{AUDIO, BOOT, GPU, NIC, bind, gpu, owner, quiet, reasons, request};

#[test]
fn what_hangs_is_left_alone_until_it_is_gone() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let hands = model.hands();
    let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
    model.fault(&format!("sys/bus/pci/devices/{GPU}/driver/unbind"), Fault::Hang);
    let error = engine.apply(&gpu("vm"), &mut quiet).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("driver/unbind has not returned within 10 s: process "), "{text}");
    assert!(matches!(&error, EngineError::Failed { left, .. } if left.len() == 3), "{text}");

    // Nobody touches it, or what belongs to it.
    let writes = model.writes();
    let refusal = reasons(engine.apply(&gpu("other"), &mut quiet).unwrap_err());
    assert!(refusal.iter().any(|reason| reason.contains("still hangs in the kernel: write")), "{refusal:?}");
    let audio = request("other", "x", &[AUDIO], vec![bind(AUDIO)]);
    assert!(engine.apply(&audio, &mut quiet).is_err());
    engine.undo(&owner("vm"), &mut quiet).unwrap_err();
    // Not even to look: reading a file of the device would hang behind it.
    let plan = engine.plan(&gpu("vm")).unwrap();
    let hangs =
        |step: &&PlannedStep| matches!(&step.how, How::Unknown { why } if why.contains(" still hangs in the kernel: "));
    assert!(plan.steps.iter().find(hangs).is_some_and(|step| step.now.is_none()), "{plan:#?}");
    assert_eq!(model.writes(), writes);
    // Others go on, and a new process knows.
    engine.apply(&request("nic", "IOMMU group 2", &[NIC], vec![bind(NIC)]), &mut quiet).unwrap();
    engine.undo(&owner("nic"), &mut quiet).unwrap();
    drop(engine);
    let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
    assert_eq!(engine.ledger().quarantines.len(), 1);
    assert!(engine.apply(&gpu("other"), &mut quiet).is_err());

    // It is gone: what was left is undone.
    model.mend();
    hands.let_go();
    let recovered = engine.recover(&|_| Ok(false), &mut quiet).unwrap();
    assert!(matches!(recovered.as_slice(), [Recovered::Freed { .. }, Recovered::Undone { .. }]), "{recovered:?}");
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}

#[test]
fn a_hang_while_undoing_leaves_only_that_device() {
    let (model, state) = (Model::new(), crate::state());
    let hands = model.hands();
    let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
    let before = model.picture();
    // Two units in one request: what hangs in one does not keep the other.
    let both = request("vm", "units", &[], vec![bind(NIC), bind(GPU)]);
    engine.apply(&both, &mut quiet).unwrap();
    model.fault(&format!("sys/bus/pci/devices/{GPU}/driver/unbind"), Fault::Hang);
    let error = engine.undo(&owner("vm"), &mut quiet).unwrap_err();
    assert!(matches!(&error, EngineError::NotUndone { left, .. } if left.len() == 1), "{error}");
    assert_eq!(model.driver(NIC).as_deref(), Some("igb"));
    model.mend();
    hands.let_go();
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert_eq!(model.picture(), before);
}

#[test]
fn who_outlives_a_killed_engine_is_waited_for() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    // The first thing done to the GPU's driver, after four switches of power: its hand goes on when the engine is killed.
    let hands = ModelHands::dying_at(&model, 8).that_outlive();
    let killed = catch_unwind(AssertUnwindSafe(|| {
        let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
        engine.apply(&gpu("vm"), &mut quiet).map(drop)
    }));
    assert!(killed.is_err());
    let writes = model.writes();

    let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), Unguarded).unwrap();
    let ledger = engine.ledger();
    let [quarantine] = ledger.quarantines.as_slice() else { panic!("{ledger:#?}") };
    assert!(quarantine.domain.contains(&format!("function {GPU}")), "{quarantine:?}");
    let recovered = engine.recover(&|_| Ok(false), &mut quiet).unwrap();
    assert!(matches!(recovered.as_slice(), [Recovered::Open { .. }]), "{recovered:?}");
    let refusal = reasons(engine.apply(&gpu("other"), &mut quiet).unwrap_err());
    assert!(refusal.iter().any(|reason| reason.contains("which was killed, had told it")), "{refusal:?}");
    assert_eq!(model.writes(), writes);
    // Another engine finds it written down already, and writes nothing of its own.
    drop(engine);
    let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), Unguarded).unwrap();
    assert_eq!(engine.ledger().quarantines.len(), 1);

    hands.let_go();
    let recovered = engine.recover(&|_| Ok(false), &mut quiet).unwrap();
    assert!(matches!(recovered.as_slice(), [Recovered::Freed { .. }, Recovered::Undone { .. }]), "{recovered:?}");
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}

/// Whoever carries a plan out is killed in the middle of it: another one puts back what was done, and goes on with the rest.
#[test]
fn one_that_is_killed_is_replaced() {
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let engine = crate::engine(&model, state.path());
    let unbind = format!("sys/bus/pci/devices/{GPU}/driver/unbind");
    model.fault(&unbind, Fault::Kill(1));
    let error = engine.apply(&gpu("vm"), &mut quiet).unwrap_err();
    assert!(error.to_string().contains("is gone: it closed its pipe"), "{error}");
    assert!(matches!(&error, EngineError::Failed { left, .. } if left.is_empty()), "{error}");
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().quarantines.is_empty(), "nobody hangs");

    engine.undo(&owner("vm"), &mut quiet).unwrap();
    engine.apply(&gpu("vm"), &mut quiet).unwrap();
    model.fault(&unbind, Fault::Kill(1));
    let error = engine.undo(&owner("vm"), &mut quiet).unwrap_err();
    assert!(matches!(&error, EngineError::NotUndone { left, .. } if left.len() == 1), "{error}");
    assert_ne!(model.driver(AUDIO).as_deref(), Some("vfio-pci"), "the rest went on");
    engine.undo(&owner("vm"), &mut quiet).unwrap();
    assert_eq!(model.picture(), before);
}
