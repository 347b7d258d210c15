//! Devices of the machine: constructors for what scenarios use, and QEMU's own words for the rest.
//!
//! | what | where it goes unless told | remarks |
//! |---|---|---|
//! | [`Device::igb`] | a root port of its own | SR-IOV, up to 8 VFs |
//! | [`Device::xhci`], [`Device::nvme`] | a root port of its own | |
//! | [`Device::hda`], [`Device::bochs_display`], [`Device::virtio_net`], … | the root bus | |
//! | [`Device::usb_kbd`] | on an xHCI, by its name | |
//! | [`Device::root_port`], [`Device::bridge`] | the root bus | things are put [`Device::under`] them |
//! | [`Device::qemu`] | the root bus | anything else `-device` knows |

use std::path::{Path, PathBuf};

/// Where a device is plugged in.
#[derive(Debug, Clone)]
enum Place {
    /// The root bus (`pcie.0`), at an address of QEMU's choice.
    RootBus,
    /// Behind a root port that exists for it alone, called `<name>-port`.
    OwnPort,
    /// On the bus of a named device; a slot and function there, or wherever QEMU puts it.
    On { bus: String, addr: Option<String> },
    /// No PCI address of its own (`ramfb`).
    Nowhere,
}

/// What an NVMe or USB disk is backed by.
#[derive(Debug, Clone)]
pub(crate) enum Disk {
    /// So many MiB of zeros, made for this boot and gone with it.
    Empty(u64),
    /// A copy of this file, made for this boot: what the guest writes is gone with it.
    Copy(PathBuf),
}

/// One device, by the name that `Vm::bdf` and the monitor know it by. A root port's name becomes a property of it, and must
/// not be one already (`slot`, `port`).
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) name: String,
    driver: String,
    place: Place,
    multifunction: bool,
    options: Vec<(String, String)>,
    pub(crate) disk: Option<Disk>,
    pub(crate) default_route: bool,
}

impl Device {
    fn new(name: &str, driver: &str, place: Place) -> Self {
        let (name, driver) = (name.to_owned(), driver.to_owned());
        Self { name, driver, place, multifunction: false, options: Vec::new(), disk: None, default_route: false }
    }

    /// Intel's 82576: a NIC with up to 8 VFs (of which each has two queues here).
    pub(crate) fn igb(name: &str) -> Self {
        Self::new(name, "igb", Place::OwnPort)
    }

    /// A USB controller; two of them are alike but for their addresses.
    pub(crate) fn xhci(name: &str) -> Self {
        Self::new(name, "qemu-xhci", Place::OwnPort)
    }

    /// An NVMe disk; its serial number is its name.
    pub(crate) fn nvme(name: &str, disk: Disk) -> Self {
        let mut device = Self::new(name, "nvme", Place::OwnPort).option("serial", name).option("drive", name);
        device.disk = Some(disk);
        device
    }

    /// A USB disk on the xHCI of that name.
    pub(crate) fn usb_storage(name: &str, controller: &str, disk: Disk) -> Self {
        let place = Place::On { bus: format!("{controller}.0"), addr: None };
        let mut device = Self::new(name, "usb-storage", place).option("drive", name);
        device.disk = Some(disk);
        device
    }

    /// A sound function, as on a graphics card or a mainboard.
    pub(crate) fn hda(name: &str) -> Self {
        Self::new(name, "ich9-intel-hda", Place::RootBus)
    }

    /// A display that is not VGA-compatible (class 0380).
    pub(crate) fn bochs_display(name: &str) -> Self {
        Self::new(name, "bochs-display", Place::RootBus)
    }

    /// A VGA-compatible display (class 0300), what `-vga std` is.
    pub(crate) fn vga(name: &str) -> Self {
        Self::new(name, "VGA", Place::RootBus)
    }

    /// virtio's display, with no VGA half (class 0380).
    pub(crate) fn virtio_gpu(name: &str) -> Self {
        Self::new(name, "virtio-gpu-pci", Place::RootBus)
    }

