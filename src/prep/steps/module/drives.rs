//! What a module drives, and whether the node needs that.
//!
//! The guards look at the device that a VM is given; a module takes all of its devices along. So every device that a driver of the module
//! is bound to is asked for: network devices with an address, a route, a master or something upon them, and disks in use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Loaded;
use crate::base::PciAddress;
use crate::host::Root;
use crate::host::block::{Blocks, Use, What};
use crate::host::nics::{Nics, Role};
use crate::prep::trouble::Trouble;

/// A device that a module drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driven {
    /// Its name on its bus: `0000:01:00.0`, `virtio0`.
    pub device: String,
    /// What the node needs it for, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<String>,
}

/// Fills in what the modules drive.
pub(super) fn look(root: &Root, modules: &mut [Loaded]) -> Result<(), Trouble> {
    // Reading all of a node's mounts and routes is for those who drive something.
    let mut whole = None;
    for module in modules {
        for folder in bound(root, &module.name)? {
            let (nics, blocks) = match &whole {
                Some(whole) => whole,
                None => whole.insert((Nics::read(root)?, Blocks::read(root)?)),
            };
            let device = last(&folder);
            module.drives.push(Driven { needed: needed(root, &folder, nics, blocks)?, device });
        }
    }
    Ok(())
}

/// Whether a module drives anything.
pub(super) fn anything(root: &Root, module: &str) -> Result<bool, Trouble> {
    Ok(!bound(root, module)?.is_empty())
}

/// The folders in sysfs of all devices that a module's drivers are bound to (kernel: Documentation/ABI/stable/sysfs-module: each link in
/// `drivers` is named `<bus>:<driver>`).
fn bound(root: &Root, module: &str) -> Result<Vec<PathBuf>, Trouble> {
    let mut devices = Vec::new();
    for link in root.names(format!("sys/module/{module}/drivers"))? {
        let Some((bus, driver)) = link.split_once(':') else { continue };
        let folder = Path::new("sys/bus").join(bus).join("drivers").join(driver);
        for name in root.names(&folder)? {
            let entry = folder.join(&name);
            if name != "module" && std::fs::symlink_metadata(root.path(&entry)).is_ok_and(|data| data.is_symlink()) {
                devices.extend(resolved(root, &entry)?);
            }
        }
    }
    Ok(devices)
}

/// What the node needs a device for.
fn needed(root: &Root, folder: &Path, nics: &Nics, blocks: &Blocks) -> Result<Option<String>, Trouble> {
    // A function that was asked for through one of its parts (virtio on PCI, a stick on a controller) may have others.
    let parts: Vec<PciAddress> =
        folder.components().filter_map(|part| part.as_os_str().to_str()?.parse().ok()).collect();
    let Some(function) = parts.last() else { return Ok(None) };
    let whole = last(folder) == function.to_string();
    for role in nics.roles(*function) {
        if role == Role::Unknown {
            let class = root.text(folder_of(*function).join("class"))?.unwrap_or_default();
            if class.starts_with("0x02") {
                let why = "whose network it is cannot be seen: /sys shows another network namespace than process 1's";
                return Ok(Some(why.to_owned()));
            }
        }
        let Some((link, why)) = said(&role) else { continue };
        if whole || link.is_none_or(|link| beneath(root, folder, "net", link)) {
            return Ok(Some(why));
        }
    }
    let uses = blocks.uses(*function);
    let used = uses.iter().find(|used| whole || beneath(root, folder, "block", &used.disk));
    Ok(used.map(said_of_disk))
}

/// Whether a network device or a disk hangs on this device. What the kernel shows as virtual may (a disk with several paths).
fn beneath(root: &Root, folder: &Path, class: &str, name: &str) -> bool {
    match resolved(root, &Path::new("sys/class").join(class).join(name)) {
        Ok(Some(path)) => path.starts_with(folder) || path.starts_with("sys/devices/virtual"),
        _ => true,
    }
}

