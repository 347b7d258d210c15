//! Running the program in a folder of its own, with some files in it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small domain.
pub(crate) const DOMAIN: &str = "<domain type='kvm'>
  <name>vm</name>
  <memory unit='MiB'>1024</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <features>
    <acpi/>
  </features>
  <cpu mode='host-passthrough'/>
  <devices>
    <hostdev mode='subsystem' type='pci' managed='no'>
      <source>
        <address domain='0x0000' bus='0x0a' slot='0x00' function='0x0'/>
      </source>
      <alias name='ua-gpu-gpu0'/>
    </hostdev>
  </devices>
</domain>
";

const VMI: &str = "apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: vm
  namespace: default
  annotations:
    domain.virt-tailor.io/viommu.model: intel
spec:
  domain:
    devices:
      gpus: [{name: gpu0, deviceName: example.com/gpu}]
";

const PROFILE: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: DomainProfile
metadata:
  name: mine
spec:
  viommu: {model: intel}
  hostDevices:
  - device: gpu0
    rom: {bar: off}
";

pub(crate) const NODE: &str = "apiVersion: virt-tailor.io/v1alpha1
kind: NodeConfig
metadata: {name: lab}
spec:
  resources:
  - name: example.com/gpu
    nodes: [desk]
    selector: {address: [\"0000:0a:00.0\"]}
  - name: example.com/nvme
    nodes: [desk]
    selector: {address: [\"0000:0b:00.0\"]}
";

/// A folder with the files that the tests name.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write("domain.xml", DOMAIN);
        place.write("vmi.yaml", VMI);
        place.write("vmi.json", &json(VMI));
        // The same as a VirtualMachine: what is in the template reaches the VMI.
        let template: String = VMI.lines().skip(2).map(|line| format!("    {line}\n")).collect();
        place.write(
            "vm.yaml",
            &format!("apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {{name: vm}}\nspec:\n  template:\n{template}"),
        );
        place.write("mine.yaml", PROFILE);
        place.write("node.yaml", NODE);
        place.write("typo.yaml", &PROFILE.replace("bar:", "barr:").replace("viommu:", "viomu:"));
        place.write("broken.yaml", "apiVersion: [\n");
        place.write("broken.xml", &DOMAIN.replace("</source>", ""));
        place.write("latin1.xml", "");
        fs::write(place.path("latin1.xml"), b"<domain><name>caf\xe9</name></domain>\n").unwrap();
        fs::write(place.path("latin1.yaml"), b"kind: caf\xe9\n").unwrap();
        place.write("network.xml", "<network/>\n");
        place.write(
            "right.xml",
            "<domain type='kvm'>\n  <devices>\n    <memballoon model='none'/>\n  </devices>\n</domain>\n",
        );
        place.write("wrong.xml", &DOMAIN.replace("<alias name='ua-gpu-gpu0'/>", "<boot order='0'/>"));
        place.write("target.xml", &DOMAIN.replace("type='kvm'", "type=''"));
        fs::create_dir_all(place.path("boot/etc/modprobe.d")).unwrap();
        place.write("boot/etc/modprobe.d/vfio.conf", "options vfio-pci ids=10de:2206,10de:1aef\n");
        place.write("boot/cmdline", "ro intel_iommu=on rdblaclist=nouveau something=else\n");
        place.write("boot/.hidden", "not read\n");
        place.write("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n");
        place.write("map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {mine.yaml: text}\n");
        fs::create_dir(place.path("folder")).unwrap();
        fs::create_dir(place.path("profiles.d")).unwrap();
        place.write("profiles.d/low-latency.yaml", &PROFILE.replace("name: mine", "name: low-latency"));
        place.write("profiles.d/broken.yaml", "spec: [\n");
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The names of all files, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Runs the program here; arguments are separated by blanks, and `~` in them stands for a blank.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, Path::new("/dev/null"))
    }

    /// The same with a file as standard input.
    pub(crate) fn run_with(&self, arguments: &str, input: &Path) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
            .args(arguments.split_whitespace().map(|argument| argument.replace('~', " ")))
            .current_dir(self.dir.path())
            .env("COLUMNS", "100")
            .stdin(fs::File::open(input).unwrap())
            .output()
            .unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs the program with a reader that goes away at once; the exit code.
    pub(crate) fn run_into_closed_pipe(&self, arguments: &str) -> i32 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_virt-tailor"))
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(DOMAIN.as_bytes()).unwrap();
        drop(stdin);
        child.wait().unwrap().code().unwrap()
    }
}

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

fn json(yaml: &str) -> String {
    let value: serde_json::Value = serde_saphyr::from_str(yaml).unwrap();
    serde_json::to_string_pretty(&value).unwrap()
}
