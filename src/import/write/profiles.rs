//! DomainProfiles: what VMs that have these devices should ask for.

use std::fmt::Write as _;

use serde_json::json;

use crate::base::shown;
use crate::config::node::{Kind, Resource};
use crate::config::{API_VERSION, KIND, Problems, ProfileArgument, ProfileText, Profiles, Request, resolve};
use crate::import::draft::{Drafted, profile_name};
use crate::import::judge::known::{Role, Roles};

use super::Named;
use super::flow::flow;

/// The texts by name, each valid by itself.
pub(super) fn texts(drafted: &Drafted, name: &str) -> Result<Vec<Named>, Problems> {
    let facts = &drafted.domain;
    let of_kind = |kind: Kind| drafted.resources.iter().any(|(resource, _)| resource.target.kind() == kind);
    let mut out = Vec::new();
    let displays: Vec<&Resource> =
        drafted.resources.iter().map(|(resource, _)| resource).filter(|one| is_display(one, &drafted.roles)).collect();
    let share = if facts.no_share_pages { "  memory: {nosharepages: on}\n" } else { "" };
    if !displays.is_empty() {
        out.push((profile_name(name, "gpu"), gpu(&displays, share)));
    }
    if of_kind(Kind::Mdev) || of_kind(Kind::Vgpu) {
        let text = "# For a VM with a share of a GPU: its memory is pinned, so page merging and the balloon gain nothing.\n\
                    # The built-in profile vgpu-desktop says the same.\n\
                    spec:\n  memory: {nosharepages: on}\n  devices: {balloon: none}\n  quirks: auto\n";
        out.push((profile_name(name, "vgpu"), text.to_owned()));
    }
    if !facts.vf_ids.is_empty() {
        out.push((profile_name(name, "dpdk"), dpdk(drafted)));
    }
    if facts.low_latency {
        let text = "# For a VM on isolated CPUs, with cpu.model host-passthrough and dedicatedCpuPlacement; with it goes\n\
                    # virt-tailor.io/node-profiles. The built-in profile low-latency says the same.\n\
                    spec:\n  cpu: {cache: passthrough, maxPhysAddr: passthrough}\n  memory: {nosharepages: on}\n  devices: {balloon: none}\n";
        out.push((profile_name(name, "low-latency"), text.to_owned()));
    }
    if facts.no_share_pages && out.is_empty() {
        let text = format!("# What stood among the kernel's arguments is an element of the domain.\nspec:\n{share}");
        out.push((profile_name(name, "memory"), text));
    }
    out.sort();
    for (name, text) in &mut out {
        *text = text.replacen(
            "spec:\n",
            &format!("apiVersion: {API_VERSION}\nkind: {KIND}\nmetadata: {{name: {name}}}\nspec:\n"),
            1,
        );
        valid(name, text)?;
    }
    Ok(out)
}

fn ids(resource: &Resource) -> Option<(u16, u16)> {
    Some((resource.selector.vendor?.0, resource.selector.device?.0))
}

fn is_display(resource: &Resource, roles: &Roles) -> bool {
    resource.target.kind() == Kind::Pci
        && ids(resource).is_some_and(|(vendor, device)| roles.role(vendor, device) == Role::Display)
}

fn gpu(displays: &[&Resource], share: &str) -> String {
    let mut out = "# For a VM with a whole GPU: its companions go into one slot with it, and the apertures fit its BARs.\n\
                   # The device may also be called by its name in the VM (gpus[].name). See the built-in profile gpu-workstation.\n\
                   spec:\n  hostDevices:\n"
        .to_owned();
    for resource in displays {
        if let Some((vendor, device)) = ids(resource) {
            let _ = writeln!(out, "  # {}", shown(resource.name.as_str()));
            let _ = writeln!(out, "  - {{device: \"{vendor:04x}:{device:04x}\", companions: auto}}");
        }
    }
    out.push_str(
        "  cpu: {maxPhysAddr: passthrough}\n  firmware: {mmio64: auto}\n  pci: {hole64: auto}\n  features: {hideKvm: on}\n  quirks: auto\n",
    );
    out.push_str(share);
    out
}

fn dpdk(drafted: &Drafted) -> String {
    let facts = &drafted.domain;
    let ids: Vec<String> = facts.vf_ids.iter().map(|(vendor, device)| format!("{vendor:04x}:{device:04x}")).collect();
    let mut out = "# For a VM that hands its virtual functions to DPDK: an IOMMU inside the VM, and the guest's own preparation through\n\
                   # cloud-init (sidecar --cloud-init) in place of files for its boot. See the built-in profile dpdk-viommu.\n\
                   spec:\n  viommu: {model: intel}\n  features: {ioapic: qemu}\n  memory: {hardLimit: auto}\n  guest:\n"
        .to_owned();
    out.push_str("    kernelArgs: [intel_iommu=on, iommu=pt]\n");
    let _ = writeln!(out, "    modules: {}", flow(&json!({ "vfio-pci": format!("ids={}", ids.join(",")) })));
    let mut denied: Vec<String> = facts.denied.iter().cloned().collect();
    for (vendor, device) in &facts.vf_ids {
        // The module of whole NICs, too, is not to be denied.
        if let Role::Virtual(module @ ("iavf" | "ixgbevf" | "igbvf")) = drafted.roles.role(*vendor, *device)
            && !denied.iter().any(|known| known == module)
        {
            denied.push(module.to_owned());
        }
    }
    denied.sort();
    if !denied.is_empty() {
        let _ = writeln!(out, "    denyModules: {}", flow(&json!(denied)));
    }
    if !facts.pages.is_empty() {
        let _ = writeln!(out, "    hugepages: {}", flow(&json!(facts.pages)));
    }
    out.push_str("    memlock: unlimited\n");
    out
}

/// Held against the reader and the merged whole.
fn valid(name: &str, text: &str) -> Result<(), Problems> {
    let file = ProfileText { label: format!("{name}.yaml"), text: text.to_owned() };
    let request = Request { profiles: vec![ProfileArgument::File(file)], ..Request::default() };
    resolve(&request, &Profiles::built_in()).map(|_| ())
}
