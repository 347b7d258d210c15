//! The boot command, run by a shell as cloud-init has it run, in a folder that plays the guest. Its tools only write down how they
//! were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;
use virt_tailor::kubevirt::cloudinit::{Reboot, cloud_config};

use crate::golden::guest;

struct Machine {
    folder: TempDir,
}

impl Machine {
    /// A guest with these tools, beside those that all have.
    fn new(tools: &[&str]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for tool in ["modprobe", "sleep", "sync", "systemctl"].iter().chain(tools) {
            machine.tool(tool, "");
        }
        machine.tool("stat", "echo ext2/ext3");
        machine.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz ro quiet\n");
        machine.write("calls", "");
        machine
    }

    fn tool(&self, name: &str, then: &str) {
        let calls = self.folder.path().join("calls");
        self.write(&format!("tools/{name}"), &format!("#!/bin/sh\necho {name} \"$@\" >>{}\n{then}\n", calls.display()));
        let file = self.folder.path().join("tools").join(name);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(file)).ok()
    }

    /// One boot; what the tools were called with, and what was said.
    fn boot(&self, yaml: &str, reboot: Reboot) -> (Vec<String>, String) {
        let part = cloud_config(&guest(yaml), reboot).unwrap();
        let config: serde_json::Value = serde_saphyr::from_str(&part).unwrap();
        let command: Vec<&str> =
            config["bootcmd"][0].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        self.write("calls", "");
        let output = Command::new(format!("/bin/{}", command[0]))
            .args(&command[1..])
            .env_clear()
            .env("PATH", format!("{}/tools:/usr/bin:/bin", self.folder.path().display()))
            .env("VIRT_TAILOR_ROOT", self.folder.path())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let calls = self.read("calls").unwrap();
        // Not told: what only looks, or waits for mounts.
        let calls = calls.lines().filter(|call| !call.starts_with("stat") && !call.starts_with("systemctl --quiet"));
        (calls.map(str::to_owned).collect(), String::from_utf8(output.stdout).unwrap())
    }
}

fn reboots(calls: &[String]) -> usize {
    calls.iter().filter(|call| call.contains("reboot")).count()
}

const ARGS: &str = "guest: {kernelArgs: [intel_iommu=on, iommu=pt]}";

#[test]
fn kernel_arguments_are_set_with_one_reboot_and_taken_back() {
    let machine = Machine::new(&["grubby"]);
    machine.write("proc/cmdline", "ro iommu=pt quiet\n");
    let (calls, said) = machine.boot(ARGS, Reboot::Once);
    let expected =
        ["grubby --update-kernel=ALL --args=intel_iommu=on", "sync", "systemctl --no-block reboot", "sleep 300"];
    assert_eq!(calls, expected);
    assert_eq!(said, "virt-tailor: rebooting once for: intel_iommu=on\n");
    machine.write("proc/cmdline", "ro iommu=pt quiet intel_iommu=on\n");
    assert_eq!(machine.boot(ARGS, Reboot::Once), (Vec::new(), String::new()));
    // Of those that are not asked for any more, only the one that we added goes.
    let (calls, said) = machine.boot("guest: {denyModules: [iavf]}", Reboot::Once);
    assert_eq!(calls, ["grubby --update-kernel=ALL --remove-args=intel_iommu=on"], "{said}");
    assert_eq!(machine.read("var/lib/virt-tailor/kernel-args"), None);
}

#[test]
fn a_boot_loader_that_does_not_listen_gets_one_reboot_and_no_more() {
    for tool in ["grubby", "update-grub", "rpm-ostree"] {
        let machine = Machine::new(&[tool]);
        machine.write("run/ostree-booted", "");
        let yaml = "guest: {kernelArgs: [iommu=pt], hugepages: {1Gi: 2}}";
        let mut all = 0;
        for boot in 0..6 {
            // The kernel's mood about large pages is not ours to know.
            let nr = "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages";
            if boot % 2 == 0 {
                let _ = fs::remove_file(machine.folder.path().join(nr));
            } else {
                machine.write(nr, "2\n");
            }
            let (calls, said) = machine.boot(yaml, Reboot::Once);
            all += reboots(&calls);
            assert!(boot == 0 || said.contains("not rebooting a second time"), "{said}");
        }
        assert_eq!(all, 1, "{tool}");
    }
}

