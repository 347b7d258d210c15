//! A workstation's only screen with its sound, and one of two equal USB controllers.

use super::{POD, all_looks, fitted, hand_over, import, nothing_left, vmi};
use crate::cluster::Node;
use crate::device::Device;
use crate::displays::look;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::machine::Firmware;
use crate::vm::Vm;

const GPU: &str = "nvidia.com/GEFORCE_RTX_3080";

#[test]
#[ignore = "needs QEMU, OVMF, libvirt and a Debian kernel: tests/run"]
fn a_display_with_console_and_sound_and_a_usb_controller_among_twins() {
    // The display has no driver of its own here, as with nouveau kept away: the firmware's framebuffer is what the console draws on.
    let vm = Vm::builder()
        .memory_mib(2048)
        .firmware(Firmware::Ovmf)
        .no_coldplug()
        .with(Device::root_port("card").no_acs())
        .with(Device::bochs_display("display").function("card", 0))
        .with(Device::hda("sound").function("card", 1))
        .with(Device::xhci("twin"))
        .with(Device::xhci("usb"))
        .boot();
    vm.run("modprobe -a snd_hda_intel xhci_pci vfio-pci").ok();
    let (display, sound, usb, twin) = (vm.bdf("display"), vm.bdf("sound"), vm.bdf("usb"), vm.bdf("twin"));
    let all = [&display, &sound, &usb, &twin];
    let (before, screen) = (all_looks(&vm, &all), look(&vm));
    assert!(screen.contains(&"(M) frame buffer device 1".to_owned()), "{screen:?}");
    assert!(screen.contains(&"efi-framebuffer.0 efi-framebuffer".to_owned()), "{screen:?}");

    let imported = import(
        &vm,
        "gpu-workstation",
        &[
            ("10de:2206", "1234:1111"),
            ("10DE:2206", "1234:1111"),
            ("10de:1aef", "8086:293e"),
            ("10DE:1AEF", "8086:293e"),
            ("0000:0b:00.3", &usb),
            (r"0000\:0b\:00.3", &usb.replace(':', r"\:")),
        ],
    );
    // The old files' write to vtcon0, and KubeVirt's entry for a device that nobody has.
    assert!(imported.report.contains("vtcon0 of this node draws on no framebuffer"), "{}", imported.report);
    assert!(imported.report.contains("no device of this node is 1222:164f"), "{}", imported.report);
    assert!(imported.report.contains("kernel arguments that are really needed: none"), "{}", imported.report);

    // It has no other name in these files.
    let controller = format!("example.com/pci-{}", usb.replace([':', '.'], "-"));
    let node = Node::start(&vm, &imported.node_config, "");
    for resource in [GPU, &controller] {
        node.offered(resource, 1);
    }
    assert_eq!((all_looks(&vm, &all), look(&vm)), (before.clone(), screen.clone()), "offered, and still the host's");

    node.pod(POD, "desktops", "virt-launcher-flightsim-x");
    assert_eq!(node.allocate(POD, GPU, 1).env("PCI_RESOURCE_NVIDIA_COM_GEFORCE_RTX_3080"), display);
    node.allocate(POD, &controller, 1);
    node.prestart(POD);
    for bdf in [&display, &sound, &usb] {
        assert_eq!(vm.driver(bdf).as_deref(), Some("vfio-pci"), "{bdf}");
        hand_over(&vm, bdf);
    }
    assert_eq!(vm.driver(&twin).as_deref(), Some("xhci_hcd"));
    assert_eq!(look(&vm), ["(S) dummy device 1", "efi-framebuffer.0"]);

    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: 64 << 30 });
    let sidecar = node.sidecar(POD, "");
    let asked = vmi("flightsim", "gpu-workstation-gpu", &[("gpu0", GPU)], &[("usb", &controller)]);
    let xml = kubevirt_domain("flightsim", 128, &[("gpu-gpu0", &display), ("hostdevice-usb", &usb)]);
    let fitted = fitted(&node, &sidecar, &asked, &xml);
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    // One slot, as on the card.
    let screen_at = launcher.in_the_guest("flightsim", "ua-gpu-gpu0");
    let slot = screen_at.strip_suffix(".0").unwrap_or_else(|| panic!("{screen_at}"));
    let companion = format!("ua-vt-{}", sound.replace([':', '.'], "-"));
    assert_eq!(launcher.in_the_guest("flightsim", &companion), format!("{slot}.1"));
    assert!(!launcher.in_the_guest("flightsim", "ua-hostdevice-usb").starts_with(slot));
    assert_eq!(look(&vm), ["(S) dummy device 1", "efi-framebuffer.0"]);

    launcher.destroy("flightsim");
    node.remove(POD);
    node.until("the node is as it was", || (all_looks(&vm, &all) == before && look(&vm) == screen).then_some(()));
    nothing_left(&node);
}
