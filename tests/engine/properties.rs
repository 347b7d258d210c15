//! Any order of owners coming, going, failing and crashing ends where it began once all are gone.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use virt_tailor::prep::Step;
use virt_tailor::prep::engine::{Engine, Unguarded};
use virt_tailor::prep::journal::Request;
use virt_tailor::prep::steps::AddHugepages;

use crate::hand::ModelHands;
use crate::model::{Fault, Model};
use crate::{AUDIO, BOOT, GPU, NIC, bind, owner, pin, quiet, request};

const OWNERS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Deed {
    Apply { who: usize, what: usize, dies_at: Option<u64> },
    Undo { who: usize, dies_at: Option<u64> },
    Refuse { file: usize, times: u32 },
    Mend,
}

fn deed() -> impl Strategy<Value = Deed> {
    let dies_at = || prop_oneof![3 => Just(None), 1 => (0u64..24).prop_map(Some)];
    prop_oneof![
        4 => (0..3usize, 0..3usize, dies_at()).prop_map(|(who, what, dies_at)| Deed::Apply { who, what, dies_at }),
        3 => (0..3usize, dies_at()).prop_map(|(who, dies_at)| Deed::Undo { who, dies_at }),
        1 => (0..5usize, 1..8u32).prop_map(|(file, times)| Deed::Refuse { file, times }),
        1 => Just(Deed::Mend),
    ]
}

fn wish(who: usize, what: usize) -> Request {
    match what {
        0 => request(OWNERS[who], "IOMMU group 1", &[GPU, AUDIO], vec![pin(NIC), pin(GPU), bind(GPU), bind(AUDIO)]),
        1 => request(OWNERS[who], "IOMMU group 2", &[NIC], vec![pin(NIC), pages(2), bind(NIC)]),
        _ => request(OWNERS[who], OWNERS[who], &[], vec![pin(GPU), pin(NIC), pages(5)]),
    }
}

fn pages(count: u64) -> Step {
    Step::AddHugepages(AddHugepages { kib: 2048, count, numa: None })
}

fn file(index: usize) -> String {
    match index {
        0 => "sys/bus/pci/drivers_probe".to_owned(),
        1 => format!("sys/bus/pci/devices/{GPU}/driver/unbind"),
        2 => format!("sys/bus/pci/devices/{NIC}/power/control"),
        3 => "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages".to_owned(),
        _ => "sys/bus/pci/drivers/igb/bind".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn all_gone_is_as_before(deeds in prop::collection::vec(deed(), 1..24)) {
        let (model, state) = (Model::new(), crate::state());
        let before = model.picture();
        for deed in deeds {
            let with = |dies_at: Option<u64>, act: &dyn Fn(&Engine<ModelHands, Unguarded>)| {
                let hands = dies_at.map_or_else(|| model.hands(), |place| ModelHands::dying_at(&model, place));
                let outcome = catch_unwind(AssertUnwindSafe(|| act(&Engine::open(state.path(), BOOT, hands, Unguarded).unwrap().0)));
                assert!(outcome.is_ok_and(|()| true) || dies_at.is_some());
            };
            match deed {
                Deed::Apply { who, what, dies_at } => with(dies_at, &|engine| drop(engine.apply(&wish(who, what), &mut quiet))),
                Deed::Undo { who, dies_at } => with(dies_at, &|engine| drop(engine.undo(&owner(OWNERS[who]), &mut quiet))),
                Deed::Refuse { file: index, times } => model.fault(&file(index), Fault::Errno(nix::libc::EBUSY, times)),
                Deed::Mend => model.mend(),
            }
        }
        model.mend();
        let (engine, _) = Engine::open(state.path(), BOOT, model.hands(), Unguarded).unwrap();
        engine.recover(&|_| Ok(false), &mut quiet).unwrap();
        for name in OWNERS {
            engine.undo(&owner(name), &mut quiet).unwrap();
        }
        prop_assert_eq!(model.picture(), before);
        prop_assert!(engine.ledger().is_empty());
    }
}
