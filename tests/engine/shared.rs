//! What several owners want at once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use virt_tailor::prep::Step;
use virt_tailor::prep::engine::{Engine, How, Unguarded};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::steps::{AddHugepages, MoveIrqs};

use crate::hand::ModelHands;
use crate::model::{Fault, Model};
use crate::{BOOT, GPU, NIC, bind, engine, owner, pin, quiet, request};

#[test]
fn the_last_of_them_puts_the_node_back() {
    let orders = [["a", "b"], ["b", "a"]];
    for order in orders {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        let engine = engine(&model, state.path());
        engine.apply(&request("a", "IOMMU group 1", &[GPU], vec![pin(NIC), bind(GPU)]), &mut quiet).unwrap();
        let second = request("b", "IOMMU group 2", &[NIC], vec![pin(NIC), bind(NIC)]);
        assert_eq!(engine.plan(&second).unwrap().steps[0].how, How::Join { owners: vec![owner("a")] });
        engine.apply(&second, &mut quiet).unwrap();
        let control = format!("sys/bus/pci/devices/{NIC}/power/control");
        engine.undo(&owner(order[0]), &mut quiet).unwrap();
        assert_eq!(model.root().text(&control).unwrap().as_deref(), Some("on"));
        engine.undo(&owner(order[1]), &mut quiet).unwrap();
        assert_eq!(model.picture(), before, "{order:?}");
        assert!(engine.ledger().is_empty());
    }
}

#[test]
fn a_failure_of_one_leaves_what_the_other_has() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    engine.apply(&request("a", "IOMMU group 1", &[GPU], vec![pin(NIC), bind(GPU)]), &mut quiet).unwrap();
    model.set(NIC, None, "(null)");
    model.unplug(NIC);
    let error = engine.apply(&request("b", "IOMMU group 2", &[NIC], vec![bind(NIC)]), &mut quiet).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bind 0000:02:00.0 to vfio-pci failed: there is no PCI function 0000:02:00.0 on this node"
    );
    assert_eq!(engine.ledger().holdings.keys().collect::<Vec<_>>(), [&owner("a")]);
    assert_eq!(model.driver(GPU).as_deref(), Some("vfio-pci"));
}

#[test]
fn interrupts_are_as_they_were_whoever_goes_first() {
    let away = |cpus: &str| Step::MoveIrqs(MoveIrqs { away_from: cpus.parse().unwrap() });
    let owners = [("a", "2-3"), ("b", "4-5"), ("c", "6")];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        let engine = engine(&model, state.path());
        for (name, cpus) in owners {
            engine.apply(&request(name, name, &[], vec![away(cpus)]), &mut quiet).unwrap();
        }
        let overlapping = request("d", "d", &[], vec![away("3-4")]);
        let error = engine.apply(&overlapping, &mut quiet).unwrap_err().to_string();
        assert!(error.contains("interrupts of CPUs 3-4 belong in part to a") && error.contains("to b"), "{error}");
        let mut held: Vec<_> = owners.to_vec();
        for index in order {
            engine.undo(&owner(owners[index].0), &mut quiet).unwrap();
            held.retain(|other| *other != owners[index]);
            // As if those that are left had been alone from the beginning.
            let (alone, other) = (Model::new(), crate::state());
            let beside = crate::engine(&alone, other.path());
            for (name, cpus) in &held {
                let request = request(name, name, &[], vec![away(cpus)]);
                beside.apply(&request, &mut quiet).unwrap();
                assert!(!engine.apply(&request, &mut quiet).unwrap().changed);
            }
            assert_eq!(model.picture(), alone.picture(), "{order:?} {held:?}");
        }
        assert_eq!(model.picture(), before, "{order:?}");
        assert!(engine.ledger().is_empty());
    }
}

#[test]
fn a_share_is_added_once_however_often_it_is_asked_for() {
    let (model, state) = (Model::new(), crate::state());
    let engine = engine(&model, state.path());
    let there = || model.root().text(PAGES).unwrap().unwrap();
    for (name, count) in [("a", 8), ("b", 4), ("b", 4), ("a", 8)] {
        engine.apply(&pages(name, count), &mut quiet).unwrap();
    }
    assert_eq!(there(), "15");
    let bytes: u64 = engine.ledger().records.values().map(|record| record.step.huge_bytes()).sum();
    assert_eq!(bytes, 12 << 21);
    engine.undo(&owner("a"), &mut quiet).unwrap();
    assert!(!engine.apply(&pages("b", 4), &mut quiet).unwrap().changed);
    assert_eq!(there(), "7");
    engine.undo(&owner("b"), &mut quiet).unwrap();
    assert_eq!(there(), "3");
}

