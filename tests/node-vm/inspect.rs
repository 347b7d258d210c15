//! `node inspect` on a real kernel: what it says with an IOMMU and without.

use serde_json::Value;

use crate::device::{Device, Disk};
use crate::kernel::cache;
use crate::machine::Iommu;
use crate::vm::Vm;

/// The page, with line breaks taken out, for they are the page's own.
fn words(page: &str) -> String {
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The device at an address in the JSON.
fn unit<'a>(report: &'a Value, bdf: &str) -> &'a Value {
    let units = report["units"].as_array().unwrap();
    units.iter().find(|unit| unit["primary"] == bdf).unwrap_or_else(|| panic!("no {bdf} in {units:#?}"))
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn with_an_iommu_each_device_has_its_verdict() {
    let vm = Vm::builder()
        .numa(2)
        .with(Device::igb("nic"))
        .with(Device::virtio_net("uplink"))
        .with(Device::nvme("data", Disk::Empty(64)))
        .with(Device::root_port("card").no_acs())
        .with(Device::xhci("usb").function("card", 0))
        .with(Device::hda("sound").function("card", 1))
        .boot();
    let (nic, uplink, data) = (vm.bdf("nic"), vm.bdf("uplink"), vm.bdf("data"));
    let (usb, sound) = (vm.bdf("usb"), vm.bdf("sound"));
    vm.run("mkfs.ext4 -q /dev/nvme0n1 && mkdir -p /mnt/data && mount /dev/nvme0n1 /mnt/data").ok();
    vm.run(&format!("modprobe vfio-pci; echo 2 >/sys/bus/pci/devices/{nic}/sriov_numvfs")).ok();

    let page = vm.run("virt-tailor node inspect").ok();
    println!("{page}");
    let said = words(&page);
    for wanted in [
        "IOMMU on (dmar0); interrupts are remapped".to_owned(),
        "vfio-pci is loaded".to_owned(),
        format!("disk nvme0n1 of {data} is mounted at /mnt/data"),
        "the default route leads over".to_owned(),
        format!("{nic} has 2 virtual functions, which go when it goes"),
        format!("goes with {sound}"),
        format!("goes with {usb}"),
        format!("{nic} 2 of"),
        "node 1".to_owned(),
    ] {
        assert!(said.contains(&wanted), "{wanted:?} is not in:\n{page}");
    }
    let report: Value = serde_json::from_str(&vm.run("virt-tailor node inspect --json").ok()).unwrap();
    for (bdf, verdict) in
        [(&nic, "stays"), (&uplink, "stays"), (&data, "stays"), (&usb, "withCompanions"), (&sound, "withCompanions")]
    {
        assert_eq!(unit(&report, bdf)["verdict"], verdict, "{bdf}\n{page}");
    }

    // What is held, and reserved.
    let vf = vm.link(&format!("/sys/bus/pci/devices/{nic}/virtfn0")).unwrap();
    vm.run(&format!(
        "set -e; d=/sys/bus/pci/devices/{vf}; echo vfio-pci >$d/driver_override
         if test -e $d/driver; then echo {vf} >$d/driver/unbind; fi; echo {vf} >/sys/bus/pci/drivers_probe"
    ))
    .ok();
    let holder = vm.hold(&vf);
    let page = vm.run("virt-tailor node inspect --svg /vt/report.svg").ok();
    let said = words(&page);
    assert!(said.contains("with VFIO, taken") && said.contains(&format!("open in process {}", holder.pid())), "{page}");
    assert!(said.contains("override vfio-pci"), "{page}");
    let picture = vm.read("/vt/report.svg").unwrap();
    roxmltree::Document::parse(&picture).unwrap();
    // For whoever wants to look at them.
    std::fs::write(cache().join("inspect.txt"), &page).unwrap();
    std::fs::write(cache().join("inspect.svg"), &picture).unwrap();

    // An unbind that hangs: the report comes all the same.
    let unbind = vm.spawn(&format!("echo {vf} >/sys/bus/pci/devices/{vf}/driver/unbind"));
    vm.run("sleep 1").ok();
    assert!(unbind.finished().is_none(), "the unbind has to hang for this");
    let page = vm.run("virt-tailor node inspect").ok();
    assert!(page.contains(&vf), "{page}");
    vm.run(&format!("kill -9 {}", holder.pid())).ok();
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn an_iommu_that_is_off_is_named_with_its_argument() {
    let vm = Vm::builder().iommu(Iommu::IntelOff).with(Device::igb("nic")).boot();
    let page = vm.run("virt-tailor node inspect").ok();
    println!("{page}");
    assert!(page.starts_with("not ready"), "{page}");
    assert!(words(&page).contains("add the kernel argument intel_iommu=on"), "{page}");
    assert!(words(&page).contains("IOMMU off"), "{page}");
    assert!(page.contains(&vm.bdf("nic")) && page.contains("stays: see above"), "{page}");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn without_an_iommu_the_firmware_is_named() {
    let vm = Vm::builder().iommu(Iommu::None).with(Device::igb("nic")).boot();
    let page = vm.run("virt-tailor node inspect").ok();
    println!("{page}");
    assert!(words(&page).contains("the firmware offers no IOMMU"), "{page}");
}
