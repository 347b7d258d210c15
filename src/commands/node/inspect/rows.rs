//! The order in which page and picture show devices: group by group, with equal virtual functions folded into one.

use std::collections::BTreeMap;

use crate::base::PciAddress;
use crate::host::PciDevice;

use super::report::{Device, Report, Verdict};
use super::words;

/// Fewer virtual functions than this are shown one by one.
const FOLD_FROM: usize = 3;

/// A group's number, or of a function without a group its address; the order of rows.
type Key = (Option<u32>, Option<PciAddress>);
/// Endpoints, then what is of the platform.
type Members<'a> = (Vec<&'a Device>, Vec<&'a PciDevice>);

/// What is shown together.
#[derive(Debug)]
pub(super) enum Row<'a> {
    /// An IOMMU group with something in it that could go; functions without a group are each by themselves.
    Group {
        /// Its number.
        id: Option<u32>,
        /// Its endpoints.
        devices: Vec<&'a Device>,
        /// Bridges and the like in it.
        platform: Vec<&'a PciDevice>,
    },
    /// Virtual functions of which the same is to be said, each in a group of its own.
    Functions {
        /// The first group's and the last one's number.
        ids: (Option<u32>, Option<u32>),
        /// Whose they are.
        physical: PciAddress,
        /// They, at least three.
        devices: Vec<&'a Device>,
    },
}

impl<'a> Row<'a> {
    /// Its endpoints.
    pub(super) fn devices(&self) -> &[&'a Device] {
        match self {
            Self::Group { devices, .. } | Self::Functions { devices, .. } => devices,
        }
    }
}

/// All rows by group, and how many groups of bridges alone (functions, if there are no groups) are left out.
pub(super) fn rows(report: &Report) -> (Vec<Row<'_>>, usize) {
    let machine = &report.machine;
    // Without a group everything is by itself.
    let mut groups: BTreeMap<Key, Members<'_>> = BTreeMap::new();
    for function in machine.pci.functions.values() {
        let id = machine.groups.of(function.address()).map(|group| group.id);
        let key = (id.or(Some(u32::MAX)), id.is_none().then_some(function.address()));
        let (devices, platform) = groups.entry(key).or_default();
        match report.device(function.address()) {
            Some(device) => devices.push(device),
            None => platform.push(function),
        }
    }
    let all = groups.len();
    let mut rows: Vec<Row<'_>> = groups
        .into_iter()
        .filter(|(_, (devices, _))| !devices.is_empty())
        .map(|((id, _), (devices, platform))| Row::Group { id: id.filter(|id| *id != u32::MAX), devices, platform })
        .collect();
    let left_out = all - rows.len();
    rows = fold(report, rows);
    (rows, left_out)
}

/// Folds runs of virtual functions of which the same is to be said.
fn fold<'a>(report: &'a Report, rows: Vec<Row<'a>>) -> Vec<Row<'a>> {
    let mut folded: Vec<Row<'a>> = Vec::new();
    let mut run: Vec<Row<'a>> = Vec::new();
    for row in rows {
        let same = match (run.last(), sameness(report, &row)) {
            (Some(last), Some(this)) => sameness(report, last) == Some(this),
            _ => false,
        };
        if !same {
            folded.extend(close(report, std::mem::take(&mut run)));
        }
        run.push(row);
    }
    folded.extend(close(report, run));
    folded
}

/// One row for many, if they are many.
fn close<'a>(report: &'a Report, run: Vec<Row<'a>>) -> Vec<Row<'a>> {
    let id = |row: Option<&Row<'_>>| match row {
        Some(Row::Group { id, .. }) => *id,
        _ => None,
    };
    let physical = run.first().and_then(|row| sameness(report, row)).map(|same| same.physical);
    match physical.filter(|_| run.len() >= FOLD_FROM) {
        None => run,
        Some(physical) => vec![Row::Functions {
            ids: (id(run.first()), id(run.last())),
            physical,
            devices: run.iter().flat_map(Row::devices).copied().collect(),
        }],
    }
}

/// What has to be the same of virtual functions that are folded.
#[derive(Debug, PartialEq)]
struct Sameness<'a> {
    physical: PciAddress,
    driver: Option<&'a str>,
    ids: (u16, u16),
    resource: Option<&'a str>,
    verdict: Verdict,
    grouped: bool,
}

/// Of a virtual function alone in its group about which nothing is to be said but what is to be said of others, too.
fn sameness<'a>(report: &'a Report, row: &Row<'a>) -> Option<Sameness<'a>> {
    let Row::Group { id, devices, platform } = row else { return None };
    let [device] = devices.as_slice() else { return None };
    let function = report.machine.pci.get(device.unit.primary)?;
    let alike = platform.is_empty()
        && device.owner.is_none()
        && device.held_by.is_empty()
        && device.driver_override.is_none()
        && (device.verdict != Verdict::Stays || words::everywhere(report, device).is_some());
    alike.then_some(Sameness {
        physical: function.physfn?,
        driver: function.function.driver.as_deref(),
        ids: (function.function.vendor, function.function.device),
        resource: device.resource.as_deref(),
        verdict: device.verdict,
        grouped: id.is_some(),
    })
}
