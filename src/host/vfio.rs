//! Whether VFIO can be had: its drivers are loaded, built in, or lie ready as modules.

use serde::Serialize;

use super::error::HostError;
use super::modules::Modules;
use super::root::Root;

/// What of VFIO there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vfio {
    /// `vfio-pci`, which takes the functions.
    pub pci: Availability,
    /// `vfio_iommu_type1`, through which QEMU maps a guest's memory.
    pub iommu_type1: Availability,
}

/// Where a module of the kernel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Loaded.
    Loaded,
    /// Part of the kernel itself.
    BuiltIn,
    /// Not loaded, but among the modules of this kernel.
    Loadable,
    /// Neither.
    Missing,
    /// Not loaded, and the modules of this kernel cannot be seen from here.
    Unknown,
}

impl Vfio {
    /// Looks for VFIO; `release` is the running kernel's.
    ///
    /// # Errors
    ///
    /// [`HostError`]: a list of modules is there and cannot be read.
    pub fn read(root: &Root, modules: &Modules, release: Option<&str>) -> Result<Self, HostError> {
        let lists = Lists::read(root, release)?;
        let pci = match lists.availability(modules, "vfio-pci") {
            // Built in it shows as a driver in any case, as a module only if it has parameters.
            Availability::Loaded => Availability::Loaded,
            _ if root.has("sys/bus/pci/drivers/vfio-pci") => Availability::BuiltIn,
            other => other,
        };
        Ok(Self { pci, iommu_type1: lists.availability(modules, "vfio_iommu_type1") })
    }
}

/// `modules.dep` and `modules.builtin` of a kernel: a path of a module at the beginning of each line (man 5 modules.dep).
struct Lists(Option<[String; 2]>);

impl Lists {
    fn read(root: &Root, release: Option<&str>) -> Result<Self, HostError> {
        // A name from outside must not lead elsewhere.
        let Some(release) = release.filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains('/'))
        else {
            return Ok(Self(None));
        };
        // Under another machine's root an absolute link /lib would lead to our own.
        for modules in ["usr/lib/modules", "lib/modules"] {
            if let Some(loadable) = root.text(format!("{modules}/{release}/modules.dep"))? {
                let built_in = root.text(format!("{modules}/{release}/modules.builtin"))?.unwrap_or_default();
                return Ok(Self(Some([loadable, built_in])));
            }
        }
        Ok(Self(None))
    }

    fn availability(&self, modules: &Modules, name: &str) -> Availability {
        match (modules.get(name), &self.0) {
            (Some(module), _) if module.is_built_in() => Availability::BuiltIn,
            (Some(_), _) => Availability::Loaded,
            (None, Some([_, built_in])) if lists(built_in, name) => Availability::BuiltIn,
            (None, Some([loadable, _])) if lists(loadable, name) => Availability::Loadable,
            (None, Some(_)) => Availability::Missing,
            (None, None) => Availability::Unknown,
        }
    }
}

/// Whether a module, whatever it is packed with, is in a list. File names have either spelling.
fn lists(list: &str, name: &str) -> bool {
    let plain = |name: &str| name.replace('-', "_");
    list.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.split_once(".ko").is_some_and(|(module, _)| plain(module) == plain(name))
    })
}

#[cfg(test)]
mod tests {
    use super::{Availability, Vfio};
    use crate::host::Modules;
    use crate::host::testing::Tree;

    fn vfio(tree: &Tree) -> Vfio {
        let root = tree.root();
        Vfio::read(&root, &Modules::read(&root).unwrap(), Some("6.12.1")).unwrap()
    }

    #[test]
    fn loaded_built_in_ready_or_missing() {
        let dep = "lib/modules/6.12.1/modules.dep";
        let built_in = "lib/modules/6.12.1/modules.builtin";
        let vfio_pci = "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\n";
        assert_eq!(vfio(&Tree::new()).pci, Availability::Unknown);
        assert_eq!(vfio(&Tree::new().file(dep, vfio_pci)).pci, Availability::Loadable);
        assert_eq!(vfio(&Tree::new().file(dep, vfio_pci)).iommu_type1, Availability::Missing);
        // What only depends on it, or has a longer name, is something else.
        let other = "kernel/mlx5-vfio-pci.ko: kernel/drivers/vfio/pci/vfio-pci.ko\n";
        assert_eq!(vfio(&Tree::new().file(dep, other)).pci, Availability::Missing);
        let type1 = "kernel/drivers/vfio/vfio_iommu_type1.ko\n";
        assert_eq!(vfio(&Tree::new().file(dep, "").file(built_in, type1)).iommu_type1, Availability::BuiltIn);
        assert_eq!(vfio(&Tree::new().file("sys/module/vfio_pci/refcnt", "0\n")).pci, Availability::Loaded);
        assert_eq!(vfio(&Tree::new().folder("sys/bus/pci/drivers/vfio-pci")).pci, Availability::BuiltIn);
    }
}