#[test]
fn no_reboot_where_it_could_not_be_remembered() {
    let machine = Machine::new(&["grubby"]);
    for kind in ["tmpfs", "overlayfs", ""] {
        machine.tool("stat", &format!("echo {kind}"));
        let (calls, said) = machine.boot(ARGS, Reboot::Once);
        assert_eq!(reboots(&calls), 0, "{said}");
        assert!(said.contains("would not outlive a reboot"), "{said}");
    }
    machine.tool("stat", "echo xfs");
    let (calls, said) = machine.boot(ARGS, Reboot::Never);
    assert_eq!((reboots(&calls), said.as_str()), (0, "virt-tailor: at the next boot: intel_iommu=on iommu=pt\n"));
    let machine = Machine::new(&[]);
    let (calls, said) = machine.boot(ARGS, Reboot::Once);
    assert!(
        calls.is_empty() && said.contains("none of rpm-ostree, grubby and update-grub is here"),
        "{calls:?} {said}"
    );
    let machine = Machine::new(&["grubby"]);
    machine.tool("grubby", "exit 1");
    let (calls, said) = machine.boot(ARGS, Reboot::Once);
    assert!(reboots(&calls) == 0 && said.contains("kernel arguments are not set"), "{calls:?} {said}");
}

#[test]
fn debian_has_a_file_of_its_own() {
    let machine = Machine::new(&["update-grub"]);
    let (calls, _) = machine.boot(ARGS, Reboot::Once);
    assert_eq!(calls[0], "update-grub");
    let file = "etc/default/grub.d/99-virt-tailor.cfg";
    let text = "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX intel_iommu=on iommu=pt\"\n";
    assert_eq!(machine.read(file).as_deref(), Some(text));
    machine.write("proc/cmdline", "ro intel_iommu=on iommu=pt\n");
    machine.boot("guest: {kernelArgs: [iommu=pt]}", Reboot::Once);
    assert_eq!(machine.read(file).as_deref(), Some("GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX iommu=pt\"\n"));
    machine.boot("guest: {denyModules: [iavf]}", Reboot::Once);
    assert_eq!(machine.read(file), None);
}

#[test]
fn modules_are_loaded_denied_and_given_their_options_at_once() {
    let machine = Machine::new(&[]);
    for file in ["module/iavf/initstate", "module/vfio_pci/initstate", "bus/pci/drivers/vfio-pci/new_id"] {
        machine.write(&format!("sys/{file}"), "");
    }
    machine.write("sys/module/vfio_pci/parameters/disable_vga", "N\n");
    machine.write("sys/module/loop/parameters/x", "");
    let yaml =
        "guest: {denyModules: [iavf, loop, absent], modules: {vfio-pci: 'ids=8086:154c disable_vga=Y', veth: ''}}";
    let (calls, said) = machine.boot(yaml, Reboot::Once);
    assert_eq!(calls, ["modprobe -r iavf", "modprobe veth", "modprobe vfio-pci"]);
    assert_eq!(said, "virt-tailor: loop is built into the kernel and cannot be denied\n");
    assert_eq!(machine.read("etc/modules-load.d/virt-tailor.conf").as_deref(), Some("veth\nvfio-pci\n"));
    let settings = machine.read("etc/modprobe.d/virt-tailor.conf").unwrap();
    assert!(settings.starts_with("blacklist iavf\ninstall iavf /bin/false\n"), "{settings}");
    assert!(settings.ends_with("\noptions vfio-pci ids=8086:154c disable_vga=Y\n"), "{settings}");
    assert_eq!(machine.read("sys/bus/pci/drivers/vfio-pci/new_id").as_deref(), Some("8086 154c\n"));
    assert_eq!(machine.read("sys/module/vfio_pci/parameters/disable_vga").as_deref(), Some("Y\n"));
    // From the next boot on modprobe gives the options itself.
    machine.write("sys/bus/pci/drivers/vfio-pci/new_id", "");
    machine.boot(yaml, Reboot::Once);
    assert_eq!(machine.read("sys/bus/pci/drivers/vfio-pci/new_id").as_deref(), Some(""));
    machine.boot("guest: {memlock: unlimited}", Reboot::Once);
    assert_eq!(machine.read("etc/modprobe.d/virt-tailor.conf"), None);
    assert_eq!(machine.read("etc/modules-load.d/virt-tailor.conf"), None);
}

