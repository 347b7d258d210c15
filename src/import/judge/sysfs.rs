//! Texts written to sysfs and procfs (kernel: Documentation/ABI/testing/sysfs-bus-pci, sysfs-bus-vfio-mdev; Documentation/admin-guide/mm/hugetlbpage.rst).

use crate::base::{ByteSize, PciAddress};
use crate::config::node::{AwayOnly, Cpus, IsolateCpus, PinOnly, PrepareStep, ProfileStep, ReleaseOnly, ResetMethod};
use crate::host::VtKind;
use crate::import::action::{IdsBy, Vfs};
use crate::import::draft::{FILL_IN, Key, Shape, add_profile_step, add_step};
use crate::import::verdict::Verdict;

use super::{Judge, Told, parsed};

/// The function that a path is about.
fn function(path: &str) -> Option<PciAddress> {
    path.split('/').filter_map(|part| part.parse().ok()).next_back()
}

impl Judge<'_> {
    pub(super) fn write(&mut self, path: &str, value: &str, from: &str) -> Told {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let last = parts.last().copied().unwrap_or_default();
        let driver = parts.windows(2).find(|two| two[0] == "drivers").map(|two| two[1]);
        match (&parts[..], last) {
            (["sys", "class", "vtconsole", console, ..], "bind") => Ok(self.console(console, value)),
            (["sys", "bus", "platform", ..], "unbind")
                if path.contains("framebuffer") || path.contains("simpledrm") =>
            {
                self.framebuffer();
                Ok(Verdict::now(
                    "a framebuffer step lets the firmware's framebuffer go, whatever it is called, while a VM has the display",
                ))
            }
            (["sys", "bus", "platform", ..], "bind") => {
                Ok(Verdict::now("it is tried again when the VM has gone; the native driver brings the screen back"))
            }
            (_, "new_id") => self.new_id(value, from),
            (_, "remove_id") => Ok(Verdict::now("no ids are added, so none are taken away")),
            (_, "driver_override") => Ok(self.driver_override(path, value, from)),
            (_, "unbind" | "bind" | "drivers_probe") if driver.is_some() || path.contains("/sys/bus/pci/") => {
                self.rebind(path, value, driver.unwrap_or_default(), last, from)
            }
            (_, "sriov_numvfs") => self.numvfs(path, value, from),
            (_, "sriov_drivers_autoprobe") => {
                Ok(Verdict::now("functions are made without probing them, and it is set back at once"))
            }
            (_, "create") if path.contains("mdev_supported_types") => {
                let kind = parts.iter().rev().nth(1).copied().unwrap_or_default();
                let parent = function(path).ok_or("which function it is on is only known when it runs")?;
                self.mdev(parent, kind, from)
            }
            (["sys", "bus", "mdev", ..], "remove") => Ok(Verdict::now(
                "mediated devices are taken away when they are no longer offered: node release, or a configuration without their resource",
            )),
            (_, "current_vgpu_type") => self.vgpu(path, value, from),
            (_, "nr_hugepages") => self.nr_hugepages(path, value),
            (_, "control") if path.contains("/power/") => Ok(self.power(path, value, from)),
            (_, "d3cold_allowed") => Ok(self.power(path, if value == "0" { "on" } else { "auto" }, from)),
            (_, "reset_method") => self.reset(path, value, from),
            (["sys", "bus", "pci", "devices", _, "reset"], _) => {
                Ok(Verdict::now("vfio-pci resets a device when a VM opens it and when it closes it"))
            }
            (["sys", "bus", "pci", "devices", _, "remove"] | ["sys", "bus", "pci", .., "rescan"], _) => Ok(
                Verdict::now("a function is bound and reset where it is: none is removed from the bus and found again"),
            ),
            (["sys", "module", module, "parameters", name], _) => self.parameter(module, name, value, from),
            (["proc", "irq", ..], _) => Ok(self.irqs_away()),
            (["sys", "devices", "virtual", "workqueue", ..], _) => {
                let step = IsolateCpus { isolate: Cpus::Auto, irqs: None, workqueues: Some(AwayOnly::Away) };
                add_profile_step(&mut self.draft.steps, ProfileStep::Cpus(step));
                Ok(Verdict::now("a cpus step keeps unbound work off the VM's CPUs while it runs"))
            }
            (_, "scaling_governor" | "energy_performance_preference" | "no_turbo" | "energy_perf_bias") => {
                Ok(Verdict::stays("frequency and power states stay the node's own: virt-tailor has no step for them"))
            }
            (["proc", "sys", "vm", "nr_hugepages"], _) => self.nr_hugepages(path, value),
            (["proc", "sys", ..] | ["sys", "kernel", "mm", "transparent_hugepage" | "ksm", ..], _) => {
                Ok(Verdict::aside("a setting of the whole node that prepares no device: left as it is"))
            }
            _ => Err("nothing is known of this file of the kernel here".to_owned()),
        }
    }

    /// `vtconN/bind`: the one that draws on a framebuffer is meant, and which that is, is not fixed.
    fn console(&mut self, console: &str, value: &str) -> Verdict {
        if value.trim() == "1" {
            return Verdict::now("consoles come back when the VM has gone");
        }
        self.draft.display.push(PrepareStep::Consoles(ReleaseOnly::Release));
        let number: Option<u32> = console.strip_prefix("vtcon").and_then(|number| number.parse().ok());
        let known = self.node.zip(number).and_then(|(node, number)| node.machine.display.vtconsoles.get(&number));
        let does = "a consoles step lets the one go that draws on a framebuffer, by what it is and not by its number";
        match (known.map(|known| known.kind), number) {
            (Some(VtKind::FrameBuffer), _) => Verdict::now(does),
            (Some(_), _) => Verdict::never(format!(
                "{console} of this node draws on no framebuffer, and a write to such a console is passed over in silence. Now {does}"
            )),
            (None, Some(0)) => Verdict::never(format!(
                "vtcon0 is as a rule the (S) dummy console: a write to it is taken and does nothing (the framebuffer's is vtcon1, mostly). Now {does}"
            )),
            (None, _) => Verdict::now(does),
        }
    }

    fn new_id(&mut self, value: &str, from: &str) -> Told {
        let mut ids = value.split([' ', ':']).filter(|word| !word.is_empty());
        let mut id = || ids.next().and_then(|text| u16::from_str_radix(text.trim_start_matches("0x"), 16).ok());
        match (id(), id()) {
            (Some(vendor), Some(device)) => Ok(self.ids(vendor, device, IdsBy::NewId, from)),
            _ => Err(format!("{value:?} is no vendor and device id")),
        }
    }

    fn driver_override(&mut self, path: &str, value: &str, from: &str) -> Verdict {
        if value.is_empty() || value == "\\n" {
            return Verdict::now("the override that a bind sets is cleared when the device goes back to the host");
        }
        match function(path) {
            Some(address) if value.contains("vfio") => self.bind(address, from),
            Some(_) => Verdict::aside("the host's own driver of a device is chosen: left as it is"),
            None => Verdict::unclear("which function it is, is only known when it runs"),
        }
    }

    fn rebind(&mut self, path: &str, value: &str, driver: &str, what: &str, from: &str) -> Told {
        if driver == "vfio-pci" && what == "unbind" {
            return Ok(Verdict::now("the device goes back to the host's driver when the VM has gone"));
        }
        let Some(address) = value.parse().ok().or_else(|| function(path)) else {
            return Err("which function it is, is only known when it runs".to_owned());
        };
        if what == "unbind" || driver == "vfio-pci" || what == "drivers_probe" {
            return Ok(self.bind(address, from));
        }
        Ok(Verdict::now("the host's driver has the device again when the VM has gone"))
    }

    fn numvfs(&mut self, path: &str, value: &str, from: &str) -> Told {
        let count = value.trim().parse().map_err(|_| format!("{value:?} is no number of functions"))?;
        let address = function(path);
        let interface = path.split('/').skip_while(|part| *part != "net").nth(1).filter(|_| address.is_none());
        let vfs = Vfs {
            count,
            addresses: address.into_iter().collect(),
            interfaces: interface.map(str::to_owned).into_iter().collect(),
            ..Vfs::default()
        };
        self.vfs(&vfs, from)
    }

    /// A vGPU type is written to a virtual function; the resource selects the card that makes it.
    fn vgpu(&mut self, path: &str, value: &str, from: &str) -> Told {
        if value == "0" {
            return Ok(Verdict::now("a vGPU is taken away when its VM has gone"));
        }
        let type_name = parsed(value)?;
        let function = function(path);
        let machine = self.node.map(|node| node.machine);
        let card = function.and_then(|function| machine?.pci.get(function)?.physfn);
        match card {
            Some(card) => {
                self.draft.wish(Key::Address(card), Shape::Vgpu(type_name), from.to_owned());
            }
            None => {
                let which = function.map_or_else(|| "the virtual function".to_owned(), |function| function.to_string());
                self.draft.unplaced.push(vec![
                    "- name: nvidia.com/vgpu".to_owned(),
                    format!("  selector: {{address: {FILL_IN}}}   # the card whose function {which} is: readlink …/{which}/physfn"),
                    self.draft.nodes(self.node),
                    "  kind: vgpu".to_owned(),
                    format!("  vgpu: {{type: \"{value}\"}}"),
                ]);
            }
        }
        Ok(Verdict::now("a resource of kind vgpu makes it on a free function for a VM, and takes it away after it"))
    }

    fn nr_hugepages(&mut self, path: &str, value: &str) -> Told {
        let count = value.trim().parse().map_err(|_| format!("{value:?} is no number of pages"))?;
        let size =
            path.split('/').find_map(|part| part.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok());
        let node = path.split('/').find_map(|part| part.strip_prefix("node")?.parse().ok());
        self.pages(ByteSize::bytes(size.unwrap_or(2048) << 10), count, node)
    }

    fn power(&mut self, path: &str, value: &str, from: &str) -> Verdict {
        if value != "on" {
            return Verdict::aside("a device may sleep: that is how the kernel has it");
        }
        let Some(address) = function(path) else {
            return Verdict::unclear("which function it is, is only known when it runs");
        };
        let wish = self.draft.wish(Key::Address(address), Shape::Pci, from.to_owned());
        add_step(&mut wish.steps, PrepareStep::Power(PinOnly::Pin));
        Verdict::now(format!("a power step keeps {address} and the ports above it awake while a VM has it"))
    }

    fn reset(&mut self, path: &str, value: &str, from: &str) -> Told {
        use ResetMethod::{Acpi, AfFlr, Bus, CxlBus, DeviceSpecific, Flr, Pm};
        let all = [DeviceSpecific, Acpi, Flr, AfFlr, Pm, Bus, CxlBus];
        let mut methods: Vec<ResetMethod> = Vec::new();
        for word in value.split([' ', ',']).filter(|word| !word.is_empty()) {
            let method = all.into_iter().find(|method| method.as_str() == word);
            let Some(method) = method else { return Err(format!("{word:?} is no reset method of the kernel")) };
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let address = function(path).ok_or("which function it is, is only known when it runs")?;
        if methods.is_empty() {
            return Err("it switches off every reset: a device that nothing resets carries one VM's state to the next"
                .to_owned());
        }
        let wish = self.draft.wish(Key::Address(address), Shape::Pci, from.to_owned());
        add_step(&mut wish.steps, PrepareStep::Reset(methods));
        Ok(Verdict::now(format!(
            "a reset step chooses the methods for {address} while a VM has it, and sets back what was there"
        )))
    }
}
