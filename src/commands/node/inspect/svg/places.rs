//! Where rows belong: NUMA nodes, and root complexes in them.

use std::collections::BTreeMap;

use crate::host::PciDevice;

use super::super::report::Report;
use super::super::rows::{Row, rows};

/// A NUMA node.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) title: String,
    pub(super) complexes: Vec<Complex<'a>>,
}

/// A root complex.
#[derive(Debug)]
pub(super) struct Complex<'a> {
    pub(super) title: String,
    pub(super) rows: Vec<Row<'a>>,
}

impl<'a> Complex<'a> {
    fn new((name, rows): (String, Vec<Row<'a>>)) -> Self {
        Self { title: format!("root complex {name}"), rows }
    }
}

/// The nodes in order, those last of which the firmware says nothing; and how many groups are left out.
pub(super) fn nodes<'a>(report: &'a Report) -> (Vec<Node<'a>>, usize) {
    let known: Vec<u32> = report.machine.numa.nodes.keys().copied().collect();
    let (rows, left_out) = rows(report);
    let mut nodes: BTreeMap<u32, BTreeMap<String, Vec<Row<'a>>>> = BTreeMap::new();
    for row in rows {
        // A group is drawn once, where its first device is.
        let first = row.devices().first().and_then(|device| report.machine.pci.get(device.unit.primary));
        let node = match (first.and_then(|device| device.function.numa_node), known.as_slice()) {
            (Some(node), _) => node,
            (None, [only]) => *only,
            (None, _) => u32::MAX,
        };
        let complex = first.map(complex).unwrap_or_default();
        nodes.entry(node).or_default().entry(complex).or_default().push(row);
    }
    let node = |(id, all): (u32, BTreeMap<String, Vec<Row<'a>>>)| {
        let title = match (id, known.len()) {
            (u32::MAX, 0) => "This machine".to_owned(),
            (u32::MAX, _) => "The firmware names no NUMA node for these".to_owned(),
            (id, _) => title(report, id),
        };
        Node { title, complexes: all.into_iter().map(Complex::new).collect() }
    };
    (nodes.into_iter().map(node).collect(), left_out)
}

/// A node's number, CPUs and memory.
fn title(report: &Report, id: u32) -> String {
    let Some(node) = report.machine.numa.nodes.get(&id) else { return format!("NUMA node {id}") };
    let cpus = if node.cpus.is_empty() { "no CPUs".to_owned() } else { format!("CPUs {}", node.cpus) };
    let memory = node.memory_total.map(|bytes| format!(", {} GiB", bytes.div_ceil(1 << 30))).unwrap_or_default();
    format!("NUMA node {id}: {cpus}{memory}")
}

/// The root complex of a function; of a captured tree that does not have it, the bus it must be on.
fn complex(device: &PciDevice) -> String {
    match &device.place {
        Some(place) => place.root_complex.clone(),
        None => "not known".to_owned(),
    }
}
