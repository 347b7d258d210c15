//! Devices that a vendor's driver makes: mediated ones, and NVIDIA's virtual GPUs.

use super::{Compiler, prepare};
use crate::base::PciAddress;
use crate::config::node::{Mediated, Resource};
use crate::host::Virtual;
use crate::prep::guard::Site;
use crate::prep::journal::Request;
use crate::prep::step::Step;
use crate::prep::steps::{MakeMdev, SetVgpu, uuid_for};

/// Why a parent makes no further device of a resource.
pub(super) fn full(
    compiler: &Compiler<'_>,
    resource: &Resource,
    parent: PciAddress,
    mediated: &Mediated,
) -> Option<String> {
    let most = usize::from(mediated.count?);
    let made = |step: &Step| matches!(step, Step::MakeMdev(made) if made.parent == parent.to_string());
    let ours = compiler.ledger.holdings.values().filter(|holding| holding.request.purpose == resource.name.as_str());
    let taken = ours.filter(|holding| holding.request.steps.iter().any(made)).count();
    (taken >= most).then(|| format!("all {most} devices that {} makes of {parent} are taken", resource.name.as_str()))
}

/// Adds a mediated device.
pub(super) fn add_mdev(
    compiler: &Compiler<'_>,
    resource: &Resource,
    mediated: &Mediated,
    parent: PciAddress,
    request: &mut Request,
) -> Result<(), String> {
    if let Some(why) =
        full(compiler, resource, parent, mediated).filter(|_| !compiler.ledger.holdings.contains_key(&request.owner))
    {
        return Err(why);
    }
    let uuid = uuid_for(&request.owner, resource.name.as_str());
    request.unit = vec![format!("mdev {uuid}")];
    compiler.lock(parent, request);
    request.steps.extend(prepare::steps(compiler, resource, parent)?);
    request.steps.push(make(mediated, parent, uuid));
    Ok(())
}

/// The step that makes one.
pub(super) fn make(mediated: &Mediated, parent: PciAddress, uuid: uuid::Uuid) -> Step {
    let kind = mediated.type_name.as_str().to_owned();
    Step::MakeMdev(MakeMdev { parent: parent.to_string(), kind, uuid })
}

/// The functions of a GPU that can be virtual GPUs: its virtual functions, or itself if it is one.
pub(super) fn vgpus(site: &Site, gpu: PciAddress) -> Vec<PciAddress> {
    let vgpu = |address: &PciAddress| site.pci.get(*address).is_some_and(|device| device.vendor_vgpu);
    let vfs = site.pci.functions.values().filter(|device| device.physfn == Some(gpu)).map(|device| device.address());
    std::iter::once(gpu).chain(vfs).filter(vgpu).collect()
}

/// Adds a virtual GPU.
pub(super) fn add_vgpu(
    compiler: &Compiler<'_>,
    resource: &Resource,
    mediated: &Mediated,
    vf: PciAddress,
    request: &mut Request,
) -> Result<(), String> {
    request.devices = vec![vf];
    request.unit = vec![vf.to_string()];
    compiler.lock(vf, request);
    request.steps.extend(prepare::steps(compiler, resource, vf)?);
    request.steps.push(set_vgpu(compiler, vf, mediated.type_name.as_str())?);
    Ok(())
}

/// The step that makes a function one of a type.
pub(super) fn set_vgpu(compiler: &Compiler<'_>, vf: PciAddress, type_name: &str) -> Result<Step, String> {
    let type_id = type_id(compiler, vf, type_name)?;
    Ok(Step::SetVgpu(SetVgpu { vf, type_id }))
}

/// The number of a type, which an admin may call by its name.
fn type_id(compiler: &Compiler<'_>, vf: PciAddress, name: &str) -> Result<u32, String> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let offered = Virtual::read(compiler.root, vf).map_err(|error| error.to_string())?.nvidia;
    let types = offered.map(|nvidia| nvidia.creatable).unwrap_or_default();
    types.iter().find(|(_, other)| *other == name).map(|(id, _)| *id).ok_or_else(|| {
        let names: Vec<&str> = types.values().map(String::as_str).collect();
        let meant = crate::base::did_you_mean(name, names.iter().copied());
        format!("{vf} makes no vGPU of type {name:?} now{meant} (it makes: {})", names.join(", "))
    })
}
