//! What becomes of each action, and what the new documents shall say for it.

mod arguments;
pub(super) mod known;
mod modules;
mod services;
mod sysfs;

use crate::base::{ByteSize, PciAddress};
use crate::config::Memlock;
use crate::config::node::{
    Cpus, IsolateCpus, MoveIrqs, Numa, PageSize, PrepareStep, ProfileStep, ReservePages, TypeName, VirtualFunctions,
};

use super::Node;
use super::action::{Action, Found, IdsBy, Vfs};
use super::check;
use super::draft::{Draft, FILL_IN, Key, Shape, Wish, add_profile_step};
use super::verdict::{Item, Verdict};
pub(super) use arguments::is_argument;
use known::{Role, Roles, board_maker};

/// A judge, and what he has gathered.
struct Judge<'a> {
    draft: Draft,
    node: Option<Node<'a>>,
    /// Settings of virtual functions, for all of them.
    settings: Vec<(String, String)>,
}

/// Judges all actions.
pub(super) fn judge(found: Vec<Found>, node: Option<Node<'_>>) -> (Vec<Item>, Draft) {
    let roles = node.map_or_else(Roles::default, |node| Roles::on(node.machine));
    let mut judge = Judge { draft: Draft { roles, ..Draft::default() }, node, settings: Vec::new() };
    // Names are given to what the others ask for.
    let first: Vec<Option<Verdict>> = found
        .iter()
        .map(|found| {
            (!matches!(found.action, Action::Name { .. }))
                .then(|| judge.action(&found.action, &found.place.to_string()))
        })
        .collect();
    let verdicts: Vec<Verdict> = first
        .into_iter()
        .zip(&found)
        .map(|(verdict, found)| verdict.unwrap_or_else(|| judge.name(&found.action)))
        .collect();
    judge.settle_functions();
    let items =
        found.into_iter().zip(verdicts).map(|(found, verdict)| Item { place: found.place, said: found.said, verdict });
    (items.collect(), judge.draft)
}

/// Whether this is a name that an interface may have, and no pattern and no description (kernel: net/core/dev.c, `dev_valid_name`).
fn is_interface(name: &str) -> bool {
    !name.is_empty() && name.len() < 16 && !name.contains([' ', '/', '*', '?', '[', '|'])
}

/// Something that is right for the new documents, or the reason why it is not.
type Told = Result<Verdict, String>;

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

