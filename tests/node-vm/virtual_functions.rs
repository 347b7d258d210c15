//! Virtual functions of a real driver (igb): made, set up, given back.

use serde_json::{Value, json};

use crate::device::Device;
use crate::hands::{Remote, observe};
use crate::vm::Vm;

/// What the kernel's own tool says of a VF: `ip -json` has each as an object.
fn vf(vm: &Vm, interface: &str, index: u64) -> Value {
    let text = vm.run(&format!("ip -json link show dev {interface}")).ok();
    let link: Value = serde_json::from_str(&text).unwrap();
    let vfs = link[0]["vfinfo_list"].as_array().cloned().unwrap_or_default();
    vfs.into_iter().find(|vf| vf["vf"] == index).unwrap_or_else(|| panic!("no VF {index}: {text}"))
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn virtual_functions_come_and_go() {
    let vm = Vm::builder().with(Device::igb("nic")).boot();
    vm.run("modprobe vfio-pci").ok();
    let pf = vm.bdf("nic");
    let device = format!("/sys/bus/pci/devices/{pf}");
    let attribute = |name: &str| vm.read(&format!("{device}/{name}")).unwrap();
    let interface = vm.names(&format!("{device}/net")).remove(0);
    let engine = Remote::new(&vm);
    let make = |count: u32| json!({ "step": "makeVfs", "pf": pf, "count": count });

    // Where they will be is known before.
    let number = |name| attribute(name).parse().unwrap();
    let (offset, stride): (u32, u32) = (number("sriov_offset"), number("sriov_stride"));
    let at = |index| {
        let address = virt_tailor::prep::steps::vf_address(pf.parse().unwrap(), offset, stride, index);
        address.unwrap().to_string()
    };

    let too_many = engine.apply("vm-a", json!([make(100)])).unwrap_err().to_string();
    assert!(too_many.contains("virtual functions and not 100"), "{too_many}");
    assert_eq!((&*attribute("sriov_numvfs"), &*attribute("sriov_drivers_autoprobe")), ("0", "1"));
    engine.undo("vm-a");

    // One VF for each of two owners: the second takes part.
    let bind = |index| json!({ "step": "bind", "address": at(index), "driver": "vfio-pci" });
    let mac = "52:54:00:00:0a:01";
    let first = json!({ "step": "setVf", "pf": pf, "index": 1, "mac": mac, "vlan": { "id": 100, "qos": 3 } });
    let down = engine.apply("vm-a", json!([make(3), first])).unwrap_err().to_string();
    assert!(down.contains(&format!("ip link set {interface} up")), "{down}");
    // The failed plan took its VFs away again.
    assert_eq!(attribute("sriov_numvfs"), "0");
    vm.run(&format!("ip link set {interface} up")).ok();

    engine.undo("vm-a");
    engine.apply("vm-a", json!([make(3), first, bind(1)])).unwrap();
    assert_eq!((&*attribute("sriov_numvfs"), &*attribute("sriov_drivers_autoprobe")), ("3", "0"));
    for index in 0..3 {
        assert_eq!(vm.link(&format!("{device}/virtfn{index}")).as_deref(), Some(&*at(index)));
    }
    assert_eq!(vm.driver(&at(1)).as_deref(), Some("vfio-pci"));
    // Nobody was offered the others.
    assert_eq!((vm.driver(&at(0)), vm.driver(&at(2))), (None, None));
    let set = vf(&vm, &interface, 1);
    assert_eq!(
        (&set["address"], &set["vlan_list"][0]["vlan"], &set["vlan_list"][0]["qos"]),
        (&json!(mac), &json!(100), &json!(3)),
        "{set}"
    );
    let untouched = vf(&vm, &interface, 2);
    assert_eq!(untouched["address"], "00:00:00:00:00:00", "{untouched}");
    // We read what the kernel's own tool reads.
    let state = observe(&vm, &first).unwrap();
    assert_eq!(
        (&state["attributes"]["mac"], &state["attributes"]["spoofCheck"]),
        (&json!(mac), &set["spoofchk"]),
        "{state}"
    );

    let second = json!({ "step": "setVf", "pf": pf, "index": 2, "spoofCheck": false, "trust": true });
    engine.apply("vm-b", json!([make(3), second, bind(2)])).unwrap();
    let set = vf(&vm, &interface, 2);
    assert_eq!((&set["spoofchk"], &set["trust"]), (&json!(false), &json!(true)), "{set}");
    let differently = engine.apply("vm-c", json!([make(5)])).unwrap_err().to_string();
    assert!(differently.contains("is wanted differently by"), "{differently}");

    // The first goes: its VF is as it was, the others and their number stay.
    engine.undo("vm-a");
    let back = vf(&vm, &interface, 1);
    assert_eq!((&back["address"], &back["vlan_list"]), (&untouched["address"], &untouched["vlan_list"]), "{back}");
    assert_eq!(attribute("sriov_numvfs"), "3");
    assert_eq!((vm.driver(&at(1)), vm.driver(&at(2)).as_deref()), (None, Some("vfio-pci")));

    // One that is given away as it is comes back as it was, whatever its guest made of it.
    let kept = json!({ "step": "setVf", "pf": pf, "index": 0 });
    engine.apply("vm-e", json!([make(3), kept, bind(0)])).unwrap();
    vm.run(&format!("ip link set {interface} vf 0 mac 52:54:00:00:0a:02 vlan 9")).ok();
    engine.undo("vm-e");
    let back = vf(&vm, &interface, 0);
    assert_eq!((&back["address"], &back["vlan_list"]), (&untouched["address"], &untouched["vlan_list"]), "{back}");

    // A setting that this driver has not got is named, with the driver, and takes nothing along.
    let state = json!({ "step": "setVf", "pf": pf, "index": 0, "linkState": "disable", "vlan": { "id": 7 } });
    let refused = engine.apply("vm-d", json!([make(3), state])).unwrap_err().to_string();
    assert!(refused.contains("driver igb has no link state for VFs"), "{refused}");
    assert_eq!(vf(&vm, &interface, 0)["vlan_list"], untouched["vlan_list"]);

    // With the last owner the VFs go, unless somebody whom we do not know has one: that write would not return.
    engine.undo("vm-d");
    let foreign = at(0);
    let folder = format!("/sys/bus/pci/devices/{foreign}");
    vm.run(&format!("echo vfio-pci >{folder}/driver_override; echo {foreign} >/sys/bus/pci/drivers_probe")).ok();
    let left = engine.try_undo("vm-b").unwrap_err().to_string();
    assert!(left.contains(&format!("{foreign}, a virtual function of {pf}, is still bound to vfio-pci")), "{left}");
    assert_eq!((&*attribute("sriov_numvfs"), vm.driver(&at(2))), ("3", None));
    vm.run(&format!("echo {foreign} >{folder}/driver/unbind")).ok();
    engine.undo("vm-b");
    assert_eq!((&*attribute("sriov_numvfs"), &*attribute("sriov_drivers_autoprobe")), ("0", "1"));

    // VFs that somebody else made stay, and another number of them is refused.
    vm.run(&format!("echo 2 >{device}/sriov_numvfs")).ok();
    let refused = engine.apply("vm-a", json!([make(5)])).unwrap_err().to_string();
    assert!(refused.contains("has 2 virtual functions and not 5: growing destroys"), "{refused}");
    engine.undo("vm-a");
    engine.apply("vm-a", json!([make(2)])).unwrap();
    engine.undo("vm-a");
    assert_eq!(attribute("sriov_numvfs"), "2");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_function_sleeps_and_is_reset_as_before() {
    let vm = Vm::builder().with(Device::igb("nic")).with(Device::xhci("usb")).boot();
    let (engine, usb) = (Remote::new(&vm), vm.bdf("usb"));
    let file = |address: &str, name: &str| vm.read(&format!("/sys/bus/pci/devices/{address}/{name}")).unwrap();
    let port = vm.run(&format!("basename $(dirname $(readlink -f /sys/bus/pci/devices/{usb}))")).ok();
    let all = || {
        [
            file(&usb, "power/control"),
            file(&usb, "d3cold_allowed"),
            file(&port, "power/control"),
            file(&usb, "reset_method"),
        ]
    };
    vm.run(&format!("echo auto >/sys/bus/pci/devices/{usb}/power/control")).ok();
    vm.run(&format!("echo auto >/sys/bus/pci/devices/{port}/power/control")).ok();
    let before = all();
    let pin = |address: &str| json!({ "step": "pinPower", "address": address });
    let reset = |methods: Value| json!({ "step": "setResetMethods", "address": usb, "methods": methods });
    engine.apply("vm", json!([pin(&port), pin(&usb), reset(json!(["bus"]))])).unwrap();
    assert_eq!(all(), ["on", "0", "on", "bus"].map(str::to_owned));
    engine.undo("vm");
    assert_eq!(all(), before);

    let refused = engine.apply("vm", json!([reset(json!(["acpi"]))])).unwrap_err().to_string();
    assert!(refused.contains("the kernel does not offer this way of resetting"), "{refused}");
    assert_eq!(all(), before);
}
