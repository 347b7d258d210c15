//! Domains as KubeVirt and others write them: random parts, addresses and styles, with things in between that nobody may touch.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// How a document is written.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// One step; nothing for a document in one line.
    indent: Option<&'static str>,
    newline: &'static str,
    quote: char,
    close_tag: bool,
    prolog: &'static str,
}

fn style() -> impl Strategy<Value = Style> {
    (
        select(vec![Some("\t"), Some("  "), Some("    "), None]),
        select(vec!["\n", "\r\n"]),
        select(vec!['"', '\'']),
        any::<bool>(),
        select(vec!["", "", "<?xml version=\"1.0\"?>\n", "\u{feff}", "<!-- first -->\r\n<?first?>"]),
    )
        .prop_map(|(indent, newline, quote, close_tag, prolog)| Style {
            indent,
            newline,
            quote,
            close_tag,
            prolog,
        })
}

/// Something in a document.
#[derive(Debug, Clone)]
enum Node {
    Element {
        name: String,
        attributes: Vec<(String, String)>,
        children: Vec<Node>,
    },
    Text(String),
    /// Bytes that must come out as they are.
    Kept(String),
}

fn element(name: &str, attributes: &[(&str, &str)], children: Vec<Node>) -> Node {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Node::Element { name: name.to_owned(), attributes, children }
}

fn leaf(name: &str, attributes: &[(&str, &str)], text: &str) -> Node {
    element(name, attributes, vec![Node::Text(text.to_owned())])
}

fn pci_address(kind: &str, address: (u8, u8, u8)) -> Node {
    let (bus, slot, function) = address;
    let (bus, slot, function) = (format!("0x{bus:02x}"), format!("0x{slot:02x}"), format!("0x{function:x}"));
    let mut attributes = vec![("domain", "0x0000"), ("bus", &*bus), ("slot", &*slot), ("function", &*function)];
    if !kind.is_empty() {
        attributes.insert(0, ("type", kind));
    }
    element("address", &attributes, vec![])
}

/// What nobody may touch; the number makes each different.
fn kept() -> impl Strategy<Value = Node> {
    (0..6, any::<u32>()).prop_map(|(kind, n)| {
        Node::Kept(match kind {
            0 => format!("<!-- <hostdev n='{n}'/> & co -->"),
            1 => format!("<?keep {n}?>"),
            2 => format!("<frob a = '{n}'  b=\"&#x41;\" ><x></x><x/>]] &gt; </frob >"),
            3 => format!("<d:devices xmlns:d='urn:x'><d:iommu n='{n}'/><memballoon xmlns=''/></d:devices>"),
            4 => format!("<memtune xmlns='urn:y'><hard_limit>{n}</hard_limit></memtune>"),
            _ => format!("<frob><![CDATA[ </devices>{n} ]]></frob>"),
        })
    })
}

type Address = Option<(u8, u8, u8)>;

fn guest() -> impl Strategy<Value = Address> {
    prop_oneof![
        3 => Just(None),
        2 => (1u8..40).prop_map(|bus| Some((bus, 0, 0))),
        1 => (3u8..30, 0u8..2).prop_map(|(slot, function)| Some((0, slot, function))),
    ]
}

fn hostdev(alias: &'static str, source: (u8, u8, u8)) -> impl Strategy<Value = Node> {
    (guest(), any::<bool>(), any::<bool>(), proptest::option::of(kept())).prop_map(move |(at, mode, rom, kept)| {
        let mut children = vec![element("source", &[], vec![pci_address("", source)])];
        children.extend(rom.then(|| element("rom", &[("bar", "on")], vec![])));
        children.push(element("alias", &[("name", alias)], vec![]));
        children.extend(at.map(|at| pci_address("pci", at)));
        children.extend(kept);
        let mode = mode.then_some(("mode", "subsystem"));
        let attributes: Vec<_> = [("type", "pci"), ("managed", "no")].into_iter().chain(mode).collect();
        element("hostdev", &attributes, children)
    })
}

