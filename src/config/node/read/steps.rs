//! Steps: before the bind of a resource's device, and around a VM.

use std::collections::BTreeMap;

use crate::config::Memlock;
use crate::config::node::protected::{keeps_time, never};
use crate::config::node::{
    AwayOnly, Cpus, HoldService, IsolateCpus, Kind, Limits, LoadModule, ModuleName, ModuleParameter, ModuleStep,
    MoveIrqs, Numa, OvercommitPages, PageSize, ParameterName, PinOnly, PrepareStep, ProfileStep, ReleaseOnly,
    ReservePages, ResetMethod, SetParameter, SwapModule, UnloadModule,
};
use crate::config::problems::Place;
use crate::config::read::{Read, Report, Section, integer, join, memlock, scalar, word};
use crate::config::tree::{Node, Value, quote};

use super::values::{only_key, parameters, parsed};

/// The steps of a `prepare`.
const PREPARE: [&str; 7] = ["service", "consoles", "framebuffer", "module", "hugepages", "power", "reset"];

/// The steps of a profile.
const PROFILE: [&str; 5] = ["service", "hugepages", "memlock", "cpus", "irqs"];

/// Most huge pages of one step.
const MOST_PAGES: i128 = 1 << 20;

/// Reads steps.
pub(super) struct Steps<'a> {
    pub limits: &'a Limits,
    pub report: &'a Report,
}

