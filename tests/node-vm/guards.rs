//! What is not taken from a node, whoever asks: disks in use or with data, the node's network, half a group, what somebody has open.

use crate::device::{Device, Disk};
use crate::vm::{Output, Vm};

/// Exit code of a refusal.
const REFUSED: i32 = 69;

/// Asks for a device with a resource for its address alone; `more` is the rest of the resource, `guards` what is acknowledged.
fn ask(vm: &Vm, verb: &str, bdf: &str, more: &str, guards: &str) -> Output {
    let config = format!(
        "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {{name: test}}
spec:
  resources:
  - {{name: example.com/device, selector: {{address: '{bdf}'}}, nodes: [worker]{more}}}
  guards:
    acknowledge: [{guards}]
"
    );
    vm.put("config.yaml", config.as_bytes());
    vm.run(&format!(
        "chmod 700 /var/lib/virt-tailor; modprobe vfio-pci
         virt-tailor node {verb} --config /vt/config.yaml --node-name worker --resource example.com/device --device {bdf} --owner vm"
    ))
}

/// It is refused in these words, by plan and by apply, and its driver keeps it.
#[track_caller]
fn refused(vm: &Vm, bdf: &str, more: &str, words: &str) {
    let driver = vm.driver(bdf);
    for verb in ["plan", "apply"] {
        let output = ask(vm, verb, bdf, more, "");
        assert_eq!(output.code, REFUSED, "{verb}: {}{}", output.stdout, output.stderr);
        assert!(output.stderr.contains(words), "{verb}: {}", output.stderr);
    }
    assert_eq!(vm.driver(bdf), driver);
    assert_ne!(driver.as_deref(), Some("vfio-pci"));
}

/// It is given away and comes back.
#[track_caller]
fn given(vm: &Vm, bdf: &str, more: &str, guards: &str) {
    let driver = vm.driver(bdf);
    ask(vm, "apply", bdf, more, guards).ok();
    assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"));
    vm.run("virt-tailor node undo --owner vm").ok();
    assert_eq!(vm.driver(bdf), driver);
}

