//! Everything virt-tailor makes of KubeVirt's domains: libvirt defines it, writes its command line, and its schema finds nothing new.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use virt_tailor::config::{ProfileArgument, Profiles, Request as Asked, Resolved, resolve};
use virt_tailor::domain::{Domain, LibvirtMode, Request, mutate};
use virt_tailor::host::read_pci;
use virt_tailor::kubevirt::VmView;

use crate::accepts::{Output, accepts};
use crate::common::host_tree;
use crate::embed::Libvirt;
use crate::inputs::data;

/// What is asked of which samples: name, prefix of the samples' names, profiles, settings, host.
struct Asking {
    name: &'static str,
    of: &'static str,
    profiles: &'static [&'static str],
    sets: &'static [&'static str],
    host: Option<&'static str>,
}

const ASKED: &[Asking] = &[
    Asking { name: "gpu-workstation", of: "", profiles: &["gpu-workstation"], sets: &[], host: None },
    Asking { name: "dpdk-viommu", of: "", profiles: &["dpdk-viommu"], sets: &[], host: None },
    Asking { name: "vgpu-desktop", of: "", profiles: &["vgpu-desktop"], sets: &[], host: None },
    Asking { name: "low-latency", of: "", profiles: &["low-latency"], sets: &[], host: None },
    Asking {
        name: "workstation-host",
        of: "gpu-workstation",
        profiles: &["gpu-workstation"],
        sets: &["hostDevices.gpu0.companions=auto", "hostDevices.gpu0.rom.bar=off"],
        host: Some("workstation-rebar"),
    },
    Asking {
        name: "everything",
        of: "gpu-workstation",
        profiles: &["gpu-workstation"],
        sets: &[
            "viommu.model=intel",
            "viommu.eim=on",
            "viommu.iotlb=on",
            "viommu.awBits=48",
            "viommu.dmaTranslation=on",
            "viommu.virtioDevices=ats",
            "hostDevices.gpu0.address=0000:20:00.0",
            "hostDevices.gpu0.functions.gpu0-audio=1",
            "hostDevices.gpu0.rom.file=/usr/share/roms/gpu.rom",
            "hostDevices.gpu0.bootOrder=2",
            "hostDevices.gpu0.properties.x-vga=true",
            "hostDevices.gpu0.properties.x-pci-sub-vendor-id=4318",
            "hostDevices.usb.acpiIndex=7",
            "hostDevices.usb.driver.model=vfio-pci",
            "memory.hardLimit=auto",
            "memory.locked=on",
            "memory.nosharepages=on",
            "firmware.mmio64=128Gi",
            "pci.hole64=128Gi",
            "pci.rootPorts=4",
            "cpu.cache=passthrough",
            "cpu.maxPhysAddrLimit=40",
            "cpu.features.hypervisor=disable",
            "features.hypervVendorId=whatever",
            "devices.video=none",
            "devices.balloon=none",
            "devices.sharedMemory.looking-glass=64Mi",
            "qemu.env.X=1",
        ],
        host: None,
    },
    Asking {
        name: "virtio-iommu",
        of: "",
        profiles: &[],
        sets: &["viommu.model=virtio", "viommu.virtioDevices=on"],
        host: None,
    },
    Asking { name: "no-display", of: "vgpu-desktop", profiles: &[], sets: &["devices.video=none"], host: None },
    Asking { name: "insecure", of: "vgpu-desktop", profiles: &[], sets: &["firmware.secureBoot=off"], host: None },
    Asking { name: "bios", of: "gpu-workstation", profiles: &[], sets: &["firmware.type=bios"], host: None },
    Asking {
        name: "efi",
        of: "plain",
        profiles: &[],
        sets: &[
            "firmware.type=efi",
            "firmware.loader=/usr/share/OVMF/OVMF_CODE_4M.fd",
            "firmware.nvramTemplate=/usr/share/OVMF/OVMF_VARS_4M.fd",
        ],
        host: None,
    },
    Asking { name: "secure", of: "dpdk-worker", profiles: &[], sets: &["firmware.secureBoot=on"], host: None },
    Asking { name: "spare-ports", of: "", profiles: &[], sets: &["pci.rootPorts=6", "pci.hole64=64Gi"], host: None },
];

fn resolved(asking: &Asking) -> Resolved {
    let request = Asked {
        profiles: asking.profiles.iter().map(|name| ProfileArgument::Name((*name).to_owned())).collect(),
        sets: asking.sets.iter().map(|set| (*set).to_owned()).collect(),
        ..Asked::default()
    };
    resolve(&request, &Profiles::built_in()).unwrap_or_else(|problems| panic!("{}: {problems}", asking.name))
}

/// All outputs, and the names of those that we refuse.
pub(crate) fn outputs(session: bool) -> (Vec<Output>, BTreeSet<String>) {
    let samples = data("kubevirt", |name| !name.contains(".target."));
    let (mut good, mut refused) = (Vec::new(), BTreeSet::new());
    for asking in ASKED {
        let profile = resolved(asking);
        let tree = asking.host.map(host_tree::unpack);
        let host = tree.as_ref().map(|tree| read_pci(tree.path()).unwrap());
        for sample in samples.iter().filter(|sample| sample.name.starts_with(asking.of)) {
            let vm = session.then(|| {
                let stem = sample.name.split('.').next().unwrap();
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/kubevirt/{stem}.vmi.json"));
                VmView::parse(&fs::read_to_string(path).unwrap()).unwrap().facts()
            });
            let libvirt = if session { LibvirtMode::Session } else { LibvirtMode::System };
            let request =
                Request { profile: &profile, vm: vm.as_ref(), host: host.as_ref(), libvirt, lock_confirmed: false };
            let name = format!("{} {}", asking.name, sample.name);
            match mutate(Domain::parse(sample.before.clone()).unwrap(), &request) {
                Ok(outcome) => good.push(Output { name, before: sample.before.clone(), after: outcome.bytes }),
                Err(_) => drop(refused.insert(name)),
            }
        }
    }
    (good, refused)
}

/// Those that already have another IOMMU, or a CPU model that cannot take what is asked: the goldens have the words.
fn may_be_refused(name: &str) -> bool {
    let host_model = ["ignition", "plain", "vgpu-desktop"].iter().any(|sample| name.contains(&format!(" {sample}.")));
    (name.starts_with("low-latency ") && host_model)
        || (name.starts_with("virtio-iommu ") && (name.contains("pass2.edited") || name.contains("pass3")))
}

fn judge(libvirt: &Libvirt, session: bool) {
    let (outputs, refused) = outputs(session);
    let unexpected: Vec<&String> = refused.iter().filter(|name| !may_be_refused(name)).collect();
    assert!(unexpected.is_empty(), "we refuse {unexpected:?}");
    let report = accepts(libvirt, &outputs);
    println!("{} outputs (session: {session}): {:?}; {} refused by us", outputs.len(), report.took, refused.len());
    report.assert_accepted();
    let silent = report.schema_says_nothing.iter().filter(|name| !name.ends_with(" ignition.pass2.edited.xml"));
    assert_eq!(
        silent.collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "only the input with two commandlines violates the schema"
    );
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn libvirt_takes_what_we_make_of_it() {
    let libvirt = Libvirt::embed();
    // <memtune> only works for a privileged one.
    judge(&libvirt, !libvirt.privileged());
}

#[test]
#[ignore = "needs libvirt 11 and QEMU"]
fn session_mode_takes_what_we_make_of_it() {
    judge(&Libvirt::session(), true);
}
