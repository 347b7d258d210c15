//! Displays and consoles of small machines.

use super::display::{Display, Parent, VtKind};
use super::pci::Pci;
use super::testing::Tree;
use crate::base::PciAddress;

const GPU: &str = "0000:01:00.0";

fn gpu() -> PciAddress {
    GPU.parse().unwrap()
}

/// A GPU whose second BAR holds the framebuffer, and one that is not concerned.
fn machine(iomem: &str, framebuffer: &str, driver: &str) -> Tree {
    let resource =
        |base: &str| format!("0x0 0x0 0x0\n0x{base}0000000 0x{base}fffffff 0x14220c\n{}", "0x0 0x0 0x0\n".repeat(11));
    Tree::new()
        .pci("pci0000:00/0000:00:01.0", GPU, "0x030000", 0)
        .pci("pci0000:00/0000:00:02.0", "0000:02:00.0", "0x030000", 0)
        .file(&format!("sys/devices/pci0000:00/0000:00:01.0/{GPU}/resource"), resource("d"))
        .file("sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/resource", resource("c"))
        .file("proc/iomem", iomem)
        .link(
            &format!("sys/bus/platform/devices/{framebuffer}/driver"),
            &format!("../../../bus/platform/drivers/{driver}"),
        )
        .folder("sys/bus/platform/devices/pcspkr")
}

fn read(tree: &Tree) -> (Display, Pci) {
    (Display::read(&tree.root()).unwrap(), Pci::read(&tree.root()).unwrap())
}

#[test]
fn a_firmware_framebuffer_lies_in_a_bar() {
    for (framebuffer, driver, claim) in [
        ("efi-framebuffer.0", "efi-framebuffer", "efifb"),
        ("simple-framebuffer.0", "simple-framebuffer", "BOOTFB"),
        ("vesa-framebuffer.0", "vesa-framebuffer", "vesafb"),
        ("simple-framebuffer.0", "simple-framebuffer", "simple-framebuffer"),
    ] {
        let iomem = format!(
            "c0000000-dfffffff : PCI Bus 0000:00\n  d0000000-dfffffff : 0000:01:00.0\n    d0000000-d02fffff : {claim}\n"
        );
        let (display, pci) = read(&machine(&iomem, framebuffer, driver));
        let found = &display.firmware_framebuffers[0];
        assert_eq!((found.device.as_str(), found.driver.as_deref()), (framebuffer, Some(driver)));
        assert_eq!(found.owner(&pci), Some(gpu()), "{claim}");
        assert_eq!(display.firmware_framebuffers_of(&pci, gpu()).count(), 1);
        assert_eq!(display.firmware_framebuffers_of(&pci, "0000:02:00.0".parse().unwrap()).count(), 0);
    }
}

#[test]
fn the_kernel_puts_it_below_the_card_it_lies_in() {
    let target = format!("../../../devices/pci0000:00/0000:00:01.0/{GPU}/efi-framebuffer.0");
    let tree = Tree::new().link("sys/bus/platform/devices/efi-framebuffer.0", &target);
    assert_eq!(read(&tree).0.firmware_framebuffers[0].owner(&Pci::default()), Some(gpu()), "without a word in iomem");
    let tree =
        Tree::new().link("sys/bus/platform/devices/efi-framebuffer.0", "../../../devices/platform/efi-framebuffer.0");
    assert_eq!(read(&tree).0.firmware_framebuffers[0].owner(&Pci::default()), None);
}

#[test]
fn the_device_and_its_driver_claim_one_place() {
    let iomem = "    d0000000-d02fffff : BOOTFB\n      d0000000-d02ffeff : simplefb\n";
    let (display, pci) = read(&machine(iomem, "simple-framebuffer.0", "simple-framebuffer"));
    assert_eq!(display.firmware_framebuffers[0].owner(&pci), Some(gpu()));
}

#[test]
fn a_place_that_is_not_shown_belongs_to_nobody() {
    for iomem in [
        "  00000000-00000000 : 0000:01:00.0\n    00000000-00000000 : BOOTFB\n",
        "  d0000000-dfffffff : 0000:01:00.0\n",
        "  d0000000-d02fffff : BOOTFB\n  c0000000-c02fffff : efifb\n",
        "  a0000000-a02fffff : BOOTFB\n",
    ] {
        let (display, pci) = read(&machine(iomem, "simple-framebuffer.0", "simple-framebuffer"));
        assert_eq!(display.firmware_framebuffers[0].owner(&pci), None, "{iomem}");
    }
}

#[test]
fn terminals_cards_and_consoles() {
    let tree = Tree::new()
        .file("sys/class/vtconsole/vtcon0/name", "(S) dummy device\n")
        .file("sys/class/vtconsole/vtcon0/bind", "0\n")
        .file("sys/class/vtconsole/vtcon1/name", "(M) frame buffer device\n")
        .file("sys/class/vtconsole/vtcon1/bind", "1\n")
        .link("sys/class/drm/card0/device", "../../../0000:01:00.0")
        .link("sys/class/drm/card1/device", "../../../simple-framebuffer.0")
        .folder("sys/class/drm/card2")
        .folder("sys/class/drm/card0-HDMI-A-1")
        .folder("sys/class/drm/renderD128")
        .file("sys/class/drm/version", "drm 1.1.0 20060810\n")
        .folder("sys/bus/platform/devices/simple-framebuffer.0")
        .file("proc/fb", "0 EFI VGA\n1 nouveaudrmfb\n")
        .file(
            "proc/consoles",
            "tty0                 -WU (EC  p  )    4:2\nttyS0                -W- (E   p a)    4:64\npstore-1             -W- (E   p  )\nttynull0             --- (E      )  240:0\n",
        )
        .link("sys/class/tty/ttyS0", "../../devices/pci0000:00/0000:00:16.3/0000:00:16.3:0/0000:00:16.3:0.0/tty/ttyS0")
        .file("sys/class/tty/console/active", "tty0 ttyS0\n");
    let (display, _) = read(&tree);
    let seen: Vec<_> =
        display.vtconsoles.values().map(|console| (console.kind, console.bound, console.modular)).collect();
    assert_eq!(seen, [(VtKind::Dummy, false, false), (VtKind::FrameBuffer, true, true)]);
    assert_eq!(display.cards["card1"], Parent::Other("simple-framebuffer.0".to_owned()));
    assert_eq!((&display.cards["card2"], display.cards.len()), (&Parent::None, 3));
    assert_eq!(display.cards_of(gpu()).collect::<Vec<_>>(), ["card0"]);
    assert_eq!(display.firmware_framebuffers[0].card.as_deref(), Some("card1"));
    assert_eq!(display.framebuffers[&1], "nouveaudrmfb");
    let consoles: Vec<_> = display.consoles.iter().map(|console| (console.is_display(), console.preferred)).collect();
    assert_eq!(consoles[..2], [(true, true), (false, false)]);
    let terminals: Vec<_> = display.consoles.iter().map(|console| console.terminal).collect();
    assert_eq!(terminals, [true, true, false, false]);
    assert_eq!(display.consoles[1].functions, ["0000:00:16.3".parse().unwrap()]);
    assert!(display.consoles[0].functions.is_empty());
    assert_eq!(display.active, ["tty0", "ttyS0"]);
}

#[test]
fn a_machine_without_any() {
    assert_eq!(read(&Tree::new()).0, Display::default());
}
