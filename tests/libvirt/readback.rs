//! The stand-in for "define, dump, take over": the next call's input is the same as with a real libvirt, byte for byte.

use virt_tailor::kubevirt::readback::{read_back, take_over};
use virt_tailor::kubevirt::reduce::Release;

use crate::accepts::Output;
use crate::embed::Libvirt;
use crate::inputs::data;
use crate::outputs::outputs;

const GPU: &str = "<alias name=\"ua-gpu-gpu0\">";
const AUDIO: &str = "<alias name=\"ua-hostdevice-gpu0-audio\">";
const SOMEWHERE: &str = "<serial type=\"unix\">";
const SCSI: &str = "<controller type=\"scsi\" index=\"0\" model=\"virtio-non-transitional\">";
const USB: &str = "<controller type=\"usb\" index=\"0\" model=\"none\"></controller>";

const VIDEO: &str = "<video>\n\t\t\t<model type=\"vga\" heads=\"1\" vram=\"16384\"></model>\n\t\t</video>";

/// An edit of a hook: name, samples it goes with, what is replaced, what by.
struct Edit(&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// `%` stands for what is replaced.
const EDITS: &[Edit] = &[
    Edit("pinned-far", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"0x14\"/>%")]),
    Edit("pinned-near", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"1\"/>%")]),
    Edit(
        "pinned-decimal",
        "gpu-workstation",
        &[(GPU, "<address type=\"pci\" domain=\"0\" bus=\"16\" slot=\"0\" function=\"0\"/>%")],
    ),
    Edit("pinned-on-root", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"0\" slot=\"0x1\"/>%")]),
    Edit("pinned-to-zero-is-any", "gpu-workstation", &[(GPU, "<address type=\"pci\"/>%")]),
    Edit(
        "functions",
        "gpu-workstation",
        &[
            (GPU, "<address type=\"pci\" bus=\"5\" multifunction=\"on\"/><rom bar=\"off\"/>%"),
            (AUDIO, "<address type=\"pci\" bus=\"5\" function=\"1\"/>%"),
        ],
    ),
    Edit(
        "twice",
        "gpu-workstation",
        &[(GPU, "<address type=\"pci\" bus=\"5\"/>%"), (AUDIO, "<address type=\"pci\" bus=\"5\"/>%")],
    ),
    Edit("chipset", "gpu-workstation", &[(GPU, "<address type=\"pci\" slot=\"0x1f\"/>%")]),
    Edit("no-such-slot", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"3\" slot=\"1\"/>%")]),
    Edit("driver", "gpu-workstation", &[(GPU, "<driver name=\"vfio\"/>%")]),
    Edit(
        "intel-iommu",
        "",
        &[
            (SOMEWHERE, "<iommu model=\"intel\"><driver intremap=\"on\" caching_mode=\"on\"/></iommu>%"),
            ("<acpi></acpi>", "%<ioapic driver=\"qemu\"/>"),
        ],
    ),
    Edit("virtio-iommu", "", &[(SOMEWHERE, "<iommu model=\"virtio\"/>%")]),
    Edit(
        "shmem",
        "",
        &[(SOMEWHERE, "<shmem name=\"s\"><model type=\"ivshmem-plain\"/><size unit=\"M\">64</size></shmem>%")],
    ),
    Edit(
        "no-balloon",
        "plain",
        &[
            ("model=\"virtio-non-transitional\" freePageReporting=\"on\"", "model=\"none\""),
            ("<stats period=\"10\"></stats>", ""),
        ],
    ),
    Edit(
        "ports-of-its-own",
        "",
        &[(
            USB,
            "%<controller type=\"pci\" index=\"1\" model=\"pcie-root-port\"/><controller type=\"pci\" index=\"9\" model=\"pcie-root-port\"/>",
        )],
    ),
    Edit("ports-later", "", &[(SCSI_ALONE, "%<controller type=\"pci\" index=\"14\" model=\"pcie-root-port\"/>")]),
    Edit(
        "numa",
        "dpdk-worker",
        &[(
            USB,
            "%<controller type=\"pci\" index=\"1\" model=\"pcie-expander-bus\"><target busNr=\"200\"><node>0</node></target></controller><controller type=\"pci\" index=\"2\" model=\"pcie-root-port\"><address type=\"pci\" bus=\"1\"/></controller>",
        )],
    ),
    Edit("transitional", "", &[(SCSI, "<controller type=\"scsi\" index=\"0\" model=\"virtio-transitional\">")]),
    Edit("sound", "", &[(SOMEWHERE, "<sound model=\"ich9\"/><sound model=\"ac97\"/>%")]),
    Edit(
        "usb",
        "",
        &[
            (USB, "<controller type=\"usb\" index=\"0\" model=\"qemu-xhci\"></controller>"),
            (SOMEWHERE, "<input type=\"tablet\" bus=\"usb\"/><input type=\"tablet\" bus=\"virtio\"/>%"),
        ],
    ),
    Edit("tpm", "plain", &[(SOMEWHERE, "<tpm model=\"tpm-crb\"><backend type=\"emulator\" version=\"2.0\"/></tpm>%")]),
    Edit("bochs", "gpu-workstation", &[(SOMEWHERE, "<video><model type=\"bochs\"/></video>%")]),
    Edit("no-video", "plain", &[(VIDEO, "")]),
    Edit(
        "mdev",
        "vgpu-desktop",
        &[(
            SOMEWHERE,
            "<hostdev mode=\"subsystem\" type=\"mdev\" model=\"vfio-pci\"><source>\
             <address uuid=\"aa618089-8b16-4d01-a136-25a0f3c73124\"/></source></hostdev>%",
        )],
    ),
    Edit("no-controllers", "", &[(USB, ""), (SCSI_ALONE, "")]),
    Edit(
        "sata",
        "",
        &[(
            SOMEWHERE,
            "<disk type=\"file\" device=\"cdrom\"><source file=\"/a.iso\"/><target bus=\"sata\" dev=\"sdx\"/></disk><disk type=\"file\" device=\"cdrom\"><source file=\"/b.iso\"/><target bus=\"sata\" dev=\"sdc\"/></disk>%",
        )],
    ),
    Edit(
        "more",
        "",
        &[(
            SOMEWHERE,
            "<vsock model=\"virtio-non-transitional\"><cid auto=\"yes\"/></vsock><panic model=\"pvpanic\"/><watchdog model=\"i6300esb\" action=\"none\"/>%",
        )],
    ),
    Edit("video", "", &[(SOMEWHERE, "<video><model type=\"virtio\"/></video>%")]),
    Edit("alias", "gpu-workstation", &[(GPU, "<alias name=\"gpu0\">")]),
    Edit("ps2", "", &[("<acpi></acpi>", "%<ps2 state=\"off\"/>")]),
    Edit("many", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"0x3f\"/>%")]),
    Edit("too-many", "gpu-workstation", &[(GPU, "<address type=\"pci\" bus=\"0xff\"/>%")]),
];

