//! Who else is in the group, or on the bus.

use super::*;
use crate::host::Place;

const AUDIO: &str = "0000:01:00.1";

/// A GPU and another function in one group.
fn pair(class: u32, driver: &str) -> Node {
    Node::new().function(DEVICE, 0x03_0000, "nouveau").function(AUDIO, class, driver).group(7, &[DEVICE, AUDIO])
}

fn companions(node: &Node, more: &str) -> Vec<String> {
    let unit = node.unit(&format!("selector: {{address: '{DEVICE}'}}{more}"), "");
    assert_eq!(unit.refusals, [""; 0]);
    unit.companions.iter().map(ToString::to_string).collect()
}

#[test]
fn another_s_driver_keeps_the_group() {
    let words = "0000:01:00.1 (snd_hda_intel) is in IOMMU group 7 with 0000:01:00.0: take it along (companions: auto, or name it), \
                 or leave both to the host";
    let node = pair(0x04_0300, "snd_hda_intel");
    assert_eq!(node.refusals(""), [words]);
    assert_eq!(node.refusals(", companions: off"), [words]);
    assert_eq!(node.refusals(", companions: ['0000:01:00.2', '8086:1234']"), [words]);
    for taken in [", companions: auto", ", companions: ['0000:01:00.1']", ", companions: ['10de:2204']"] {
        assert_eq!(companions(&node, taken), [AUDIO], "{taken}");
    }
}

#[test]
fn idle_ones_are_in_nobody_s_way() {
    for driver in ["", "vfio-pci", "pci-stub"] {
        assert_eq!(companions(&pair(0x04_0300, driver), ""), [""; 0], "{driver}");
    }
}

#[test]
fn bridges_do_not_count() {
    let node = pair(0x06_0400, "pcieport").with(|node| node.device(AUDIO).function.header_type = Some(1));
    assert_eq!(companions(&node, ""), [""; 0]);
    assert_eq!(companions(&node, ", companions: auto"), [""; 0]);
}

#[test]
fn what_never_goes_does_not_go_along() {
    let words = "0000:01:00.1 (lpc_ich) is an ISA bridge, stays with the host, and is in IOMMU group 7 with 0000:01:00.0: so 0000:01:00.0 \
                 stays, too";
    assert_eq!(pair(0x06_0100, "lpc_ich").refusals(", companions: auto"), [words]);
    assert_eq!(companions(&pair(0x06_0100, ""), ", companions: auto"), [""; 0], "idle, it is left as it is");
}

#[test]
fn a_companion_passes_the_guards_by_itself() {
    let gone = pair(0x04_0300, "snd_hda_intel").with(|node| node.device(AUDIO).answers = Some(false));
    assert_eq!(
        gone.refusals(", companions: auto"),
        ["0000:01:00.1 does not answer (its config space reads ffff): it fell off the bus, or is in D3cold"]
    );
    let ipmi = pair(0x0c_0700, "ipmi_si");
    assert_eq!(
        ipmi.refusals(", companions: auto"),
        ["0000:01:00.1 is a baseboard management controller (IPMI): name it by address or device id if it is meant"]
    );
    assert_eq!(companions(&ipmi, ", companions: ['0000:01:00.1']"), [AUDIO]);
    let storage = pair(0x01_0802, "nvme");
    let words = "0000:01:00.1 is storage: name it by address or serial, not by what it has in common with others";
    assert_eq!(storage.refusals(", companions: auto"), [words]);
    assert_eq!(storage.refusals(", companions: ['10de:2204']"), [words]);
    assert_eq!(companions(&storage, ", companions: ['0000:01:00.1']"), [AUDIO]);
}

#[test]
fn what_is_reset_together_belongs_together() {
    let node = |driver: &str| {
        let node = Node::new().function(DEVICE, 0x03_0000, "nouveau").function(AUDIO, 0x04_0300, driver);
        node.with(|node| {
            let bridge = Some(address("0000:00:01.0"));
            let place = Place { root_complex: "pci0000:00".to_owned(), upstream: bridge.into_iter().collect(), bridge };
            for function in [DEVICE, AUDIO] {
                node.device(function).place = Some(place.clone());
            }
            node.device(DEVICE).function.reset_methods = Some(vec!["bus".to_owned()]);
        })
    };
    assert_eq!(
        node("snd_hda_intel").refusals(""),
        [
            "0000:01:00.1 (snd_hda_intel) is reset together with 0000:01:00.0, which has no reset of its own: take it along (companions: \
          auto, or name it), or leave both to the host"
        ]
    );
    assert_eq!(companions(&node("snd_hda_intel"), ", companions: auto"), [AUDIO]);
}

#[test]
fn what_cannot_be_seen_in_a_group_keeps_it() {
    let mut node = pair(0x04_0300, "");
    node.0.pci.functions.remove(&address(AUDIO));
    assert_eq!(
        node.refusals(", companions: auto"),
        ["0000:01:00.1, of which nothing can be read, is in one IOMMU group with 0000:01:00.0"]
    );
    let mut node = Node::new().function(DEVICE, 0x03_0000, "nouveau");
    node.0.groups.0.get_mut(&0).unwrap().others.insert("arm-smmu.0".to_owned());
    assert_eq!(
        node.refusals(", companions: auto"),
        ["arm-smmu.0, which is no PCI device, is in one IOMMU group with 0000:01:00.0"]
    );
}