/// The disk of a serial number: `nvme0n1`.
fn disk(vm: &Vm, serial: &str) -> String {
    let found = vm.run(&format!(
        "cd /sys/class/nvme && for c in *; do grep -qx '{serial} *' $c/serial && echo ${{c}}n1; done; true"
    ));
    found.ok()
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn disks_in_use_or_with_data() {
    let names = ["mounted", "private", "lvm", "raid", "data", "empty"];
    let mut machine = Vm::builder();
    for name in names {
        machine = machine.with(Device::nvme(name, Disk::Empty(64)));
    }
    let vm = machine.boot();
    let [mounted, private, lvm, raid, data, empty] = names.map(|name| (vm.bdf(name), disk(&vm, name)));
    vm.run(&format!(
        "set -e; modprobe ext4; modprobe dm-mod; modprobe raid1
         mkfs.ext4 -q /dev/{}; mkdir -p /mnt/a; mount /dev/{} /mnt/a",
        mounted.1, mounted.1
    ))
    .ok();
    refused(
        &vm,
        &mounted.0,
        ", mayHoldData: true",
        &format!("disk {} of {} is mounted at /mnt/a", mounted.1, mounted.0),
    );

    vm.run(&format!("mkfs.ext4 -q /dev/{}; mkdir -p /mnt/b", private.1)).ok();
    let namespace =
        vm.spawn(&format!("exec unshare -m sh -c 'mount /dev/{} /mnt/b && echo there && exec sleep 1000'", private.1));
    vm.run("until grep -q there /vt/*.out; do sleep 0.1; done").ok();
    assert_eq!(vm.run("grep -c /mnt/b /proc/1/mountinfo").stdout.trim(), "0", "not as process 1 sees it");
    refused(
        &vm,
        &private.0,
        ", mayHoldData: true",
        &format!("disk {} of {} is mounted at /mnt/b (as process {} sees it)", private.1, private.0, namespace.pid()),
    );

    vm.run(&format!(
        "set -e; pvcreate -q /dev/{0} && vgcreate -q vg /dev/{0} && lvcreate -q -Zn -Wn -L 16M -n lv vg; test -e /sys/block/dm-0",
        lvm.1
    ))
    .ok();
    refused(&vm, &lvm.0, ", mayHoldData: true", "holds the logical volume vg/lv, which is active");
    // No longer in use, but somebody's all the same.
    vm.run("vgchange -q -an vg").ok();
    refused(&vm, &lvm.0, "", &format!("disk {} of {} bears LVM2_member: mayHoldData: true", lvm.1, lvm.0));

    vm.run(&format!("mdadm --create /dev/md0 --run --level=1 --raid-devices=2 /dev/{} missing", raid.1)).ok();
    refused(&vm, &raid.0, ", mayHoldData: true", &format!("disk {} of {} is a member of md0 (raid1)", raid.1, raid.0));
    vm.run("mdadm --stop /dev/md0").ok();
    refused(&vm, &raid.0, "", "bears linux_raid_member: mayHoldData: true");

    vm.run(&format!("mkfs.ext4 -q /dev/{}", data.1)).ok();
    refused(&vm, &data.0, "", &format!("disk {} of {} bears ext: mayHoldData: true", data.1, data.0));
    given(&vm, &data.0, ", mayHoldData: true", "");
    // Its name may be another one now; its content is not.
    vm.run(&format!("until test -b /dev/{0}; do sleep 0.1; done; dumpe2fs -h /dev/{0}", disk(&vm, "data"))).ok();

    // Open, though not exclusively.
    let holder = vm.spawn(&format!("exec sleep 1000 3</dev/{}", empty.1));
    let held = format!("{} of {} is open in process {} (sleep", empty.1, empty.0, holder.pid());
    vm.run(&format!("until test -e /proc/{}/fd/3; do sleep 0.1; done", holder.pid())).ok();
    refused(&vm, &empty.0, "", &held);
    vm.run(&format!("kill {}", holder.pid())).ok();
    holder.wait(30);
    // Mounted where no list has it: detached while it was in use. The kernel's own word counts.
    let detached = vm.spawn(&format!(
        "mkfs.ext4 -q /dev/{0}; mkdir /mnt/c; mount /dev/{0} /mnt/c; cd /mnt/c; umount -l /mnt/c; echo detached; exec sleep 1000",
        empty.1
    ));
    vm.run("until grep -q detached /vt/*.out; do sleep 0.1; done").ok();
    refused(
        &vm,
        &empty.0,
        ", mayHoldData: true",
        &format!("disk {} of {} is in use: the kernel does not give it to anyone else", empty.1, empty.0),
    );
    vm.run(&format!("kill {}", detached.pid())).ok();
    detached.wait(30);
    given(&vm, &empty.0, ", mayHoldData: true", "");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn the_root_disk_and_the_only_keyboard() {
    let vm = Vm::builder()
        .root_disk()
        // The mainboard's own keyboard (PS/2) is another one.
        .kernel_arg("i8042.nokbd")
        .with(Device::nvme("root", Disk::Empty(64)))
        .with(Device::xhci("usb"))
        .with(Device::usb_kbd("keyboard", "usb"))
        .boot();
    let (root, usb) = (vm.bdf("root"), vm.bdf("usb"));
    let mounts = vm.read("/proc/1/mountinfo").unwrap();
    assert!(mounts.lines().any(|line| line.contains(" / / ") && line.contains(" ext4 /dev/nvme0n1p1 ")), "{mounts}");
    let words = format!("disk nvme0n1p1 on nvme0n1 of {root} is mounted at /");
    for more in ["", ", mayHoldData: true"] {
        refused(&vm, &root, more, &words);
    }
    let page = vm.run("virt-tailor node inspect").ok().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&words), "{page}");

    vm.run("until test -e /sys/bus/hid/drivers/hid-generic/0003*; do sleep 0.1; done").ok();
    refused(&vm, &usb, "", &format!("the only keyboard hangs on {usb}"));
    let acknowledge = format!("{{address: '{usb}', risk: lastKeyboard, reason: a test, nodes: [worker]}}");
    given(&vm, &usb, "", &acknowledge);
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn groups_go_whole_and_not_while_they_are_used() {
    let vm = Vm::builder()
        .with(Device::root_port("card").no_acs())
        .with(Device::xhci("usb").function("card", 0))
        .with(Device::hda("sound").function("card", 1))
        .with(Device::root_port("board").no_acs())
        .with(Device::xhci("other").function("board", 0))
        .with(Device::nvme("disk", Disk::Empty(64)).function("board", 1))
        .with(Device::bridge("conventional"))
        .with(Device::qemu("uhci0", "piix3-usb-uhci").under("conventional"))
        .with(Device::qemu("uhci1", "piix3-usb-uhci").under("conventional"))
        .boot();
    let [usb, sound, other, nvme, uhci0, uhci1] =
        ["usb", "sound", "other", "disk", "uhci0", "uhci1"].map(|name| vm.bdf(name));
    let group = vm.group(&usb).expect("a group");
    assert_eq!(vm.group(&sound).as_ref(), Some(&group));

    refused(&vm, &usb, "", &format!("{sound} (snd_hda_intel) is in IOMMU group {group} with {usb}: take it along"));
    ask(&vm, "apply", &usb, ", companions: auto", "").ok();
    for function in [&usb, &sound] {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
    }
    // Whoever uses it keeps it.
    let holder = vm.hold(&usb);
    let undo = vm.run("virt-tailor node undo --owner vm");
    assert_eq!(undo.code, REFUSED, "{}", undo.stderr);
    let words = format!("vfio/{group} of {usb} is open in process {} (hold", holder.pid());
    assert!(undo.stderr.contains(&words), "{}", undo.stderr);
    assert_eq!(vm.driver(&usb).as_deref(), Some("vfio-pci"));
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
    holder.wait(30);
    vm.run("virt-tailor node undo --owner vm").ok();
    assert_eq!(vm.driver(&usb).as_deref(), Some("xhci_hcd"));
    assert_eq!(vm.driver(&sound).as_deref(), Some("snd_hda_intel"));

    // A disk goes along only by its name, and in use not even so.
    let name = disk(&vm, "disk");
    vm.run(&format!("set -e; modprobe ext4; mkfs.ext4 -q /dev/{name}; mkdir -p /mnt/a; mount /dev/{name} /mnt/a")).ok();
    let mounted = format!("disk {name} of {nvme} is mounted at /mnt/a");
    refused(&vm, &other, ", companions: auto", &mounted);
    refused(&vm, &other, &format!(", mayHoldData: true, companions: ['{nvme}']"), &mounted);
    vm.run("umount /mnt/a").ok();
    refused(
        &vm,
        &other,
        ", mayHoldData: true, companions: auto",
        &format!("{nvme} is storage: name it by address or serial"),
    );
    refused(&vm, &other, &format!(", companions: ['{nvme}']"), &format!("disk {name} of {nvme} bears ext"));
    given(&vm, &other, &format!(", mayHoldData: true, companions: ['{nvme}']"), "");
    assert_eq!(vm.driver(&nvme).as_deref(), Some("nvme"));

    // What stands behind a bridge to conventional PCI cannot be told apart.
    assert_eq!(vm.group(&uhci0), vm.group(&uhci1));
    refused(&vm, &uhci0, "", &format!("{uhci1} (uhci_hcd) is in IOMMU group"));
    given(&vm, &uhci0, ", companions: auto", "");
    assert_eq!(vm.driver(&uhci1).as_deref(), Some("uhci_hcd"));
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn the_network_of_the_node_and_of_pods() {
    let vm = Vm::builder().with(Device::virtio_net("uplink")).with(Device::igb("nic")).boot();
    let (uplink, nic) = (vm.bdf("uplink"), vm.bdf("nic"));
    let ask_ack = |verb: &str, bdf: &str, risk: &str| {
        let acknowledge = format!("{{address: '{bdf}', risk: {risk}, reason: a test, nodes: [worker]}}");
        ask(&vm, verb, bdf, "", &acknowledge)
    };
    vm.run("until ip -4 route show default | grep -q dev; do sleep 0.1; done").ok();
    let link = vm.run("ip -4 route show default | sed 's/.* dev \\([^ ]*\\).*/\\1/'").ok();
    refused(&vm, &uplink, "", &format!("the default route leads over {link} of {uplink}"));
    refused(&vm, &uplink, "", &format!("{link} of {uplink} has the address 10.0.2.15/24"));
    assert_eq!(ask_ack("plan", &uplink, "hiddenInterface").code, REFUSED, "another risk");
    ask_ack("plan", &uplink, "uplink").ok();

    // As a pod has it.
    let name = vm.run(&format!("ls /sys/bus/pci/devices/{nic}/net")).ok();
    vm.run(&format!("ip netns add pod && ip link set {name} netns pod")).ok();
    let hidden = "is bound to igb, but its interface is not in the node's network namespace: some pod has it";
    refused(&vm, &nic, "", &format!("{nic} {hidden}"));
    ask_ack("plan", &nic, "hiddenInterface").ok();
    vm.run(&format!("ip netns exec pod ip link set {name} netns 1")).ok();
    // A virtual function of the uplink's card is nobody's; the card itself is not, as long as it has one.
    vm.run(&format!("ip address add 192.0.2.1/24 dev {name}; echo 1 >/sys/bus/pci/devices/{nic}/sriov_numvfs")).ok();
    let function = vm.link(&format!("/sys/bus/pci/devices/{nic}/virtfn0")).expect("a virtual function");
    ask(&vm, "plan", &function, "", "").ok();
    refused(&vm, &nic, "", &format!("{nic} has 1 virtual functions, which go when it goes: {function}"));
    vm.run(&format!("echo 0 >/sys/bus/pci/devices/{nic}/sriov_numvfs")).ok();

    ask_ack("apply", &uplink, "uplink").ok();
    assert_eq!(vm.driver(&uplink).as_deref(), Some("vfio-pci"));
    vm.run("virt-tailor node undo --owner vm").ok();
    assert_eq!(vm.driver(&uplink).as_deref(), Some("virtio-pci"));
}
