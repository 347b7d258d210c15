//! What the new documents shall say, gathered action by action and put together at the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::PciAddress;
use crate::config::node::{
    CompanionName, Companions, Driver, Glob, Globs, HexId, HostPath, Kind, LoadModule, Mediated, ModuleStep,
    PrepareStep, Profile, ProfileStep, Release, Resource, ResourceName, Selector, Target, TypeName, VirtualFunctions,
};

use super::Node;
use super::judge::known::{self, Role, Roles};

/// What stands where only the admin knows the name.
pub const FILL_IN: &str = "fill-in";

/// A device as far as the files tell which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// At an address.
    Address(PciAddress),
    /// By vendor and device id.
    Ids(u16, u16),
    /// Anything of a vendor's.
    Vendor(u16),
}

/// What a VM shall get of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// The function.
    Pci,
    /// Virtual functions.
    Sriov(VirtualFunctions),
    /// A mediated device.
    Mdev(TypeName, u16),
    /// A vendor's vGPU.
    Vgpu(TypeName),
}

/// By the vendor of a card, the ids of what goes along with it.
type Companies = BTreeMap<u16, Vec<(u16, u16)>>;

/// A resource in the making.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wish {
    pub key: Key,
    /// More addresses of the same resource.
    pub more: Vec<PciAddress>,
    pub shape: Shape,
    pub name: Option<ResourceName>,
    pub steps: Vec<PrepareStep>,
    pub from: Vec<String>,
}

/// What a VM's domain and its guest shall have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DomainFacts {
    /// Virtual functions that vfio-pci was given by ids.
    pub vf_ids: BTreeSet<(u16, u16)>,
    /// Drivers of virtual functions that were kept away.
    pub denied: BTreeSet<String>,
    /// Huge pages: size as people write it, and count.
    pub pages: BTreeMap<String, u64>,
    /// CPUs were isolated.
    pub low_latency: bool,
    /// `nosharepages` was asked for.
    pub no_share_pages: bool,
    /// Locked memory was raised.
    pub memlock: bool,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub wishes: Vec<Wish>,
    /// What functions are for.
    pub roles: Roles,
    /// Steps for whatever is the display.
    pub display: Vec<PrepareStep>,
    /// Steps for the device, whichever it is.
    pub prepare: Vec<PrepareStep>,
    /// Steps around a VM.
    pub steps: Vec<ProfileStep>,
    /// Folders of modules.
    pub folders: Vec<HostPath>,
    /// What must be filled in before it can be a resource, as lines of YAML.
    pub unplaced: Vec<Vec<String>>,
    /// What the files name, and the live node has not.
    pub missing: Vec<String>,
    pub domain: DomainFacts,
    /// The size that the next `hugepages=` of a command line is of.
    pub page_size: Option<crate::base::ByteSize>,
}

/// What is written.
#[derive(Debug, Default)]
pub(super) struct Drafted {
    /// Resources, with remarks.
    pub resources: Vec<(Resource, Vec<String>)>,
    /// Profiles, with remarks.
    pub profiles: Vec<(Profile, Vec<String>)>,
    /// Folders of modules.
    pub folders: Vec<HostPath>,
    /// What must be filled in, as lines of YAML.
    pub unplaced: Vec<Vec<String>>,
    /// What the files name, and the live node has not.
    pub missing: Vec<String>,
    pub domain: DomainFacts,
    /// What functions are for.
    pub roles: Roles,
}

impl Draft {
    /// The wish for a device, new or known.
    pub(super) fn wish(&mut self, key: Key, shape: Shape, from: String) -> &mut Wish {
        let same = |wish: &Wish| wish.key == key && wish.shape == shape;
        let at = self.wishes.iter().position(same).unwrap_or_else(|| {
            let wish = Wish { key, more: Vec::new(), shape, name: None, steps: Vec::new(), from: Vec::new() };
            self.wishes.push(wish);
            self.wishes.len() - 1
        });
        let wish = &mut self.wishes[at];
        if !wish.from.contains(&from) {
            wish.from.push(from);
        }
        wish
    }

