//! Making a PF's virtual functions, and taking them away again.
//!
//! From none to the count only: the kernel refuses another count before all are gone (kernel: Documentation/PCI/pci-iov-howto.rst), and
//! taking all away takes them from everybody. From before they are made until they are gone, `sriov_drivers_autoprobe` is off, so that no
//! driver, and nobody who waits for new network interfaces, gets hold of what is going to a VM. It stays off because udev hears of the
//! VFs late: a driver that it loads for them probes whatever has none by then. A driver asked for by `driver_override` is not held off
//! (kernel: drivers/pci/pci-driver.c, `pci_device_can_probe`).

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write_function};
use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// How long a VF may take to appear after the write that made it, which on most drivers it precedes.
const APPEAR_MILLIS: u64 = 10_000;

/// Give this PF so many VFs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeVfs {
    /// The PF.
    pub pf: PciAddress,
    /// So many; more than none.
    pub count: u32,
}

/// A PF and its VFs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VfsState {
    /// Whether there is such a function.
    pub present: bool,
    /// The PF's driver, which makes the VFs.
    pub driver: Option<String>,
    /// Whether the PF is in an IOMMU group, so that each VF will be in one.
    pub grouped: bool,
    /// `sriov_totalvfs`; `None`: not SR-IOV capable.
    pub total: Option<u32>,
    /// `sriov_numvfs`.
    pub count: u32,
    /// `sriov_drivers_autoprobe`; `None` before Linux 4.12.
    pub autoprobe: Option<bool>,
    /// The VFs there are, in order of their numbers.
    pub functions: Vec<Vf>,
}

/// One VF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vf {
    /// Where it is.
    pub address: PciAddress,
    /// Whether it is in an IOMMU group.
    pub grouped: bool,
    /// The driver that has it: VFIO's give it to a VM, others to whoever bound it, as nothing is bound by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

impl Kind for MakeVfs {
    type State = VfsState;