    /// A framebuffer in RAM that firmware sets up; not a PCI device.
    pub(crate) fn ramfb(name: &str) -> Self {
        Self::new(name, "ramfb", Place::Nowhere)
    }

    /// A NIC on QEMU's user network, which gets 10.0.2.15 and the default route at boot. One a machine.
    pub(crate) fn virtio_net(name: &str) -> Self {
        let mut device = Self::new(name, "virtio-net-pci", Place::RootBus).option("netdev", name);
        device.default_route = true;
        device
    }

    /// A keyboard on the xHCI of that name.
    pub(crate) fn usb_kbd(name: &str, controller: &str) -> Self {
        Self::new(name, "usb-kbd", Place::On { bus: format!("{controller}.0"), addr: None })
    }

    /// A PCI Express root port, for devices put `under` it.
    pub(crate) fn root_port(name: &str) -> Self {
        Self::new(name, "pcie-root-port", Place::RootBus)
    }

    /// A bridge to conventional PCI: whatever is under it shares one IOMMU group.
    pub(crate) fn bridge(name: &str) -> Self {
        Self::new(name, "pcie-pci-bridge", Place::RootBus)
    }

    /// Any other device of QEMU, on the root bus unless told.
    pub(crate) fn qemu(name: &str, driver: &str) -> Self {
        Self::new(name, driver, Place::RootBus)
    }

    /// On the root bus.
    pub(crate) fn on_root_bus(mut self) -> Self {
        self.place = Place::RootBus;
        self
    }

    /// On the bus of the root port or bridge of that name. Conventional bridges keep slot 0 for themselves.
    pub(crate) fn under(mut self, bus: &str) -> Self {
        self.place = Place::On { bus: bus.to_owned(), addr: None };
        self
    }

    /// As one function of slot 0 below the root port of that name. All functions of a slot say so.
    pub(crate) fn function(mut self, bus: &str, function: u8) -> Self {
        self.place = Place::On { bus: bus.to_owned(), addr: Some(format!("0.{function}")) };
        self.multifunction = true;
        self
    }

    /// At a slot (and function: "1e.0") of the bus it is on.
    pub(crate) fn at(self, addr: &str) -> Self {
        self.option("addr", addr)
    }

    /// Without access control services: what lies below a root port is then one IOMMU group with it.
    pub(crate) fn no_acs(self) -> Self {
        self.option("disable-acs", "on")
    }

    /// A property as in `-device driver,KEY=VALUE`.
    pub(crate) fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push((key.to_owned(), value.to_owned()));
        self
    }

    /// QEMU's arguments for it, given the number that its own root port would have and a file for its disk.
    pub(crate) fn arguments(&self, number: usize, image: Option<&Path>) -> Vec<String> {
        let name = &self.name;
        let mut all = Vec::new();
        if let Some(image) = image {
            let image = image.display();
            all.extend(["-drive".to_owned(), format!("if=none,id={name},format=raw,cache=unsafe,file={image}")]);
        }
        if self.default_route {
            all.extend(["-netdev".to_owned(), format!("user,id={name},restrict=on")]);
        }
        let mut device = format!("{},id={name}", self.driver);
        match &self.place {
            Place::RootBus => device.push_str(",bus=pcie.0"),
            Place::OwnPort => {
                let port = format!("pcie-root-port,id={name}-port,bus=pcie.0,chassis={number},slot={number}");
                all.extend(["-device".to_owned(), port]);
                device.push_str(&format!(",bus={name}-port"));
            }
            Place::On { bus, addr } => {
                device.push_str(&format!(",bus={bus}"));
                device.extend(addr.iter().map(|addr| format!(",addr={addr}")));
            }
            Place::Nowhere => {}
        }
        if self.multifunction {
            device.push_str(",multifunction=on");
        }
        if self.driver == "pcie-root-port" {
            device.push_str(&format!(",chassis={number},slot={number}"));
        }
        device.extend(self.options.iter().map(|(key, value)| format!(",{key}={value}")));
        all.extend(["-device".to_owned(), device]);
        all
    }
}
