//! A write that never returns: the device is left alone, others go on, and what is left is undone when the one who hangs is gone.

use crate::bind::{NODE, by_address, looks};
use crate::device::{Device, Disk};
use crate::vm::Vm;

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn a_hanging_unbind_is_given_up_and_its_device_left_alone() {
    let vm = Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).with(Device::xhci("usb")).boot();
    let (disk, usb) = (vm.bdf("disk"), vm.bdf("usb"));
    vm.put("node.yaml", by_address(&vm, &[("disk", ""), ("usb", "")]).as_bytes());
    let before = looks(&vm, &disk);
    vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/disk --owner vm")).ok();

    let holder = vm.hold(&disk);
    let group = vm.group(&disk).unwrap();
    // Who uses it is seen, and named.
    let refused = vm.run("virt-tailor node undo --owner vm");
    assert_eq!(refused.code, 69, "{refused:?}");
    assert!(refused.stderr.contains(&format!("is open in process {}", holder.pid())), "{refused:?}");

    // Who cannot be seen (here: hidden in /proc) makes the kernel wait for ever.
    let hidden = |command: &str| {
        let pid = holder.pid();
        vm.run_within(120, &format!("unshare -m sh -c 'mount -t tmpfs none /proc/{pid} && {command}'"))
    };
    let stuck = hidden("virt-tailor node undo --owner vm");
    assert_eq!(stuck.code, 74, "{stuck:?}");
    assert!(stuck.stderr.contains("driver/unbind has not returned within 10 s: process "), "{stuck:?}");
    let status = vm.run("virt-tailor node status").ok();
    assert!(status.contains("left alone: process ") && status.contains("hangs in the kernel"), "{status}");

    // It has not been killed: of what is only slow that would make a failure.
    let signals = vm.run("grep -h Pnd: /proc/$(pgrep -f 'node hand')/status").ok();
    assert!(signals.lines().count() == 2 && signals.lines().all(|line| line.ends_with(&"0".repeat(16))), "{signals}");

    // It is left alone, whoever asks; others go on.
    let again = hidden("virt-tailor node undo --owner vm");
    assert_eq!(again.code, 74, "{again:?}");
    assert!(again.stderr.contains("still hangs"), "{again:?}");
    let other =
        hidden(&format!("virt-tailor node apply {NODE} --resource example.com/disk --device {disk} --owner other"));
    assert_eq!(other.code, 69, "{other:?}");
    vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/usb --owner usb")).ok();
    assert_eq!(vm.driver(&usb).as_deref(), Some("vfio-pci"));
    vm.run("virt-tailor node undo --owner usb").ok();
    assert_eq!(vm.driver(&usb).as_deref(), Some("xhci_hcd"));

    // It goes: what was left is undone.
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    holder.wait(30);
    vm.run(
        "until ! virt-tailor node status | grep -q left.alone || ! pgrep -f 'node hand' >/dev/null; do sleep 0.2; done",
    )
    .ok();
    let recovered = vm.run("virt-tailor node recover");
    assert_eq!(recovered.code, 0, "{recovered:?}");
    assert!(recovered.stdout.contains("which hung, is gone"), "{recovered:?}");
    assert_eq!(looks(&vm, &disk), before);
    assert_eq!(vm.run("virt-tailor node status").ok(), "nothing on this node is changed");
    vm.run(&format!("test ! -e /dev/vfio/{group}")).ok();

    // The same with the engine killed meanwhile: its hand hangs on, and the next one knows it.
    vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/disk --owner vm")).ok();
    let holder = vm.hold(&disk);
    let pid = holder.pid();
    let killed = vm.run_within(
        120,
        &format!(
            "unshare -m sh -c 'mount -t tmpfs none /proc/{pid} && exec virt-tailor node undo --owner vm' >/dev/null 2>&1 & engine=$!
             until grep -q vfio_unregister_group_dev /proc/$(pgrep -f \"node hand\")/wchan 2>/dev/null; do sleep 0.1; done
             kill -9 $engine; unshare -m sh -c 'mount -t tmpfs none /proc/{pid} && virt-tailor node recover'"
        ),
    );
    assert_eq!(killed.code, 69, "{killed:?}");
    assert!(killed.stderr.contains("which was killed, had told it"), "{killed:?}");
    vm.run(&format!("kill -9 {pid}")).ok();
    holder.wait(30);
    vm.run("while pgrep -f 'node hand' >/dev/null; do sleep 0.2; done; virt-tailor node recover").ok();
    assert_eq!(looks(&vm, &disk), before);
    assert_eq!(vm.run("virt-tailor node status").ok(), "nothing on this node is changed");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn what_is_unplugged_while_held_is_not_missed() {
    let vm = Vm::builder().with(Device::xhci("usb")).with(Device::xhci("twin")).boot();
    vm.put("node.yaml", by_address(&vm, &[("usb", ""), ("twin", "")]).as_bytes());
    vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/usb --owner vm")).ok();
    let holder = vm.hold(&vm.bdf("usb"));
    let usb = vm.bdf("usb");
    vm.unplug("usb");
    vm.run("until dmesg | grep -q 'blocked until released by user'; do sleep 0.1; done").ok();
    let refused = vm.run("virt-tailor node undo --owner vm");
    assert_ne!(refused.code, 0, "{refused:?}");
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    holder.wait(30);
    assert!(vm.unplugged("usb", 60));
    vm.run(&format!("until ! test -e /sys/bus/pci/devices/{usb}; do sleep 0.1; done")).ok();
    vm.run("virt-tailor node undo --owner vm").ok();
    assert_eq!(vm.run("virt-tailor node status").ok(), "nothing on this node is changed");
}
