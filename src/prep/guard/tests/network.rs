//! NICs and what they are for.

use super::*;
use crate::host::nics::{Address, Elsewhere, Route};
use crate::host::usb::{UsbController, UsbDevice, UsbInterface};

const BY_ADDRESS: &str = "selector: {address: '0000:01:00.0'}";

fn nic() -> Node {
    Node::new().function(DEVICE, 0x02_0000, "igb").link("eth0", DEVICE)
}

fn with(change: impl FnOnce(&mut Nics)) -> Node {
    nic().with(|node| change(&mut node.0.nics))
}

/// The one reason, which only the right risk of the right address takes away.
#[track_caller]
fn reason(node: &Node, risk: &str) -> String {
    let lift = format!(" (guards.acknowledge with risk: {risk} for this address allows it)");
    let others =
        ["uplink", "hiddenInterface", "lastConsole", "lastKeyboard"].into_iter().filter(|other| *other != risk);
    let mut wrong: Vec<String> = others.map(|other| format!("{DEVICE} {other}")).collect();
    wrong.push(format!("0000:01:00.1 {risk}"));
    let refusals = node.refusals_of(BY_ADDRESS, &wrong.join(", "));
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(node.refusals_of(BY_ADDRESS, &format!("{DEVICE} {risk}")), [""; 0]);
    refusals[0].strip_suffix(&lift).unwrap().to_owned()
}

#[test]
fn a_nic_for_nothing_goes() {
    assert_eq!(nic().refusals(""), [""; 0]);
    let linklocal = Address { address: "fe80::1".parse().unwrap(), prefix: 64 };
    assert_eq!(with(|nics| nics.links[0].addresses.push(linklocal)).refusals(""), [""; 0]);
}

#[test]
fn roles() {
    let route = |to: &str, prefix| Route { destination: to.parse().unwrap(), prefix };
    let one = Address { address: "192.0.2.7".parse().unwrap(), prefix: 24 };
    let told = |change: &dyn Fn(&mut Link)| reason(&with(|nics| change(&mut nics.links[0])), "uplink");
    assert_eq!(told(&|link| link.addresses.push(one.clone())), "eth0 of 0000:01:00.0 has the address 192.0.2.7/24");
    assert_eq!(
        told(&|link| link.routes.push(route("0.0.0.0", 0))),
        "the default route leads over eth0 of 0000:01:00.0"
    );
    assert_eq!(
        told(&|link| link.routes.push(route("::", 0))),
        "the default route of IPv6 leads over eth0 of 0000:01:00.0"
    );
    assert_eq!(
        told(&|link| link.routes.push(route("198.51.100.0", 24))),
        "the route to 198.51.100.0/24 leads over eth0 of 0000:01:00.0"
    );
    assert_eq!(told(&|link| link.master = Some("bond0".to_owned())), "eth0 of 0000:01:00.0 is a port of bond0");
    // As the network of pods stands on it.
    assert_eq!(told(&|link| link.upper.push("macvlan0".to_owned())), "macvlan0 stands on eth0 of 0000:01:00.0");
}

#[test]
fn a_root_from_the_network_needs_every_nic_that_is_up() {
    let node = |up| {
        with(|nics| {
            nics.network_root = true;
            nics.links[0].up = up;
        })
    };
    let words = "the root file system comes over the network, and eth0 of 0000:01:00.0 is up";
    assert_eq!(reason(&node(true), "uplink"), words);
    assert_eq!(node(false).refusals(""), [""; 0]);
}

#[test]
fn in_a_pod() {
    let node = Node::new().function(DEVICE, 0x02_0000, "igb").with(|node| {
        node.0.nics.elsewhere.push(Elsewhere { function: address(DEVICE), driver: "igb".to_owned() });
    });
    assert_eq!(
        reason(&node, "hiddenInterface"),
        "0000:01:00.0 is bound to igb, but its interface is not in the node's network namespace: some pod has it"
    );
}

#[test]
fn in_a_pod_on_usb() {
    let usb = |driver: &str, nics: &[&str]| {
        let interface = UsbInterface { class: 0xff, subclass: 0, protocol: 0, driver: Some(driver.to_owned()) };
        let device = UsbDevice {
            name: "1-1".to_owned(),
            vendor: 0x0bda,
            product_id: 0x8153,
            product: None,
            class: 0,
            interfaces: vec![interface],
            disks: Vec::new(),
            nics: nics.iter().map(|nic| (*nic).to_owned()).collect(),
            ttys: Vec::new(),
        };
        Node::new().function(DEVICE, 0x0c_0330, "xhci_hcd").with(|node| {
            node.0.usb.controllers.push(UsbController {
                function: address(DEVICE),
                driver: None,
                devices: vec![device],
            });
        })
    };
    assert_eq!(
        reason(&usb("r8152", &[]), "hiddenInterface"),
        "a NIC on USB at 0000:01:00.0 is bound to r8152, but its interface is not in the node's network namespace: some pod has it"
    );
    assert_eq!(usb("r8152", &["eth1"]).refusals(""), [""; 0]);
    assert_eq!(usb("usbhid", &[]).refusals(""), [""; 0]);
}

#[test]
fn what_cannot_be_seen_is_no_permission() {
    assert_eq!(
        reason(
            &with(|nics| {
                nics.visible = false;
                nics.links.clear();
            }),
            "hiddenInterface"
        ),
        "whose network 0000:01:00.0 is cannot be seen: /sys shows another network namespace than process 1's"
    );
    assert_eq!(
        reason(&with(|nics| nics.source = Source::Text), "uplink"),
        "whether the node needs 0000:01:00.0 is not known: addresses and routes of process 1's network namespace can be seen only in part \
         from here (CAP_SYS_ADMIN is missing)"
    );
    assert_eq!(
        reason(&with(|nics| nics.unplaced.push("192.0.2.1".parse().unwrap())), "uplink"),
        "whether the node needs 0000:01:00.0 is not known: the node has the address 192.0.2.1, and on which device is not known"
    );
    // What is no NIC is none of these.
    let sound = Node::new().function(DEVICE, 0x04_0300, "snd_hda_intel").with(|node| {
        node.0.nics.visible = false;
        node.0.nics.source = Source::Text;
    });
    assert_eq!(sound.refusals(""), [""; 0]);
}

#[test]
fn a_virtual_function_is_not_its_card_s_uplink() {
    let pf = "0000:01:00.1";
    let one = Address { address: "192.0.2.7".parse().unwrap(), prefix: 24 };
    let node = nic().function(pf, 0x02_0000, "igb").link("uplink", pf).with(|node| {
        node.device(DEVICE).physfn = Some(address(pf));
        node.0.nics.links[1].addresses.push(one);
    });
    assert_eq!(node.refusals(""), [""; 0]);
}