    fn describe(&self) -> String {
        format!("make {} virtual functions of {}", self.count, self.pf)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("virtual functions of {}", self.pf)).of(self.pf)
    }

    fn observe(&self, root: &Root) -> Result<VfsState, Trouble> {
        let number =
            |name| root.value(function(self.pf, name), "a number", |text| text.parse().ok()).map_err(Trouble::from);
        let count = number("sriov_numvfs")?.unwrap_or(0);
        let mut functions = Vec::new();
        for index in 0..count {
            let Some(name) = root.link_name(function(self.pf, &format!("virtfn{index}")))? else { break };
            let Ok(address) = name.parse() else { break };
            let (driver, grouped) = (root.link_name(function(address, "driver"))?, function(address, "iommu_group"));
            functions.push(Vf { address, grouped: root.has(grouped), driver });
        }
        Ok(VfsState {
            present: root.has(function(self.pf, "")),
            driver: root.link_name(function(self.pf, "driver"))?,
            grouped: root.has(function(self.pf, "iommu_group")),
            total: number("sriov_totalvfs")?,
            count,
            autoprobe: root.text(function(self.pf, "sriov_drivers_autoprobe"))?.map(|text| text != "0"),
            functions,
        })
    }

    fn wanted(&self, now: &VfsState) -> Result<VfsState, Trouble> {
        let (pf, count) = (self.pf, self.count);
        let refused = |why: String| Err(Trouble::new(why));
        match (now, now.total) {
            (now, _) if !now.present => refused(format!("there is no PCI function {pf} on this node")),
            (now, _) if now.count == count && count > 0 => Ok(now.clone()),
            (VfsState { count: there @ 1.., .. }, _) => refused(format!(
                "{pf} has {there} virtual functions and not {count}: growing destroys the VFs that are there; ask for {there}, or free \
                 them all and write 0 to its sriov_numvfs"
            )),
            (_, None | Some(0)) => refused(format!(
                "{pf} offers no virtual functions: turn SR-IOV on in the BIOS and in the card's firmware settings (NUM_OF_VFS or alike)"
            )),
            (_, Some(_)) if count == 0 => refused(format!("{pf}: no virtual functions are what it has")),
            (_, Some(total)) if count > total => refused(format!(
                "{pf} offers {total} virtual functions and not {count}: ask for less, or raise it in the card's firmware settings"
            )),
            (VfsState { driver: None, .. }, _) => {
                refused(format!("{pf} has no driver, and it is the driver that makes virtual functions"))
            }
            (VfsState { driver: Some(driver), .. }, _) if driver.contains("vfio") => refused(format!(
                "{pf} is bound to {driver}: a function that is given away as a whole has no virtual functions"
            )),
            (now, _) => Ok(VfsState { count, autoprobe: now.autoprobe.map(|_| false), ..now.clone() }),
        }
    }

    fn moves(&self, from: &VfsState, to: &VfsState, attempt: u32) -> Vec<Action> {
        let set = |name, value: String| write_function(self.pf, name, value);
        let probe = |on: bool| set("sriov_drivers_autoprobe", u8::from(on).to_string());
        let mut moves = Vec::new();
        if self.blocked(from, to) {
            return moves;
        }
        let turned = to.autoprobe.filter(|_| from.autoprobe != to.autoprobe);
        if turned == Some(false) {
            moves.extend(probe(false));
        }
        if attempt == 0 && from.count != to.count {
            moves.extend(set("sriov_numvfs", to.count.to_string()));
            // They come in order.
            if let Some(last) = to.count.checked_sub(1) {
                moves.push(self.await_vf(last, ""));
                moves.extend(to.grouped.then(|| self.await_vf(last, "/iommu_group")));
            }
        } else if attempt == 1 && from.count == to.count {
            let there = from.functions.iter().filter(|vf| vf.grouped || !to.grouped).count();
            moves.extend((there..to.count as usize).map(|index| self.await_vf(index, "")));
        }
        if turned == Some(true) {
            moves.extend(probe(true));
        }
        moves
    }

    fn undone(&self, original: &VfsState, wanted: &VfsState, now: &VfsState) -> VfsState {
        let autoprobe = now.autoprobe.and(original.autoprobe);
        // Another count than ours is somebody else's.
        let count = if now.count == wanted.count { original.count } else { now.count };
        VfsState { count, autoprobe, ..now.clone() }
    }

    fn reached(&self, goal: &VfsState, now: &VfsState) -> Reached {
        let pf = self.pf;
        if self.blocked(now, goal) {
            let used = now.functions.iter().find_map(|vf| Some((vf.address, vf.driver.as_deref()?)));
            let (vf, driver) = used.unwrap_or((pf, "a driver"));
            return Reached::No(format!(
                "{vf}, a virtual function of {pf}, is still bound to {driver}: give it back first, or write its address to \
                 /sys/bus/pci/drivers/{driver}/unbind"
            ));
        }
        let usable = now.functions.iter().filter(|vf| vf.grouped || !goal.grouped).count();
        match (goal, now) {
            (goal, now) if goal.count != now.count => {
                Reached::No(format!("{pf} has {} virtual functions and not {}", now.count, goal.count))
            }
            (goal, _) if usable < goal.count as usize => {
                let group = if goal.grouped { " with an IOMMU group" } else { "" };
                Reached::No(format!("of {} virtual functions of {pf}, {usable} are there{group}", goal.count))
            }
            (goal, now) if goal.autoprobe != now.autoprobe => {
                let (is, wanted) = (now.autoprobe, goal.autoprobe);
                let digit = |on: Option<bool>| on.map_or("not there".to_string(), |on| u8::from(on).to_string());
                Reached::No(format!("sriov_drivers_autoprobe of {pf} is {} and not {}", digit(is), digit(wanted)))
            }
            _ => Reached::Yes,
        }
    }
}

impl MakeVfs {
    /// Whether VFs would be taken away from somebody: that write does not return before a VM lets go (kata-containers#1669, spdk#3205), and
    /// takes the network from whoever else has one.
    fn blocked(&self, from: &VfsState, to: &VfsState) -> bool {
        from.count > 0 && to.count != from.count && from.functions.iter().any(|vf| vf.driver.is_some())
    }

    fn await_vf(&self, index: impl std::fmt::Display, what: &str) -> Action {
        let path = function(self.pf, &format!("virtfn{index}{what}")).into();
        Action::Await { path, present: true, millis: APPEAR_MILLIS }
    }
}

/// Where a PF's VF will be, or is: known before it is made. `offset` and `stride` are `sriov_offset` and `sriov_stride`, `index` counts
/// from 0 (PCI Express Base Specification, 9.2.1.2; kernel: drivers/pci/iov.c, `pci_iov_virtfn_bus`). `None` if it would be beyond the
/// last bus, or the PF does not tell (some do not before they have VFs: the offset is 0).
pub fn vf_address(pf: PciAddress, offset: u32, stride: u32, index: u32) -> Option<PciAddress> {
    let devfn = u32::from(pf.slot()) << 3 | u32::from(pf.function());
    let id = (u32::from(pf.bus) << 8 | devfn).checked_add(offset)?.checked_add(stride.checked_mul(index)?)?;
    let [0, 0, bus, devfn] = id.to_be_bytes() else { return None };
    (offset > 0).then(|| PciAddress::new(pf.domain, bus, devfn >> 3, devfn & 7)).flatten()
}

#[cfg(test)]
mod tests;
