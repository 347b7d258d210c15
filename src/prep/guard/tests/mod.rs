//! Every reason to keep a device, over nodes made of values.

mod disks;
mod display;
mod group;
mod live;
mod network;
mod what;

use std::collections::BTreeMap;

use super::{Allowance, Site, Unit};
use crate::base::PciAddress;
use crate::config::node::{Effective, NodeConfig};
use crate::host::block::{BlockDevice, BlockKind, Blocks};
use crate::host::nics::{Link, LinkKind, Nics, Source};
use crate::host::usb::{Input, Usb};
use crate::host::{
    AcpiTables, Console, DevT, Display, Group, Groups, InterruptRemapping, Iommu, IommuState, IommuVendor, Kernel, Pci,
    PciDevice, PciFunction, Power,
};

const DEVICE: &str = "0000:01:00.0";

/// A node on which nothing stands in the way, with what a test adds to it.
struct Node(Site);

impl Node {
    fn new() -> Self {
        Self(Site {
            pci: Pci::default(),
            groups: Groups::default(),
            iommu: Iommu {
                state: IommuState::On,
                vendor: Some(IommuVendor::Intel),
                units: ["dmar0".to_owned()].into(),
                interrupt_remapping: InterruptRemapping::On,
                tables: AcpiTables::Hidden,
            },
            display: Display { consoles: vec![console("ttyS0", &[])], ..Display::default() },
            blocks: Blocks::default(),
            nics: Nics {
                links: Vec::new(),
                elsewhere: Vec::new(),
                unplaced: Vec::new(),
                source: Source::Netlink,
                visible: true,
                network_root: false,
            },
            usb: Usb::default(),
            virtio: BTreeMap::new(),
            kernel: Kernel::default(),
        })
    }

    /// A function with a driver (or none: ``), in a group of its own.
    fn function(mut self, at: &str, class: u32, driver: &str) -> Self {
        let driver = (!driver.is_empty()).then(|| driver.to_owned());
        let number = u32::try_from(self.0.groups.0.len()).unwrap();
        let function = PciFunction {
            address: address(at),
            vendor: 0x10de,
            device: 0x2204,
            class,
            header_type: Some(0),
            vfio: driver.as_deref() == Some("vfio-pci"),
            driver,
            iommu_group: Some(number),
            numa_node: None,
            bars: Vec::new(),
            reset: true,
            reset_methods: Some(vec!["flr".to_owned()]),
            boot_vga: None,
        };
        let device = PciDevice {
            function,
            subsystem: None,
            revision: None,
            modalias: None,
            resources: Vec::new(),
            power: Power::default(),
            sriov: None,
            physfn: None,
            place: None,
            vfio_device: None,
            answers: Some(true),
            mdev_capable: false,
            vendor_vgpu: false,
        };
        self.0.pci.functions.insert(address(at), device);
        self.group(number, &[at])
    }

    /// Puts functions into one group.
    fn group(mut self, id: u32, members: &[&str]) -> Self {
        for group in self.0.groups.0.values_mut() {
            group.members.retain(|member| !members.contains(&member.to_string().as_str()));
        }
        self.0.groups.0.retain(|_, group| !group.members.is_empty());
        let group = Group {
            id,
            kind: None,
            no_iommu: false,
            members: members.iter().map(|member| address(member)).collect(),
            others: Default::default(),
            reserved_regions: Vec::new(),
        };
        self.0.groups.0.insert(id, group);
        self
    }

    fn device(&mut self, at: &str) -> &mut PciDevice {
        self.0.pci.functions.get_mut(&address(at)).unwrap()
    }

    /// Anything else.
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// A disk of a function.
    fn disk(mut self, name: &str, function: &str) -> Self {
        self.0.blocks.devices.push(disk(name, BlockKind::Disk, &[function]));
        self
    }

    /// A network device of a function.
    fn link(mut self, name: &str, function: &str) -> Self {
        self.0.nics.links.push(link(name, function));
        self
    }

    fn keyboard(mut self, functions: &[&str]) -> Self {
        self.0.usb.inputs.push(Input {
            name: format!("input{}", self.0.usb.inputs.len()),
            label: None,
            keyboard: true,
            mouse: false,
            functions: functions.iter().map(|function| address(function)).collect(),
            ps2: functions.is_empty(),
            made_up: false,
        });
        self
    }

    /// What stands in the way of DEVICE, with a resource that selects it by address and has `more`.
    fn refusals(&self, more: &str) -> Vec<String> {
        self.refusals_of(&format!("selector: {{address: '{DEVICE}'}}{more}"), "")
    }

    /// The same with a whole resource, and acknowledgements (`0000:01:00.0 uplink`, …).
    fn refusals_of(&self, resource: &str, acknowledged: &str) -> Vec<String> {
        self.unit(resource, acknowledged).refusals
    }

    fn unit(&self, resource: &str, acknowledged: &str) -> Unit {
        let config = config(resource, acknowledged);
        let allowance = Allowance { resource: config.resource("example.com/device"), config: &config };
        Unit::of(&self.0, address(DEVICE), allowance)
    }
}

fn config(resource: &str, acknowledged: &str) -> Effective {
    let mut text = format!(
        "apiVersion: virt-tailor.io/v1alpha1\nkind: NodeConfig\nmetadata: {{name: test}}\nspec:\n  resources:\n  - \
         {{name: example.com/device, nodes: [here], {resource}}}\n  guards:\n    acknowledge:\n"
    );
    if acknowledged.is_empty() {
        text.truncate(text.find("  guards").unwrap());
    }
    for one in acknowledged.split(", ").filter(|one| !one.is_empty()) {
        let (address, risk) = one.split_once(' ').unwrap();
        text.push_str(&format!("    - {{address: '{address}', risk: {risk}, reason: a test, nodes: [here]}}\n"));
    }
    match NodeConfig::read("test", &text) {
        Ok(config) => config.for_node("here"),
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

fn console(name: &str, functions: &[&str]) -> Console {
    let functions = functions.iter().map(|function| address(function)).collect();
    Console { name: name.to_owned(), enabled: true, preferred: false, terminal: true, functions }
}

fn disk(name: &str, kind: BlockKind, functions: &[&str]) -> BlockDevice {
    BlockDevice {
        name: name.to_owned(),
        number: DevT { major: 259, minor: 0 },
        size: 1 << 30,
        kind,
        holders: Vec::new(),
        slaves: Vec::new(),
        functions: functions.iter().map(|function| address(function)).collect(),
        usb: false,
        bcache: false,
        removable: false,
        read_only: false,
        serial: None,
        wwid: None,
        model: None,
        udev_type: None,
    }
}

fn link(name: &str, function: &str) -> Link {
    Link {
        name: name.to_owned(),
        index: 2,
        kind: LinkKind::Hardware,
        mac: None,
        mtu: 1500,
        up: false,
        carrier: None,
        functions: vec![address(function)],
        driver: None,
        usb: false,
        master: None,
        upper: Vec::new(),
        lower: Vec::new(),
        addresses: Vec::new(),
        routes: Vec::new(),
        virtual_functions: 0,
        physical_function: None,
    }
}
