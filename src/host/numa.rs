//! NUMA nodes, CPUs and huge pages (kernel: Documentation/ABI/stable/sysfs-devices-node, sysfs-devices-system-cpu,
//! admin-guide/mm/hugetlbpage.rst).

use std::collections::BTreeMap;

use serde::Serialize;

use super::attribute;
use super::cpuset::CpuSet;
use super::error::HostError;
use super::root::Root;
use super::values;

/// The NUMA nodes, CPUs and huge pages of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Numa {
    /// Nodes by number; none where the kernel knows no NUMA.
    pub nodes: BTreeMap<u32, NumaNode>,
    /// CPUs.
    pub cpus: Cpus,
    /// Huge pages of the whole machine, by size in bytes.
    pub hugepages: BTreeMap<u64, HugepagePool>,
}

/// A NUMA node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NumaNode {
    /// Its CPUs; none for a node of memory only.
    pub cpus: CpuSet,
    /// Distance to each node that is online, in order of number; 10 is near.
    pub distances: Vec<u32>,
    /// Memory in bytes.
    pub memory_total: Option<u64>,
    /// Free memory in bytes.
    pub memory_free: Option<u64>,
    /// Its huge pages, by size in bytes.
    pub hugepages: BTreeMap<u64, HugepagePool>,
}

/// Huge pages of one size, in pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugepagePool {
    /// Pages in the pool, surplus ones included.
    pub total: u64,
    /// Pages nobody has.
    pub free: u64,
    /// Pages beyond what was asked for, which go when they become free.
    pub surplus: u64,
    /// Pages promised and not yet given; known for the machine only.
    pub reserved: Option<u64>,
    /// How many surplus pages there may be; known for the machine only.
    pub overcommit: Option<u64>,
}

/// The CPUs of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpus {
    /// Those that run.
    pub online: CpuSet,
    /// Those that are there.
    pub present: CpuSet,
    /// Those the scheduler keeps off (`isolcpus`, isolated cpusets); `None` if the kernel does not say.
    pub isolated: Option<CpuSet>,
    /// Those without a tick (`nohz_full`); `None` if the kernel cannot.
    pub nohz_full: Option<CpuSet>,
    /// Each CPU that is online.
    pub each: BTreeMap<u32, Cpu>,
}

/// A CPU that is online.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cpu {
    /// Its NUMA node.
    pub node: Option<u32>,
    /// Its socket.
    pub package: Option<u32>,
    /// Its core, by a number that counts within the socket.
    pub core: Option<u32>,
    /// The threads of its core, itself included.
    pub siblings: CpuSet,
}

impl Numa {
    /// Reads nodes, CPUs and huge pages.
    ///
    /// # Errors
    ///
    /// [`HostError::Read`]: a folder cannot be listed.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        let folder = "sys/devices/system/node";
        let mut nodes = BTreeMap::new();
        for name in root.names(folder)? {
            if let Some(id) = name.strip_prefix("node").filter(|id| !id.is_empty()).and_then(values::number) {
                nodes.insert(id, node(root, &format!("{folder}/{name}"))?);
            }
        }
        let cpus = cpus(root, &nodes);
        Ok(Self { nodes, cpus, hugepages: pools(root, "sys/kernel/mm/hugepages")? })
    }
}

fn node(root: &Root, folder: &str) -> Result<NumaNode, HostError> {
    let memory = attribute::text(root, &format!("{folder}/meminfo")).unwrap_or_default();
    // Node 0 MemTotal:       65643052 kB
    let of = |key: &str| {
        let kibibytes = memory.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(2);
            (words.next()? == key).then(|| words.next().and_then(attribute::number))?
        })?;
        kibibytes.checked_mul(1024)
    };
    let distances = attribute::text(root, &format!("{folder}/distance")).unwrap_or_default();
    Ok(NumaNode {
        cpus: attribute::value(root, &format!("{folder}/cpulist"), CpuSet::parse).unwrap_or_default(),
        distances: distances.split_ascii_whitespace().filter_map(values::number).collect(),
        memory_total: of("MemTotal:"),
        memory_free: of("MemFree:"),
        hugepages: pools(root, &format!("{folder}/hugepages"))?,
    })
}