fn other_device() -> impl Strategy<Value = Node> {
    let fixed = vec![
        element("disk", &[("type", "file")], vec![element("target", &[("dev", "vda"), ("bus", "virtio")], vec![])]),
        element("interface", &[("type", "ethernet")], vec![element("model", &[("type", "virtio")], vec![])]),
        element("controller", &[("type", "scsi"), ("index", "0"), ("model", "virtio-non-transitional")], vec![]),
        element("controller", &[("type", "usb"), ("index", "0"), ("model", "none")], vec![]),
        element("controller", &[("type", "pci"), ("index", "0"), ("model", "pcie-root")], vec![]),
        element("controller", &[("type", "pci"), ("index", "1"), ("model", "pcie-root-port")], vec![]),
        element("controller", &[("type", "pci"), ("index", "9"), ("model", "pcie-root-port")], vec![]),
        element("video", &[], vec![element("model", &[("type", "vga")], vec![])]),
        element("graphics", &[("type", "vnc")], vec![]),
        element("memballoon", &[("model", "virtio")], vec![element("stats", &[("period", "10")], vec![])]),
        element("iommu", &[("model", "intel")], vec![]),
        element("iommu", &[("model", "virtio")], vec![]),
        element("shmem", &[("name", "a")], vec![leaf("size", &[("unit", "M")], "2")]),
        element("rng", &[("model", "virtio")], vec![leaf("backend", &[("model", "random")], "/dev/random")]),
    ];
    let mdev = element(
        "hostdev",
        &[("mode", "subsystem"), ("type", "mdev"), ("model", "vfio-pci")],
        vec![
            element(
                "source",
                &[],
                vec![element("address", &[("uuid", "aa618089-8b16-4d01-a136-25a0f3c73123")], vec![])],
            ),
            element("alias", &[("name", "ua-gpu-vgpu")], vec![]),
        ],
    );
    select([fixed, vec![mdev]].concat())
}

fn devices() -> impl Strategy<Value = Node> {
    let assigned = (
        proptest::option::weighted(0.8, hostdev("ua-gpu-gpu0", (0x0a, 0, 0))),
        proptest::option::weighted(0.5, hostdev("ua-hostdevice-audio", (0x0a, 0, 1))),
        proptest::option::of(hostdev("ua-sriov-net1", (0x3b, 2, 0))),
    );
    let others = proptest::collection::vec(other_device(), 0..5);
    (assigned, others, proptest::collection::vec(kept(), 0..3)).prop_flat_map(|((gpu, audio, net), others, kept)| {
        let all: Vec<Node> = [gpu, audio, net].into_iter().flatten().chain(others).chain(kept).collect();
        Just(all).prop_shuffle().prop_map(|children| element("devices", &[], children))
    })
}

fn features() -> impl Strategy<Value = Node> {
    let hidden = element("hidden", &[("state", "off")], vec![]);
    let relaxed = element("relaxed", &[("state", "on")], vec![]);
    let all = vec![
        element("acpi", &[], vec![]),
        element("apic", &[], vec![]),
        element("kvm", &[], vec![hidden]),
        element("hyperv", &[], vec![relaxed.clone()]),
        element("smm", &[], vec![]),
        element("ioapic", &[("driver", "kvm")], vec![]),
    ];
    (subsequence(all, 1..5), proptest::option::of(kept()))
        .prop_map(|(children, kept)| element("features", &[], children.into_iter().chain(kept).collect()))
}

fn os() -> impl Strategy<Value = Node> {
    let efi = vec![
        leaf("loader", &[("readonly", "yes"), ("type", "pflash")], "/usr/share/OVMF/OVMF_CODE.fd"),
        leaf("nvram", &[("template", "/usr/share/OVMF/OVMF_VARS.fd")], "/var/nvram.fd"),
    ];
    (select(vec!["q35", "q35", "q35", "pc-q35-rhel9.6.0", "pc", "virt"]), any::<bool>()).prop_map(
        move |(machine, with)| {
            let kind = leaf("type", &[("arch", "x86_64"), ("machine", machine)], "hvm");
            element("os", &[], std::iter::once(kind).chain(efi.clone().into_iter().filter(|_| with)).collect())
        },
    )
}

/// The raw QEMU arguments: prefix, where it is declared, and the element.
fn commandline() -> impl Strategy<Value = (Option<&'static str>, Option<Node>)> {
    const URI: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
    let on_root = select(vec!["xmlns:qemu", "xmlns:q"]).prop_flat_map(|declaration| {
        let prefix = &declaration["xmlns:".len()..];
        let arg = element(&format!("{prefix}:arg"), &[("value", "-no-shutdown")], vec![]);
        let node = element(&format!("{prefix}:commandline"), &[], vec![arg]);
        proptest::option::of(Just(node)).prop_map(move |node| (Some(declaration), node))
    });
    let on_itself = element(
        "commandline",
        &[("xmlns", URI)],
        vec![element("arg", &[("value", "-global")], vec![]), element("arg", &[("value", "x=y")], vec![])],
    );
    let undeclared =
        element("qemu:commandline", &[], vec![element("qemu:env", &[("name", "A"), ("value", "b")], vec![])]);
    prop_oneof![
        3 => Just((None, None)),
        3 => on_root,
        1 => Just((None, Some(on_itself))),
        1 => Just((None, Some(undeclared))),
    ]
}