impl Steps<'_> {
    /// The steps before the bind of a kind of resource.
    pub(super) fn prepare(&self, nodes: &[Node], path: &str, kind: Option<Kind>) -> Vec<PrepareStep> {
        self.each(
            nodes,
            path,
            |node, path| {
                let after_bind = |key: &str| match key {
                    "memlock" => Some("there is no QEMU yet to give it to: put it in the steps of a profile"),
                    "cpus" | "irqs" => Some("the VM's CPUs are not known yet: put it in the steps of a profile"),
                    _ => None,
                };
                self.elsewhere(node, path, after_bind)?;
                let (key, value) = only_key(node, path, "a step", &PREPARE, self.report)?;
                let path = join(path, key);
                if let Some(message) = kind.and_then(|kind| not_for(kind, key)) {
                    self.report.add(&value.place, &path, message);
                    return None;
                }
                Some(match key {
                    "service" => PrepareStep::Service(self.service(value, &path)?),
                    "consoles" => PrepareStep::Consoles(self.one(value, &path, release)?),
                    "framebuffer" => PrepareStep::Framebuffer(self.one(value, &path, release)?),
                    "module" => PrepareStep::Module(self.module(value, &path)?),
                    "hugepages" => PrepareStep::Hugepages(self.reserve(value, &path)?),
                    "power" => PrepareStep::Power(self.one(value, &path, word(&[("pin", PinOnly::Pin)]))?),
                    _ => PrepareStep::Reset(self.reset(value, &path)?),
                })
            },
            prepare_key,
        )
    }

    /// The steps of a profile.
    pub(super) fn profile(&self, nodes: &[Node], path: &str) -> Vec<ProfileStep> {
        self.each(nodes, path, |node, path| {
            let before_bind = |key: &str| match key {
                "consoles" | "framebuffer" | "power" | "reset" => {
                    Some("it is about a device and must precede its bind: put it in the prepare of the resource")
                }
                "module" => Some(
                    "a module is loaded or unloaded before a device is bound: put it in the prepare of the resource that needs it",
                ),
                _ => None,
            };
            self.elsewhere(node, path, before_bind)?;
            let (key, value) = only_key(node, path, "a step", &PROFILE, self.report)?;
            let path = join(path, key);
            Some(match key {
                "service" => ProfileStep::Service(self.service(value, &path)?),
                "hugepages" => ProfileStep::Hugepages(self.overcommit(value, &path)?),
                "memlock" => ProfileStep::Memlock(self.one(value, &path, |node| self.memlock(node))?),
                "cpus" => ProfileStep::Cpus(self.isolate(value, &path)?),
                _ => ProfileStep::Irqs(self.irqs(value, &path)?),
            })
        }, profile_key)
    }

    /// Reads each step; two that are about the same thing are told.
    fn each<T>(
        &self,
        nodes: &[Node],
        path: &str,
        read: impl Fn(&Node, &str) -> Option<T>,
        key: impl Fn(&T) -> String,
    ) -> Vec<T> {
        let mut steps = Vec::new();
        let mut known: BTreeMap<String, &Place> = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(step) = read(node, &path) else {
                continue;
            };
            let about = key(&step);
            if let Some(first) = known.get(&about) {
                self.report.add(&node.place, &path, format!("{about} has a step in this list already, at {first}"));
            } else {
                known.insert(about, &node.place);
                steps.push(step);
            }
        }
        steps
    }

    /// Tells a step that belongs to another place.
    fn elsewhere(&self, node: &Node, path: &str, why: impl Fn(&str) -> Option<&'static str>) -> Option<()> {
        if let Value::Map(entries) = &node.value
            && let [(key, _)] = &entries[..]
            && let Some(why) = why(&key.name)
        {
            self.report.add(&key.place, &join(path, &key.name), why);
            return None;
        }
        Some(())
    }

    fn one<T>(&self, node: &Node, path: &str, read: impl Fn(&Node) -> Read<T>) -> Option<T> {
        read(node).map_err(|message| self.report.add(&node.place, path, message)).ok()
    }

    fn service(&self, node: &Node, path: &str) -> Option<HoldService> {
        let mut section = Section::open(Some(node), path, self.report);
        let stop = required(&mut section, node, "stop", "a unit, e.g. display-manager.service", |node| {
            let unit = parsed("the name of a unit")(node)?;
            if let Some((_, why)) = never(&unit) {
                return Err(format!("{unit} is never stopped: {why}"));
            }
            if let Some(pattern) = self.limits.never_stopped(&unit) {
                return Err(format!("{unit} is never stopped: limits.services.never has {pattern}"));
            }
            Ok(unit)
        });
        let max_hold = section.take("maxHold", |node| {
            let period = parsed("a length of time")(node)?;
            if period > self.limits.services.max_hold {
                let most = self.limits.services.max_hold;
                return Err(format!("{period} is longer than limits.services.maxHold, which is {most}"));
            }
            Ok(period)
        });
        let given = section.node("maxHold").is_some();
        section.finish();
        let stop = stop?;
        if !given && keeps_time(&stop) {
            let message =
                format!("{stop} keeps the node's time: say with maxHold how long it may rest, e.g. maxHold: 12h");
            self.report.add(&node.place, path, message);
            return None;
        }
        Some(HoldService { stop, max_hold })
    }

    fn module(&self, node: &Node, path: &str) -> Option<ModuleStep> {
        const WHAT: [&str; 4] = ["load", "unload", "swap", "parameter"];
        let mut section = Section::open(Some(node), path, self.report);
        if !section.is_present() {
            return None;
        }
        let given: Vec<&str> = WHAT.into_iter().filter(|what| section.node(what).is_some()).collect();
        let step = match given[..] {
            ["load"] => {
                let load: Option<ModuleName> = section.take("load", parsed("the name of a kernel module"));
                let parameters = parameters(&mut section);
                load.map(|load| ModuleStep::Load(LoadModule { load, parameters }))
            }
            ["unload"] => section
                .take("unload", |node| not_ours(parsed("the name of a kernel module")(node)?))
                .map(|unload| ModuleStep::Unload(UnloadModule { unload })),
            ["swap"] => {
                let swap = section.take("swap", |node| not_ours(parsed("the name of a kernel module")(node)?));
                let from =
                    required(&mut section, node, "from", "the folder of the other build", |node| self.folder(node));
                let parameters = parameters(&mut section);
                swap.zip(from).map(|(swap, from)| ModuleStep::Swap(SwapModule { swap, from, parameters }))
            }
            [_] => {
                let parameter =
                    section.node("parameter").and_then(|node| self.parameter(node, &section.path_of("parameter")));
                parameter.map(|parameter| ModuleStep::Parameter(SetParameter { parameter }))
            }
            [] => {
                section.problem(&node.place, "", "says nothing: write load, unload, swap or parameter");
                None
            }
            [one, two, ..] => {
                section.problem(&node.place, "", format!("has {one} and {two}: write two steps"));
                // Neither is read, so what comes with them is not known to be wrong.
                return None;
            }
        };
        section.finish();
        let step = step?;
        let (load, set) = match &step {
            ModuleStep::Load(load) => (Some(&load.parameters), None),
            ModuleStep::Swap(swap) => (Some(&swap.parameters), None),
            ModuleStep::Parameter(set) => (None, Some(&set.parameter.name)),
            ModuleStep::Unload(_) => (None, None),
        };
        for name in load.into_iter().flat_map(BTreeMap::keys).chain(set) {
            if let Some(why) = never_set(step.module(), name) {
                self.report.add(&node.place, path, why);
                return None;
            }
        }
        Some(step)
    }

    /// A folder below one that the limits allow.
    fn folder(&self, node: &Node) -> Read<crate::config::node::HostPath> {
        let path: crate::config::node::HostPath = parsed("a folder of the host")(node)?;
        let allowed = &self.limits.modules.directories;
        if allowed.iter().any(|folder| path.is_within(folder)) {
            return Ok(path);
        }
        if allowed.is_empty() {
            return Err(format!("no module is swapped before limits.modules.directories allows it: name {path} there"));
        }
        let names: Vec<&str> = allowed.iter().map(|folder| folder.as_str()).collect();
        Err(format!("{path} is not below a folder of limits.modules.directories: {}", names.join(", ")))
    }

    fn parameter(&self, node: &Node, path: &str) -> Option<ModuleParameter> {
        let mut section = Section::open(Some(node), path, self.report);
        let module = required(&mut section, node, "module", "a kernel module", parsed("the name of a kernel module"));
        let name = required(&mut section, node, "name", "the parameter", parsed("the name of a parameter"));
        let value = required(&mut section, node, "value", "what is written", parsed("a value"));
        section.finish();
        Some(ModuleParameter { module: module?, name: name?, value: value? })
    }

    fn reserve(&self, node: &Node, path: &str) -> Option<ReservePages> {
        let mut section = Section::open(Some(node), path, self.report);
        if let Some(place) = section.place_of("overcommit") {
            let message = "what the kernel adds on demand belongs to the steps of a profile; here pages are reserved: size and count";
            section.problem(place, "overcommit", message);
            return None;
        }
        let size = required(&mut section, node, "size", "a size of pages, e.g. 1Gi", parsed("a size of huge pages"));
        let count = required(&mut section, node, "count", "how many", integer::<u32>(1..=MOST_PAGES));
        let numa = section.take("numa", numa);
        section.finish();
        let pages = ReservePages { size: size?, count: count?, numa };
        self.pages_fit(node, path, pages.size, pages.count).then_some(pages)
    }

    fn overcommit(&self, node: &Node, path: &str) -> Option<OvercommitPages> {
        let mut section = Section::open(Some(node), path, self.report);
        if let Some(place) = section.place_of("count") {
            let message = "kubelet has counted its pages before a VM starts: reserve them in the prepare of a resource; here stands overcommit, how many the kernel may add";
            section.problem(place, "count", message);
            return None;
        }
        let size = required(&mut section, node, "size", "a size of pages, e.g. 2Mi", parsed("a size of huge pages"));
        let overcommit = required(&mut section, node, "overcommit", "how many", integer::<u32>(1..=MOST_PAGES));
        section.finish();
        let pages = OvercommitPages { size: size?, overcommit: overcommit? };
        self.pages_fit(node, path, pages.size, pages.overcommit).then_some(pages)
    }

    fn pages_fit(&self, node: &Node, path: &str, size: PageSize, count: u32) -> bool {
        let bytes = size.as_bytes().saturating_mul(u64::from(count));
        let Some(max) = self.limits.hugepages.max.filter(|max| bytes > max.as_bytes()) else {
            return true;
        };
        let message = format!("{count} pages of {size} are more than limits.hugepages.max, which is {max}");
        self.report.add(&node.place, path, message);
        false
    }

    fn memlock(&self, node: &Node) -> Read<Memlock> {
        let wanted = memlock(node)?;
        match (wanted, self.limits.memlock.max) {
            (Memlock::Unlimited, Memlock::Size(max)) => {
                Err(format!("unlimited is more than limits.memlock.max, which is {max}"))
            }
            (Memlock::Size(size), Memlock::Size(max)) if size > max => {
                Err(format!("{size} is more than limits.memlock.max, which is {max}"))
            }
            _ => Ok(wanted),
        }
    }

    fn isolate(&self, node: &Node, path: &str) -> Option<IsolateCpus> {
        let mut section = Section::open(Some(node), path, self.report);
        let isolate = required(&mut section, node, "isolate", "auto, or CPUs such as \"4-7\"", cpus);
        let away = word(&[("away", AwayOnly::Away)]);
        let (irqs, workqueues) = (section.take("irqs", &away), section.take("workqueues", &away));
        section.finish();
        isolate.map(|isolate| IsolateCpus { isolate, irqs, workqueues })
    }

    fn irqs(&self, node: &Node, path: &str) -> Option<MoveIrqs> {
        let mut section = Section::open(Some(node), path, self.report);
        let away = required(&mut section, node, "away", "auto, or CPUs such as \"4-7\"", cpus);
        section.finish();
        away.map(|away| MoveIrqs { away })
    }

    fn reset(&self, node: &Node, path: &str) -> Option<Vec<ResetMethod>> {
        use ResetMethod::{Acpi, AfFlr, Bus, CxlBus, DeviceSpecific, Flr, Pm};
        let words = [DeviceSpecific, Acpi, Flr, AfFlr, Pm, Bus, CxlBus].map(|method| (method.as_str(), method));
        let Value::List(items) = &node.value else {
            let message = format!("{} stands where a list is expected, e.g. [flr, bus]", node.value.describe());
            self.report.add(&node.place, path, message);
            return None;
        };
        // Each stands once, so more are wrong anyway.
        let methods: Vec<ResetMethod> = items
            .iter()
            .take(words.len() + 1)
            .enumerate()
            .filter_map(|(i, item)| self.one(item, &format!("{path}[{i}]"), word(&words)))
            .collect();
        let twice = methods.iter().enumerate().find(|(i, method)| methods[..*i].contains(method));
        if let Some((_, method)) = twice {
            self.report.add(&node.place, path, format!("{} stands here twice", method.as_str()));
        }
        if items.is_empty() {
            self.report.add(&node.place, path, "the list is empty: name the methods that may be used, e.g. [flr]");
        }
        (twice.is_none() && !methods.is_empty() && methods.len() == items.len()).then_some(methods)
    }
}

