//! One case per loss that matters to a hook, as listed for KubeVirt main d923fdb.

use virt_tailor::kubevirt::reduce::{ReduceError, Release, reduce, reduce_for};

/// Reduces a piece inside `<domain>` and returns what is left of it, on one line.
fn left(piece: &str, release: Release) -> String {
    let domain = format!("<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>{piece}</domain>");
    reduce_for(domain.as_bytes(), release).unwrap().replace(['\n', '\t'], "")
}

/// What a domain holds in any case.
const FRAME: [&str; 6] = [
    "<domain type=\"kvm\"><name></name><memory unit=\"\">0</memory>",
    "<os><type></type></os>",
    "<devices></devices>",
    "<metadata><kubevirt xmlns=\"http://kubevirt.io\"><uid></uid></kubevirt></metadata>",
    "<cpu></cpu>",
    "</domain>",
];

fn outside_devices(piece: &str) -> String {
    let mut out = left(piece, Release::default());
    for part in FRAME {
        assert!(out.contains(part), "{part} in {out}");
        out = out.replacen(part, "", 1);
    }
    out
}

fn device_for(piece: &str, release: Release) -> String {
    let out = left(&format!("<devices>{piece}</devices>"), release);
    let inner = out.split("<devices>").nth(1).unwrap().split("</devices>").next().unwrap();
    inner.to_owned()
}

fn device(piece: &str) -> String {
    device_for(piece, Release::default())
}

#[test]
fn domain() {
    assert_eq!(outside_devices(""), "");
    assert_eq!(outside_devices("<memtune><hard_limit unit='KiB'>1</hard_limit></memtune>"), "");
    assert_eq!(
        outside_devices("<memoryBacking><nosharepages/><locked/><access mode='shared'/></memoryBacking>"),
        "<memoryBacking><access mode=\"shared\"></access></memoryBacking>"
    );
    assert_eq!(
        outside_devices("<memoryBacking><discard/></memoryBacking><on_crash>destroy</on_crash>"),
        "<memoryBacking></memoryBacking>"
    );
    assert_eq!(
        outside_devices(
            "<features><kvm><hidden state='on'/><poll-control state='on'/></kvm><ioapic driver='qemu'/><smm state='on'/>\
             <acpi/><ps2 state='off'/></features>"
        ),
        "<features><acpi></acpi><smm></smm><kvm><hidden state=\"on\"></hidden></kvm></features>"
    );
    assert_eq!(
        outside_devices("<qemu:override><qemu:device alias='ua-a'/></qemu:override><description>x</description>"),
        ""
    );
}

#[test]
fn cpu() {
    let cpu = "<cpu mode='host-passthrough' check='none' migratable='off'><maxphysaddr mode='passthrough'/><cache mode='emulate'/>\
        <feature policy='disable' name='hypervisor'/><model fallback='allow'>qemu64</model>\
        <topology sockets='1' dies='1' cores='2' threads='1'/></cpu>";
    let out = left(cpu, Release::default());
    assert!(out.ends_with(
        "<cpu mode=\"host-passthrough\"><model>qemu64</model><feature name=\"hypervisor\" policy=\"disable\"></feature>\
         <topology sockets=\"1\" cores=\"2\" threads=\"1\"></topology></cpu></domain>"
    ));
}

#[test]
fn iommu() {
    let iommu = "<iommu model='smmuv3'><driver intremap='on' pciBus='1' accel='on' ats='on' ril='on' ssidSize='20' oas='48'/>\
        <address type='pci'/></iommu>";
    let kept = "<iommu model=\"smmuv3\"><driver pciBus=\"1\" accel=\"on\" ats=\"on\" ril=\"on\" ssidSize=\"20\" oas=\"48\"></driver>\
        </iommu>";
    assert_eq!(device(iommu), kept);
    assert_eq!(device(&format!("{iommu}{iommu}")), format!("{kept}{kept}"));
    assert_eq!(device_for(iommu, Release { knows_iommu: false, ..Release::default() }), "");
}

#[test]
fn hostdev() {
    let hostdev = "<hostdev mode='subsystem' type='pci' managed='no'>\
        <driver name='vfio' model='vfio-pci-nohv' iommufd='yes'/>\
        <source writeFiltering='no'><address domain='0x0000' bus='0x0a' slot='0x00' function='0x0'/></source>\
        <rom bar='off'/><acpi index='7'/><boot order='1'/><alias name='ua-gpu-g'/>\
        <address type='pci' bus='0x05' multifunction='on'/></hostdev>";
    assert_eq!(
        device(hostdev),
        "<hostdev type=\"pci\" managed=\"no\" mode=\"subsystem\">\
         <source><address domain=\"0x0000\" bus=\"0x0a\" slot=\"0x00\" function=\"0x0\"></address></source>\
         <boot order=\"1\"></boot><driver iommufd=\"yes\"></driver><acpi></acpi>\
         <address type=\"pci\" bus=\"0x05\"></address><alias name=\"ua-gpu-g\"></alias></hostdev>"
    );
}

