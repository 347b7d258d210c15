//! The machine that a scenario asks for, and QEMU's command line for it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::device::{Device, Disk};
use crate::kernel::Kernel;

/// What the firmware says of an IOMMU, and what the kernel is told to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Iommu {
    /// None in the machine.
    None,
    /// Intel's, and no argument: Debian's kernel then turns it on by itself.
    IntelDefault,
    /// Intel's, `intel_iommu=on`.
    Intel,
    /// Intel's, `intel_iommu=off`.
    IntelOff,
    /// Intel's, `intel_iommu=on iommu=pt`: identity domains.
    IntelIdentity,
    /// Intel's, `intel_iommu=on`, without interrupt remapping.
    IntelNoRemapping,
    /// AMD's, which needs no argument.
    Amd,
    /// AMD's, without interrupt remapping.
    AmdNoRemapping,
}

/// Who starts the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// SeaBIOS: quick, no framebuffer.
    Bios,
    /// OVMF: leaves a framebuffer on the display that it found.
    Ovmf,
}

/// PID 1 of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// busybox: nothing runs but the harness's agent.
    Busybox,
    /// systemd with D-Bus and no unit of the host's but these.
    Systemd,
}

/// A machine to be; [`crate::vm::Vm::builder`] begins one and [`Machine::boot`] starts it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    memory_mib: u32,
    cpus: u32,
    numa: u32,
    iommu: Iommu,
    firmware: Firmware,
    init: Init,
    coldplug: bool,
    root_disk: bool,
    kernel_args: Vec<String>,
    devices: Vec<Device>,
}

/// The files of one boot, in a folder of its own.
pub(crate) struct Files<'a> {
    /// The folder that the guest has as `/vt`.
    pub(crate) share: &'a Path,
    /// The folder of the host's side: sockets, disks, console.
    pub(crate) host: &'a Path,
    pub(crate) initramfs: &'a Path,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            memory_mib: 1024,
            cpus: 1,
            numa: 1,
            iommu: Iommu::Intel,
            firmware: Firmware::Bios,
            init: Init::Busybox,
            coldplug: true,
            root_disk: false,
            kernel_args: Vec::new(),
            devices: Vec::new(),
        }
    }
}

impl Machine {
    /// RAM of all NUMA nodes together. The default is 1024.
    pub(crate) fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// CPUs, dealt out to the NUMA nodes in turn. The default is 1: under TCG a second one makes a boot longer, and some hang.
    pub(crate) fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// NUMA nodes of equal size, each with a CPU at least. The default is one.
    pub(crate) fn numa(mut self, nodes: u32) -> Self {
        self.numa = nodes;
        self.cpus = self.cpus.max(nodes);
        self
    }

    /// The default is Intel's, on.
    pub(crate) fn iommu(mut self, iommu: Iommu) -> Self {
        self.iommu = iommu;
        self
    }

    pub(crate) fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    pub(crate) fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Loads no driver at boot but those that the harness needs: for scenarios about modules.
    pub(crate) fn no_coldplug(mut self) -> Self {
        self.coldplug = false;
        self
    }

    /// Has the root file system on the first partition of the first NVMe disk, as an installed node has; `/usr` and its like are the
    /// host's all the same.
    pub(crate) fn root_disk(mut self) -> Self {
        self.root_disk = true;
        self
    }

    /// One more kernel argument, after the harness's own.
    pub(crate) fn kernel_arg(mut self, argument: &str) -> Self {
        self.kernel_args.push(argument.to_owned());
        self
    }

    /// One more device.
    pub(crate) fn with(mut self, device: Device) -> Self {
        self.devices.push(device);
        self
    }

    /// What the guest's second stage reads.
    pub(crate) fn settings(&self, kernel: &Kernel) -> String {
        let init = match self.init {
            Init::Busybox => "busybox",
            Init::Systemd => "systemd",
        };
        let coldplug = if self.coldplug { "yes" } else { "no" };
        let route = if self.devices.iter().any(|device| device.default_route) { "yes" } else { "" };
        let usb = if self.devices.iter().any(Device::on_usb) { "usbhid hid_generic usb_storage sd_mod" } else { "" };
        let root_disk = if self.root_disk { "yes" } else { "" };
        let kernel = kernel.folder.display();
        format!(
            "kernel='{kernel}'\ninit={init}\ncoldplug={coldplug}\ndefault_route={route}\nusb='{usb}'\nroot_disk={root_disk}\n"
        )
    }

