//! What the kernel shows of an IOMMU in each of its states, kept in `tests/data/node` for the tests of `host`.
//!
//! `UPDATE_GOLDEN=1` writes these folders anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::device::Device;
use crate::machine::Iommu;
use crate::vm::Vm;

/// What is the same on every kernel and QEMU: the rest of a captured tree may differ from one to the next.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// Names in `/sys/class/iommu`.
    units: BTreeSet<String>,
    /// Every `type` among the groups; empty without groups.
    types: BTreeSet<String>,
    /// `DMAR` or `IVRS`.
    table: Option<String>,
}

fn shown(units: &[&str], types: &[&str], table: Option<&str>) -> Shown {
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Shown { units: set(units), types: set(types), table: table.map(str::to_owned) }
}

/// Reads that from a folder that looks like the root of a machine.
fn read(root: &Path) -> Shown {
    let names = |below: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(below)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let groups = names("sys/kernel/iommu_groups");
    let of_group = |group: &String| fs::read_to_string(root.join("sys/kernel/iommu_groups").join(group).join("type"));
    Shown {
        units: names("sys/class/iommu"),
        types: groups.iter().map(|group| of_group(group).unwrap().trim().to_owned()).collect(),
        table: names("sys/firmware/acpi/tables").into_iter().find(|name| name == "DMAR" || name == "IVRS"),
    }
}

/// Boots a machine with that IOMMU, and gives what was captured there, whether interrupts are remapped, and what `node inspect` says.
fn capture(iommu: Iommu) -> (tempfile::TempDir, bool, Value) {
    let vm = Vm::builder().iommu(iommu).with(Device::igb("nic")).boot();
    // Files of sysfs have no size that tar could believe, so that they are copied first. Of ACPI's tables only the names
    // count, but for the IOMMU's own.
    vm.run(
        r#"set -e; to=/tmp/tree; mkdir -p $to/proc; cat /proc/cmdline >$to/proc/cmdline
        mkdir -p $to/sys/class/iommu $to/sys/kernel/iommu_groups $to/sys/firmware/acpi/tables
        for unit in /sys/class/iommu/*; do
          test -e $unit || continue
          cp -P $unit $to/sys/class/iommu/
          folder=$(readlink -f $unit); mkdir -p $to$folder
          for part in $folder/*-iommu; do
            mkdir $to$part; for file in $part/*; do cat $file >$to$file; done
          done
        done
        for group in /sys/kernel/iommu_groups/*; do
          test -e $group || continue
          mkdir -p $to$group/devices
          cp -P $group/devices/* $to$group/devices/
          cat $group/type >$to$group/type; cat $group/reserved_regions >$to$group/reserved_regions
        done
        for table in /sys/firmware/acpi/tables/*; do
          test -f $table || continue
          case $table in */DMAR | */IVRS) cat $table >$to$table ;; *) : >$to$table ;; esac
        done
        tar -C $to -cf /vt/tree.tar ."#,
    )
    .ok();
    let remapping = vm.run("grep -q IR- /proc/interrupts").code == 0;
    let report: Value = serde_json::from_str(&vm.run("virt-tailor node inspect --json").ok()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let unpack =
        Command::new("tar").arg("-C").arg(folder.path()).args(["-m", "-xf"]).arg(vm.share().join("tree.tar")).status();
    assert!(unpack.expect("tar").success());
    (folder, remapping, report)
}

/// Holds a machine against what it must show, and the folder of that name against the machine.
fn check(name: &str, iommu: Iommu, expected: &Shown, remapping: bool) {
    println!("{name}");
    let (captured, remaps, report) = capture(iommu);
    let verdict = &report["machine"]["iommu"];
    let state = match iommu {
        Iommu::None => "absent",
        Iommu::IntelOff => "presentButOff",
        Iommu::IntelIdentity => "identity",
        Iommu::IntelDefault | Iommu::Intel | Iommu::IntelNoRemapping | Iommu::Amd | Iommu::AmdNoRemapping => "on",
    };
    let works = matches!(state, "on" | "identity");
    assert_eq!(verdict["state"], state, "{name}: {report:#}");
    // VFIO wants its interrupts remapped.
    assert_eq!(report["ready"], works && remapping, "{name}: {report:#}");
    assert_eq!(&read(captured.path()), expected, "{name}");
    assert_eq!(remaps, remapping, "{name}: interrupt remapping");
    let kept: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/node").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let script = "rm -rf \"$2\" && mkdir -p \"$2\" && cp -a \"$1\"/. \"$2\" && chmod -R u=rwX,go=rX \"$2\"";
        let status = Command::new("sh").args(["-c", script, "sh"]).args([captured.path(), &kept]).status();
        assert!(status.unwrap().success());
    }
    assert_eq!(&read(&kept), expected, "{name}: UPDATE_GOLDEN=1 writes it anew");
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn states_of_intels_iommu() {
    let on = shown(&["dmar0"], &["DMA"], Some("DMAR"));
    check("intel-default", Iommu::IntelDefault, &on, true);
    check("intel-on", Iommu::Intel, &on, true);
    // Interrupts are remapped all the same.
    check("intel-off", Iommu::IntelOff, &shown(&[], &[], Some("DMAR")), true);
    check("intel-identity", Iommu::IntelIdentity, &shown(&["dmar0"], &["identity"], Some("DMAR")), true);
    check("intel-no-remapping", Iommu::IntelNoRemapping, &on, false);
}

#[test]
#[ignore = "needs QEMU and a Debian kernel: tests/run"]
fn states_of_amds_iommu_and_of_none() {
    check("none", Iommu::None, &shown(&[], &[], None), false);
    let on = shown(&["ivhd0"], &["DMA"], Some("IVRS"));
    check("amd", Iommu::Amd, &on, true);
    check("amd-no-remapping", Iommu::AmdNoRemapping, &on, false);
}
