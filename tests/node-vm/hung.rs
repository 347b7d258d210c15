//! What a write that does not return looks like, and what makes one.

use crate::device::{Device, Disk};
use crate::vm::Vm;

/// State of a process as in `/proc/PID/stat`, and where in the kernel it waits; none if it has gone.
fn waits(vm: &Vm, pid: u32) -> Option<(String, String)> {
    let stat = vm.read(&format!("/proc/{pid}/stat"))?;
    let state = stat.rsplit_once(") ")?.1.split(' ').next()?.to_owned();
    Some((state, vm.read(&format!("/proc/{pid}/wchan"))?))
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn unbinding_a_held_function_hangs_until_its_holder_goes() {
    let vm = Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).boot();
    let disk = vm.bdf("disk");
    let device = format!("/sys/bus/pci/devices/{disk}");
    let unbind = format!("echo {disk} >/sys/bus/pci/drivers/vfio-pci/unbind");
    let probe = format!("echo {disk} >/sys/bus/pci/drivers_probe");
    vm.run(&format!(
        "set -e; modprobe vfio-pci; echo vfio-pci >{device}/driver_override; echo {disk} >{device}/driver/unbind; {probe}"
    ))
    .ok();
    let group = vm.group(&disk).unwrap();

    // Whoever has only the group open holds up nobody.
    vm.run(&format!("exec 3<>/dev/vfio/{group}; {unbind}")).ok();
    assert_eq!(vm.driver(&disk), None);
    vm.run(&probe).ok();

    let holder = vm.hold(&disk);
    let writer = vm.spawn(&unbind);
    let pid = writer.pid();
    vm.run("until dmesg | grep -q 'blocked until released by user'; do sleep 0.1; done").ok();
    // vfio: wait_event_interruptible_timeout, so that load averages and `ps` do not show it.
    assert_eq!(waits(&vm, pid), Some(("S".to_owned(), "vfio_unregister_group_dev".to_owned())));
    // The device has no driver link any more, although the driver is far from done with it.
    assert_eq!(vm.driver(&disk), None);
    assert!(vm.run(&format!("test -e /dev/vfio/{group}")).code == 0);

    // What can still be read, and what takes the device's lock.
    for name in ["vendor", "config", "power_state", "power/control", "reset_method", "enable", "resource"] {
        vm.run_within(20, &format!("cat {device}/{name} >/dev/null")).ok();
    }
    let blocked = vm.spawn(&format!("exec sh -c 'echo on >{device}/power/control'"));
    let blocked_pid = blocked.pid();
    vm.run(&format!("until grep -q control_store /proc/{blocked_pid}/wchan; do sleep 0.1; done")).ok();
    assert_eq!(waits(&vm, blocked_pid).unwrap().0, "D");

    // A signal does not end it: from then on it cannot be interrupted at all.
    vm.run(&format!("kill -9 {pid}; until dmesg | grep -q 'blocked until device is released'; do sleep 0.1; done"))
        .ok();
    assert_eq!(waits(&vm, pid), Some(("D".to_owned(), "vfio_unregister_group_dev".to_owned())));
    assert_eq!((writer.finished(), blocked.finished()), (None, None));

    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    assert_eq!(holder.wait(30).code, 137);
    assert_eq!(writer.wait(30).code, 137);
    assert_eq!(blocked.wait(30).code, 0);
    assert_eq!((vm.driver(&disk), waits(&vm, pid)), (None, None));
    vm.run(&format!("echo >{device}/driver_override; {probe}")).ok();
    assert_eq!(vm.driver(&disk).as_deref(), Some("nvme"));
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_held_function_is_unplugged_when_its_holder_goes() {
    let vm = Vm::builder().with(Device::xhci("usb")).boot();
    let usb = vm.bdf("usb");
    let device = format!("/sys/bus/pci/devices/{usb}");
    vm.run(&format!(
        "set -e; modprobe vfio-pci; echo vfio-pci >{device}/driver_override; echo {usb} >{device}/driver/unbind
         echo {usb} >/sys/bus/pci/drivers_probe"
    ))
    .ok();
    let holder = vm.hold(&usb);
    vm.unplug("usb");
    vm.run("until dmesg | grep -q 'blocked until released by user'; do sleep 0.1; done").ok();
    assert!(!vm.unplugged("usb", 2));
    assert_eq!(vm.run(&format!("test -d {device}")).code, 0);
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    assert!(vm.unplugged("usb", 60), "{}", vm.run("dmesg | tail -n 20").stdout);
    vm.run(&format!("while test -d {device}; do sleep 0.1; done")).ok();
}