/// A role in words, and the network device it is about. `None`: nothing can be seen of any.
fn said(role: &Role) -> Option<(Option<&str>, String)> {
    Some(match role {
        Role::Address { link, address, prefix } => (Some(link), format!("{link} has the address {address}/{prefix}")),
        Role::DefaultRoute { link, .. } => (Some(link), format!("the default route leads over {link}")),
        Role::Route { link, destination, prefix } => {
            (Some(link), format!("the route to {destination}/{prefix} leads over {link}"))
        }
        Role::Port { link, master } => (Some(link), format!("{link} is a port of {master}")),
        Role::Child { link, child } => (Some(link), format!("{child} stands on {link}")),
        Role::VirtualFunctions { count } => (None, format!("it has {count} virtual functions")),
        Role::NetworkRoot { link } => {
            (Some(link), format!("the root file system comes over the network, and {link} is up"))
        }
        Role::Elsewhere { .. } => (None, "its interface is in the network namespace of some pod".to_owned()),
        Role::Unknown => return None,
    })
}

fn said_of_disk(used: &Use) -> String {
    match &used.what {
        What::Mounted { at, .. } => format!("{} is mounted at {}", used.device, at.display()),
        What::Swap { .. } => format!("{} is swap", used.device),
        _ => format!("{} is in use", used.device),
    }
}

fn folder_of(function: PciAddress) -> PathBuf {
    Path::new("sys/bus/pci/devices").join(function.to_string())
}

/// The folder that a link of sysfs leads to, below the root. They are relative.
fn resolved(root: &Root, link: &Path) -> Result<Option<PathBuf>, Trouble> {
    let Some(target) = root.link(link)? else { return Ok(None) };
    let mut path = link.parent().unwrap_or(Path::new("")).to_owned();
    for part in target.components() {
        match part {
            std::path::Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
    }
    Ok(Some(path))
}

fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_device_of_every_driver_is_found_by_its_links() {
        let tree = tempfile::tempdir().unwrap();
        let at = |path: &str| tree.path().join(path);
        let devices = ["sys/devices/pci0000:00/0000:00:04.0/virtio1", "sys/devices/pci0000:00/0000:00:05.0"];
        for folder in
            devices.into_iter().chain(["sys/module/x/drivers", "sys/bus/pci/drivers/x", "sys/bus/virtio/drivers/x"])
        {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        symlink("../../../bus/pci/drivers/x", at("sys/module/x/drivers/pci:x")).unwrap();
        symlink("../../../bus/virtio/drivers/x", at("sys/module/x/drivers/virtio:x")).unwrap();
        symlink("../../../../devices/pci0000:00/0000:00:05.0", at("sys/bus/pci/drivers/x/0000:00:05.0")).unwrap();
        symlink("../../../../module/x", at("sys/bus/pci/drivers/x/module")).unwrap();
        std::fs::write(at("sys/bus/pci/drivers/x/bind"), "").unwrap();
        symlink("../../../../devices/pci0000:00/0000:00:04.0/virtio1", at("sys/bus/virtio/drivers/x/virtio1")).unwrap();
        let root = Root::new(tree.path());
        assert_eq!(bound(&root, "x").unwrap(), [devices[1], devices[0]].map(PathBuf::from));
        assert!(anything(&root, "x").unwrap() && !anything(&root, "y").unwrap());
    }

    #[test]
    fn what_is_needed_by_another_device_of_the_controller_is_not_ours() {
        let tree = tempfile::tempdir().unwrap();
        let stick = "sys/devices/pci0000:00/0000:00:05.0/usb1/1-1/1-1:1.0";
        let class = tree.path().join("sys/class/block");
        std::fs::create_dir_all(&class).unwrap();
        symlink(format!("../../devices/{}/block/sda", &stick["sys/devices/".len()..]), class.join("sda")).unwrap();
        symlink("../../devices/virtual/nvme-subsystem/nvme0n1", class.join("nvme0n1")).unwrap();
        let root = Root::new(tree.path());
        assert!(beneath(&root, Path::new(stick), "block", "sda"));
        assert!(!beneath(&root, Path::new("sys/devices/pci0000:00/0000:00:05.0/usb1/1-2"), "block", "sda"));
        // Which controllers are beneath a disk with several paths is not in its own path.
        assert!(beneath(&root, Path::new("sys/devices/pci0000:00/0000:00:06.0"), "block", "nvme0n1"));
    }
}
