use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const UUID: &str = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";

fn step(kind: &str) -> MakeMdev {
    MakeMdev { parent: "0000:3b:00.0".to_owned(), kind: kind.to_owned(), uuid: UUID.parse().unwrap() }
}

fn state(device: Option<(&str, &str)>) -> MdevState {
    let kind = |id: &str, name: &str, available| MdevType { id: id.to_owned(), name: Some(name.to_owned()), available };
    MdevState {
        types: vec![kind("nvidia-63", "GRID P6-1Q", 4), kind("nvidia-64", "GRID P6-2Q", 0)],
        device: device.map(|(parent, kind)| Mdev { parent: parent.to_owned(), kind: kind.to_owned() }),
    }
}

fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

#[test]
fn there_and_back() {
    for asked in ["nvidia-63", "GRID P6-1Q"] {
        let step = step(asked);
        let wanted = step.wanted(&state(None)).unwrap();
        assert_eq!(
            told(&step.moves(&state(None), &wanted, 0)),
            [
                format!("write \"{UUID}\" to /sys/class/mdev_bus/0000:3b:00.0/mdev_supported_types/nvidia-63/create"),
                format!("wait until /sys/bus/mdev/devices/{UUID} is there"),
            ]
        );
        let goal = step.undone(&state(None), &wanted, &wanted);
        assert_eq!(
            told(&step.moves(&wanted, &goal, 0)),
            [format!("write \"1\" to /sys/bus/mdev/devices/{UUID}/remove")]
        );
        assert_eq!(step.reached(&goal, &state(None)), Reached::Yes);
        assert!(matches!(step.reached(&goal, &wanted), Reached::No(_)));
    }
}

#[test]
fn one_that_is_there_already_stays() {
    let now = state(Some(("0000:3b:00.0", "nvidia-64")));
    // That no further one can be made is no matter.
    let wanted = step("nvidia-64").wanted(&now).unwrap();
    assert_eq!(step("nvidia-64").moves(&now, &wanted, 0), []);
    assert_eq!(step("nvidia-64").undone(&now, &wanted, &now), now);
}

#[test]
fn one_that_somebody_remade_stays() {
    let wanted = step("nvidia-63").wanted(&state(None)).unwrap();
    let now = state(Some(("0000:af:00.0", "nvidia-63")));
    assert_eq!(step("nvidia-63").undone(&state(None), &wanted, &now), now);
}

#[test]
fn refusals_say_what_there_is() {
    let refused = |kind: &str, now: MdevState| step(kind).wanted(&now).unwrap_err().message;
    assert_eq!(
        refused("GRID P6-1B", state(None)),
        "0000:3b:00.0 has no type \"GRID P6-1B\" of mediated devices, did you mean \"GRID P6-1Q\"? It has: nvidia-63 (GRID P6-1Q), \
         nvidia-64 (GRID P6-2Q)"
    );
    assert!(refused("mtty-1", state(None)).contains("of mediated devices. It has: nvidia-63"));
    assert!(refused("nvidia-64", state(None)).contains("no mediated device of type nvidia-64 (GRID P6-2Q) left"));
    assert!(
        refused("nvidia-63", state(Some(("0000:af:00.0", "nvidia-63"))))
            .ends_with("is there already, as type nvidia-63 of 0000:af:00.0")
    );
    let nothing = MdevState { types: Vec::new(), device: None };
    assert!(refused("nvidia-63", nothing).contains("makes no mediated devices"));
}

#[test]
fn a_name_is_no_path() {
    let step = MakeMdev { parent: "../../../etc".to_owned(), ..step("nvidia-63") };
    let wanted = state(Some(("../../../etc", "nvidia-63")));
    assert_eq!(step.moves(&state(None), &wanted, 0), []);
    assert!(step.observe(&Root::new("/")).unwrap().types.is_empty());
}

#[test]
fn an_owner_always_gets_the_same_uuid() {
    let owner = |text: &str| text.parse::<Owner>().unwrap();
    let uuid = uuid_for(&owner("vm-a"), "gpu");
    assert_eq!(uuid.to_string(), "c21ca5c0-3ae5-5e5a-be9e-9010ddeaacae");
    assert_ne!(uuid, uuid_for(&owner("vm-a"), "gpu2"));
    assert_ne!(uuid, uuid_for(&owner("vm-b"), "gpu"));
}

#[test]
fn a_parent_and_its_device_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let sys = folder.path().join("sys");
    let parent = sys.join("devices/pci0000:3a/0000:3b:00.0");
    for (id, name, available) in [("nvidia-63", "GRID P6-1Q", 4), ("nvidia-64", "GRID P6-2Q", 0)] {
        let kind = parent.join("mdev_supported_types").join(id);
        fs::create_dir_all(&kind).unwrap();
        fs::write(kind.join("name"), format!("{name}\n")).unwrap();
        fs::write(kind.join("available_instances"), format!("{available}\n")).unwrap();
    }
    fs::create_dir_all(sys.join("class/mdev_bus")).unwrap();
    symlink("../../devices/pci0000:3a/0000:3b:00.0", sys.join("class/mdev_bus/0000:3b:00.0")).unwrap();
    let root = Root::new(folder.path());
    assert_eq!(step("nvidia-63").observe(&root).unwrap(), state(None));
    fs::create_dir_all(parent.join(UUID)).unwrap();
    symlink("../mdev_supported_types/nvidia-63", parent.join(UUID).join("mdev_type")).unwrap();
    fs::create_dir_all(sys.join("bus/mdev/devices")).unwrap();
    symlink(format!("../../../devices/pci0000:3a/0000:3b:00.0/{UUID}"), sys.join("bus/mdev/devices").join(UUID))
        .unwrap();
    assert_eq!(step("nvidia-63").observe(&root).unwrap(), state(Some(("0000:3b:00.0", "nvidia-63"))));
}
