//! Whole lives of VMs: devices on their host drivers, a domain that a real libvirt starts with them, and the node as it was.

use crate::bind::{NODE, by_address, looks};
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::vm::Vm;

/// Without an agent: what `node apply` and `mutate` make is what libvirt and QEMU take.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn a_display_with_its_sound_starts_where_it_was_pinned() {
    let vm = Vm::builder()
        .memory_mib(2048)
        .with(Device::root_port("card").no_acs())
        .with(Device::bochs_display("display").function("card", 0))
        .with(Device::hda("sound").function("card", 1))
        .with(Device::xhci("usb"))
        .boot();
    let (display, sound, usb) = (vm.bdf("display"), vm.bdf("sound"), vm.bdf("usb"));
    let config = by_address(&vm, &[("display", "companions: auto\nprepare:\n- consoles: release"), ("usb", "")]);
    vm.put("node.yaml", config.as_bytes());
    let all = [&display, &sound, &usb];
    let before: Vec<_> = all.iter().map(|bdf| looks(&vm, bdf)).collect();
    for name in ["display", "usb"] {
        vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/{name} --owner vm-{name}")).ok();
    }

    let xml = kubevirt_domain("desktop", 128, &[("gpu-gpu0", &display), ("hostdevice-usb", &usb)]);
    vm.put("kubevirt.xml", xml.as_bytes());
    let profile = "apiVersion: virt-tailor.io/v1alpha1\nkind: DomainProfile\nmetadata: {name: desktop}\nspec:\n  hostDevices:\n\
                   \x20 - {device: gpu0, address: \"0000:05:00.0\", companions: auto}\n  - {device: usb, address: \"0000:07:00.0\"}\n";
    vm.put("desktop.yaml", profile.as_bytes());
    let fitted = vm
        .run("virt-tailor mutate --domain /vt/kubevirt.xml --profile /vt/desktop.yaml --host-root / --libvirt system")
        .ok();
    let launcher = Launcher::start(&vm, "desktop", Mode::System);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in [
        ("ua-gpu-gpu0", "0000:05:00.0"),
        (&*format!("ua-vt-{}", sound.replace([':', '.'], "-")), "0000:05:00.1"),
        ("ua-hostdevice-usb", "0000:07:00.0"),
    ] {
        assert_eq!(launcher.in_the_guest("desktop", alias), at, "{alias}");
    }
    // Held by a QEMU, they are not taken back.
    let early = vm.run("virt-tailor node undo --owner vm-usb");
    assert_eq!(early.code, 69, "{early:?}");
    assert!(early.stderr.contains(&launcher.qemu("desktop").to_string()), "{early:?}");
    launcher.destroy("desktop");

    for name in ["usb", "display"] {
        vm.run(&format!("virt-tailor node undo --owner vm-{name}")).ok();
    }
    assert_eq!(all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>(), before);
}

/// A pod whose libvirt may lock little, as in a VM that KubeVirt knows no host devices of: why locked memory is looked after.
#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn two_functions_behind_a_viommu_need_more_locked_memory_than_a_pod_has() {
    let vm = Vm::builder().memory_mib(2048).with(Device::igb("nic")).boot();
    let config = by_address(&vm, &[("nic", "kind: sriov\nsriov: {vfs: 2}")]);
    vm.put("node.yaml", config.as_bytes());
    let functions: Vec<String> = ["worker-0", "worker-1"]
        .iter()
        .map(|owner| {
            let said =
                vm.run(&format!("virt-tailor node apply {NODE} --resource example.com/nic --owner {owner}")).ok();
            let bdf = said.rsplit_once('(').unwrap().1.trim_end_matches(')').to_owned();
            let group = vm.group(&bdf).unwrap();
            // virt-handler does this before it starts the domain.
            vm.run(&format!("chown 107:107 /dev/vfio/{group}; chmod 666 /dev/vfio/vfio")).ok();
            bdf
        })
        .collect();
    let xml = kubevirt_domain("worker", 128, &[("hostdevice-vf0", &functions[0]), ("hostdevice-vf1", &functions[1])]);
    vm.put("kubevirt.xml", xml.as_bytes());
    let fitted = vm
        .run(
            "virt-tailor mutate --domain /vt/kubevirt.xml --profile dpdk-viommu --host-root / --libvirt session \
             --set 'hostDevices[vf0].address=0000:06:00.0' --set 'hostDevices[vf1].address=0000:07:00.0'",
        )
        .ok();

    let launcher = Launcher::start(&vm, "worker", Mode::Session { uid: 107, memlock: 64 << 20 });
    let why = launcher.boot(&fitted).unwrap_err();
    assert!(why.contains("cannot limit locked memory"), "{why}");
    let unlimited = format!("prlimit --pid {} --memlock=unlimited:unlimited", launcher.daemon_pid());
    vm.run(&unlimited).ok();
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    for (alias, at) in [("ua-hostdevice-vf0", "0000:06:00.0"), ("ua-hostdevice-vf1", "0000:07:00.0")] {
        assert_eq!(launcher.in_the_guest("worker", alias), at);
    }
    // 128 MiB of guest behind a vIOMMU, once for each device, and a GiB: libvirt's rule.
    let limit = vm.run(&format!("prlimit --pid {} --memlock --noheadings --output SOFT", launcher.qemu("worker"))).ok();
    assert_eq!(limit.trim(), (2 * (128_u64 << 20) + (1 << 30)).to_string());
    launcher.destroy("worker");
    for owner in ["worker-0", "worker-1"] {
        vm.run(&format!("virt-tailor node undo --owner {owner}")).ok();
    }
    assert_eq!(vm.read(&format!("/sys/bus/pci/devices/{}/sriov_numvfs", vm.bdf("nic"))).as_deref(), Some("0"));
}