const SCSI_ALONE: &str = "<controller type=\"scsi\" index=\"0\" model=\"virtio-non-transitional\"></controller>";

fn edited() -> Vec<Output> {
    let samples = data("kubevirt", |name| name.ends_with(".pass1.xml"));
    let mut out = Vec::new();
    for Edit(name, of, replaced) in EDITS {
        for sample in samples.iter().filter(|sample| sample.name.starts_with(of)) {
            let before = String::from_utf8(sample.before.clone()).unwrap();
            let mut after = before.clone();
            for (from, to) in *replaced {
                assert!(after.contains(from), "{name}: {from} is not in {}", sample.name);
                after = after.replacen(from, &to.replace('%', from), 1);
            }
            let name = format!("{name} {}", sample.name);
            out.push(Output { name, before: before.into_bytes(), after: after.into_bytes() });
        }
    }
    out
}

/// What differs between the two ways, in one line each.
fn differences(libvirt: &Libvirt, outputs: &[Output]) -> Vec<String> {
    let docs: Vec<(&str, &[u8])> =
        outputs.iter().map(|output| (output.name.as_str(), output.after.as_slice())).collect();
    let mut found = Vec::new();
    for (output, dumped) in outputs.iter().zip(libvirt.define(&docs)) {
        let ours = read_back(&output.before, &output.after, Release::default()).map_err(|error| error.to_string());
        let theirs = dumped.and_then(|dumped| {
            take_over(&output.before, dumped.as_bytes(), Release::default()).map_err(|error| error.to_string())
        });
        let difference = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => {
                let lines = (1..).zip(ours.lines().zip(theirs.lines()));
                let first = lines.into_iter().find(|(_, (ours, theirs))| ours != theirs);
                match first {
                    Some((line, (ours, theirs))) => format!("line {line}: {} not {}", ours.trim(), theirs.trim()),
                    None if ours.len() != theirs.len() => "another length".to_owned(),
                    None => continue,
                }
            }
            (Err(ours), Err(theirs)) if theirs.contains(ours.as_str()) => continue,
            _ => format!("{:?} not {:?}", ours.as_ref().map(String::len), theirs.as_ref().map(String::len)),
        };
        found.push(format!("{}: {difference}", output.name));
    }
    found
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn what_profiles_make_of_samples_comes_back_as_from_libvirt() {
    let (outputs, _) = outputs(true);
    let differences = differences(&Libvirt::embed(), &outputs);
    println!("{} answers read back both ways", outputs.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn pinned_addresses_and_added_devices_come_back_as_from_libvirt() {
    let outputs = edited();
    let differences = differences(&Libvirt::embed(), &outputs);
    println!("{} answers read back both ways", outputs.len());
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
