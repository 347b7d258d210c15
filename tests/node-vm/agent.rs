//! Whole lives of VMs with the agent: devices on their host drivers, asked for through kubelet, started by a real libvirt, given back.

use crate::bind::{by_address, looks};
use crate::cluster::Node;
use crate::device::Device;
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
    let fitted = vm
        .run(
            "virt-tailor mutate --domain /vt/kubevirt.xml --host-root / --libvirt system \\
             --set 'hostDevices[gpu0].address=0000:05:00.0' --set 'hostDevices[gpu0].companions=auto' \\
             --set 'hostDevices[usb].address=0000:07:00.0'",
        )
        .ok();
    let launcher = Launcher::start(&vm, POD, Mode::System);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    let companion = format!("ua-vt-{}", sound.replace([':', '.'], "-"));
    for (alias, at) in
        [("ua-gpu-gpu0", "0000:05:00.0"), (&*companion, "0000:05:00.1"), ("ua-hostdevice-usb", "0000:07:00.0")]
    {
        assert_eq!(launcher.in_the_guest("desktop", alias), at, "{alias}");
    }

    // An agent that is killed and starts again under a running VM changes nothing.
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

    // And the next one has them.
    let given = node.allocate(OTHER, "example.com/display", 1);
    assert_eq!(given.env("PCI_RESOURCE_EXAMPLE_COM_DISPLAY"), display);
    node.prestart(OTHER);
    assert_eq!(vm.driver(&display).as_deref(), Some("vfio-pci"));
    node.remove(OTHER);
    node.until("the node is as it was", || {
        (all.iter().map(|bdf| looks(&vm, bdf)).collect::<Vec<_>>() == before).then_some(())
    });
    assert_eq!(node.end_agent("TERM").code, 0);
}
