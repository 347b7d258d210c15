//! Which driver a function goes to, and the module it comes from.

use super::Compiler;
use crate::base::PciAddress;
use crate::config::node::Driver;
use crate::host::{Availability, Modules, Vfio, pci_drivers, vfio_variant};
use crate::prep::step::Step;
use crate::prep::steps::LoadModule;

/// The driver that every kernel with VFIO has.
const PLAIN: (&str, &str) = ("vfio_pci", "vfio-pci");
/// VFIO's first kind of IOMMU backend.
const TYPE1: &str = "vfio_iommu_type1";

/// A driver and how it gets there.
pub(super) struct Chosen {
    /// Its name in `/sys/bus/pci/drivers`.
    pub(super) driver: String,
    /// The modules it needs, in order.
    pub(super) load: Vec<Step>,
}

/// The driver an admin names, else the best that is made for the function.
pub(super) fn of(compiler: &Compiler<'_>, driver: &Driver, function: PciAddress) -> Result<Chosen, String> {
    let module = match driver {
        Driver::Named(name) => name.as_str().replace('-', "_"),
        Driver::Auto => variant(compiler, function)?.unwrap_or_else(|| PLAIN.0.to_owned()),
    };
    let driver = match driver {
        Driver::Named(name) => name.as_str().to_owned(),
        Driver::Auto => name_of(compiler, &module)?,
    };
    let mut modules = vec![module];
    // What maps a guest's memory. modprobe loads it after vfio ("softdep vfio post: vfio_iommu_type1"), the kernel alone only where it
    // finds a modprobe of its own; other platforms have another.
    let loaded = Modules::read(compiler.root).map_err(|error| error.to_string())?;
    let vfio = Vfio::read(compiler.root, &loaded, compiler.site.kernel.release.as_deref())
        .map_err(|error| error.to_string())?;
    if !matches!(vfio.iommu_type1, Availability::Missing | Availability::Unknown) {
        modules.push(TYPE1.to_owned());
    }
    let load = |module| Step::LoadModule(LoadModule { module, parameters: Vec::new() });
    Ok(Chosen { driver, load: modules.into_iter().map(load).collect() })
}

/// The module of a variant driver for this very device.
fn variant(compiler: &Compiler<'_>, function: PciAddress) -> Result<Option<String>, String> {
    let modalias = compiler.site.pci.get(function).and_then(|device| device.modalias.as_deref());
    let (Some(modalias), Some(release)) = (modalias, compiler.site.kernel.release.as_deref()) else { return Ok(None) };
    let module = vfio_variant(compiler.root, release, modalias).map_err(|error| error.to_string())?;
    Ok(module.map(|module| module.replace('-', "_")))
}

/// The name of a module's driver, which only the module itself knows. Until it is loaded: all variants so far are called like their
/// module, and plain VFIO is not.
fn name_of(compiler: &Compiler<'_>, module: &str) -> Result<String, String> {
    if module == PLAIN.0 {
        return Ok(PLAIN.1.to_owned());
    }
    let drivers = pci_drivers(compiler.root, module).map_err(|error| error.to_string())?;
    Ok(drivers.into_iter().next().unwrap_or_else(|| module.to_owned()))
}