    /// The line that says on which nodes something is to be that must be filled in.
    pub(super) fn nodes(&self, node: Option<Node<'_>>) -> String {
        format!("  nodes: [{}]", node_name(node))
    }

    /// Puts everything together.
    pub(super) fn finish(mut self, name: &str, node: Option<Node<'_>>) -> Drafted {
        self.fold_addresses();
        let companions = self.take_companions();
        self.place_steps();
        let mut out = Drafted {
            folders: self.folders,
            unplaced: self.unplaced,
            missing: self.missing,
            domain: self.domain,
            ..Drafted::default()
        };
        let mut names: BTreeSet<String> = BTreeSet::new();
        // Functions that are made by a resource at the end, once somebody has filled it in.
        let made_at_the_end = out.unplaced.iter().flatten().any(|line| line.trim() == "kind: sriov");
        for wish in self.wishes {
            let (is_virtual, prepares) = (wish.is_virtual(&self.roles), !wish.steps.is_empty());
            let mut made = resource(wish, &companions, &mut names, node, &self.roles);
            if let Some((_, remarks)) = made.as_mut().filter(|_| is_virtual && made_at_the_end) {
                let prepare = if prepares { "; its prepare steps go to that one" } else { "" };
                remarks.push(format!(
                    "Take this one out if the one of kind sriov at the end makes these functions: no function has two resources{prepare}."
                ));
            }
            out.resources.extend(made);
        }
        out.roles = self.roles;
        out.folders.sort();
        out.folders.dedup();
        if !self.steps.is_empty()
            && let (Ok(fill_in), Ok(node)) = (FILL_IN.parse::<Glob>(), node_name(node).parse::<Glob>())
            && let (Some(namespaces), Some(nodes)) = (Globs::new(vec![fill_in]), Globs::new(vec![node]))
        {
            let profile = Profile { name: profile_name(name, "node"), steps: self.steps, namespaces, nodes };
            let remarks = vec![
                "A VM asks for these with virt-tailor.io/node-profiles; fill in the namespaces of those who may."
                    .to_owned(),
            ];
            out.profiles.push((profile, remarks));
        }
        out
    }

    /// Functions of one slot that were given by address go together: the lowest is the device, the others its companions.
    fn fold_addresses(&mut self) {
        let mut addresses: Vec<PciAddress> = self
            .wishes
            .iter()
            .filter(|wish| wish.shape == Shape::Pci)
            .filter_map(|wish| match wish.key {
                Key::Address(address) => Some(address),
                _ => None,
            })
            .collect();
        addresses.sort_unstable();
        for address in addresses.iter().rev() {
            let Some(first) = addresses.iter().find(|other| other.same_slot(*address) && *other < address) else {
                continue;
            };
            let Some(at) =
                self.wishes.iter().position(|wish| wish.key == Key::Address(*address) && wish.shape == Shape::Pci)
            else {
                continue;
            };
            let other = self.wishes.remove(at);
            if let Some(wish) =
                self.wishes.iter_mut().find(|wish| wish.key == Key::Address(*first) && wish.shape == Shape::Pci)
            {
                wish.more.push(*address);
                wish.more.extend(other.more);
                wish.steps.extend(other.steps);
                wish.from.extend(other.from);
            }
        }
    }

    /// Takes out the functions that go along with a card: the card's vendor to their ids.
    fn take_companions(&mut self) -> Companies {
        let mut taken = Companies::new();
        let roles = &self.roles;
        let cards: BTreeSet<u16> =
            self.wishes.iter().filter(|wish| wish.is_display(roles)).filter_map(Wish::vendor).collect();
        self.wishes.retain(|wish| match wish.key {
            Key::Ids(vendor, device)
                if wish.shape == Shape::Pci
                    && cards.contains(&roles.vendor_of_card(vendor, device))
                    && roles.role(vendor, device) == Role::OfCard =>
            {
                taken.entry(roles.vendor_of_card(vendor, device)).or_default().push((vendor, device));
                false
            }
            _ => true,
        });
        taken
    }

