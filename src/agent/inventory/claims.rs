//! No device is given away twice: which resource has a function, and as which id's.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
use crate::prep::Offered;
use crate::prep::guard::Site;

use super::{Sets, Unit};

/// Who has which function.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The resource, and whether it has the function alone or shares it among its own ids (the parent of several).
    taken: BTreeMap<PciAddress, (String, bool)>,
    problems: BTreeSet<String>,
}

impl Claims {
    /// Takes a unit's functions for its resource; `false` if they are taken. Within one resource the first of an ownership unit stands
    /// for all of it; between two it is a problem.
    pub(super) fn take(&mut self, unit: &Unit, sets: &Sets, site: &Site) -> bool {
        let wanted = wanted(unit, sets, site);
        for (function, alone) in &wanted {
            let Some((resource, alone_too)) = self.taken.get(function) else { continue };
            if *resource != unit.resource {
                let primary = unit.offered.function();
                let how = if primary == *function {
                    format!("{function} is selected by both")
                } else {
                    format!(
                        "{primary} and {function} cannot have two owners (one IOMMU group, one reset, or one makes the other)"
                    )
                };
                self.problems.insert(format!("resources {resource} and {}: {how}", unit.resource));
                return false;
            }
            if *alone || *alone_too {
                return false;
            }
        }
        for (function, alone) in wanted {
            self.taken.insert(function, (unit.resource.clone(), alone));
        }
        true
    }

    /// All that is wrong.
    pub(super) fn problems(self) -> Vec<String> {
        self.problems.into_iter().collect()
    }
}

/// Everything that two ids may not share.
fn wanted(unit: &Unit, sets: &Sets, site: &Site) -> Vec<(PciAddress, bool)> {
    match unit.offered {
        Offered::Function(function) => {
            let owned = sets.owned.get(&function).into_iter().flatten().chain([&function]);
            owned.collect::<BTreeSet<_>>().into_iter().map(|other| (*other, true)).collect()
        }
        Offered::Vf { pf, address, .. } => vec![(pf, false), (address, true)],
        Offered::Mdev { parent, .. } => vec![(parent, false)],
        Offered::Vgpu { vf } => {
            let gpu = site.pci.get(vf).and_then(|device| device.physfn);
            gpu.map(|gpu| (gpu, false)).into_iter().chain([(vf, true)]).collect()
        }
    }
}
