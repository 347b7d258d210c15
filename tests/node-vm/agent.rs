//! Whole lives of VMs with the agent: devices on their host drivers, asked for through kubelet, started by a real libvirt, given back.

use serde_json::json;

use crate::bind::{by_address, looks};
use crate::cluster::Node;
use crate::device::{Device, Disk};
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::vm::Vm;

const POD: &str = "aaaaaaaa-0000-4000-8000-00000000000a";
const OTHER: &str = "bbbbbbbb-0000-4000-8000-00000000000b";

#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_display_and_a_usb_controller_from_their_host_drivers_and_back() {
    let vm = Vm::builder()
        .memory_mib(2048)
        .with(Device::root_port("card").no_acs())
        .with(Device::bochs_display("display").function("card", 0))
        .with(Device::hda("sound").function("card", 1))
        .with(Device::xhci("usb"))
        .boot();
    let (display, sound, usb) = (vm.bdf("display"), vm.bdf("sound"), vm.bdf("usb"));
    let all = [&display, &sound, &usb];
    let before: Vec<_> = all.iter().map(|bdf| looks(&vm, bdf)).collect();
    let config = by_address(&vm, &[("display", "companions: auto\nprepare:\n- consoles: release"), ("usb", "")]);
    let node = Node::start(&vm, &config, "");
    for resource in ["example.com/display", "example.com/usb"] {
        node.offered(resource, 1);
    }
    // Offered, and still the host's.
    assert_eq!(all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>(), before);

    node.pod(POD, "desktops", "virt-launcher-desktop-x");
    let given = node.allocate(POD, "example.com/display", 1);
    assert_eq!(given.env("PCI_RESOURCE_EXAMPLE_COM_DISPLAY"), display, "the primary function alone");
    let group = vm.group(&display).unwrap();
    let mut nodes = given.nodes();
    nodes.sort();
    assert_eq!(nodes, [format!("/dev/vfio/{group}"), "/dev/vfio/vfio".to_owned()]);
    node.allocate(POD, "example.com/usb", 1);
    assert_eq!(vm.run(&format!("test -e /dev/vfio/{group}")).code, 1, "reserved, not bound");
    node.prestart(POD);
    // What the runtime resolves when it creates the container.
    for bdf in all {
        vm.run(&format!("test -c /dev/vfio/{} && test -c /dev/vfio/vfio", vm.group(bdf).unwrap())).ok();
        assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"));
    }

    // Who comes second is not admitted: kubelet has none left.
    node.pod(OTHER, "desktops", "virt-launcher-other-y");
    assert!(node.try_kubelet(&format!("allocate {OTHER} compute example.com/display 1")).is_err());

    let xml = kubevirt_domain("desktop", 128, &[("gpu-gpu0", &display), ("hostdevice-usb", &usb)]);
    vm.put("kubevirt.xml", xml.as_bytes());
    let fit = |more: &str| {
        vm.run(&format!(
            "virt-tailor mutate --domain /vt/kubevirt.xml --host-root / --libvirt system \\
             --set 'hostDevices[gpu0].companions=auto' --set 'hostDevices[usb].address=0000:07:00.0' {more}"
        ))
    };
    let fitted = fit("--set 'hostDevices[gpu0].address=0000:05:00.0'").ok();
    let launcher = Launcher::start(&vm, POD, Mode::System);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    let companion = format!("ua-vt-{}", sound.replace([':', '.'], "-"));
    for (alias, at) in
        [("ua-gpu-gpu0", "0000:05:00.0"), (&*companion, "0000:05:00.1"), ("ua-hostdevice-usb", "0000:07:00.0")]
    {
        assert_eq!(launcher.in_the_guest("desktop", alias), at, "{alias}");
    }

    // Neither an upgrade under a running VM changes anything nor an agent that is killed.
    assert_eq!(node.end_agent("TERM").code, 0);
    node.start_agent();
    node.offered("example.com/display", 1);
    node.end_agent("KILL");
    node.start_agent();
    node.offered("example.com/display", 1);
    for bdf in all {
        assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"));
    }

    launcher.destroy("desktop");
    node.remove(POD);
    node.until("the node is as it was", || {
        (all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>() == before).then_some(())
    });

    // And the next one has them, behind a vIOMMU: there QEMU starts no VM with two functions of a group on a port,
    let given = node.allocate(OTHER, "example.com/display", 1);
    assert_eq!(given.env("PCI_RESOURCE_EXAMPLE_COM_DISPLAY"), display);
    node.allocate(OTHER, "example.com/usb", 1);
    node.prestart(OTHER);
    assert_eq!(vm.driver(&display).as_deref(), Some("vfio-pci"));
    let launcher = Launcher::start(&vm, OTHER, Mode::System);
    let by_hand = fitted.replacen("</devices>", "<iommu model=\"intel\"/></devices>", 1);
    let why = launcher.boot(&by_hand).unwrap_err();
    assert!(why.contains(&format!("group {group} used in multiple address spaces")), "{why}");
    // and we give them a bridge.
    let fitted = fit("--set viommu.model=intel --set 'hostDevices[gpu0].address=0000:05:01.0'").ok();
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in
        [("ua-gpu-gpu0", "0000:05:01.0"), (&*companion, "0000:05:01.1"), ("ua-hostdevice-usb", "0000:07:00.0")]
    {
        assert_eq!(launcher.in_the_guest("desktop", alias), at, "{alias}");
    }
    launcher.destroy("desktop");
    node.remove(OTHER);
    node.until("the node is as it was", || {
        (all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>() == before).then_some(())
    });
    assert_eq!(node.end_agent("TERM").code, 0);
}