    /// Puts the steps that name no device where they belong.
    fn place_steps(&mut self) {
        let displays: Vec<usize> =
            (0..self.wishes.len()).filter(|at| self.wishes[*at].is_display(&self.roles)).collect();
        let whole: Vec<usize> = (0..self.wishes.len()).filter(|at| self.wishes[*at].shape == Shape::Pci).collect();
        let targets = if displays.is_empty() && whole.len() == 1 { whole } else { displays };
        for step in std::mem::take(&mut self.display) {
            if targets.is_empty() {
                self.unplaced.push(alone(&step, "into the prepare of the resource that is the node's display"));
            }
            for at in &targets {
                add_step(&mut self.wishes[*at].steps, step.clone());
            }
        }
        for step in std::mem::take(&mut self.prepare) {
            let only = self.wishes.len() == 1;
            let fits = |wish: &Wish| match (&step, &wish.shape) {
                (PrepareStep::Module(ModuleStep::Load(load)), Shape::Pci | Shape::Sriov(_)) => {
                    load.load.as_str().contains("vfio")
                }
                (PrepareStep::Module(ModuleStep::Parameter(set)), Shape::Pci | Shape::Sriov(_)) => {
                    set.parameter.module.as_str().contains("vfio")
                }
                _ => false,
            };
            let all: Vec<usize> = (0..self.wishes.len()).filter(|at| only || fits(&self.wishes[*at])).collect();
            match (&step, &all[..]) {
                (PrepareStep::Service(hold), []) if !self.wishes.is_empty() || !self.steps.is_empty() => {
                    add_profile_step(&mut self.steps, ProfileStep::Service(hold.clone()));
                }
                (PrepareStep::Service(hold), []) => self.steps.push(ProfileStep::Service(hold.clone())),
                // Pages are counted once, whichever resource has them.
                (_, []) => match self.wishes.first_mut() {
                    Some(wish) => add_step(&mut wish.steps, step),
                    None => self.unplaced.push(alone(&step, "into the prepare of the resource whose VMs need it")),
                },
                (_, all) => {
                    for at in all {
                        add_step(&mut self.wishes[*at].steps, step.clone());
                    }
                }
            }
        }
    }
}

/// A step that has no resource yet, as lines of YAML.
fn alone(step: &PrepareStep, place: &str) -> Vec<String> {
    let value = serde_json::to_value(step).unwrap_or_default();
    vec![format!("- {}   # {place}", super::write::entry(&value))]
}

/// `NAME-PART`, as long as a name may be.
pub(super) fn profile_name(name: &str, part: &str) -> String {
    let most = 62 - part.len();
    let cut: String = name.chars().take(most).collect();
    format!("{}-{part}", cut.trim_end_matches('-'))
}

fn node_name(node: Option<Node<'_>>) -> String {
    node.map_or_else(|| FILL_IN.to_owned(), |node| node.name.to_owned())
}

impl Wish {
    pub(super) fn vendor(&self) -> Option<u16> {
        match self.key {
            Key::Ids(vendor, _) | Key::Vendor(vendor) => Some(vendor),
            Key::Address(_) => None,
        }
    }

    /// Whether it is of virtual functions that are there without us.
    fn is_virtual(&self, roles: &Roles) -> bool {
        self.shape == Shape::Pci
            && matches!(self.key, Key::Ids(vendor, device) if matches!(roles.role(vendor, device), Role::Virtual(_)))
    }

    fn is_display(&self, roles: &Roles) -> bool {
        self.shape == Shape::Pci
            && match self.key {
                Key::Ids(vendor, device) => roles.role(vendor, device) == Role::Display,
                Key::Vendor(vendor) => matches!(vendor, 0x10de | 0x1002),
                Key::Address(address) => roles.is_display(address),
            }
    }
}