/// A field that must be there.
pub(super) fn required<T>(
    section: &mut Section<'_>,
    node: &Node,
    field: &'static str,
    what: &str,
    read: impl Fn(&Node) -> Read<T>,
) -> Option<T> {
    if section.node(field).is_none() && section.is_present() {
        section.problem(&node.place, field, format!("missing: {what}"));
    }
    section.take(field, read)
}

fn release(node: &Node) -> Read<ReleaseOnly> {
    word(&[("release", ReleaseOnly::Release)])(node)
}

fn numa(node: &Node) -> Read<Numa> {
    let scalar = scalar(node, "device or the number of a NUMA node")?;
    if scalar.text == "device" {
        return Ok(Numa::Device);
    }
    integer(0..=1023)(node)
        .map(Numa::Node)
        .map_err(|_| format!("{} is not device or the number of a NUMA node", quote(&scalar.text)))
}

/// `auto`, one text of numbers and ranges, or a list of them.
fn cpus(node: &Node) -> Read<Cpus> {
    let text = |node: &Node| scalar(node, "auto, or CPUs such as \"4-7\"").map(|scalar| scalar.text.clone());
    let texts = match &node.value {
        Value::List(items) => items.iter().take(257).map(text).collect::<Read<Vec<String>>>()?.join(","),
        _ => text(node)?,
    };
    if texts == "auto" {
        return Ok(Cpus::Auto);
    }
    texts.parse().map(Cpus::List).map_err(|error: crate::config::node::ScalarError| error.to_string())
}

