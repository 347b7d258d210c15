//! A node in a folder that answers writes as the kernel does.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use virt_tailor::base::PciAddress;
use virt_tailor::host::Root;
use virt_tailor::prep::vf::VfSetting;
use virt_tailor::prep::{Effects, HostFile, Trouble};

use crate::hand::ModelHands;

/// What goes wrong at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The write fails so many times, with this error.
    Errno(i32, u32),
    /// The write never returns.
    Hang,
    /// The write takes effect, but has not returned in time.
    Late,
    /// Whoever writes is killed first (an OOM killer), and so is the next one; so many times.
    Kill(u32),
    /// The write returns success, and nothing has happened.
    Pretend,
}

/// The model; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Model(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: TempDir,
    faults: Mutex<BTreeMap<String, Fault>>,
    /// Which driver knows which function.
    natives: BTreeMap<String, String>,
    /// In which group it is.
    groups: BTreeMap<String, u32>,
    writes: Mutex<Vec<String>>,
}

const GROUPS: [(&str, u32, &str); 3] =
    [(crate::GPU, 1, "nouveau"), (crate::AUDIO, 1, "snd_hda_intel"), (crate::NIC, 2, "igb")];

impl Model {
    /// Three functions in two groups, each with its own driver.
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same, and more of them: address, group, driver.
    pub(crate) fn with(more: &[(String, u32, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let sys = folder.path().join("sys");
        for driver in ["nouveau", "snd_hda_intel", "igb", "vfio-pci"] {
            fs::create_dir_all(sys.join("bus/pci/drivers").join(driver)).unwrap();
        }
        fs::create_dir_all(folder.path().join("dev/vfio")).unwrap();
        fs::write(sys.join("bus/pci/drivers_probe"), "").unwrap();
        let (mut natives, mut groups) = (BTreeMap::new(), BTreeMap::new());
        let more = more.iter().map(|(address, group, driver)| (address.as_str(), *group, *driver));
        for (address, group, driver) in GROUPS.into_iter().chain(more) {
            let device = sys.join("bus/pci/devices").join(address);
            fs::create_dir_all(device.join("power")).unwrap();
            fs::create_dir_all(sys.join(format!("kernel/iommu_groups/{group}"))).unwrap();
            fs::write(device.join("driver_override"), "(null)\n").unwrap();
            fs::write(device.join("power/control"), "auto\n").unwrap();
            fs::write(device.join("d3cold_allowed"), "1\n").unwrap();
            symlink(format!("../../../../kernel/iommu_groups/{group}"), device.join("iommu_group")).unwrap();
            symlink(format!("../../../../bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
            natives.insert(address.to_owned(), driver.to_owned());
            groups.insert(address.to_owned(), group);
        }
        // Eight CPUs: interrupts anywhere, of one CPU, of some of several owners', of others'.
        let irqs = [("1", "0-7"), ("20", "2"), ("21", "4"), ("22", "2,4,6"), ("23", "0"), ("24", "2-7")];
        for (irq, cpus) in irqs {
            fs::create_dir_all(folder.path().join("proc/irq").join(irq)).unwrap();
            fs::write(folder.path().join("proc/irq").join(irq).join("smp_affinity_list"), format!("{cpus}\n")).unwrap();
        }
        fs::write(folder.path().join("proc/irq/default_smp_affinity"), "000000ff\n").unwrap();
        fs::create_dir_all(sys.join("devices/system/cpu")).unwrap();
        fs::write(sys.join("devices/system/cpu/online"), "0-7\n").unwrap();
        fs::create_dir_all(sys.join("kernel/mm/hugepages/hugepages-2048kB")).unwrap();
        fs::write(sys.join("kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "3\n").unwrap();
        Self(Arc::new(Inner { folder, faults: Mutex::default(), natives, groups, writes: Mutex::default() }))
    }

    pub(crate) fn root(&self) -> Root {
        Root::new(self.0.folder.path())
    }

    pub(crate) fn hands(&self) -> ModelHands {
        ModelHands::new(self.clone())
    }

    /// From now on something goes wrong at a file, named from the root.
    pub(crate) fn fault(&self, file: &str, fault: Fault) {
        self.0.faults.lock().unwrap().insert(file.to_owned(), fault);
    }

    pub(crate) fn mend(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    /// The hang, if there is one, at this file.
    pub(crate) fn hangs(&self, file: &HostFile) -> bool {
        self.0.faults.lock().unwrap().get(&path_of(file)) == Some(&Fault::Hang)
    }

    /// Whether a write takes effect and does not return.
    pub(crate) fn is_late(&self, file: &HostFile) -> bool {
        self.0.faults.lock().unwrap().get(&path_of(file)) == Some(&Fault::Late)
    }

    /// Whether whoever writes is killed.
    pub(crate) fn kills(&self, file: &HostFile) -> bool {
        match self.0.faults.lock().unwrap().get_mut(&path_of(file)) {
            Some(Fault::Kill(times)) if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether any of a function's files hangs, and with it everybody who wants the function's lock.
    pub(crate) fn hangs_at(&self, address: &str) -> bool {
        let faults = self.0.faults.lock().unwrap();
        faults.iter().any(|(file, fault)| *fault == Fault::Hang && file.contains(address))
    }

    /// Every write so far.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.0.writes.lock().unwrap().clone()
    }

    pub(crate) fn driver(&self, address: &str) -> Option<String> {
        self.root().link_name(format!("sys/bus/pci/devices/{address}/driver")).unwrap()
    }

    pub(crate) fn driver_override(&self, address: &str) -> String {
        self.root().text(format!("sys/bus/pci/devices/{address}/driver_override")).unwrap().unwrap()
    }

    /// Makes a function what it would be had somebody else been there before us.
    pub(crate) fn set(&self, address: &str, driver: Option<&str>, driver_override: &str) {
        let _ = fs::remove_file(self.device(address).join("driver"));
        if let Some(driver) = driver {
            self.attach(address, driver);
        }
        fs::write(self.device(address).join("driver_override"), format!("{driver_override}\n")).unwrap();
    }

    pub(crate) fn unplug(&self, address: &str) {
        fs::remove_dir_all(self.device(address)).unwrap();
    }

    /// Everything there is, to compare.
    pub(crate) fn picture(&self) -> BTreeMap<PathBuf, String> {
        let mut picture = BTreeMap::new();
        collect(self.0.folder.path(), self.0.folder.path(), &mut picture);
        picture
    }

    fn device(&self, address: &str) -> PathBuf {
        self.0.folder.path().join("sys/bus/pci/devices").join(address)
    }

    fn attach(&self, address: &str, driver: &str) {
        symlink(format!("../../../../bus/pci/drivers/{driver}"), self.device(address).join("driver")).unwrap();
        self.update_group(address);
    }

    /// A group's node is there while one of its functions is on vfio-pci.
    fn update_group(&self, address: &str) {
        let group = self.0.groups[address];
        let mut members = self.0.groups.iter().filter(|(_, of)| **of == group);
        let held = members.any(|(other, _)| self.driver(other).as_deref() == Some("vfio-pci"));
        let node = self.0.folder.path().join(format!("dev/vfio/{group}"));
        if held { fs::write(node, "").unwrap() } else { drop(fs::remove_file(node)) }
    }

    fn probe(&self, address: &str) {
        let wanted = match self.driver_override(address).as_str() {
            "(null)" | "" => self.0.natives[address].clone(),
            named => named.to_owned(),
        };
        if self.driver(address).is_none() && self.0.folder.path().join("sys/bus/pci/drivers").join(&wanted).exists() {
            self.attach(address, &wanted);
        }
    }
}

impl Effects for Model {
    fn write(&mut self, _root: &Root, file: &HostFile, value: &str) -> io::Result<()> {
        let path = path_of(file);
        self.0.writes.lock().unwrap().push(format!("{path} {value:?}"));
        match self.0.faults.lock().unwrap().get_mut(&path) {
            Some(Fault::Pretend) => return Ok(()),
            Some(Fault::Errno(errno, times)) if *times > 0 => {
                *times -= 1;
                return Err(io::Error::from_raw_os_error(*errno));
            }
            _ => (),
        }
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["sys", "bus", "pci", "drivers_probe"] if self.device(value).exists() => self.probe(value),
            ["sys", "bus", "pci", "devices", address, "driver", "unbind"] if self.driver(address).is_some() => {
                fs::remove_file(self.device(address).join("driver"))?;
                self.update_group(address);
            }
            ["sys", "bus", "pci", "drivers", driver, "bind"] if self.driver(value).is_none() => {
                // A driver refuses what it does not know, unless it is overridden.
                let fits = self.driver_override(value) == *driver
                    || (self.driver_override(value) == "(null)" && self.0.natives[value] == *driver);
                if !fits {
                    return Err(io::Error::from_raw_os_error(nix::libc::ENODEV));
                }
                self.attach(value, driver);
            }
            ["sys", "bus", "pci", "devices", address, "driver_override"] if self.device(address).exists() => {
                let text = if value == "\n" { "(null)" } else { value };
                fs::write(self.device(address).join("driver_override"), format!("{text}\n"))?;
            }
            ["sys", "bus", "pci", "devices", address, "power", "control"] if ["on", "auto"].contains(&value) => {
                fs::write(self.device(address).join("power/control"), format!("{value}\n"))?;
            }
            ["sys", "bus", "pci", "devices", address, "d3cold_allowed"] if ["0", "1"].contains(&value) => {
                fs::write(self.device(address).join("d3cold_allowed"), format!("{value}\n"))?;
            }
            ["proc", "irq", ..] | ["sys", "kernel", "mm", "hugepages", ..] if self.root().has(&path) => {
                fs::write(self.root().path(&path), format!("{value}\n"))?;
            }
            _ => return Err(io::Error::from_raw_os_error(nix::libc::ENOENT)),
        }
        Ok(())
    }

    fn load_module(&mut self, _: &Root, module: &str, _: &[String], _: Option<&Path>) -> Result<(), Trouble> {
        Err(Trouble::new(format!("the model has no module {module}")))
    }

    fn set_vf(&mut self, _: &Root, pf: PciAddress, _: u32, _: VfSetting) -> Result<(), Trouble> {
        Err(Trouble::new(format!("the model has no virtual functions on {pf}")))
    }

    fn unload_module(&mut self, _: &Root, module: &str) -> Result<(), Trouble> {
        Err(Trouble::new(format!("the model has no module {module}")))
    }
}

fn path_of(file: &HostFile) -> String {
    file.as_path().to_str().unwrap().to_owned()
}

fn collect(root: &Path, folder: &Path, picture: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_owned();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_symlink() {
            picture.insert(name, fs::read_link(&path).unwrap().to_str().unwrap().to_owned());
        } else if kind.is_dir() {
            collect(root, &path, picture);
        } else {
            picture.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}