/// Adds a step; of one that is about the same thing there is one.
pub(super) fn add_step(steps: &mut Vec<PrepareStep>, step: PrepareStep) {
    use PrepareStep as P;
    for known in steps.iter_mut() {
        match (&mut *known, &step) {
            (P::Module(ModuleStep::Load(one)), P::Module(ModuleStep::Load(two))) if one.load == two.load => {
                one.parameters.extend(two.parameters.clone());
                return;
            }
            (P::Module(ModuleStep::Swap(one)), P::Module(ModuleStep::Swap(two))) if one.swap == two.swap => {
                one.parameters.extend(two.parameters.clone());
                return;
            }
            (P::Module(ModuleStep::Swap(one)), P::Module(two)) if one.swap == *two.module() => return,
            (P::Module(one), P::Module(ModuleStep::Swap(two))) if *one.module() == two.swap => {
                *known = step;
                return;
            }
            (P::Module(ModuleStep::Parameter(one)), P::Module(ModuleStep::Parameter(two)))
                if (&one.parameter.module, &one.parameter.name) == (&two.parameter.module, &two.parameter.name) =>
            {
                one.parameter.value = two.parameter.value.clone();
                return;
            }
            (P::Module(ModuleStep::Parameter(_)), P::Module(_))
            | (P::Module(_), P::Module(ModuleStep::Parameter(_))) => {}
            (P::Module(one), P::Module(two)) if one.module() == two.module() => return,
            (P::Hugepages(one), P::Hugepages(two)) if (one.size, one.numa) == (two.size, two.numa) => {
                one.count = one.count.max(two.count);
                return;
            }
            (P::Service(one), P::Service(two)) if one.stop == two.stop => return,
            (P::Reset(one), P::Reset(two)) => {
                one.clone_from(two);
                return;
            }
            (one, two) if *one == *two => return,
            _ => {}
        }
    }
    steps.push(step);
}

/// Adds a step around a VM; of one that is about the same thing there is one.
pub(super) fn add_profile_step(steps: &mut Vec<ProfileStep>, step: ProfileStep) {
    let same = |known: &ProfileStep| match (known, &step) {
        (ProfileStep::Service(one), ProfileStep::Service(two)) => one.stop == two.stop,
        (ProfileStep::Hugepages(one), ProfileStep::Hugepages(two)) => one.size == two.size,
        (ProfileStep::Memlock(_), ProfileStep::Memlock(_))
        | (ProfileStep::Cpus(_), ProfileStep::Cpus(_))
        | (ProfileStep::Irqs(_), ProfileStep::Irqs(_)) => true,
        _ => false,
    };
    match steps.iter_mut().find(|known| same(known)) {
        // What is about CPUs adds up.
        Some(ProfileStep::Cpus(one)) => {
            if let ProfileStep::Cpus(two) = step {
                one.irqs = one.irqs.or(two.irqs);
                one.workqueues = one.workqueues.or(two.workqueues);
                if one.isolate == crate::config::node::Cpus::Auto {
                    one.isolate = two.isolate;
                }
            }
        }
        Some(_) => {}
        None => steps.push(step),
    }
}

