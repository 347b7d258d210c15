//! One of two equal cards, by vendor and device id.

use super::{OTHER, POD, all_looks, fitted, hand_over, import, nothing_left, vmi};
use crate::cluster::Node;
use crate::device::Device;
use crate::launcher::{Launcher, Mode, kubevirt_domain};
use crate::vm::Vm;

const CARD: &str = "nvidia.com/TU104GL_Tesla_T4";
const VARIABLE: &str = "PCI_RESOURCE_NVIDIA_COM_TU104GL_TESLA_T4";

#[test]
#[ignore = "needs QEMU, libvirt and a Debian kernel: tests/run"]
fn one_of_two_cards_by_vendor_and_device() {
    // Displays that show nothing, as a data centre's card does: the driver makes no framebuffer.
    let vm = Vm::builder()
        .memory_mib(2048)
        .kernel_arg("drm_kms_helper.fbdev_emulation=0")
        .with(Device::bochs_display("one"))
        .with(Device::bochs_display("two"))
        .boot();
    vm.run("modprobe vfio-pci").ok();
    let (one, two) = (vm.bdf("one"), vm.bdf("two"));
    let all = [&one, &two];
    let before = all_looks(&vm, &all);
    for bdf in all {
        assert_eq!(vm.driver(bdf).as_deref(), Some("bochs-drm"));
    }

    let imported = import(&vm, "pci-passthrough", &[("10de:1eb8", "1234:1111"), ("10DE:1EB8", "1234:1111")]);
    // The one argument that is needed, which this node has.
    assert!(imported.report.contains("kernel arguments that are really needed: intel_iommu=on"), "{}", imported.report);
    assert!(!imported.report.contains("kernel argument missing"), "{}", imported.report);
    let node = Node::start(&vm, &imported.node_config, "");
    node.offered(CARD, 2);
    assert_eq!(all_looks(&vm, &all), before, "offered, and still the host's");

    node.pod(POD, "default", "virt-launcher-inference-x");
    let card = node.allocate(POD, CARD, 1).env(VARIABLE);
    node.prestart(POD);
    let other = if card == one { &two } else { &one };
    // `ids=` would have had both.
    assert_eq!(vm.driver(&card).as_deref(), Some("vfio-pci"));
    assert_eq!(vm.driver(other).as_deref(), Some("bochs-drm"));

    hand_over(&vm, &card);
    let launcher = Launcher::start(&vm, POD, Mode::Session { uid: 107, memlock: 64 << 30 });
    let sidecar = node.sidecar(POD, "");
    let asked = vmi("inference", "pci-passthrough-gpu", &[], &[("t4", CARD)]);
    let fitted = fitted(&node, &sidecar, &asked, &kubevirt_domain("inference", 128, &[("hostdevice-t4", &card)]));
    // What the profile asks for besides.
    assert!(fitted.contains("<hidden state=\"on\">"), "{fitted}");
    launcher.boot(&fitted).unwrap_or_else(|why| panic!("{why}\n{fitted}"));
    let at = launcher.in_the_guest("inference", "ua-hostdevice-t4");
    assert!(at.ends_with(":00.0"), "behind a port of its own: {at}");

    // The second card is for whoever comes second, and then there are none.
    node.pod(OTHER, "default", "virt-launcher-training-y");
    assert_eq!(&node.allocate(OTHER, CARD, 1).env(VARIABLE), other);
    node.prestart(OTHER);
    assert_eq!(vm.driver(other).as_deref(), Some("vfio-pci"));
    let third = "cccccccc-0000-4000-8000-00000000000c";
    node.pod(third, "default", "virt-launcher-third-z");
    assert!(node.try_kubelet(&format!("allocate {third} compute {CARD} 1")).is_err());
    node.remove(OTHER);
    node.until("the second card is the host's", || (vm.driver(other).as_deref() == Some("bochs-drm")).then_some(()));
    assert_eq!(vm.driver(&card).as_deref(), Some("vfio-pci"), "the first is in use");

    launcher.destroy("inference");
    node.remove(POD);
    node.until("the node is as it was", || (all_looks(&vm, &all) == before).then_some(()));
    nothing_left(&node);
}
