//! What items mean for each other. Items that no node has both of do not meet.

use std::collections::BTreeMap;

use crate::config::node::{Glob, Globs};
use crate::config::problems::Place;
use crate::config::read::{Report, join};
use crate::config::tree::quote;

use super::policy::{AcknowledgementDraft, ProfileDraft};
use super::resource::Draft;

/// ` on nodes that gpu-* and gpu-1 both match`, or nothing if that goes without saying.
fn on_nodes((one, two): (&Glob, &Glob)) -> String {
    if one == two {
        return if one.as_str() == "*" { String::new() } else { format!(" on {one}") };
    }
    format!(" on nodes that {one} and {two} both match")
}

fn overlap<'a>(one: Option<&'a Globs>, two: Option<&'a Globs>) -> Option<(&'a Glob, &'a Glob)> {
    one?.overlap(two?)
}

/// Tells names, variables, addresses and MAC addresses that two resources share.
pub(super) fn resources(drafts: &[Draft], report: &Report) {
    for (index, draft) in drafts.iter().enumerate() {
        for other in &drafts[..index] {
            let told: Vec<_> =
                names(draft, other).into_iter().chain(serials(draft, other)).chain(addresses(draft, other)).collect();
            if told.is_empty() {
                continue;
            }
            let Some(where_both) = overlap(other.nodes.as_ref(), draft.nodes.as_ref()) else {
                continue;
            };
            let nodes = on_nodes(where_both);
            for (place, message, first) in told {
                report.add(place, &draft.path, format!("{message}{nodes}, at {first}"));
            }
        }
    }
    let mut macs: BTreeMap<_, &Place> = BTreeMap::new();
    for draft in drafts {
        for (place, mac) in &draft.macs {
            if let Some(first) = macs.insert(mac, place) {
                let path = join(&draft.path, "sriov");
                report.add(place, &path, format!("{mac} is given already, at {first}"));
            }
        }
    }
}

/// What is wrong with a draft beside another one: where, what, and where the other one has it.
type Clash<'a> = (&'a Place, String, &'a Place);

fn names<'a>(draft: &'a Draft, other: &'a Draft) -> Option<Clash<'a>> {
    let (name, first) = (draft.name.as_ref()?, other.name.as_ref()?);
    if name == first {
        let message = "there is a resource of this name already".to_owned();
        return Some((&draft.place, message, &other.place));
    }
    (name.variable() == first.variable()).then(|| {
        let variable = name.variable();
        let message = format!("KubeVirt cannot tell it from {first}, both are PCI_RESOURCE_{variable} to it");
        (&draft.place, message, &other.place)
    })
}

fn serials<'a>(draft: &'a Draft, other: &'a Draft) -> Option<Clash<'a>> {
    let ((place, serial), (first, theirs)) = (draft.serial.as_ref()?, other.serial.as_ref()?);
    (serial == theirs).then(|| (place, format!("{} belongs to {} already", quote(serial), other.path), first))
}

fn addresses<'a>(draft: &'a Draft, other: &'a Draft) -> impl Iterator<Item = Clash<'a>> {
    draft.addresses.iter().filter_map(|(place, address)| {
        let (first, _) = other.addresses.iter().find(|(_, theirs)| theirs == address)?;
        Some((place, format!("{address} belongs to {} already", other.path), first))
    })
}

/// Tells names that two profiles share.
pub(super) fn profiles(drafts: &[ProfileDraft], report: &Report) {
    for (index, draft) in drafts.iter().enumerate() {
        let same = drafts[..index].iter().filter(|other| draft.name.is_some() && other.name == draft.name);
        for other in same {
            if let Some(where_both) = overlap(other.nodes.as_ref(), draft.nodes.as_ref()) {
                let nodes = on_nodes(where_both);
                let message = format!("there is a profile of this name already{nodes}, at {}", other.place);
                report.add(&draft.place, &draft.path, message);
            }
        }
    }
}

/// Tells what is acknowledged twice.
pub(super) fn acknowledgements(drafts: &[AcknowledgementDraft], report: &Report) {
    for (index, draft) in drafts.iter().enumerate() {
        let Some(one) = &draft.acknowledgement else { continue };
        for other in &drafts[..index] {
            let Some(two) = &other.acknowledgement else { continue };
            if (one.address, one.risk) == (two.address, two.risk)
                && let Some(where_both) = two.nodes.overlap(&one.nodes)
            {
                let nodes = on_nodes(where_both);
                let risk = one.risk.as_str();
                let message = format!("{risk} of {} is acknowledged already{nodes}, at {}", one.address, other.place);
                report.add(&draft.place, &draft.path, message);
            }
        }
    }
}