#[test]
fn large_pages_are_taken_at_run_time() {
    let machine = Machine::new(&["grubby"]);
    let file = |kib: u32| format!("sys/kernel/mm/hugepages/hugepages-{kib}kB/nr_hugepages");
    machine.write(&file(2048), "0\n");
    machine.write(&file(1_048_576), "0\n");
    let (calls, said) = machine.boot("guest: {hugepages: {2Mi: 512, 1Gi: 4}}", Reboot::Once);
    assert_eq!((calls.len(), said.as_str()), (0, ""));
    assert_eq!(machine.read(&file(2048)).as_deref(), Some("512\n"));
    assert_eq!(machine.read(&file(1_048_576)).as_deref(), Some("4\n"));
    let machine = Machine::new(&["grubby"]);
    let (calls, said) = machine.boot("guest: {hugepages: {1Gi: 4}}", Reboot::Once);
    assert_eq!(calls[0], "grubby --update-kernel=ALL --args=hugepagesz=1G hugepages=4", "{said}");
    assert_eq!(reboots(&calls), 1);
}

#[test]
fn container_daemons_get_the_limit_and_a_restart_if_they_run() {
    let machine = Machine::new(&[]);
    machine.tool("systemctl", "case $* in *'is-active crio'*) exit 0 ;; *is-active*) exit 3 ;; esac");
    let (calls, _) = machine.boot("guest: {memlock: 4Gi}", Reboot::Once);
    assert_eq!(calls, ["systemctl daemon-reload", "systemctl --no-block try-restart crio.service"]);
    let dropin = "etc/systemd/system/crio.service.d/90-virt-tailor.conf";
    assert_eq!(machine.read(dropin).as_deref(), Some("[Service]\nLimitMEMLOCK=4294967296\n"));
    let limits = machine.read("etc/security/limits.d/90-virt-tailor.conf").unwrap();
    assert_eq!(limits, "* - memlock 4194304\nroot - memlock 4194304\n");
    assert_eq!(machine.boot("guest: {memlock: 4Gi}", Reboot::Once).0, [""; 0]);
    assert_eq!(machine.boot("guest: {denyModules: [iavf]}", Reboot::Once).0.len(), 2);
    assert_eq!(machine.read(dropin), None);
}

#[test]
fn no_value_of_a_profile_becomes_code() {
    let machine = Machine::new(&["grubby"]);
    let yaml =
        "guest: {modules: {msr: \"note='; touch pwned; ' $(touch pwned) `touch pwned` * %s ; touch pwned # &\"}}";
    machine.write("sys/module/msr/initstate", "");
    machine.boot(yaml, Reboot::Once);
    assert!(machine.read("pwned").is_none());
    let expected = "options msr note='; touch pwned; ' $(touch pwned) `touch pwned` * %s ; touch pwned # &\n";
    assert_eq!(machine.read("etc/modprobe.d/virt-tailor.conf").as_deref(), Some(expected));
}