/// The folders `hugepages-2048kB`.
fn pools(root: &Root, folder: &str) -> Result<BTreeMap<u64, HugepagePool>, HostError> {
    let mut pools = BTreeMap::new();
    for name in root.names(folder)? {
        let kibibytes = name.strip_prefix("hugepages-").and_then(|size| attribute::number(size.strip_suffix("kB")?));
        let Some(bytes) = kibibytes.and_then(|kibibytes| kibibytes.checked_mul(1024)) else { continue };
        let count = |file: &str| attribute::value(root, &format!("{folder}/{name}/{file}"), attribute::number);
        let pool = HugepagePool {
            total: count("nr_hugepages").unwrap_or_default(),
            free: count("free_hugepages").unwrap_or_default(),
            surplus: count("surplus_hugepages").unwrap_or_default(),
            reserved: count("resv_hugepages"),
            overcommit: count("nr_overcommit_hugepages"),
        };
        pools.insert(bytes, pool);
    }
    Ok(pools)
}

fn cpus(root: &Root, nodes: &BTreeMap<u32, NumaNode>) -> Cpus {
    let folder = "sys/devices/system/cpu";
    let list = |name: &str| attribute::value(root, &format!("{folder}/{name}"), CpuSet::parse);
    let online = list("online").unwrap_or_default();
    let cpu = |cpu: u32| {
        let at = |name: &str| format!("{folder}/cpu{cpu}/topology/{name}");
        let number = |name: &str| attribute::value(root, &at(name), values::number);
        Cpu {
            node: nodes.iter().find(|(_, node)| node.cpus.contains(cpu)).map(|(id, _)| *id),
            package: number("physical_package_id"),
            core: number("core_id"),
            // Called so before Linux 5.2; both are there since.
            siblings: attribute::value(root, &at("thread_siblings_list"), CpuSet::parse).unwrap_or_default(),
        }
    };
    let each = online.0.iter().map(|id| (*id, cpu(*id))).collect();
    Cpus {
        present: list("present").unwrap_or_default(),
        isolated: list("isolated"),
        nohz_full: list("nohz_full"),
        each,
        online,
    }
}

#[cfg(test)]
mod tests {
    use super::Numa;
    use crate::host::testing::Tree;

    #[test]
    fn nodes_cpus_and_pages() {
        let node = "sys/devices/system/node/node1";
        let cpu = "sys/devices/system/cpu";
        let tree = Tree::new()
            .file(&format!("{node}/cpulist"), "2-3\n")
            .file(&format!("{node}/distance"), "21 10\n")
            .file(&format!("{node}/meminfo"), "Node 1 MemTotal:       2048 kB\nNode 1 MemFree:         1024 kB\n")
            .file(&format!("{node}/hugepages/hugepages-1048576kB/nr_hugepages"), "4\n")
            .file(&format!("{node}/hugepages/hugepages-1048576kB/free_hugepages"), "3\n")
            .file(&format!("{node}/hugepages/hugepages-1048576kB/surplus_hugepages"), "1\n")
            .file("sys/devices/system/node/online", "0-1\n")
            .folder("sys/devices/system/node/node0")
            .file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", "512\n")
            .file(&format!("{cpu}/online"), "0,2-3\n")
            .file(&format!("{cpu}/present"), "0-3\n")
            .file(&format!("{cpu}/isolated"), "\n")
            .file(&format!("{cpu}/nohz_full"), "  (null)\n")
            .file(&format!("{cpu}/cpu3/topology/thread_siblings_list"), "2-3\n")
            .file(&format!("{cpu}/cpu3/topology/physical_package_id"), "1\n");
        let seen = Numa::read(&tree.root()).unwrap();
        assert_eq!(seen.nodes.keys().collect::<Vec<_>>(), [&0, &1]);
        let one = &seen.nodes[&1];
        assert_eq!((one.cpus.to_string(), &one.distances), ("2-3".to_owned(), &vec![21, 10]));
        assert_eq!((one.memory_total, one.memory_free), (Some(2 << 20), Some(1 << 20)));
        let pool = &one.hugepages[&(1 << 30)];
        assert_eq!((pool.total, pool.free, pool.surplus, pool.overcommit), (4, 3, 1, None));
        assert_eq!(seen.hugepages[&(2 << 20)].overcommit, Some(512));
        assert_eq!(seen.cpus.each.keys().collect::<Vec<_>>(), [&0, &2, &3]);
        let cpu = &seen.cpus.each[&3];
        assert_eq!(
            (cpu.node, cpu.package, cpu.core, cpu.siblings.to_string()),
            (Some(1), Some(1), None, "2-3".to_owned())
        );
        assert!(seen.cpus.isolated.as_ref().unwrap().is_empty() && seen.cpus.nohz_full.as_ref().unwrap().is_empty());
    }

    #[test]
    fn a_kernel_without_numa() {
        assert_eq!(Numa::read(&Tree::new().root()).unwrap(), Numa::default());
    }
}