const PAGES: &str = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// So many huge pages for an owner.
fn pages(name: &str, count: u64) -> Request {
    let step = Step::AddHugepages(AddHugepages { kib: 2048, count, numa: None });
    request(name, name, &[], vec![step])
}

/// A share that a crash cut short is taken back before somebody else adds to the same: after that nobody could tell how far it had come.
#[test]
fn a_share_cut_short_is_not_taken_from_the_next() {
    let pages = |name: &str| pages(name, 5);
    for place in 0.. {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        let dying = ModelHands::dying_at(&model, place);
        let died = catch_unwind(AssertUnwindSafe(|| {
            Engine::open(state.path(), BOOT, dying, Unguarded).unwrap().0.apply(&pages("a"), &mut quiet).unwrap();
        }));
        let engine = engine(&model, state.path());
        engine.apply(&pages("b"), &mut quiet).unwrap();
        engine.recover(&|_| Ok(false), &mut quiet).unwrap();
        engine.undo(&owner("a"), &mut quiet).unwrap();
        assert_eq!(model.root().text(PAGES).unwrap().as_deref(), Some("8"), "{place}");
        engine.undo(&owner("b"), &mut quiet).unwrap();
        assert_eq!(model.picture(), before, "{place}");
        if died.is_ok() {
            assert!(place > 1, "nobody died");
            return;
        }
    }
}

/// A share whose giving back took effect, but too late for whoever waited for it, is not given back twice.
#[test]
fn a_share_that_went_late_is_not_taken_twice() {
    let pages = |name: &str| pages(name, 2);
    for next in ["the same", "another comes", "another goes"] {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        let count = || model.root().text(PAGES).unwrap().unwrap();
        let hands = model.hands();
        let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
        engine.apply(&pages("b"), &mut quiet).unwrap();
        engine.apply(&pages("a"), &mut quiet).unwrap();
        assert_eq!(count(), "7");
        model.fault(PAGES, Fault::Late);
        engine.undo(&owner("a"), &mut quiet).unwrap_err();
        assert_eq!(count(), "5");
        // As long as nobody knows how far it has come, nobody else's share is counted from there.
        engine.undo(&owner("b"), &mut quiet).unwrap_err();
        engine.apply(&pages("c"), &mut quiet).unwrap_err();
        assert_eq!(count(), "5", "{next}");
        model.mend();
        hands.let_go();
        match next {
            "another comes" => {
                engine.apply(&pages("c"), &mut quiet).unwrap();
                assert_eq!(count(), "7", "what is half taken back is settled first; what is whole stays");
                engine.undo(&owner("c"), &mut quiet).unwrap();
            }
            "another goes" => {
                engine.undo(&owner("b"), &mut quiet).unwrap();
                assert_eq!(count(), "3");
            }
            _ => (),
        }
        for name in ["a", "b"] {
            engine.undo(&owner(name), &mut quiet).unwrap();
        }
        assert_eq!(model.picture(), before, "{next}");
        assert!(engine.ledger().is_empty(), "{next}");
    }
}

/// A share that is whole, and whose owner could not go while another one's was not clear, is given back as a whole.
#[test]
fn a_share_whose_undo_was_refused_is_whole() {
    let pages = |name: &str| pages(name, 2);
    let (model, state) = (Model::new(), crate::state());
    let before = model.picture();
    let hands = model.hands();
    let (engine, _) = Engine::open(state.path(), BOOT, hands.clone(), Unguarded).unwrap();
    engine.apply(&pages("a"), &mut quiet).unwrap();
    model.fault(PAGES, Fault::Late);
    engine.apply(&pages("b"), &mut quiet).unwrap_err();
    engine.undo(&owner("a"), &mut quiet).unwrap_err();
    model.mend();
    hands.let_go();
    engine.apply(&pages("c"), &mut quiet).unwrap();
    for name in ["c", "b", "a"] {
        engine.undo(&owner(name), &mut quiet).unwrap();
    }
    assert_eq!(model.picture(), before);
    assert!(engine.ledger().is_empty());
}