impl Judge<'_> {
    fn action(&mut self, action: &Action, from: &str) -> Verdict {
        let told = match action {
            Action::Told(verdict) => Ok(verdict.clone()),
            Action::Argument { name, value } => self.argument(name, value.as_deref()),
            Action::Ids { vendor, device, by } => Ok(self.ids(*vendor, *device, *by, from)),
            Action::Parameter { module, name, value } => self.parameter(module, name, value, from),
            Action::Load { module, folder, parameters } => self.load(module, folder.as_deref(), parameters, from),
            Action::Unload { module } => Ok(self.unload(module)),
            Action::Deny { module } => Ok(self.deny(module)),
            Action::Write { path, value } => self.write(path, value, from),
            Action::Bind(address) => Ok(self.bind(*address, from)),
            Action::Service { unit, verb } => self.service(unit, *verb),
            Action::Vfs(vfs) => self.vfs(vfs, from),
            Action::VfSetting { name, value } => Ok(self.setting(name, value)),
            Action::Mdev { parent, type_name } => self.mdev(*parent, type_name, from),
            Action::MdevType(type_name) => self.mdev_type(type_name),
            Action::Pages { size, count, node } => self.pages(*size, *count, *node),
            Action::Isolate(cpus) => self.isolate(cpus),
            Action::IrqsAway => Ok(self.irqs_away()),
            Action::Swap { module, folder, parameters, vendor } => {
                self.swap(module, folder.as_deref(), parameters, *vendor, from)
            }
            Action::Memlock => Ok(self.memlock()),
            Action::Name { .. } => Ok(Verdict::unclear("")),
            Action::Reboot => {
                Ok(Verdict::now("no reboot: devices are taken when a VM starts, and given back when it has gone"))
            }
        };
        told.unwrap_or_else(Verdict::Unclear)
    }

    /// Ids that vfio-pci was to take.
    fn ids(&mut self, vendor: u16, device: u16, by: IdsBy, from: &str) -> Verdict {
        let new_id = by == IdsBy::NewId;
        let machine = self.node.map(|node| node.machine);
        let devices = machine.map(|machine| {
            let all = machine.pci.functions.values();
            all.filter(|one| (one.function.vendor, one.function.device) == (vendor, device)).collect::<Vec<_>>()
        });
        let is_there = devices.as_ref().map(|devices| !devices.is_empty());
        let is_subsystem = machine.is_some_and(|machine| {
            machine
                .pci
                .functions
                .values()
                .any(|one| one.subsystem.is_some_and(|is| (is.vendor, is.device) == (vendor, device)))
        });
        if new_id
            && (board_maker(vendor).is_some() && is_there != Some(true) || is_subsystem && is_there == Some(false))
        {
            let whose = board_maker(vendor).map_or_else(String::new, |name| format!(" ({name}'s, a maker of boards)"));
            return Verdict::never(format!(
                "{vendor:04x}:{device:04x} is a subsystem id{whose}, and new_id takes vendor and device id: no device has these. The address that was unbound is what the resource selects"
            ));
        }
        let devices = devices.unwrap_or_default();
        let is_vfio = devices.iter().any(|one| one.function.driver.as_deref() == Some("vfio-pci"));
        // One that vfio-pci could have is enough for the ids to have done something.
        let first = machine.filter(|_| by == IdsBy::Parameter).and_then(|machine| {
            let drivers = devices.iter().map(|one| check::had_it_first(machine, one)).collect::<Option<Vec<_>>>()?;
            drivers.first().copied()
        });
        match self.draft.roles.role(vendor, device) {
            Role::Virtual(_) => {
                self.draft.domain.vf_ids.insert((vendor, device));
                if self.draft.wishes.iter().any(|wish| matches!(wish.shape, Shape::Sriov(_))) {
                    return Verdict::now("a virtual function is bound to vfio-pci one by one, when a VM is given it");
                }
                self.draft.wish(Key::Ids(vendor, device), Shape::Pci, from.to_owned());
                Verdict::now(
                    "a resource binds single virtual functions for a VM. If these files were for nodes that are VMs themselves: the profile loads vfio-pci in the guest",
                )
            }
            role if let Some(driver) = first => {
                self.draft.wish(Key::Ids(vendor, device), Shape::Pci, from.to_owned());
                let others = if role == Role::OfCard { ", along with its card," } else { "" };
                Verdict::never(format!(
                    "{driver} is built into this node's kernel and has the device before vfio-pci is loaded; a resource now takes it{others} when a VM starts"
                ))
            }
            Role::Usb if by == IdsBy::Parameter && !is_vfio => {
                self.draft.wish(Key::Ids(vendor, device), Shape::Pci, from.to_owned());
                Verdict::never(
                    "the driver of USB controllers (xhci_hcd) is commonly built into the kernel and has them before vfio-pci is loaded. A resource now takes one from it when a VM starts: give its address if there are equal ones",
                )
            }
            role => {
                self.draft.wish(Key::Ids(vendor, device), Shape::Pci, from.to_owned());
                let others = if role == Role::OfCard { ", along with its card" } else { "" };
                let twice = if new_id { "; new_id added the ids for good, and failed the second time" } else { "" };
                Verdict::now(format!(
                    "a resource binds one such function when a VM starts{others}, and gives it back; others like it stay with the host{twice}"
                ))
            }
        }
    }

    fn bind(&mut self, address: PciAddress, from: &str) -> Verdict {
        self.draft.wish(Key::Address(address), Shape::Pci, from.to_owned());
        Verdict::now(format!(
            "a resource binds {address} with its whole IOMMU group when a VM starts, and gives it back"
        ))
    }

    fn vfs(&mut self, vfs: &Vfs, from: &str) -> Told {
        if vfs.count == 0 {
            return Ok(Verdict::now("functions are made only where there are none, and left while a VM has one"));
        }
        let count = u16::try_from(vfs.count).ok().filter(|count| *count <= 256);
        let Some(count) = count else {
            return Err(format!("{} virtual functions are more than one device has", vfs.count));
        };
        let mut addresses = vfs.addresses.clone();
        if let Some(machine) = self.node.map(|node| node.machine) {
            for name in vfs.interfaces.iter().filter(|name| is_interface(name)) {
                match machine.nics.link(name) {
                    None => self.draft.missing.push(format!("no interface here is called {name} ({from})")),
                    Some(link) => match link.function() {
                        Some(function) => addresses.push(function),
                        None => self.draft.missing.push(format!("{name} is no port of a PCI device ({from})")),
                    },
                }
            }
            addresses.dedup();
        }
        let functions = VirtualFunctions {
            vfs: count,
            mac: None,
            vlan: None,
            trust: None,
            spoof_check: None,
            link_state: None,
            min_tx_rate: None,
            max_tx_rate: None,
        };
        let name = vfs.name.as_deref().and_then(|name| name.parse().ok());
        let key = match (addresses.split_first(), vfs.vendor, vfs.device) {
            (Some((first, _)), ..) => Key::Address(*first),
            (None, Some(vendor), Some(device)) => Key::Ids(vendor, device),
            _ => {
                let who = vfs.interfaces.first().map_or("the port", String::as_str);
                let name = vfs.name.clone().unwrap_or_else(|| "example.com/vf".to_owned());
                self.draft.unplaced.push(vec![
                    format!("- name: {name}"),
                    format!("  selector: {{address: {FILL_IN}}}   # the address of {who}: readlink /sys/class/net/NAME/device"),
                    self.draft.nodes(self.node),
                    "  kind: sriov".to_owned(),
                    format!("  sriov: {{vfs: {count}}}"),
                ]);
                return Ok(Verdict::now(format!(
                    "a resource of kind sriov makes {count} functions that no driver of the host probes; fill in the address of {who}"
                )));
            }
        };
        let wish = self.draft.wish(key, Shape::Sriov(functions), from.to_owned());
        wish.more.extend(addresses.iter().skip(1));
        if wish.name.is_none() {
            wish.name = name;
        }
        let policy =
            if vfs.name.is_some() { "; delete the policy first: two owners of one port undo each other" } else { "" };
        Ok(Verdict::now(format!(
            "a resource of kind sriov makes {count} functions that no driver of the host probes, and binds the one a VM is given{policy}"
        )))
    }

    fn setting(&mut self, name: &str, value: &str) -> Verdict {
        let text = match (name, value) {
            ("trust" | "spoofchk", "on" | "off") | ("state", "auto" | "enable" | "disable") => {
                "the resource of kind sriov sets it"
            }
            ("vlan", id) if id.parse::<u16>().is_ok_and(|id| (1..=4094).contains(&id)) => {
                "the resource of kind sriov sets it"
            }
            ("vlan", "0") => return Verdict::now("no VLAN: that is so without a word"),
            ("mac", _) => {
                return Verdict::now(
                    "a function is given its MAC address before it is bound: name a prefix, or addresses, in sriov.mac of the resource",
                );
            }
            _ => return Verdict::unclear("this setting of a virtual function is not known here"),
        };
        self.settings.push((name.to_owned(), value.to_owned()));
        Verdict::now(text)
    }

    /// Gives every set of functions the settings that were made.
    fn settle_functions(&mut self) {
        let on = |value: &str| if value == "on" { crate::config::OnOff::On } else { crate::config::OnOff::Off };
        for wish in &mut self.draft.wishes {
            let Shape::Sriov(functions) = &mut wish.shape else { continue };
            for (name, value) in &self.settings {
                match name.as_str() {
                    "trust" => functions.trust = Some(on(value)),
                    "spoofchk" => functions.spoof_check = Some(on(value)),
                    "vlan" => {
                        let vlan = |id| crate::config::node::Vlan { id, qos: 0, proto: Default::default() };
                        functions.vlan = value.parse().ok().map(vlan);
                    }
                    _ => {
                        use crate::config::node::LinkState;
                        functions.link_state = Some(match value.as_str() {
                            "enable" => LinkState::Enable,
                            "disable" => LinkState::Disable,
                            _ => LinkState::Auto,
                        });
                    }
                }
            }
        }
    }

    fn mdev(&mut self, parent: PciAddress, type_name: &str, from: &str) -> Told {
        let type_name: TypeName = parsed(type_name)?;
        let same = |wish: &&mut Wish| {
            wish.key == Key::Address(parent) && matches!(&wish.shape, Shape::Mdev(known, _) if *known == type_name)
        };
        match self.draft.wishes.iter_mut().find(same) {
            Some(wish) => {
                if let Shape::Mdev(_, count) = &mut wish.shape {
                    *count = (*count + 1).min(256);
                }
            }
            None => {
                self.draft.wish(Key::Address(parent), Shape::Mdev(type_name.clone(), 1), from.to_owned());
            }
        }
        Ok(Verdict::now(format!(
            "a resource of kind mdev makes them of type {type_name} on {parent} when it is offered, gives a VM one, and takes them away when it is offered no longer"
        )))
    }

    /// A type that KubeVirt was to make: of the card only the node knows.
    fn mdev_type(&mut self, type_name: &str) -> Told {
        let type_name: TypeName = parsed(type_name)?;
        let known = |wish: &Wish| matches!(&wish.shape, Shape::Mdev(known, _) if *known == type_name);
        if !self.draft.wishes.iter().any(known) {
            let nodes = self.draft.nodes(self.node);
            self.draft.unplaced.push(vec![
                "- name: example.com/mdev   # as permittedHostDevices calls it".to_owned(),
                format!("  selector: {{address: {FILL_IN}}}   # the card that makes them: ls /sys/class/mdev_bus"),
                nodes,
                "  kind: mdev".to_owned(),
                format!("  mdev: {{type: \"{type_name}\"}}"),
            ]);
        }
        Ok(Verdict::now(
            "a resource of kind mdev makes them while it is offered; then enabled: false in mediatedDevicesConfiguration, for two owners undo each other",
        ))
    }

    fn pages(&mut self, size: ByteSize, count: u64, node: Option<u16>) -> Told {
        if count == 0 {
            return Ok(Verdict::aside("none are reserved"));
        }
        let page: PageSize = parsed(&size.to_string())?;
        let number = u32::try_from(count).ok().filter(|count| *count <= 1 << 20);
        let Some(number) = number else {
            return Err(format!("{count} pages are more than a step reserves, {}", 1 << 20));
        };
        *self.draft.domain.pages.entry(page.to_string()).or_default() += count;
        self.draft.prepare.push(PrepareStep::Hugepages(ReservePages {
            size: page,
            count: number,
            numa: node.map(Numa::Node),
        }));
        let luck = if size.as_bytes() >= 1 << 30 {
            format!(
                "; while memory is whole enough: if it falls short, keep hugepagesz={0}G hugepages={count} as a kernel argument",
                size.as_bytes() >> 30
            )
        } else {
            String::new()
        };
        Ok(Verdict::now(format!(
            "a hugepages step reserves {count} pages of {page} at run time, before kubelet counts them; nothing at boot{luck}"
        )))
    }

    fn isolate(&mut self, cpus: &str) -> Told {
        let step = IsolateCpus { isolate: Cpus::List(parsed(cpus)?), irqs: None, workqueues: None };
        add_profile_step(&mut self.draft.steps, ProfileStep::Cpus(step));
        self.draft.domain.low_latency = true;
        Ok(Verdict::now(
            "a cpus step takes them out of the scheduler's balancing while a VM runs on them (a cpuset partition), and gives them back",
        ))
    }

    fn irqs_away(&mut self) -> Verdict {
        add_profile_step(&mut self.draft.steps, ProfileStep::Irqs(MoveIrqs { away: Cpus::Auto }));
        self.draft.domain.low_latency = true;
        Verdict::now(
            "an irqs step keeps interrupts off the VM's CPUs while it runs; managed ones stay, as they did before",
        )
    }

    fn memlock(&mut self) -> Verdict {
        add_profile_step(&mut self.draft.steps, ProfileStep::Memlock(Memlock::Unlimited));
        self.draft.domain.memlock = true;
        Verdict::now("a memlock step raises the limit of the VM's QEMU alone")
    }

    /// What KubeVirt calls a device: the resource takes the name.
    fn name(&mut self, action: &Action) -> Verdict {
        let Action::Name { resource, vendor, device, external } = action else { return Verdict::unclear("") };
        let (vendor, device) = (*vendor, *device);
        let name = match parsed(resource) {
            Ok(name) => name,
            Err(why) => return Verdict::Unclear(why),
        };
        let external = if *external { "" } else { "; set externalResourceProvider: true there" };
        if let Some(wish) = self.draft.wishes.iter_mut().find(|wish| wish.key == Key::Ids(vendor, device)) {
            let of_card = self.draft.roles.role(vendor, device) == Role::OfCard;
            wish.name = Some(name);
            if of_card {
                return Verdict::now(
                    "it goes along with its card now: take it off the list, and off the VMs that name it",
                );
            }
            return Verdict::now(format!("the resource keeps the name{external}"));
        }
        if let Some(machine) = self.node.map(|node| node.machine) {
            let is = |one: &&crate::host::PciDevice| (one.function.vendor, one.function.device) == (vendor, device);
            // There may be others like the one that the files bind.
            let there: Vec<PciAddress> =
                machine.pci.functions.values().filter(is).map(crate::host::PciDevice::address).collect();
            if there.is_empty() {
                return Verdict::never(format!(
                    "no device of this node is {vendor:04x}:{device:04x}: the entry offers nothing"
                ));
            }
            for wish in &mut self.draft.wishes {
                if let Key::Address(address) = wish.key
                    && there.contains(&address)
                {
                    wish.name = Some(name);
                    return Verdict::now(format!("the resource at {address} keeps the name{external}"));
                }
            }
        }
        if matches!(action, Action::Name { external: true, .. }) {
            return Verdict::aside("another device plugin offers it, and no file here binds it: left as it is");
        }
        let by_address = self.draft.wishes.iter().find_map(|wish| match wish.key {
            Key::Address(address) if wish.shape == Shape::Pci && wish.name.is_none() => Some(address),
            _ => None,
        });
        Verdict::unclear(match by_address {
            Some(address) => format!(
                "no file here binds {vendor:04x}:{device:04x}: if it is the function at {address}, name that resource so, else the entry offers nothing"
            ),
            None => format!(
                "no file here binds {vendor:04x}:{device:04x}: the entry offers nothing unless something else does"
            ),
        })
    }
}