/// Why a step is not for a kind of resource.
fn not_for(kind: Kind, key: &str) -> Option<&'static str> {
    match (kind, key) {
        (Kind::Sriov, "consoles" | "framebuffer") => Some("virtual functions have no console: leave the step out"),
        (Kind::Sriov, "reset") => Some("virtual functions have a reset of their own (FLR): leave the step out"),
        (Kind::Mdev | Kind::Vgpu, "consoles" | "framebuffer" | "power" | "reset") => {
            Some("the device stays with its driver on the host: leave the step out")
        }
        _ => None,
    }
}

/// A module that VMs do not stand on.
fn not_ours(module: ModuleName) -> Read<ModuleName> {
    let name = module.as_str();
    if name.contains("vfio") || name.starts_with("kvm") || ["iommufd", "mdev", "irqbypass"].contains(&name) {
        return Err(format!("{name} is never unloaded: VMs stand on it"));
    }
    Ok(module)
}

/// Why a parameter is never set.
fn never_set(module: &ModuleName, parameter: &ParameterName) -> Option<&'static str> {
    match (module.as_str(), parameter.as_str()) {
        ("vfio_pci", "ids") => {
            Some("vfio-pci's ids take every equal device from the host: the resource's selector says which")
        }
        ("vfio", "enable_unsafe_noiommu_mode") => {
            Some("vfio without an IOMMU lets a VM write to all memory, and QEMU does not take it")
        }
        _ => None,
    }
}

