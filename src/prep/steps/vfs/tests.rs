use super::*;

const PF: &str = "0000:01:00.0";

fn step(count: u32) -> MakeVfs {
    MakeVfs { pf: PF.parse().unwrap(), count }
}

fn vf(index: u32) -> Vf {
    Vf { address: vf_address(PF.parse().unwrap(), 128, 2, index).unwrap(), grouped: true, driver: None }
}

fn state(count: u32) -> VfsState {
    VfsState {
        present: true,
        driver: Some("igb".to_owned()),
        grouped: true,
        total: Some(7),
        count,
        autoprobe: Some(true),
        functions: (0..count).map(vf).collect(),
    }
}

fn told(actions: &[Action]) -> Vec<String> {
    actions.iter().map(|action| action.to_string().replace("/sys/bus/pci/devices/0000:01:00.0", "PF")).collect()
}

#[test]
fn there_and_back() {
    let (original, wanted) = (state(0), step(3).wanted(&state(0)).unwrap());
    assert_eq!(
        told(&step(3).moves(&original, &wanted, 0)),
        [
            r#"write "0" to PF/sriov_drivers_autoprobe"#,
            r#"write "3" to PF/sriov_numvfs"#,
            "wait until PF/virtfn2 is there",
            "wait until PF/virtfn2/iommu_group is there",
        ]
    );
    // Off as long as they are there: udev loads a driver for them when it likes.
    let there = VfsState { autoprobe: Some(false), ..state(3) };
    assert_eq!(step(3).reached(&wanted, &there), Reached::Yes);
    assert_eq!(
        step(3).reached(&wanted, &state(3)),
        Reached::No("sriov_drivers_autoprobe of 0000:01:00.0 is 1 and not 0".to_owned())
    );
    let goal = step(3).undone(&original, &wanted, &there);
    assert_eq!(
        told(&step(3).moves(&there, &goal, 0)),
        [r#"write "0" to PF/sriov_numvfs"#, r#"write "1" to PF/sriov_drivers_autoprobe"#]
    );
    assert_eq!(step(3).reached(&goal, &state(0)), Reached::Yes);
}

#[test]
fn the_write_that_makes_them_is_given_time() {
    let moves = step(3).moves(&state(0), &step(3).wanted(&state(0)).unwrap(), 0);
    let seconds: Vec<u64> = moves.iter().map(|action| action.deadline().as_secs()).collect();
    assert_eq!(seconds, [10, 120, 15, 15]);
}

#[test]
fn what_is_there_stays() {
    let wanted = step(3).wanted(&state(3)).unwrap();
    assert_eq!(step(3).moves(&state(3), &wanted, 0), []);
    let goal = step(3).undone(&state(3), &wanted, &state(3));
    assert_eq!(step(3).moves(&state(3), &goal, 0), []);
}

#[test]
fn autoprobe_comes_back_after_a_crash_or_a_refusal() {
    let (original, wanted) = (state(0), step(3).wanted(&state(0)).unwrap());
    for now in [state(0), state(3)] {
        let now = VfsState { autoprobe: Some(false), ..now };
        let goal = step(3).undone(&original, &wanted, &now);
        let moves = told(&step(3).moves(&now, &goal, 0));
        assert_eq!(moves.last().unwrap(), r#"write "1" to PF/sriov_drivers_autoprobe"#);
    }
    // It is off, and the count was refused: that is not tried again.
    assert_eq!(step(3).moves(&VfsState { autoprobe: Some(false), ..state(0) }, &wanted, 1), []);
}

#[test]
fn where_autoprobe_is_off_or_unknown_it_is_left_alone() {
    for autoprobe in [Some(false), None] {
        let now = VfsState { autoprobe, ..state(0) };
        let moves = told(&step(1).moves(&now, &step(1).wanted(&now).unwrap(), 0));
        assert!(!moves.iter().any(|action| action.contains("autoprobe")), "{moves:?}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let refused = |count, now: VfsState| step(count).wanted(&now).unwrap_err().message;
    assert_eq!(
        refused(5, state(3)),
        "0000:01:00.0 has 3 virtual functions and not 5: growing destroys the VFs that are there; ask for 3, or free them all and write 0 \
         to its sriov_numvfs"
    );
    assert!(refused(0, state(3)).contains("3 virtual functions and not 0"));
    assert!(refused(8, state(0)).contains("offers 7 virtual functions and not 8"));
    for total in [None, Some(0)] {
        assert!(refused(1, VfsState { total, ..state(0) }).contains("turn SR-IOV on in the BIOS"));
    }
    assert!(refused(1, VfsState { driver: None, ..state(0) }).contains("has no driver"));
    assert!(refused(1, VfsState { driver: Some("vfio-pci".to_owned()), ..state(0) }).contains("bound to vfio-pci"));
    assert!(refused(1, VfsState { present: false, ..state(0) }).contains("there is no PCI function"));
    assert!(refused(0, state(0)).contains("no virtual functions are what it has"));
}

#[test]
fn nobody_is_robbed_of_a_vf() {
    let (original, wanted) = (state(0), step(3).wanted(&state(0)).unwrap());
    let mut now = state(3);
    for driver in ["vfio-pci", "igbvf"] {
        now.functions[1].driver = Some(driver.to_owned());
        let goal = step(3).undone(&original, &wanted, &now);
        assert_eq!(step(3).moves(&now, &goal, 0), []);
        let Reached::No(why) = step(3).reached(&goal, &now) else { panic!() };
        assert!(
            why.starts_with(&format!("0000:01:10.2, a virtual function of {PF}, is still bound to {driver}: ")),
            "{why}"
        );
    }
    // Somebody else made another number of them.
    assert_eq!(step(3).undone(&original, &wanted, &state(5)).count, 5);
}

#[test]
fn one_that_does_not_come_is_waited_for_once_more_and_named() {
    let wanted = step(3).wanted(&state(0)).unwrap();
    let mut now = VfsState { autoprobe: Some(false), ..state(3) };
    now.functions.pop();
    assert_eq!(told(&step(3).moves(&now, &wanted, 1)), ["wait until PF/virtfn2 is there"]);
    assert_eq!(step(3).moves(&now, &wanted, 2), []);
    let Reached::No(why) = step(3).reached(&wanted, &now) else { panic!() };
    assert_eq!(why, "of 3 virtual functions of 0000:01:00.0, 2 are there with an IOMMU group");
}

#[test]
fn addresses_are_those_of_the_kernel() {
    let at = |pf: &str, offset, stride, index| {
        vf_address(pf.parse().unwrap(), offset, stride, index).map(|address| address.to_string())
    };
    // Intel 82576 (offset 128, stride 2) and X710 (16, 1; alternative routing), Mellanox on its second port (2, 1).
    assert_eq!(at("0000:01:00.0", 128, 2, 0).as_deref(), Some("0000:01:10.0"));
    assert_eq!(at("0000:01:00.1", 128, 2, 3).as_deref(), Some("0000:01:10.7"));
    assert_eq!(at("0000:3b:00.0", 16, 1, 9).as_deref(), Some("0000:3b:03.1"));
    assert_eq!(at("0000:5e:00.1", 2, 1, 300).as_deref(), Some("0000:5f:05.7"));
    assert_eq!(at("0000:ff:00.0", 128, 2, 64), None);
    assert_eq!(at("0000:01:00.0", 0, 0, 0), None);
}

#[test]
fn a_pf_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let devices = folder.path().join("sys/bus/pci/devices");
    for (file, text) in [("sriov_totalvfs", "7"), ("sriov_numvfs", "2"), ("sriov_drivers_autoprobe", "1")] {
        let path = devices.join(PF).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    let link = |to: &str, at: String| std::os::unix::fs::symlink(to, devices.join(at)).unwrap();
    link("../../../bus/pci/drivers/igb", format!("{PF}/driver"));
    link("../../kernel/iommu_groups/1", format!("{PF}/iommu_group"));
    for (index, address, driver) in [(0, "0000:01:10.0", "vfio-pci"), (1, "0000:01:10.2", "igbvf")] {
        std::fs::create_dir(devices.join(address)).unwrap();
        link(&format!("../{address}"), format!("{PF}/virtfn{index}"));
        link("../../kernel/iommu_groups/9", format!("{address}/iommu_group"));
        link(&format!("../../../bus/pci/drivers/{driver}"), format!("{address}/driver"));
    }
    let mut expected = state(2);
    (expected.functions[0].driver, expected.functions[1].driver) =
        (Some("vfio-pci".to_owned()), Some("igbvf".to_owned()));
    assert_eq!(step(2).observe(&Root::new(folder.path())).unwrap(), expected);
    let nothing = step(2).observe(&Root::new(folder.path().join("sys"))).unwrap();
    assert!(!nothing.present && nothing.total.is_none());
}
