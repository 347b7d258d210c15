//! One SR-IOV virtual function, made if it is not there.

use super::{Compiler, device, prepare};
use crate::base::PciAddress;
use crate::config::OnOff;
use crate::config::node::{Driver, LinkState, Macs, Resource, VirtualFunctions, VlanProtocol};
use crate::prep::guard::{Allowance, Unit};
use crate::prep::journal::Request;
use crate::prep::select::selected;
use crate::prep::step::Step;
use crate::prep::steps::{MakeVfs, SetVf, vf_address};
use crate::prep::vf::{self, Mac, Rate, VfAttributes, Vlan};

/// The virtual functions of a physical one, by index: those that are there, and where the others will be.
pub(super) fn of(compiler: &Compiler<'_>, pf: PciAddress, count: u32) -> Result<Vec<(u32, PciAddress)>, String> {
    let there = compiler.site.pci.get(pf).and_then(|device| device.sriov.as_ref());
    let Some(sriov) = there else {
        return Err(format!("{pf} has no SR-IOV: is it switched on in the firmware's setup and in the device's own?"));
    };
    let number = |name: &str| {
        let file = format!("sys/bus/pci/devices/{pf}/{name}");
        let value = compiler.root.value(file, "a number", |text| text.parse::<u32>().ok());
        value.map(Option::unwrap_or_default).map_err(|error| error.to_string())
    };
    let (offset, stride) = (number("sriov_offset")?, number("sriov_stride")?);
    let at = |index| sriov.vfs.get(&index).copied().or_else(|| vf_address(pf, offset, stride, index));
    Ok((0..count).filter_map(|index| at(index).map(|vf| (index, vf))).collect())
}

/// Adds what gives a virtual function away.
pub(super) fn add(
    compiler: &Compiler<'_>,
    resource: &Resource,
    driver: &Driver,
    functions: &VirtualFunctions,
    vf: PciAddress,
    request: &mut Request,
) -> Result<(), String> {
    let count = u32::from(functions.vfs);
    let mut found = None;
    for pf in selected(compiler.site, resource) {
        let index = of(compiler, pf, count)?.into_iter().find(|(_, address)| *address == vf);
        found = found.or(index.map(|(index, _)| (pf, index)));
    }
    let Some((pf, index)) = found else {
        return Err(format!("{vf} is no virtual function that {} gives", resource.name.as_str()));
    };
    request.devices = vec![vf];
    request.unit = vec![vf.to_string()];
    // What is there and shares its group with others goes to one owner with these.
    if compiler.site.pci.get(vf).is_some() {
        let allowance = Allowance { resource: Some(resource), config: compiler.config };
        let owned = Unit::of(compiler.site, vf, allowance).owned;
        request.unit.extend(owned.iter().map(ToString::to_string));
        request.unit.sort();
        request.unit.dedup();
    }
    compiler.lock(pf, request);
    compiler.lock(vf, request);
    request.steps.extend(prepare::steps(compiler, resource, pf)?);
    // A virtual function sleeps and wakes with its physical one.
    device::pin(compiler, &[pf], request)?;
    request.steps.push(Step::MakeVfs(MakeVfs { pf, count }));
    let set = attributes(compiler, functions, pf, index)?;
    request.steps.push(Step::SetVf(SetVf { pf, index, set }));
    device::bind(compiler, driver, vf, None, request)
}

/// What a virtual function is given.
fn attributes(
    compiler: &Compiler<'_>,
    functions: &VirtualFunctions,
    pf: PciAddress,
    index: u32,
) -> Result<VfAttributes, String> {
    let on = |switch: Option<OnOff>| switch.map(|switch| switch == OnOff::On);
    let mac = match &functions.mac {
        None => None,
        Some(Macs::Prefix(prefix)) => Some(derived(compiler, prefix.octets(), pf, index)?),
        Some(Macs::Addresses(all)) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let mac = all
                .get(index)
                .ok_or_else(|| format!("mac names {} addresses, none for VF {index} of {pf}", all.len()))?;
            Some(Mac(mac.octets()))
        }
    };
    let rate = (functions.min_tx_rate.is_some() || functions.max_tx_rate.is_some()).then(|| Rate {
        min: functions.min_tx_rate.unwrap_or_default(),
        max: functions.max_tx_rate.unwrap_or_default(),
    });
    Ok(VfAttributes {
        mac,
        vlan: functions.vlan.map(|vlan| Vlan {
            id: vlan.id,
            qos: vlan.qos,
            protocol: match vlan.proto {
                VlanProtocol::Dot1q => vf::VlanProtocol::Customer,
                VlanProtocol::Dot1ad => vf::VlanProtocol::Provider,
            },
        }),
        rate,
        spoof_check: on(functions.spoof_check),
        trust: on(functions.trust),
        link_state: functions.link_state.map(|state| match state {
            LinkState::Auto => vf::LinkState::Auto,
            LinkState::Enable => vf::LinkState::Enable,
            LinkState::Disable => vf::LinkState::Disable,
        }),
    })
}

/// The same address each time, another one for each node, physical function and index.
fn derived(compiler: &Compiler<'_>, prefix: [u8; 3], pf: PciAddress, index: u32) -> Result<Mac, String> {
    let host = compiler.root.text("proc/sys/kernel/hostname").map_err(|error| error.to_string())?.unwrap_or_default();
    let [_, a, b, c] = crc32fast::hash(format!("{host}\0{pf}\0{index}").as_bytes()).to_be_bytes();
    let [x, y, z] = prefix;
    Ok(Mac([x, y, z, a, b, c]))
}