/// One VF each for two VMs, and two behind a vIOMMU for a third, whose libvirt may lock little and has what it may lowered once more:
/// the start that fails without us.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn virtual_functions_for_two_virtual_machines_and_two_behind_a_viommu() {
    let vm = Vm::builder().memory_mib(2560).with(Device::igb("nic")).boot();
    let pf = vm.bdf("nic");
    let number = || vm.read(&format!("/sys/bus/pci/devices/{pf}/sriov_numvfs")).unwrap();
    let node = Node::start(&vm, &by_address(&vm, &[("nic", "kind: sriov\nsriov: {vfs: 4}")]), "");
    // Made when they are offered: their groups must be known when they are promised.
    node.offered("example.com/nic", 4);
    assert_eq!(number(), "4");
    let env = "PCI_RESOURCE_EXAMPLE_COM_NIC";
    let pods = [POD, OTHER];
    let functions = pods.map(|uid| {
        node.pod(uid, "nfv", &format!("virt-launcher-{}-x", &uid[..4]));
        let function = node.allocate(uid, "example.com/nic", 1).env(env);
        node.prestart(uid);
        function
    });
    assert_ne!(functions[0], functions[1]);
    // virt-handler does this before it starts a domain.
    let give = |function: &str| {
        vm.run(&format!("chown 107:107 /dev/vfio/{}; chmod 666 /dev/vfio/vfio", vm.group(function).unwrap())).ok()
    };
    let launchers = [0, 1].map(|n| {
        give(&functions[n]);
        let launcher = Launcher::start(&vm, pods[n], Mode::Session { uid: 107, memlock: 64 << 30 });
        let name = format!("vm-{n}");
        launcher.boot(&kubevirt_domain(&name, 64, &[("hostdevice-vf0", &functions[n])])).unwrap();
        launcher
    });
    // The first goes, and its function with it: the other's and the port stay as they are.
    launchers[0].destroy("vm-0");
    node.remove(POD);
    node.until("the first function is free", || {
        (vm.driver(&functions[0]).as_deref() != Some("vfio-pci")).then_some(())
    });
    assert_eq!(vm.driver(&functions[1]).as_deref(), Some("vfio-pci"));
    assert_eq!(number(), "4");
    launchers[1].destroy("vm-1");
    node.remove(OTHER);

    let uid = "cccccccc-0000-4000-8000-00000000000c";
    node.pod(uid, "nfv", "virt-launcher-worker-z");
    let given = node.allocate(uid, "example.com/nic", 2);
    let two: Vec<String> = given.env(env).split(',').map(str::to_owned).collect();
    node.prestart(uid);
    for function in &two {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
        give(function);
    }
    let low = 64 << 20;
    let launcher = Launcher::start(&vm, uid, Mode::Session { uid: 107, memlock: low });
    let sidecar = node.sidecar(uid, "");
    let vmi = json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance",
        "metadata": { "name": "worker", "namespace": "nfv", "annotations": {
            "virt-tailor.io/profiles": "dpdk-viommu",
            "virt-tailor.io/domain": "memory: {hardLimit: 2Gi}\nhostDevices:\n- {device: vf0, address: \"0000:06:00.0\"}\n- {device: vf1, address: \"0000:07:00.0\"}\n",
        } },
        "spec": { "domain": { "devices": { "hostDevices": [
            { "name": "vf0", "deviceName": "example.com/nic" }, { "name": "vf1", "deviceName": "example.com/nic" },
        ] } } },
        "status": { "nodeName": "box" },
    });
    let xml = kubevirt_domain("worker", 128, &[("hostdevice-vf0", &two[0]), ("hostdevice-vf1", &two[1])]);
    let fitted = node.until("the agent has confirmed", || match sidecar.define(&vmi, &xml) {
        Ok(fitted) => Some(fitted),
        Err(why) => {
            assert!(why.contains("Unavailable"), "{why}");
            None
        }
    });
    let daemon = launcher.daemon_pid();
    let soft =
        |pid: u32| vm.run(&format!("prlimit --pid {pid} --memlock --noheadings --output HARD")).ok().trim().to_owned();
    assert_ne!(soft(daemon), low.to_string());
    // KubeVirt sets its own value again with every sync.
    vm.run(&format!("prlimit --pid {daemon} --memlock={low}:{low}")).ok();
    node.until("the agent asserts the lock again", || (soft(daemon) != low.to_string()).then_some(()));
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in [("ua-hostdevice-vf0", "0000:06:00.0"), ("ua-hostdevice-vf1", "0000:07:00.0")] {
        assert_eq!(launcher.in_the_guest("worker", alias), at);
    }
    let qemu = launcher.qemu("worker");
    node.until("QEMU has what was confirmed", || (soft(qemu) == (2_u64 << 30).to_string()).then_some(()));
    // An agent that is killed takes nothing along: the next one holds the lock, the functions and the link.
    node.end_agent("KILL");
    vm.run(&format!("prlimit --pid {qemu} --memlock={low}:{low}")).ok();
    node.start_agent();
    node.until("the next agent asserts the lock", || (soft(qemu) == (2_u64 << 30).to_string()).then_some(()));
    assert_eq!(sidecar.define(&vmi, &xml).as_deref(), Ok(&*fitted));
    for function in &two {
        assert_eq!(vm.driver(function).as_deref(), Some("vfio-pci"));
    }

    launcher.destroy("worker");
    node.remove(uid);
    node.until("all functions are free", || {
        two.iter().all(|function| vm.driver(function).as_deref() != Some("vfio-pci")).then_some(())
    });
    node.end_agent("TERM");
    assert_eq!(number(), "4", "an end undoes nothing");
    vm.run("virt-tailor node release --all").ok();
    assert_eq!(number(), "0");
}

