//! Screens, consoles, keyboards.

use super::*;
use crate::host::{FirmwareFramebuffer, Parent, VtConsole, VtKind};

const BY_ADDRESS: &str = "selector: {address: '0000:01:00.0'}";
const LAST: &str = "0000:01:00.0 is the only display, and there is no serial console: guards.acknowledge with risk: lastConsole for \
                    this address allows it";

/// A GPU on a node without a serial console.
fn gpu() -> Node {
    Node::new().function(DEVICE, 0x03_0000, "nouveau").with(|node| node.0.display.consoles.clear())
}

#[test]
fn the_only_screen_stays_unless_somebody_says_so() {
    assert_eq!(gpu().refusals(""), [LAST]);
    for wrong in ["0000:01:00.1 lastConsole", "0000:01:00.0 lastKeyboard"] {
        assert_eq!(gpu().refusals_of(BY_ADDRESS, wrong), [LAST]);
    }
    assert_eq!(gpu().refusals_of(BY_ADDRESS, "0000:01:00.0 lastConsole"), [""; 0]);
    let not_vga = Node::new().function(DEVICE, 0x03_8000, "bochs-drm").with(|node| node.0.display.consoles.clear());
    assert_eq!(not_vga.refusals(""), [LAST]);
}

#[test]
fn another_screen_or_a_serial_line_is_enough() {
    assert_eq!(gpu().with(|node| node.0.display.consoles.push(console("ttyS0", &[]))).refusals(""), [""; 0]);
    assert_eq!(gpu().function("0000:02:00.0", 0x03_0000, "ast").refusals(""), [""; 0]);
    // Neither shows anything: without outputs, in a VM's hands, only messages for later, switched off.
    assert_eq!(gpu().function("0000:02:00.0", 0x03_0200, "nvidia").refusals(""), [LAST]);
    assert_eq!(gpu().function("0000:02:00.0", 0x03_0000, "vfio-pci").refusals(""), [LAST]);
    let pstore = Console { terminal: false, ..console("pstore-1", &[]) };
    assert_eq!(gpu().with(|node| node.0.display.consoles.push(pstore)).refusals(""), [LAST]);
    let off = Console { enabled: false, ..console("ttyS0", &[]) };
    assert_eq!(gpu().with(|node| node.0.display.consoles.push(off)).refusals(""), [LAST]);
    // A GPU without outputs is nobody's screen.
    let compute = Node::new().function(DEVICE, 0x03_0200, "nvidia").with(|node| node.0.display.consoles.clear());
    assert_eq!(compute.refusals(""), [""; 0]);
}

#[test]
fn what_still_draws_has_to_be_released() {
    let node = Node::new().function(DEVICE, 0x03_0000, "nouveau").with(|node| {
        node.0.display.cards.insert("card0".to_owned(), Parent::Pci(address(DEVICE)));
        let name = "(M) frame buffer device".to_owned();
        let console = VtConsole { id: 1, name, bound: true, modular: true, kind: VtKind::FrameBuffer };
        node.0.display.vtconsoles.insert(1, console);
    });
    assert_eq!(
        node.refusals(""),
        ["the kernel's console draws on a framebuffer while 0000:01:00.0 has one: add consoles: release to prepare"]
    );
    assert_eq!(node.refusals(", prepare: [{consoles: release}]"), [""; 0]);
    let unbound = node.with(|node| node.0.display.vtconsoles.get_mut(&1).unwrap().bound = false);
    assert_eq!(unbound.refusals(""), [""; 0]);
}

#[test]
fn the_firmware_s_framebuffer_has_to_be_released() {
    let node = |driver: Option<&str>| {
        Node::new().function(DEVICE, 0x03_8000, "").with(|node| {
            node.0.display.firmware_framebuffers.push(FirmwareFramebuffer {
                device: "simple-framebuffer.0".to_owned(),
                driver: driver.map(str::to_owned),
                parent: Some(address(DEVICE)),
                memory: None,
                card: None,
            });
        })
    };
    assert_eq!(
        node(Some("simple-framebuffer")).refusals(""),
        [
            "the firmware framebuffer simple-framebuffer.0 lies in the memory of 0000:01:00.0: add framebuffer: release to prepare"
        ]
    );
    assert_eq!(node(Some("simple-framebuffer")).refusals(", prepare: [{framebuffer: release}]"), [""; 0]);
    assert_eq!(node(None).refusals(""), [""; 0], "nobody draws there");
}

#[test]
fn serial_consoles_stay() {
    let words = |name: &str| {
        [format!(
            "the kernel's console {name} is on 0000:01:00.0: guards.acknowledge with risk: lastConsole for this address allows it"
        )]
    };
    let card = Node::new().function(DEVICE, 0x07_0002, "serial");
    assert_eq!(card.refusals(""), [""; 0], "the console is elsewhere");
    let card = card.with(|node| node.0.display.consoles.push(console("ttyS4", &[DEVICE])));
    assert_eq!(card.refusals(""), words("ttyS4"));
    assert_eq!(card.refusals_of(BY_ADDRESS, "0000:01:00.0 lastConsole"), [""; 0]);
    let usb = Node::new().function(DEVICE, 0x0c_0330, "xhci_hcd");
    assert_eq!(
        usb.with(|node| node.0.display.consoles.push(console("ttyUSB0", &[DEVICE]))).refusals(""),
        words("ttyUSB0")
    );
    let virtio = Node::new().function(DEVICE, 0x07_8000, "virtio-pci").with(|node| {
        node.0.virtio.insert(address(DEVICE), ["virtio_console".to_owned()].into());
        node.0.display.consoles.push(console("hvc0", &[]));
    });
    assert_eq!(virtio.refusals(""), words("hvc0"));
}

#[test]
fn the_only_keyboard() {
    let usb = || Node::new().function(DEVICE, 0x0c_0330, "xhci_hcd").keyboard(&[DEVICE]);
    let words = "the only keyboard hangs on 0000:01:00.0: guards.acknowledge with risk: lastKeyboard for this address allows it";
    assert_eq!(usb().refusals(""), [words]);
    assert_eq!(usb().refusals_of(BY_ADDRESS, "0000:01:00.0 lastConsole"), [words]);
    assert_eq!(usb().refusals_of(BY_ADDRESS, "0000:01:00.0 lastKeyboard"), [""; 0]);
    assert_eq!(usb().keyboard(&[]).refusals(""), [""; 0], "one is left, at the PS/2 port");
    assert_eq!(Node::new().function(DEVICE, 0x0c_0330, "xhci_hcd").refusals(""), [""; 0]);
}
