//! USB controllers and what hangs on them, and all keyboards and mice of a machine, wherever they hang.

mod input;

use std::path::Path;

pub use input::Input;

use super::device::DevT;
use super::error::HostError;
use super::place::{function_folder, functions_on, resolve};
use super::root::Root;
use crate::base::PciAddress;

/// The USB controllers, and all keyboards and mice.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usb {
    /// PCI functions with a USB bus, by address. (One without a driver, or with a VFIO driver, has no bus and is not here.)
    pub controllers: Vec<UsbController>,
    /// Keyboards, mice and the like: of USB, PS/2, Bluetooth and what else.
    pub inputs: Vec<Input>,
}

/// A USB host controller.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsbController {
    /// The PCI function.
    pub function: PciAddress,
    /// Its driver.
    pub driver: Option<String>,
    /// Devices on it but for the root hubs, by name.
    pub devices: Vec<UsbDevice>,
}

/// A USB device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsbDevice {
    /// The kernel's name: `1-2.3`, bus and ports.
    pub name: String,
    /// Vendor id.
    pub vendor: u16,
    /// Product id.
    pub product_id: u16,
    /// What it calls itself, by udev; foreign text. (The attribute `product` waits for the device's lock, which a hung unbind of the
    /// controller holds; kernel: drivers/usb/core/sysfs.c.)
    pub product: Option<String>,
    /// Device class; 0 leaves it to the interfaces, 9 is a hub.
    pub class: u8,
    /// Its interfaces as they are configured.
    pub interfaces: Vec<UsbInterface>,
    /// Block devices on it, by name, partitions left out.
    pub disks: Vec<String>,
    /// Network devices on it, by name.
    pub nics: Vec<String>,
    /// Serial lines on it, by name (`ttyUSB0`, `ttyACM0`).
    pub ttys: Vec<String>,
}

/// An interface of a USB device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsbInterface {
    /// Class: 3 is a human interface device, 8 storage.
    pub class: u8,
    /// Subclass.
    pub subclass: u8,
    /// Protocol.
    pub protocol: u8,
    /// Its driver.
    pub driver: Option<String>,
}

impl UsbInterface {
    /// Whether this is a keyboard by the boot protocol, which one need not have a driver for to know (USB HID 1.11, 4.2 and 4.3).
    pub fn is_boot_keyboard(&self) -> bool {
        (self.class, self.subclass, self.protocol) == (3, 1, 1)
    }

    /// Whether this is a mouse by the boot protocol.
    pub fn is_boot_mouse(&self) -> bool {
        (self.class, self.subclass, self.protocol) == (3, 1, 2)
    }
}

impl Usb {
    /// Reads the USB controllers and all input devices.
    ///
    /// # Errors
    ///
    /// [`HostError`]: the system refused, or a file holds what the kernel does not write.
    pub fn read(root: &Root) -> Result<Self, HostError> {
        Ok(Self { controllers: controllers(root)?, inputs: input::read(root)? })
    }

    /// The controller at this address.
    pub fn controller(&self, function: PciAddress) -> Option<&UsbController> {
        self.controllers.iter().find(|controller| controller.function == function)
    }

    /// Whether taking this function away takes away the last keyboard. A PS/2 port counts as keyboard if one answers there. False if
    /// there is no keyboard on it, and so also on a machine without any.
    ///
    /// A BMC's or KVM switch's keyboard counts, for it is one.
    pub fn only_keyboards(&self, function: PciAddress) -> bool {
        let keyboards = || self.inputs.iter().filter(|input| input.keyboard && !input.made_up);
        // A receiver for mice calls itself a keyboard, too. So elsewhere the word of an interface counts only while no driver has looked
        // at it, which would have made an input.
        let here = keyboards().any(|input| input.functions.contains(&function))
            || self.boot_keyboards().any(|(other, _)| other == function);
        let elsewhere = keyboards().any(|input| !input.functions.contains(&function))
            || self.boot_keyboards().any(|(other, interface)| other != function && interface.driver.is_none());
        here && !elsewhere
    }

    /// Interfaces that are keyboards by the boot protocol, with their controllers.
    fn boot_keyboards(&self) -> impl Iterator<Item = (PciAddress, &UsbInterface)> {
        self.controllers.iter().flat_map(|controller| {
            let interfaces = controller.devices.iter().flat_map(|device| &device.interfaces);
            interfaces
                .filter(|interface| interface.is_boot_keyboard())
                .map(|interface| (controller.function, interface))
        })
    }
}

