//! Mediated devices: parts of a device that its driver gives out (kernel: Documentation/driver-api/vfio-mediated-device.rst).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::sysfs::write;
use crate::base::{PciAddress, shown, suggest};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::owner::Owner;
use crate::prep::trouble::Trouble;

/// How long a new device may take to appear; drivers make it within the write.
const APPEAR_MILLIS: u64 = 5_000;
/// The name space of [`uuid_for`]: random, and ours for ever.
const SPACE: Uuid = Uuid::from_u128(0x8f6c_1a52_5d0e_4b7b_9e0c_27a3_4c61_d0b4);

/// Make a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeMdev {
    /// Whose part it is, as `/sys/class/mdev_bus` names it: a PCI address, or another device's name.
    pub parent: String,
    /// Which of the parent's types: the folder's name (`nvidia-63`, `i915-GVTg_V5_4`) or the name in it (`GRID M60-0Q`).
    #[serde(rename = "type")]
    pub kind: String,
    /// Its UUID.
    pub uuid: Uuid,
}

/// A parent's types, and the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdevState {
    /// What the parent can be asked for; empty if it is none.
    pub types: Vec<MdevType>,
    /// The device with our UUID.
    pub device: Option<Mdev>,
}

/// A type of mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MdevType {
    /// The folder's name.
    pub id: String,
    /// The vendor's name for it.
    pub name: Option<String>,
    /// How many more can be made.
    pub available: u32,
}

/// A mediated device that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mdev {
    /// Whose part it is.
    pub parent: String,
    /// The type's folder.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Kind for MakeMdev {
    type State = MdevState;

    fn describe(&self) -> String {
        format!("make mediated device {} of {}, type {}", self.uuid, shown(&self.parent), shown(&self.kind))
    }

    fn effect(&self) -> Effect {
        let effect = Effect::exclusive(format!("mediated device {}", self.uuid));
        // Making and removing one takes the parent's lock.
        match self.parent.parse::<PciAddress>() {
            Ok(parent) => effect.of(parent),
            Err(_) => effect,
        }
    }

    fn observe(&self, root: &Root) -> Result<MdevState, Trouble> {
        let mut types = Vec::new();
        let folder = self.types();
        if is_name(&self.parent) {
            for id in root.names(&folder)? {
                let file = |name| format!("{folder}/{id}/{name}");
                let name = root.text(file("name"))?.filter(|name| !name.is_empty());
                let number = root.value(file("available_instances"), "a number", |text| text.parse().ok())?;
                types.push(MdevType { name, available: number.unwrap_or(0), id });
            }
        }
        let folder = format!("sys/bus/mdev/devices/{}", self.uuid);
        let parent = root.link(&folder)?.and_then(|path| {
            let parent = path.parent()?.file_name()?;
            Some(parent.to_string_lossy().into_owned())
        });
        let kind = root.link_name(format!("{folder}/mdev_type"))?;
        Ok(MdevState { types, device: parent.map(|parent| Mdev { parent, kind: kind.unwrap_or_default() }) })
    }

    fn wanted(&self, now: &MdevState) -> Result<MdevState, Trouble> {
        let parent = shown(&self.parent);
        let refused = |why: String| Err(Trouble::new(why));
        if now.types.is_empty() {
            return refused(format!(
                "{parent} makes no mediated devices: it is not there, or its driver is not the one that makes them"
            ));
        }
        let Some(kind) = self.find(&now.types) else {
            let known = now.types.iter().flat_map(|kind| kind.name.as_deref().into_iter().chain([kind.id.as_str()]));
            let hint = suggest(&self.kind, known)
                .map_or_else(|| ".".to_owned(), |name| format!(", did you mean \"{}\"?", shown(name)));
            let all: Vec<String> = now.types.iter().map(MdevType::to_string).collect();
            return refused(format!(
                "{parent} has no type \"{}\" of mediated devices{hint} It has: {}",
                shown(&self.kind),
                all.join(", ")
            ));
        };
        let device = Mdev { parent: self.parent.clone(), kind: kind.id.clone() };
        match &now.device {
            Some(there) if *there == device => Ok(now.clone()),
            Some(there) => refused(format!(
                "mediated device {} is there already, as type {} of {}",
                self.uuid,
                shown(&there.kind),
                shown(&there.parent)
            )),
            None if kind.available == 0 => refused(format!(
                "{parent} has no mediated device of type {kind} left: all are in use, or another type takes its room"
            )),
            None => Ok(MdevState { device: Some(device), ..now.clone() }),
        }
    }

    fn moves(&self, from: &MdevState, to: &MdevState, attempt: u32) -> Vec<Action> {
        if attempt > 0 || from.device == to.device {
            return Vec::new();
        }
        let device = format!("sys/bus/mdev/devices/{}", self.uuid);
        match &to.device {
            Some(Mdev { kind, .. }) if is_name(kind) && is_name(&self.parent) => {
                let create = write(format!("{}/{kind}/create", self.types()), self.uuid.to_string());
                let appear = Action::Await { path: device.into(), present: true, millis: APPEAR_MILLIS };
                create.into_iter().chain([appear]).collect()
            }
            Some(_) => Vec::new(),
            None => write(format!("{device}/remove"), "1").into_iter().collect(),
        }
    }

    fn undone(&self, original: &MdevState, wanted: &MdevState, now: &MdevState) -> MdevState {
        // One of that UUID that is not ours stays.
        let device = if now.device == wanted.device { original.device.clone() } else { now.device.clone() };
        MdevState { device, ..now.clone() }
    }

    fn reached(&self, goal: &MdevState, now: &MdevState) -> Reached {
        match (&goal.device, &now.device) {
            (goal, now) if goal == now => Reached::Yes,
            (_, None) => Reached::No(format!("mediated device {} is not there", self.uuid)),
            (_, Some(_)) => Reached::No(format!("mediated device {} is still there", self.uuid)),
        }
    }
}

impl MakeMdev {
    fn types(&self) -> String {
        format!("sys/class/mdev_bus/{}/mdev_supported_types", self.parent)
    }

    fn find<'a>(&self, types: &'a [MdevType]) -> Option<&'a MdevType> {
        let by_id = types.iter().find(|kind| kind.id == self.kind);
        by_id.or_else(|| types.iter().find(|kind| kind.name.as_ref() == Some(&self.kind)))
    }
}

impl std::fmt::Display for MdevType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.id))?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({})", shown(name)))
    }
}

/// Whether a text is one name in a folder.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains('/') && text != "." && text != ".."
}

/// The UUID of an owner's mediated device: the same whenever it is asked for, so that one that a crash left behind is found again.
/// `name` tells an owner's devices apart (RFC 9562, version 5).
pub fn uuid_for(owner: &Owner, name: &str) -> Uuid {
    // Neither part can be mistaken for the other: no owner has a zero byte.
    Uuid::new_v5(&SPACE, format!("{owner}\0{name}").as_bytes())
}

#[cfg(test)]
mod tests;