    /// QEMU's arguments. Makes the images that the machine needs.
    pub(crate) fn arguments(&self, kernel: &Kernel, files: &Files<'_>) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| all.extend(words.iter().map(OsString::from));
        // What "max" has besides costs each step of the emulation a little, and nothing here is about it.
        add(&["-machine", "q35,kernel-irqchip=split", "-accel", "tcg,thread=multi", "-cpu", "qemu64"]);
        add(&["-nodefaults", "-display", "none", "-no-reboot", "-vga", "none"]);
        add(&["-m", &self.memory_mib.to_string(), "-smp", &self.cpus.to_string()]);
        for node in (0..self.numa).filter(|_| self.numa > 1) {
            let share = self.memory_mib / self.numa;
            add(&["-object", &format!("memory-backend-ram,id=ram{node},size={share}M")]);
            let cpus: String =
                (0..self.cpus).filter(|cpu| cpu % self.numa == node).map(|cpu| format!(",cpus={cpu}")).collect();
            add(&["-numa", &format!("node,nodeid={node},memdev=ram{node}{cpus}")]);
        }
        add(&["-serial", &format!("file:{}", files.host.join("console").display())]);
        let socket =
            |name: &str| format!("socket,id={name},server=on,wait=off,path={}", files.host.join(name).display());
        add(&["-chardev", &socket("qmp"), "-mon", "chardev=qmp,mode=control"]);

        add(&["-kernel", &kernel.image().display().to_string(), "-initrd", &files.initramfs.display().to_string()]);
        // What a busy machine does to a guest without KVM: the kernel's timer check runs out of patience; it takes its CPUs for
        // slower than they are, so that by their counter (TSC) time flies; and a CPU without a tick of its own that misses one
        // wake-up sleeps for ever. (With AMD's remapping the timer check always fails.)
        let mut append = vec!["console=ttyS0", "quiet", "panic=-1"];
        append.extend(["no_timer_check", "clocksource=hpet", "tsc=unstable", "nohz=off", "highres=off"]);
        // What costs an emulated machine time and no scenario is about.
        append.extend(["mitigations=off", "init_on_alloc=0", "apparmor=0", "audit=0"]);
        append.extend_from_slice(match self.iommu {
            Iommu::None | Iommu::IntelDefault | Iommu::Amd | Iommu::AmdNoRemapping => &[],
            Iommu::Intel | Iommu::IntelNoRemapping => &["intel_iommu=on"],
            Iommu::IntelOff => &["intel_iommu=off"],
            Iommu::IntelIdentity => &["intel_iommu=on", "iommu=pt"],
        });
        append.extend(self.kernel_args.iter().map(String::as_str));
        add(&["-append", &append.join(" ")]);
        // Before every other device: QEMU wants the IOMMU first.
        let iommu = match self.iommu {
            Iommu::None => None,
            Iommu::IntelDefault | Iommu::Intel | Iommu::IntelOff | Iommu::IntelIdentity => {
                Some("intel-iommu,intremap=on,caching-mode=on")
            }
            Iommu::IntelNoRemapping => Some("intel-iommu,intremap=off,caching-mode=on"),
            Iommu::Amd => Some("amd-iommu,intremap=on"),
            Iommu::AmdNoRemapping => Some("amd-iommu,intremap=off"),
        };
        if let Some(device) = iommu {
            add(&["-device", device]);
        }
        if self.firmware == Firmware::Ovmf {
            let vars = files.host.join("vars.fd");
            fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).expect("OVMF (ovmf)");
            add(&["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]);
            add(&["-drive", &format!("if=pflash,format=raw,file={}", vars.display())]);
        }
        // The harness's own devices lie above the scenario's, which QEMU counts from slot 1.
        let share = files.share.display();
        add(&["-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"]);
        add(&["-device", "virtio-9p-pci,fsdev=host,mount_tag=hostroot,bus=pcie.0,addr=1c.0"]);
        add(&["-fsdev", &format!("local,id=vt,path={share},security_model=none")]);
        add(&["-device", "virtio-9p-pci,fsdev=vt,mount_tag=vt,bus=pcie.0,addr=1d.0"]);
        add(&["-device", "virtio-serial-pci,id=vt-serial,bus=pcie.0,addr=1e.0", "-chardev", &socket("agent")]);
        add(&["-device", "virtserialport,chardev=agent,name=vt,bus=vt-serial.0"]);
        for (number, device) in self.devices.iter().enumerate() {
            let image =
                device.disk.as_ref().map(|disk| make_image(disk, &files.host.join(format!("{}.img", device.name))));
            all.extend(device.arguments(number + 1, image.as_deref()).into_iter().map(OsString::from));
        }
        all
    }
}

fn make_image(disk: &Disk, to: &Path) -> PathBuf {
    match disk {
        Disk::Empty(mib) => File::create(to).unwrap().set_len(mib << 20).unwrap(),
        Disk::Copy(from) => drop(fs::copy(from, to).unwrap()),
    }
    to.to_owned()
}