/// What a step is about: there is one of it in a list.
fn prepare_key(step: &PrepareStep) -> String {
    match step {
        PrepareStep::Service(hold) => hold.stop.to_string(),
        PrepareStep::Consoles(_) => "consoles".to_owned(),
        PrepareStep::Framebuffer(_) => "framebuffer".to_owned(),
        PrepareStep::Module(ModuleStep::Parameter(set)) => {
            format!("parameter {} of module {}", set.parameter.name, set.parameter.module)
        }
        PrepareStep::Module(step) => format!("module {}", step.module()),
        PrepareStep::Hugepages(pages) => match pages.numa {
            None => format!("hugepages of {}", pages.size),
            Some(Numa::Device) => format!("hugepages of {} on the device's NUMA node", pages.size),
            Some(Numa::Node(node)) => format!("hugepages of {} on NUMA node {node}", pages.size),
        },
        PrepareStep::Power(_) => "power".to_owned(),
        PrepareStep::Reset(_) => "reset".to_owned(),
    }
}

fn profile_key(step: &ProfileStep) -> String {
    match step {
        ProfileStep::Service(hold) => hold.stop.to_string(),
        ProfileStep::Hugepages(pages) => format!("hugepages of {}", pages.size),
        ProfileStep::Memlock(_) => "memlock".to_owned(),
        ProfileStep::Cpus(_) => "cpus".to_owned(),
        ProfileStep::Irqs(_) => "irqs".to_owned(),
    }
}
