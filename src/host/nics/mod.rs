//! The network devices of the machine itself (of PID 1's network namespace), and what each is for.

mod link;
mod live;
mod role;
mod tables;
mod text;

use std::net::IpAddr;
use std::path::Path;

pub use link::{Link, LinkKind};
pub use role::Role;
pub use tables::{Address, Route, Source};

use super::error::HostError;
use super::place::function_folder;
use super::root::Root;
use super::values;
use crate::base::PciAddress;

/// The network devices of PID 1's network namespace.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nics {
    /// The devices, by name.
    pub links: Vec<Link>,
    /// Network functions with a driver of which no network device is to be seen: it is in some pod's namespace.
    pub elsewhere: Vec<Elsewhere>,
    /// Addresses of which it is not known on which device they are (only [`Source::Text`] has such).
    pub unplaced: Vec<IpAddr>,
    /// Where addresses and routes were read.
    pub source: Source,
    /// Whether `sys` shows the devices of PID 1's namespace. If not, it is not known which function is beneath which device, and `links`
    /// and `elsewhere` are empty: nothing can be said of any.
    pub visible: bool,
    /// Whether the root file system comes over the network (NFS and its like, by PID 1's mount of `/`), or a disk does (iSCSI, NVMe).
    pub network_root: bool,
}

/// A network function whose device is in another network namespace.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Elsewhere {
    /// The function.
    pub function: PciAddress,
    /// Its driver.
    pub driver: String,
}

impl Nics {
    /// Reads the network devices of PID 1's network namespace.
    ///
    /// Which devices there are is taken from `/proc/1/net/dev`, for `/sys/class/net` shows the namespace of whoever mounted it. Addresses and
    /// routes of a running machine come from rtnetlink in PID 1's namespace: only there are an IPv4 address's device and all routing
    /// tables to be had. Of a captured tree, and where the kernel does not let us into that namespace though we are not in it, they
    /// come from the texts below `/proc/1/net`, which name both only in part.
    ///
    /// # Errors
    ///
    /// [`HostError`]: the system refused, or a file holds what the kernel does not write.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let mut names = text::names(root)?;
        let mut visible = link::same_namespace(root, &names)?;
        // Devices of pods come and go between two looks; another namespace stays another.
        for _ in 0..3 {
            if !visible {
                names = text::names(root)?;
                visible = link::same_namespace(root, &names)?;
            }
        }
        let tables = tables::read(root)?;
        let links = if visible { link::read(root, &names, &tables)? } else { Vec::new() };
        let elsewhere = if visible { elsewhere(root, &links)? } else { Vec::new() };
        let network_root = network_root(root)?;
        Ok(Self { links, elsewhere, unplaced: tables.unplaced, source: tables.source, visible, network_root })
    }

    /// The devices of a PCI function, or of functions behind it.
    pub fn of(&self, function: PciAddress) -> Vec<&Link> {
        self.links.iter().filter(|link| link.functions.contains(&function)).collect()
    }

    /// The device of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }
}

/// Network functions (PCI class 02xx) with a driver and no device. VFIO, UIO and pci-stub make none, and none is missing.
fn elsewhere(root: &Root, links: &[Link]) -> Result<Vec<Elsewhere>, HostError> {
    let devices = Path::new("sys/bus/pci/devices");
    let mut found = Vec::new();
    for name in root.names(devices)? {
        let Ok(function) = name.parse::<PciAddress>() else { continue };
        let Some(folder) = function_folder(root, function)? else { continue };
        let class = root.value(folder.join("class"), "a PCI class of 24 bits", values::class)?;
        let Some(driver) = root.link_name(folder.join("driver"))? else { continue };
        let user_space = root.has(folder.join("vfio-dev"))
            || values::is_vfio_name(&driver)
            || driver.contains("uio")
            || driver == "pci-stub";
        if class.is_some_and(|class| class >> 16 == 0x02)
            && !user_space
            && !links.iter().any(|link| link.functions.contains(&function))
        {
            found.push(Elsewhere { function, driver });
        }
    }
    Ok(found)
}

/// Whether PID 1's `/` is a file system of the network, or any disk comes over it. Over which device is not known.
fn network_root(root: &Root) -> Result<bool, HostError> {
    if !root.names("sys/class/iscsi_session")?.is_empty() {
        return Ok(true);
    }
    let nvme = Path::new("sys/class/nvme");
    for controller in root.names(nvme)? {
        if matches!(root.text(nvme.join(controller).join("transport"))?.as_deref(), Some("tcp" | "rdma")) {
            return Ok(true);
        }
    }
    let text = root.text("proc/1/mountinfo")?.unwrap_or_default();
    let top = super::mounts::parse(&text).filter(|mount| mount.at == Path::new("/")).last();
    Ok(top.is_some_and(|mount| ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph"].contains(&mount.fs.as_str())))
}