#[test]
fn controllers() {
    assert_eq!(
        device(
            "<controller type='pci' index='1' model='pcie-root-port'><model name='pcie-root-port'/>\
             <target chassis='1' port='0x8' hotplug='off'/><pcihole64 unit='KiB'>1024</pcihole64></controller>"
        ),
        "<controller type=\"pci\" index=\"1\" model=\"pcie-root-port\"><pcihole64 unit=\"KiB\">1024</pcihole64>\
         <target hotplug=\"off\"></target></controller>"
    );
    assert_eq!(
        device(
            "<controller type='pci' index='2' model='pcie-expander-bus'><target busNr='254'><node> 1 </node></target></controller>"
        ),
        "<controller type=\"pci\" index=\"2\" model=\"pcie-expander-bus\"><target busNr=\"254\"><node>1</node></target></controller>"
    );
}

#[test]
fn virtio_drivers_keep_iommu_and_lose_ats() {
    let driver = "<driver iommu='on' ats='on'/>";
    for (name, rest) in [
        ("controller", " type=\"scsi\" index=\"0\""),
        ("memballoon", " model=\"virtio\""),
        ("rng", " model=\"virtio\""),
    ] {
        let out = device(&format!("<{name}{}>{driver}</{name}>", rest.replace('"', "'")));
        assert_eq!(out, format!("<{name}{rest}><driver iommu=\"on\"></driver></{name}>"));
    }
    assert_eq!(
        device(&format!("<interface type='ethernet'>{driver}</interface>")),
        "<interface type=\"ethernet\"><source></source><driver name=\"\" iommu=\"on\"></driver></interface>"
    );
    assert_eq!(
        device("<vsock model='virtio'><cid auto='yes'/><driver iommu='on'/></vsock>"),
        "<vsock model=\"virtio\"><cid auto=\"yes\"></cid></vsock>"
    );
    assert_eq!(
        device("<video><model type='virtio' heads='1'/><driver iommu='on'/><address type='pci'/></video>"),
        "<video><model type=\"virtio\" heads=\"1\"></model></video>"
    );
}

#[test]
fn devices_it_does_not_know() {
    assert_eq!(device("<shmem name='looking-glass'/><hub type='usb'/><audio id='1'/><crypto model='virtio'/>"), "");
    assert_eq!(device("<memballoon model='none'/>"), "<memballoon model=\"none\"></memballoon>");
}

#[test]
fn raw_arguments_survive_in_main_without_their_declaration() {
    let line = "<qemu:commandline><qemu:arg value='-global'/><qemu:env name='A' value='&#10;\"'/></qemu:commandline>";
    let main = Release { keeps_qemu_commandline: true, ..Release::default() };
    let out = left(line, main);
    assert!(!out.contains("xmlns:qemu"), "{out}");
    assert!(out.contains(
        "</devices><qemu:commandline><qemu:env name=\"A\" value=\"&#xA;&#34;\"></qemu:env>\
         <qemu:arg value=\"-global\"></qemu:arg></qemu:commandline><metadata>"
    ));
    assert!(!left(line, Release::default()).contains("qemu:"));
    let nosharepages = Release { keeps_nosharepages: true, ..Release::default() };
    assert!(left("<memoryBacking><nosharepages/></memoryBacking>", nosharepages).contains("<nosharepages>"));
}

#[test]
fn twice_is_merged_and_numbers_are_normal() {
    assert_eq!(
        outside_devices(
            "<features><acpi/></features><features><apic eoi='on'/></features><vcpu placement='static'> 007 </vcpu>"
        ),
        "<features><acpi></acpi><apic></apic></features><vcpu placement=\"static\">7</vcpu>"
    );
}

#[test]
fn what_kubevirt_refuses() {
    let error = reduce(b"<domain type='kvm'>\n<vcpu>two</vcpu></domain>").unwrap_err();
    assert_eq!(error.to_string(), "line 2: <vcpu> is \"two\", which KubeVirt cannot read as a number");
    let error = reduce(b"<domain><devices><hostdev><boot order='-1'/></hostdev></devices></domain>").unwrap_err();
    assert_eq!(error.to_string(), "line 1: <boot order> is \"-1\", which KubeVirt cannot read as a number");
    assert!(matches!(reduce(b"<network/>"), Err(ReduceError::NotADomain(name)) if name == "network"));
    assert!(matches!(reduce(b""), Err(ReduceError::Xml(_))));
    assert!(reduce(b"<domain><cpu><topology sockets='4294967296'/></cpu></domain>").is_err());
}