fn resource(
    wish: Wish,
    companions: &Companies,
    names: &mut BTreeSet<String>,
    node: Option<Node<'_>>,
    roles: &Roles,
) -> Option<(Resource, Vec<String>)> {
    let mut remarks: Vec<String> = vec![format!("From {}.", wish.from.join("; "))];
    let mut selector = Selector::default();
    let mut others = Vec::new();
    let mut nodes = Globs::default();
    let is_virtual = wish.is_virtual(roles);
    match wish.key {
        Key::Address(address) => {
            selector.addresses = vec![address];
            match wish.shape {
                Shape::Pci => others.extend(wish.more.iter().map(|address| CompanionName::Address(*address))),
                _ => selector.addresses.extend(&wish.more),
            }
            selector.addresses.sort_unstable();
            selector.addresses.dedup();
            nodes = Globs::new(vec![node_name(node).parse().ok()?])?;
            if node.is_none() {
                remarks.push(
                    "Fill in the name of the node: the same address is another device on another node.".to_owned(),
                );
            }
        }
        Key::Ids(vendor, device) => {
            selector.vendor = Some(HexId(vendor));
            selector.device = Some(HexId(device));
            if roles.role(vendor, device) == Role::Display {
                let ids = companions.get(&vendor).into_iter().flatten();
                others.extend(ids.map(|(vendor, device)| CompanionName::Ids { vendor: *vendor, device: *device }));
            }
            if is_virtual {
                let why = "These are virtual functions that something else makes: a resource of kind sriov makes them itself.";
                remarks.push(why.to_owned());
            }
        }
        Key::Vendor(vendor) => {
            selector.vendor = Some(HexId(vendor));
            remarks.push(
                "The files name no device: every endpoint of this vendor's is meant. Give device or address, too."
                    .to_owned(),
            );
        }
    }
    others.sort_unstable();
    others.dedup();
    let (target, kind) = match wish.shape {
        Shape::Pci => {
            let companions = match (others.is_empty(), &wish.key) {
                (false, _) => Companions::Only(others),
                (true, Key::Ids(vendor, device)) if roles.role(*vendor, *device) == Role::Display => Companions::Auto,
                _ => Companions::Off,
            };
            (Target::Pci { driver: Driver::Auto, companions }, Kind::Pci)
        }
        Shape::Sriov(functions) => (Target::Sriov { driver: Driver::Auto, functions }, Kind::Sriov),
        Shape::Mdev(type_name, count) => (Target::Mdev(Mediated { type_name, count: Some(count) }), Kind::Mdev),
        Shape::Vgpu(type_name) => (Target::Vgpu(Mediated { type_name, count: None }), Kind::Vgpu),
    };
    let name = match wish.name {
        Some(name) => name,
        None => {
            remarks.push(
                "Rename it as the VMs ask for it (deviceName), and in KubeVirt's permittedHostDevices.".to_owned(),
            );
            made_up(&wish.key, kind)?
        }
    };
    let name = unique(name, names)?;
    let mut steps = Vec::new();
    for step in wish.steps {
        add_step(&mut steps, step);
    }
    steps.sort_by_key(order);
    let resource = Resource {
        name,
        selector,
        target,
        prepare: steps,
        release: Release::default(),
        may_hold_data: false,
        namespaces: Globs::default(),
        nodes,
    };
    Some((resource, remarks))
}

/// Whoever draws on a display goes first, then what it is drawn through; drivers after them.
fn order(step: &PrepareStep) -> u8 {
    match step {
        PrepareStep::Service(_) => 0,
        PrepareStep::Consoles(_) => 1,
        PrepareStep::Framebuffer(_) => 2,
        PrepareStep::Module(_) => 3,
        PrepareStep::Hugepages(_) | PrepareStep::Power(_) | PrepareStep::Reset(_) => 4,
    }
}

fn made_up(key: &Key, kind: Kind) -> Option<ResourceName> {
    let what = match kind {
        Kind::Pci => "pci",
        Kind::Sriov => "vf",
        Kind::Mdev => "mdev",
        Kind::Vgpu => "vgpu",
    };
    let text = match key {
        Key::Address(address) => format!("example.com/{what}-{}", address.to_string().replace([':', '.'], "-")),
        Key::Ids(vendor, device) => format!("{}/{what}-{vendor:04x}-{device:04x}", known::domain(*vendor)),
        Key::Vendor(vendor) => format!("{}/{what}-{vendor:04x}", known::domain(*vendor)),
    };
    text.parse().ok()
}

/// A name that KubeVirt can tell from the others.
fn unique(name: ResourceName, names: &mut BTreeSet<String>) -> Option<ResourceName> {
    let mut one = name.clone();
    let mut next = 2;
    while !names.insert(one.variable()) {
        let cut: String = name.as_str().chars().take(name.as_str().len().min(240)).collect();
        one = format!("{cut}-{next}").parse().ok()?;
        next += 1;
    }
    Some(one)
}

/// A load of vfio-pci with a parameter.
pub(super) fn load(module: &str, parameter: Option<(&str, &str)>) -> Option<PrepareStep> {
    let mut parameters = BTreeMap::new();
    if let Some((name, value)) = parameter {
        parameters.insert(name.parse().ok()?, value.parse().ok()?);
    }
    Some(PrepareStep::Module(ModuleStep::Load(LoadModule { load: module.parse().ok()?, parameters })))
}
