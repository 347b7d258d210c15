use super::*;

fn step() -> AddHugepages {
    AddHugepages { kib: 2048, count: 4, numa: Some(1) }
}

fn now(pages: u64) -> PagesState {
    PagesState { pages: Some(pages), bound: None }
}

fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

const FILE: &str = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages";

#[test]
fn a_share_is_added_and_a_shortfall_compacts_a_bounded_number_of_times() {
    let wanted = step().wanted(&now(3)).unwrap();
    assert_eq!(told(&step().moves(&now(3), &wanted, 0)), [format!("write \"7\" to {FILE}")]);
    assert_eq!(
        told(&step().moves(&now(5), &wanted, 1)),
        [
            "write cached data to the disks".to_owned(),
            "write \"3\" to /proc/sys/vm/drop_caches".to_owned(),
            "write \"1\" to /sys/devices/system/node/node1/compact".to_owned(),
            format!("write \"7\" to {FILE}"),
        ]
    );
    assert_eq!(step().moves(&now(5), &wanted, COMPACTIONS + 1), []);
    let Reached::No(why) = step().reached(&wanted, &now(5)) else { unreachable!() };
    assert!(why.starts_with("4 huge pages of 2048 KiB were asked for on NUMA node 1 and 2 could be had"), "{why}");
}

#[test]
fn an_undo_takes_back_what_was_added_whatever_others_did() {
    let (original, wanted) = (now(3), step().wanted(&now(3)).unwrap());
    for (there, left) in [(7, 3), (12, 8), (4, 0), (2, 0)] {
        let goal = step().undone(&original, &wanted, &now(there));
        assert_eq!(goal.pages, Some(left));
        assert_eq!(step().reached(&goal, &now(left)), Reached::Yes);
    }
    for (there, left) in [(5, 3), (3, 3), (7, 3), (2, 2)] {
        assert_eq!(step().unfinished(&original, &wanted, &now(there)).pages, Some(left), "{there}");
    }
}

#[test]
fn pages_that_somebody_still_has_are_not_taken_back_twice() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path());
    let place = folder.path().join("sys/devices/system/node/node1/hugepages/hugepages-2048kB");
    std::fs::create_dir_all(&place).unwrap();
    let shows = |total: u64, surplus: u64| {
        std::fs::write(place.join("nr_hugepages"), format!("{total}\n")).unwrap();
        std::fs::write(place.join("surplus_hugepages"), format!("{surplus}\n")).unwrap();
        step().observe(&root).unwrap()
    };
    // Of seven, four are ours and six are in use: the pool is as before, and three pages go when they are let go.
    let goal = step().undone(&now(3), &now(7), &shows(7, 0));
    assert_eq!(shows(6, 3), now(3));
    assert_eq!(step().reached(&goal, &shows(6, 3)), Reached::Yes);
}

#[test]
fn others_shares_do_not_disturb() {
    let wanted = step().wanted(&now(3)).unwrap();
    assert_eq!(step().reached(&wanted, &now(11)), Reached::Yes);
    assert_eq!(step().reached(&wanted, &now(7)), Reached::Yes);
    let none = PagesState { pages: None, bound: None };
    assert_eq!(step().wanted(&none).unwrap_err().message, "there are no huge pages of 2048 KiB on NUMA node 1");
}

#[test]
fn how_much_memory_a_share_is() {
    assert_eq!(step().bytes(), 8 << 20);
    assert_eq!(AllowOvercommit { kib: 1_048_576, count: 3 }.bytes(), 3 << 30);
    assert_eq!(AddHugepages { count: u64::MAX, ..step() }.bytes(), u64::MAX);
}
