//! Mediated devices of the kernel's sample driver.

use serde_json::json;

use crate::hands::Remote;
use crate::modules;
use crate::vm::Vm;

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_mediated_device_comes_and_goes() {
    modules::built();
    let vm = Vm::builder().boot();
    let engine = Remote::new(&vm);
    let owner = "default/vm-a".parse().unwrap();
    let uuid = virt_tailor::prep::steps::uuid_for(&owner, "serial").to_string();
    let make = |kind: &str, uuid: &str| json!([{ "step": "makeMdev", "parent": "mtty", "type": kind, "uuid": uuid }]);
    let refused = |owner: &str, kind: &str, uuid: &str| {
        let why = engine.apply(owner, make(kind, uuid)).unwrap_err().to_string();
        engine.undo(owner);
        why
    };

    let why = refused("default/vm-a", "mtty-1", &uuid);
    assert!(why.contains("mtty makes no mediated devices"), "{why}");
    vm.run("modprobe mtty").ok();
    let free = || vm.read("/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/available_instances").unwrap();
    let before = free();
    let why = refused("default/vm-a", "Single port serail", &uuid);
    assert!(
        why.contains(r#"did you mean "Single port serial"? It has: mtty-1 (Single port serial), mtty-2 (Dual"#),
        "{why}"
    );

    // By the type's name; the other type has room for as many less.
    engine.apply("default/vm-a", make("Dual port serial", &uuid)).unwrap();
    assert_eq!(vm.link(&format!("/sys/bus/mdev/devices/{uuid}/mdev_type")).as_deref(), Some("mtty-2"));
    assert_ne!(free(), before);
    let why = refused("default/vm-b", "mtty-1", &uuid);
    assert!(why.contains("belongs to default/vm-a"), "{why}");

    // One that an admin made under another type, and one that they made as we would.
    let theirs = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    vm.run(&format!("echo {theirs} >/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create")).ok();
    let why = refused("default/vm-b", "mtty-2", theirs);
    assert!(why.contains("is there already, as type mtty-1 of mtty"), "{why}");
    engine.apply("default/vm-b", make("mtty-1", theirs)).unwrap();
    engine.undo("default/vm-b");
    assert_eq!(vm.names("/sys/bus/mdev/devices").len(), 2);

    engine.undo("default/vm-a");
    assert_eq!(vm.names("/sys/bus/mdev/devices"), [theirs]);
    vm.run(&format!("echo 1 >/sys/bus/mdev/devices/{theirs}/remove")).ok();
    assert_eq!(free(), before);

    // Until there is none left.
    let all: Vec<String> = (0..before.parse().unwrap())
        .map(|number| virt_tailor::prep::steps::uuid_for(&owner, &number.to_string()).to_string())
        .collect();
    let create = "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-2/create";
    vm.run(&format!("set -e; for uuid in {}; do echo $uuid >{create}; done", all.join(" "))).ok();
    let why = refused("default/vm-a", "mtty-2", &uuid);
    assert!(why.contains("no mediated device of type mtty-2 (Dual port serial) left"), "{why}");
}