/// An agent that is killed, and a kubelet that starts again, at each stage of a device's way.
#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn nothing_is_lost_whenever_the_agent_or_kubelet_ends() {
    let vm = Vm::builder().with(Device::nvme("disk", Disk::Empty(64))).with(Device::xhci("usb")).boot();
    let devices = ["disk", "usb"].map(|name| (format!("example.com/{name}"), vm.bdf(name)));
    let before = devices.clone().map(|(_, bdf)| looks(&vm, &bdf));
    let is_back = |which: usize| looks(&vm, &devices[which].1) == before[which];
    let node = Node::start(&vm, &by_address(&vm, &[("disk", ""), ("usb", "")]), "");
    node.offered(&devices[0].0, 1);
    let kill = || {
        node.end_agent("KILL");
        node.start_agent();
    };
    let restart = || {
        node.kubelet("restart");
    };
    let ends: [(&str, &dyn Fn()); 2] = [("agent", &kill), ("kubelet", &restart)];
    for (who, end) in ends {
        for stage in 0..6 {
            let uid = format!("dddddddd-0000-4000-8000-0000000000{}{stage}", who.len());
            let next = uid.replace("dddddddd", "eeeeeeee");
            println!("the {who} ends at stage {stage}");
            // In turns: that a pod has gone is believed when kubelet has said so twice, ten seconds apart, and meanwhile the next one comes.
            let which = stage % 2;
            let (resource, bdf) = &devices[which];
            node.until("it is the host's again", || is_back(which).then_some(()));
            node.pod(&uid, "default", &format!("virt-launcher-{stage}-x"));
            if stage == 0 {
                end();
            }
            node.offered(resource, 1);
            node.allocate(&uid, resource, 1);
            if stage == 1 {
                end();
            }
            if stage == 2 {
                // While it is being made ready: an agent in the middle of its plan, kubelet somewhere in it.
                if who == "agent" {
                    node.end_agent("KILL");
                    node.start_agent_that_dies_at(14);
                    node.offered(resource, 1);
                }
                let asked = vm.spawn(&format!("kubelet-double /var/lib/kubelet prestart {uid} compute"));
                if who == "agent" {
                    node.agent_has_died();
                    let status = vm.run("virt-tailor node status").ok();
                    assert!(status.contains("being prepared, or cut short"), "{status}");
                    node.start_agent();
                } else {
                    end();
                }
                asked.wait(90);
            }
            node.prestart(&uid);
            assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"));
            let holder = vm.hold(bdf);
            if stage == 3 {
                end();
                node.offered(resource, 1);
                assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"), "in use");
                // Force-deleted, and its QEMU is still there when the next one has been given the device.
                node.remove(&uid);
                node.pod(&next, "default", "virt-launcher-next-x");
                node.allocate(&next, resource, 1);
                let refused = node.try_kubelet(&format!("prestart {next} compute")).unwrap_err();
                assert!(refused.contains("virt-tailor: "), "{refused}");
                assert!(refused.contains(&format!("process {}", holder.pid())), "{refused}");
            }
            vm.run(&format!("kill -9 {}", holder.pid())).ok();
            holder.wait(30);
            if stage == 3 {
                node.prestart(&next);
                assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"), "from one VM to the other");
                node.remove(&next);
            } else {
                // No stop signal of any kind.
                node.remove(&uid);
            }
            if stage == 4 {
                end();
            }
            if stage == 5 && who == "agent" {
                // While it gives back: by nobody's hand but its own.
                node.end_agent("KILL");
                node.start_agent_that_dies_at(8);
                node.agent_has_died();
                let status = vm.run("virt-tailor node status").ok();
                assert!(status.contains("being given back, or cut short"), "{status}");
                node.start_agent();
            }
        }
    }
    node.until("both are the host's again", || (is_back(0) && is_back(1)).then_some(()));
    node.end_agent("TERM");
    assert_eq!(vm.run("virt-tailor node status").ok(), "nothing on this node is changed");
}
