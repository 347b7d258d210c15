//! Profiles, guards and limits.

use crate::base::PciAddress;
use crate::config::Memlock;
use crate::config::node::spec::longest_hold;
use crate::config::node::{
    Acknowledgement, Globs, HostPath, HugepageLimit, Limits, MemlockLimit, ModuleLimits, Profile, Risk, ServiceLimits,
};
use crate::config::problems::Place;
use crate::config::read::{Read, Report, Section, memlock, scalar, size, word};
use crate::config::tree::{Node, Value, quote};

use super::steps::{Steps, required};
use super::values::{line, parsed};
use super::{item_path, values};

/// A profile as far as it could be read.
#[derive(Debug)]
pub(super) struct ProfileDraft {
    pub place: Place,
    pub path: String,
    pub name: Option<String>,
    pub nodes: Option<Globs>,
    pub profile: Option<Profile>,
}

/// An acknowledgement as far as it could be read.
#[derive(Debug)]
pub(super) struct AcknowledgementDraft {
    pub place: Place,
    pub path: String,
    pub acknowledgement: Option<Acknowledgement>,
}

/// Reads the items of `profiles`.
pub(super) fn profiles(nodes: &[Node], limits: &Limits, report: &Report) -> Vec<ProfileDraft> {
    nodes.iter().enumerate().map(|(index, node)| profile(node, index, limits, report)).collect()
}

fn profile_name(node: &Node) -> Read<String> {
    let name = &scalar(node, "the name of a profile")?.text;
    crate::config::document::profile_name(name).map(|()| name.clone())
}

fn profile(node: &Node, index: usize, limits: &Limits, report: &Report) -> ProfileDraft {
    let known = node.get("name").and_then(|name| profile_name(name).ok());
    let path = item_path("profiles", index, known.as_deref());
    if node.value == Value::Null {
        report.add(&node.place, &path, "the item is empty: give at least name, steps and namespaces");
    }
    let mut section = Section::open(Some(node), path.clone(), report);
    let name = required(&mut section, node, "name", "as VMs call it in virt-tailor.io/node-profiles", profile_name);
    let steps = section.items("steps");
    if steps.is_empty()
        && section.is_present()
        && section.node("steps").is_none_or(|node| matches!(node.value, Value::List(_)))
    {
        section.problem(&node.place, "steps", "missing: a profile is at least one step");
    }
    let steps = Steps { limits, report }.profile(steps, &section.path_of("steps"));
    if section.node("namespaces").is_none() && section.is_present() {
        let message =
            "missing: nobody may name the profile until the namespaces of those who may are here, e.g. [team-a]";
        section.problem(&node.place, "namespaces", message);
    }
    let namespaces = values::namespaces(&mut section);
    let nodes = values::nodes(&mut section);
    section.finish();
    let parts = name.clone().zip(namespaces.zip(nodes.clone()));
    let profile = parts.map(|(name, (namespaces, nodes))| Profile { name, steps, namespaces, nodes });
    ProfileDraft { place: node.place.clone(), path, name, nodes, profile }
}

/// Reads `guards`.
pub(super) fn guards(mut section: Section<'_>, report: &Report) -> Vec<AcknowledgementDraft> {
    let drafts = section.items("acknowledge").iter().enumerate();
    let drafts = drafts.map(|(index, node)| acknowledgement(node, index, report)).collect();
    section.finish();
    drafts
}

fn acknowledgement(node: &Node, index: usize, report: &Report) -> AcknowledgementDraft {
    let path = format!("guards.acknowledge[{index}]");
    if node.value == Value::Null {
        report.add(&node.place, &path, "the item is empty: give address, risk, reason and nodes");
    }
    let mut section = Section::open(Some(node), path.clone(), report);
    let address: Option<PciAddress> =
        required(&mut section, node, "address", "the device's host address", parsed("a PCI address"));
    let risk = required(&mut section, node, "risk", "what may be lost, e.g. uplink", risk);
    let reason =
        required(&mut section, node, "reason", "why that is all right; it is shown where the risk is taken", line(200));
    if section.is_present() && section.node("nodes").is_none() {
        let message = "missing: the same address is another device on another node; name the nodes, e.g. [worker-1]";
        section.problem(&node.place, "nodes", message);
    }
    let nodes = values::nodes(&mut section);
    if nodes.as_ref().is_some_and(Globs::is_any)
        && let Some(place) = section.place_of("nodes")
    {
        let message = "* is every node, and the same address is another device on each: name the nodes";
        section.problem(place, "nodes", message);
    }
    section.finish();
    let parts = address.zip(risk).zip(reason.zip(nodes));
    let acknowledgement =
        parts.map(|((address, risk), (reason, nodes))| Acknowledgement { address, risk, reason, nodes });
    AcknowledgementDraft { place: node.place.clone(), path, acknowledgement }
}

/// What people write who want a disk that the host uses to be taken.
const DISKS: [&str; 11] =
    ["disk", "boot", "root", "mount", "storage", "swap", "lvm", "raid", "filesystem", "dataloss", "nvme"];

fn risk(node: &Node) -> Read<Risk> {
    let risks = [Risk::Uplink, Risk::HiddenInterface, Risk::LastConsole, Risk::LastKeyboard];
    let text = &scalar(node, "a risk")?.text;
    let lower = text.to_lowercase();
    if DISKS.iter().any(|disk| lower.contains(disk)) {
        return Err(format!(
            "{} cannot be acknowledged: a disk that the host boots from or uses is never handed over",
            quote(text)
        ));
    }
    word(&risks.map(|risk| (risk.as_str(), risk)))(node)
}

/// Folders that others than the admin write to, or that hold no files of his.
const NOT_FOR_MODULES: [&str; 9] =
    ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/lib/containers", "/var/lib/kubelet", "/var/run", "/var/tmp"];

fn module_folder(node: &Node) -> Read<HostPath> {
    let path: HostPath = parsed("a folder of the host")(node)?;
    if let Some(folder) = NOT_FOR_MODULES.iter().find(|folder| path.as_path().starts_with(folder)) {
        return Err(format!(
            "{path} lies below {folder}, where others than the admin write: no module is taken from there"
        ));
    }
    Ok(path)
}

/// Reads `limits`.
pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let mut lock = section.section("memlock");
    let memlock = lock.take("max", memlock).unwrap_or(Memlock::Unlimited);
    lock.finish();
    let mut services = section.section("services");
    let never = services.list("never", parsed("a pattern of units"));
    let max_hold = services.take("maxHold", parsed("a length of time"));
    services.finish();
    let mut pages = section.section("hugepages");
    let max = pages.take("max", size);
    pages.finish();
    let mut modules = section.section("modules");
    let directories = modules.list("directories", module_folder);
    modules.finish();
    section.finish();
    Limits {
        memlock: MemlockLimit { max: memlock },
        services: ServiceLimits { never, max_hold: max_hold.unwrap_or_else(longest_hold) },
        hugepages: HugepageLimit { max },
        modules: ModuleLimits { directories },
    }
}