/// A domain, and what in it must come out as it is, in order.
pub(crate) fn domain() -> impl Strategy<Value = (String, Vec<String>)> {
    let cpu = select(vec![
        None,
        Some(element("cpu", &[("mode", "host-passthrough")], vec![])),
        Some(element(
            "cpu",
            &[("mode", "host-model")],
            vec![element("cache", &[("mode", "emulate"), ("level", "3")], vec![])],
        )),
        Some(element(
            "cpu",
            &[("mode", "host-passthrough")],
            vec![
                element("maxphysaddr", &[("mode", "emulate"), ("bits", "40")], vec![]),
                element("feature", &[("policy", "require"), ("name", "hypervisor")], vec![]),
            ],
        )),
    ]);
    let memory = select(vec![
        vec![],
        vec![element("memoryBacking", &[], vec![element("locked", &[], vec![])])],
        vec![element("memtune", &[], vec![leaf("hard_limit", &[("unit", "GiB")], "1")])],
        vec![element("memoryBacking", &[], vec![]), element("memtune", &[], vec![])],
    ]);
    let parts = (
        os(),
        proptest::option::weighted(0.9, features()),
        cpu,
        proptest::option::weighted(0.95, devices()),
        memory,
        commandline(),
        proptest::collection::vec(kept(), 0..4),
        select(vec!["1", "2", "288"]),
    );
    (parts, style()).prop_flat_map(|((os, features, cpu, devices, memory, (declared, qemu), kept, vcpus), style)| {
        let decoys =
            "<metadata><k:app xmlns:k=\"urn:k\"><devices xmlns=''><hostdev type='pci'/></devices></k:app></metadata>";
        let mut children = vec![leaf("name", &[], "vm"), leaf("memory", &[("unit", "b")], "1073741824")];
        children.push(leaf("vcpu", &[("placement", "static")], vcpus));
        children.extend([Some(os), features, cpu, devices, qemu].into_iter().flatten());
        children.extend(memory);
        children.extend(kept);
        children.push(Node::Kept(decoys.to_owned()));
        Just(children).prop_shuffle().prop_map(move |children| {
            let mut attributes = vec![("type", "kvm")];
            attributes.extend(declared.map(|name| (name, "http://libvirt.org/schemas/domain/qemu/1.0")));
            let mut out = style.prolog.to_owned();
            let mut kept = Vec::new();
            render(&element("domain", &attributes, children), style, 0, &mut out, &mut kept);
            out.push_str(style.newline);
            (out, kept)
        })
    })
}

fn render(node: &Node, style: Style, depth: usize, out: &mut String, kept: &mut Vec<String>) {
    let Node::Element { name, attributes, children } = node else {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Kept(bytes) => {
                out.push_str(bytes);
                kept.push(bytes.clone());
            }
            Node::Element { .. } => {}
        }
        return;
    };
    out.push_str(&format!("<{name}"));
    for (name, value) in attributes {
        out.push_str(&format!(" {name}={0}{value}{0}", style.quote));
    }
    if children.is_empty() && !style.close_tag {
        out.push_str("/>");
        return;
    }
    out.push('>');
    let inline = style.indent.is_none() || children.iter().any(|child| matches!(child, Node::Text(_)));
    let lead = |depth: usize| format!("{}{}", style.newline, style.indent.unwrap_or_default().repeat(depth));
    for child in children {
        if !inline {
            out.push_str(&lead(depth + 1));
        }
        render(child, style, depth + 1, out, kept);
    }
    if !inline && !children.is_empty() {
        out.push_str(&lead(depth));
    }
    out.push_str(&format!("</{name}>"));
}

/// Some settings: few contradict each other, some do.
pub(crate) fn sets() -> impl Strategy<Value = Vec<String>> {
    const ALL: [&str; 35] = [
        "viommu.model=intel",
        "viommu.model=virtio",
        "viommu.virtioDevices=ats",
        "memory.hardLimit=auto",
        "memory.hardLimit=off",
        "memory.locked=on",
        "memory.locked=off",
        "memory.nosharepages=on",
        "firmware.secureBoot=on",
        "firmware.secureBoot=off",
        "firmware.type=bios",
        "firmware.mmio64=auto",
        "firmware.mmio64=64Gi",
        "firmware.stateless=on",
        "pci.hole64=auto",
        "pci.hole64=64Gi",
        "pci.rootPorts=3",
        "cpu.maxPhysAddr=passthrough",
        "cpu.maxPhysAddr=46",
        "cpu.cache=disable",
        "cpu.features.hypervisor=disable",
        "features.hideKvm=on",
        "features.hypervVendorId=whatever",
        "features.ioapic=qemu",
        "devices.video=none",
        "devices.balloon=none",
        "devices.sharedMemory.a=1Mi",
        "quirks=auto",
        "qemu.env.A=c",
        "hostDevices.gpu0.address=0000:21:00.0",
        "hostDevices.gpu0.functions.audio=1",
        "hostDevices.gpu0.companions=auto",
        "hostDevices.gpu0.rom.bar=off",
        "hostDevices.gpu0.properties.x-vga=true",
        "hostDevices.net1.bootOrder=3",
    ];
    subsequence(ALL.to_vec(), 0..6).prop_map(|sets| sets.into_iter().map(str::to_owned).collect())
}
