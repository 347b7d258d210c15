//! Kernel modules, loaded and built in (kernel: Documentation/ABI/stable/sysfs-module).

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;

use serde::Serialize;

use super::attribute;
use super::error::HostError;
use super::root::Root;

/// The modules of the running kernel, by name. A module that is built in shows only if it has parameters, a version or drivers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Modules(pub BTreeMap<String, Module>);

/// A kernel module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Module {
    /// What only a loaded module has; `None` if it is built into the kernel, and thus there to stay.
    pub loaded: Option<Loaded>,
    /// What its author calls its version.
    pub version: Option<String>,
    /// A sum over its sources: tells two builds apart that call themselves alike.
    pub source_version: Option<String>,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Parameter>,
    /// Its drivers, with their bus: `pci:vfio-pci`.
    pub drivers: BTreeSet<String>,
}

/// A module that was loaded and can be unloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// How many use it: modules and others (open files, devices). `None` if it cannot be unloaded, by the kernel's configuration.
    pub references: Option<u64>,
    /// Modules that use it. References beyond their number are no modules.
    pub holders: BTreeSet<String>,
    /// `live`, `coming` or `going`.
    pub state: Option<String>,
    /// Letters for what the kernel's makers do not answer for: `O` out of tree, `P` proprietary, `E` unsigned.
    pub taint: String,
}

/// A parameter of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Its value now; `None` if it cannot be read.
    pub value: Option<String>,
    /// Whether root can change it while the module is loaded. Some drivers take no notice until they are loaded again.
    pub writable: bool,
}

impl Modules {
    /// Reads all modules.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let mut modules = BTreeMap::new();
        for name in root.names("sys/module")? {
            if let Some(module) = Module::read(root, &name)? {
                modules.insert(name, module);
            }
        }
        Ok(Self(modules))
    }

    /// A module by its name, in either spelling (`vfio-pci`, `vfio_pci`).
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.0.get(&name.replace('-', "_"))
    }

    /// Whether a driver of PCI devices (`xhci_hcd`) is built into the kernel.
    pub fn has_built_in(&self, driver: &str) -> bool {
        let driver = format!("pci:{driver}");
        self.0.values().any(|module| module.is_built_in() && module.drivers.contains(&driver))
    }
}

impl Module {
    /// Reads one module, by its name in either spelling; `None` if it is neither loaded nor visibly built in, or goes meanwhile.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed.
    pub fn read(root: &Root, name: &str) -> Result<Option<Self>, HostError> {
        let folder = format!("sys/module/{}", name.replace('-', "_"));
        let at = |name: &str| format!("{folder}/{name}");
        if !root.has(&folder) {
            return Ok(None);
        }
        let mut parameters = BTreeMap::new();
        for name in root.names(at("parameters"))? {
            let path = format!("{folder}/parameters/{name}");
            // Mode 0 and the like: not readable for root either.
            let Ok(mode) = std::fs::metadata(root.path(&path)).map(|data| data.permissions().mode()) else { continue };
            let value = (mode & 0o444 != 0).then(|| attribute::text(root, &path)).flatten();
            parameters.insert(name, Parameter { value, writable: mode & 0o222 != 0 });
        }
        let loaded = Loaded {
            references: attribute::value(root, &at("refcnt"), attribute::number),
            holders: root.names(at("holders"))?.into_iter().collect(),
            state: attribute::text(root, &at("initstate")),
            taint: attribute::text(root, &at("taint")).unwrap_or_default(),
        };
        // Built-in modules have a folder for parameters and version alone (kernel: kernel/params.c, locate_module_kobject).
        let is_loaded = ["initstate", "coresize", "refcnt"].iter().any(|file| root.has(at(file)));
        let module = Self {
            loaded: is_loaded.then_some(loaded),
            version: attribute::text(root, &at("version")),
            source_version: attribute::text(root, &at("srcversion")),
            parameters,
            drivers: root.names(at("drivers"))?.into_iter().collect(),
        };
        Ok(root.has(&folder).then_some(module))
    }

    /// Whether it is built into the kernel.
    pub fn is_built_in(&self) -> bool {
        self.loaded.is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::Modules;
    use crate::host::testing::Tree;

    #[test]
    fn loaded_and_built_in() {
        let tree = Tree::new()
            .file("sys/module/nvidia/refcnt", "3\n")
            .file("sys/module/nvidia/initstate", "live\n")
            .file("sys/module/nvidia/taint", "POE\n")
            .file("sys/module/nvidia/version", "550.54\n")
            .link("sys/module/nvidia/holders/nvidia_modeset", "../../nvidia_modeset")
            .link("sys/module/nvidia/drivers/pci:nvidia", "../../../bus/pci/drivers/nvidia")
            .file("sys/module/vfio_pci/parameters/disable_idle_d3", "N\n")
            .file("sys/module/vfio_pci/parameters/ids", "\n")
            .file("sys/module/vfio_pci/parameters/secret", "x\n");
        let mode = |name: &str, mode| {
            let path = tree.root().path(format!("sys/module/vfio_pci/parameters/{name}"));
            set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        mode("ids", 0o444);
        mode("secret", 0o200);
        let modules = Modules::read(&tree.root()).unwrap();
        let nvidia = modules.get("nvidia").unwrap();
        let loaded = nvidia.loaded.as_ref().unwrap();
        assert_eq!((loaded.references, loaded.taint.as_str()), (Some(3), "POE"));
        assert!(loaded.holders.contains("nvidia_modeset") && nvidia.drivers.contains("pci:nvidia"));
        let vfio = modules.get("vfio-pci").unwrap();
        assert!(vfio.is_built_in());
        let parameter = |name: &str| (vfio.parameters[name].value.as_deref(), vfio.parameters[name].writable);
        assert_eq!(parameter("disable_idle_d3"), (Some("N"), true));
        assert_eq!(parameter("ids"), (Some(""), false));
        assert_eq!(parameter("secret"), (None, true));
    }
}
