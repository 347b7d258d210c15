//! What kubelet was told when it gave a device to a container, kept on disk.
//!
//! kubelet asks once per container and answers from its own memory afterwards, even after the node was booted again; so what was said
//! then is held against what is so now, each time a container is started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::node::ResourceName;
use crate::kubelet::{Allocation, DeviceNode};

use super::id::DeviceId;
use super::inventory::Unit;
use super::moment::Moment;
use super::tenancy::PodUid;

/// What was said of one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promise {
    /// Which.
    pub id: DeviceId,
    /// Of which resource.
    pub resource: String,
    /// What the VM was told: an address or a UUID.
    pub value: String,
    /// The IOMMU group whose file was named.
    pub group: Option<u32>,
    /// When.
    pub at: Moment,
    /// In which boot.
    pub boot: String,
    /// The pods that have had it since, as far as known; an older file names none. An agent that comes later looks for what is left of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub uids: BTreeSet<PodUid>,
}

/// The promises of a node, a small file each.
#[derive(Debug)]
pub struct Promises {
    folder: PathBuf,
    all: BTreeMap<DeviceId, Promise>,
}

impl Promises {
    /// Reads what was promised; what cannot be read is left out and told, for its device will be refused until a new promise is made.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or listed.
    pub fn open(state: &Path) -> io::Result<(Self, Vec<String>)> {
        let folder = state.join("promises");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (mut all, mut troubles) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                // Half a file of a crash.
                let _ = fs::remove_file(&path);
                continue;
            }
            let read =
                fs::read(&path).and_then(|bytes| serde_json::from_slice::<Promise>(&bytes).map_err(io::Error::from));
            match read {
                Ok(promise) => drop(all.insert(promise.id.clone(), promise)),
                Err(error) => troubles.push(format!("{}: {error}", path.display())),
            }
        }
        Ok((Self { folder, all }, troubles))
    }

    /// What was promised of an id.
    pub fn get(&self, id: &DeviceId) -> Option<&Promise> {
        self.all.get(id)
    }

    /// All promises, by id.
    pub fn all(&self) -> &BTreeMap<DeviceId, Promise> {
        &self.all
    }

    /// Makes one, on disk first.
    ///
    /// # Errors
    ///
    /// It could not be written; it is kept in memory all the same.
    pub fn make(&mut self, promise: Promise) -> io::Result<()> {
        let path = self.path(&promise.id);
        let written = serde_json::to_vec(&promise).map_err(io::Error::from).and_then(|bytes| replace(&path, &bytes));
        self.all.insert(promise.id.clone(), promise);
        written
    }

    /// Notes which pods have what was promised, if that is news.
    pub(super) fn had_by(&mut self, id: &DeviceId, uids: &BTreeSet<PodUid>) {
        let Some(promise) = self.all.get(id).filter(|promise| !uids.is_subset(&promise.uids)) else { return };
        let uids = promise.uids.union(uids).cloned().collect();
        if let Err(error) = self.make(Promise { uids, ..promise.clone() }) {
            tracing::error!(device = id.as_str(), reason = %error, "whose device it is is not on the disk");
        }
    }

    /// Forgets one.
    ///
    /// # Errors
    ///
    /// Its file cannot be removed.
    pub fn forget(&mut self, id: &DeviceId) -> io::Result<()> {
        if self.all.remove(id).is_none() {
            return Ok(());
        }
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, id: &DeviceId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

/// Replaces a file as a whole, on the disk when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// What a container gets for ids of one resource, in the order in which kubelet named them.
///
/// KubeVirt's virt-launcher takes addresses from the variable one by one, in order (KubeVirt: pkg/virt-handler/device-manager,
/// pkg/virt-launcher/virtwrap/device/hostdevice). The file of the group is named, never `/dev/vfio/devices/vfioN`: its number is not known
/// before the bind, and a named file that is missing keeps the container from being made.
pub fn allocation<'a>(resource: &ResourceName, units: impl IntoIterator<Item = &'a Unit>) -> Allocation {
    let (mut functions, mut mdevs, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for unit in units {
        if unit.is_mdev() {
            mdevs.push(unit.value())
        } else {
            functions.push(unit.value())
        }
        if let Some(group) = unit.group.filter(|group| !groups.contains(group)) {
            groups.push(group);
        }
    }
    let variable = resource.variable();
    let envs = [("PCI_RESOURCE_", functions), ("MDEV_PCI_RESOURCE_", mdevs)];
    let envs = envs.into_iter().filter(|(_, values)| !values.is_empty());
    let nodes =
        std::iter::once("/dev/vfio/vfio".to_owned()).chain(groups.iter().map(|group| format!("/dev/vfio/{group}")));
    Allocation {
        envs: envs.map(|(prefix, values)| (format!("{prefix}{variable}"), values.join(","))).collect(),
        nodes: nodes
            .map(|path| DeviceNode { host_path: path.clone(), container_path: path, permissions: "mrw" })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::Offered;

    fn unit(offered: Offered, group: u32) -> Unit {
        Unit {
            resource: "nvidia.com/GP102GL_Tesla-P40".to_owned(),
            offered,
            companions: ["0000:3b:00.1".parse().unwrap()].into(),
            domain: Default::default(),
            group: Some(group),
            numa: None,
            root_complex: None,
            refusal: None,
            leaving: false,
        }
    }

    #[test]
    fn as_kubevirt_wants_it() {
        let resource: ResourceName = "nvidia.com/GP102GL_Tesla-P40".parse().unwrap();
        let functions = [("0000:af:00.0", 9), ("0000:3b:00.0", 7)];
        let units: Vec<Unit> = functions
            .iter()
            .map(|(address, group)| unit(Offered::Function(address.parse().unwrap()), *group))
            .collect();
        let given = allocation(&resource, &units);
        let envs: Vec<_> = given.envs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(envs, [("PCI_RESOURCE_NVIDIA_COM_GP102GL_TESLA-P40", "0000:af:00.0,0000:3b:00.0")]);
        let nodes: Vec<_> = given.nodes.iter().map(|node| (node.host_path.as_str(), node.permissions)).collect();
        assert_eq!(nodes, [("/dev/vfio/vfio", "mrw"), ("/dev/vfio/9", "mrw"), ("/dev/vfio/7", "mrw")]);
        let uuid = uuid::Uuid::from_u128(5);
        let mdev = unit(Offered::Mdev { parent: "0000:3b:00.0".parse().unwrap(), index: 0, uuid }, 12);
        let given = allocation(&resource, [&mdev]);
        assert_eq!(given.envs["MDEV_PCI_RESOURCE_NVIDIA_COM_GP102GL_TESLA-P40"], uuid.to_string());
    }

    #[test]
    fn they_are_there_again() {
        let state = tempfile::tempdir().unwrap();
        let id: DeviceId = "0000:3b:00.0-00000001".parse().unwrap();
        let promise = Promise {
            id: id.clone(),
            resource: "example.com/gpu".to_owned(),
            value: "0000:3b:00.0".to_owned(),
            group: Some(7),
            at: Moment(9),
            boot: "b".to_owned(),
            uids: BTreeSet::new(),
        };
        let (mut promises, _) = Promises::open(state.path()).unwrap();
        promises.make(promise.clone()).unwrap();
        fs::write(state.path().join("promises/x.new"), "{").unwrap();
        fs::write(state.path().join("promises/y.json"), "{").unwrap();
        let (mut promises, troubles) = Promises::open(state.path()).unwrap();
        assert_eq!(promises.get(&id), Some(&promise));
        assert_eq!(troubles.len(), 1);
        assert!(!state.path().join("promises/x.new").exists());
        // Who had it is kept, and nobody is left out again; a file without is an older one's, as the one above.
        let uids = |names: &[&str]| -> BTreeSet<PodUid> { names.iter().map(ToString::to_string).collect() };
        assert!(!fs::read_to_string(promises.path(&id)).unwrap().contains("uids"));
        for (noted, known) in [("a", &["a"][..]), ("b", &["a", "b"]), ("a", &["a", "b"])] {
            promises.had_by(&id, &uids(&[noted]));
            let (again, _) = Promises::open(state.path()).unwrap();
            assert_eq!(again.get(&id), Some(&Promise { uids: uids(known), ..promise.clone() }));
        }
        promises.forget(&id).unwrap();
        promises.had_by(&id, &uids(&["c"]));
        promises.forget(&id).unwrap();
        assert_eq!(Promises::open(state.path()).unwrap().0.all().len(), 0);
    }
}