/// The controllers, by address. Every root hub `usbN` stands in the folder of its controller.
fn controllers(root: &Root) -> Result<Vec<UsbController>, HostError> {
    let bus = Path::new("sys/bus/usb/devices");
    let mut controllers: Vec<UsbController> = Vec::new();
    // Interfaces stand between the devices, with a colon; a device comes before its interfaces in the order of names.
    for name in root.names(bus)?.into_iter().filter(|name| !name.contains(':')) {
        let Some(folder) = resolve(root, &bus.join(&name))? else { continue };
        let Some(function) = functions_on(&folder).last().copied() else { continue };
        let at = match controllers.iter().position(|controller| controller.function == function) {
            Some(at) => at,
            None => {
                let driver = match function_folder(root, function)? {
                    Some(folder) => root.link_name(folder.join("driver"))?,
                    None => None,
                };
                controllers.push(UsbController { function, driver, devices: Vec::new() });
                controllers.len() - 1
            }
        };
        if name.starts_with("usb") {
            continue;
        }
        if let Some(device) = device(root, name, &folder)?
            && let Some(controller) = controllers.get_mut(at)
        {
            controller.devices.push(device);
        }
    }
    controllers.sort_by_key(|controller| controller.function);
    Ok(controllers)
}

/// Reads one device; `None` if it is gone.
fn device(root: &Root, name: String, folder: &Path) -> Result<Option<UsbDevice>, HostError> {
    let id = |text: &str| u16::from_str_radix(text, 16).ok();
    let byte = |text: &str| u8::from_str_radix(text, 16).ok();
    let (Some(vendor), Some(product_id)) =
        (root.value(folder.join("idVendor"), "a USB id", id)?, root.value(folder.join("idProduct"), "a USB id", id)?)
    else {
        return Ok(None);
    };
    let mut interfaces = Vec::new();
    for entry in root.names(folder)?.iter().filter(|entry| entry.starts_with(&format!("{name}:"))) {
        let part = |file: &str| root.value(folder.join(entry).join(file), "a byte", byte);
        let (Some(class), Some(subclass), Some(protocol)) =
            (part("bInterfaceClass")?, part("bInterfaceSubClass")?, part("bInterfaceProtocol")?)
        else {
            continue;
        };
        interfaces.push(UsbInterface {
            class,
            subclass,
            protocol,
            driver: root.link_name(folder.join(entry).join("driver"))?,
        });
    }
    Ok(Some(UsbDevice {
        vendor,
        product_id,
        product: model(root, folder)?,
        class: root.value(folder.join("bDeviceClass"), "a byte", byte)?.unwrap_or_default(),
        interfaces,
        disks: below(root, "block", folder, &name)?,
        nics: below(root, "net", folder, &name)?,
        ttys: below(root, "tty", folder, &name)?,
        name,
    }))
}

/// The model of a device in udev's notes.
fn model(root: &Root, folder: &Path) -> Result<Option<String>, HostError> {
    let Some(number) = root.text(folder.join("dev"))?.as_deref().and_then(DevT::parse) else { return Ok(None) };
    let notes = root.text(format!("run/udev/data/c{number}"))?.unwrap_or_default();
    Ok(notes.lines().find_map(|line| line.strip_prefix("E:ID_MODEL=").map(str::to_owned)))
}

/// The devices of a class that hang on a USB device itself, not on one behind it, which would be a hub's.
fn below(root: &Root, class: &str, folder: &Path, device: &str) -> Result<Vec<String>, HostError> {
    let class = Path::new("sys/class").join(class);
    let mut found = Vec::new();
    for name in root.names(&class)? {
        let Some(path) = resolve(root, &class.join(&name))? else { continue };
        let Ok(rest) = path.strip_prefix(folder) else { continue };
        // The next folder is an interface of this device: `1-2:1.0`; that of a device behind a hub is called `1-2.1`.
        let own = rest
            .components()
            .next()
            .is_some_and(|part| part.as_os_str().to_string_lossy().starts_with(&format!("{device}:")));
        if own && !root.has(path.join("partition")) {
            found.push(name);
        }
    }
    Ok(found)
}
