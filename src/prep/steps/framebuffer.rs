//! Taking a GPU's memory from the framebuffer that the firmware left there.
//!
//! The platform device is `efi-framebuffer.0`, `vesa-framebuffer.0` or `simple-framebuffer.0`, and its driver efifb, simplefb, simpledrm,
//! efidrm or vesadrm, by kernel and configuration (kernel: drivers/firmware/sysfb.c); so the link to the driver is followed. vfio-pci
//! removes it by itself for VGA-compatible displays only (class 0300); any other fails at the VM's start with "BAR 0: can't reserve".
//! It comes back as well as it can: where a driver of the GPU's own has taken the display, or the kernel has removed the platform device
//! for one, that is what the GPU has now.

use serde::{Deserialize, Serialize};

use super::sysfs::{function, write};
use crate::base::PciAddress;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

mod place;

pub use place::Place;

/// Take the firmware's framebuffer off this GPU, if it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFramebuffer {
    /// The GPU.
    pub gpu: PciAddress,
}

/// The firmware's framebuffers, and whether they are this GPU's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramebufferState {
    /// All there are; there is hardly ever more than one.
    pub framebuffers: Vec<Framebuffer>,
    /// Where they lie.
    pub place: Place,
    /// A DRM card of a driver of the GPU's own.
    pub native: Option<String>,
}

/// A firmware's framebuffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Framebuffer {
    /// The platform device: `simple-framebuffer.0`.
    pub device: String,
    /// Its driver.
    pub driver: Option<String>,
}

impl Kind for ReleaseFramebuffer {
    type State = FramebufferState;

    fn describe(&self) -> String {
        format!("take the firmware's framebuffer off {}", self.gpu)
    }

    fn effect(&self) -> Effect {
        Effect::exclusive(format!("firmware framebuffer of {}", self.gpu)).of(self.gpu)
    }

    fn observe(&self, root: &Root) -> Result<FramebufferState, Trouble> {
        let folder = "sys/bus/platform/devices";
        let mut framebuffers = Vec::new();
        for device in root.names(folder)? {
            if device.split_once('.').is_some_and(|(stem, _)| stem.ends_with("-framebuffer")) {
                let driver = root.link_name(format!("{folder}/{device}/driver"))?;
                framebuffers.push(Framebuffer { device, driver });
            }
        }
        let place = if framebuffers.is_empty() { Place::Elsewhere } else { place::of(root, self.gpu)? };
        let native = root.names(function(self.gpu, "drm"))?.into_iter().find(|name| name.starts_with("card"));
        Ok(FramebufferState { framebuffers, place, native })
    }

    fn wanted(&self, now: &FramebufferState) -> Result<FramebufferState, Trouble> {
        let bound = || now.framebuffers.iter().filter(|framebuffer| framebuffer.driver.is_some());
        match (now.place, bound().count()) {
            (_, 0) | (Place::Elsewhere, _) => Ok(now.clone()),
            (Place::OnGpu, _) | (Place::Likely, 1) => {
                let free = |framebuffer: &Framebuffer| Framebuffer { driver: None, ..framebuffer.clone() };
                Ok(FramebufferState { framebuffers: now.framebuffers.iter().map(free).collect(), ..now.clone() })
            }
            (Place::Likely | Place::Unknown, _) => {
                let name = bound().map(|framebuffer| framebuffer.device.as_str()).next().unwrap_or_default();
                Err(Trouble::new(format!(
                    "the firmware's framebuffer {name} may lie on {} or on another display: /proc/iomem does not say, and neither is \
                     marked boot_vga",
                    self.gpu
                )))
            }
        }
    }

    fn moves(&self, from: &FramebufferState, to: &FramebufferState, attempt: u32) -> Vec<Action> {
        if attempt > 0 {
            return Vec::new();
        }
        let mut moves = Vec::new();
        for Framebuffer { device, driver } in &to.framebuffers {
            let Some(now) = from.get(device) else { continue };
            match (&now.driver, driver) {
                (Some(_), None) => {
                    moves.extend(write(format!("sys/bus/platform/devices/{device}/driver/unbind"), device.as_str()));
                }
                // Where the GPU has a driver of its own, the firmware's framebuffer would be a second hand on it.
                (None, Some(driver)) if from.native.is_none() => {
                    moves.extend(write(format!("sys/bus/platform/drivers/{driver}/bind"), device.as_str()));
                }
                _ => (),
            }
        }
        moves
    }

    fn undone(
        &self,
        original: &FramebufferState,
        wanted: &FramebufferState,
        now: &FramebufferState,
    ) -> FramebufferState {
        // What was not changed is not missed.
        let changed = original.framebuffers.iter().filter(|one| wanted.get(&one.device) != Some(one));
        FramebufferState { framebuffers: changed.cloned().collect(), ..now.clone() }
    }

    fn reached(&self, goal: &FramebufferState, now: &FramebufferState) -> Reached {
        for Framebuffer { device, driver } in &goal.framebuffers {
            let has = now.get(device);
            match (driver, has.and_then(|now| now.driver.as_ref())) {
                (None, Some(has)) => return Reached::No(format!("{device} is still bound to {has}")),
                (Some(driver), None) => {
                    let why = match (&now.native, has) {
                        (Some(card), _) => format!("{} is driven by a driver of its own ({card})", self.gpu),
                        (None, None) => "the kernel has removed it for another driver".to_owned(),
                        (None, Some(_)) => format!("{driver} does not take it a second time"),
                    };
                    return Reached::Enough(format!("the firmware's framebuffer {device} does not come back: {why}"));
                }
                _ => (),
            }
        }
        Reached::Yes
    }
}

impl FramebufferState {
    fn get(&self, device: &str) -> Option<&Framebuffer> {
        self.framebuffers.iter().find(|framebuffer| framebuffer.device == device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> ReleaseFramebuffer {
        ReleaseFramebuffer { gpu: "0000:00:01.0".parse().unwrap() }
    }

    fn state(driver: Option<&str>, place: Place) -> FramebufferState {
        let framebuffer = Framebuffer { device: "simple-framebuffer.0".to_owned(), driver: driver.map(str::to_owned) };
        FramebufferState { framebuffers: vec![framebuffer], place, native: None }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn there_and_back() {
        for place in [Place::OnGpu, Place::Likely] {
            let original = state(Some("simple-framebuffer"), place);
            let wanted = step().wanted(&original).unwrap();
            assert_eq!(
                told(&step().moves(&original, &wanted, 0)),
                [r#"write "simple-framebuffer.0" to /sys/bus/platform/devices/simple-framebuffer.0/driver/unbind"#]
            );
            assert!(matches!(step().reached(&wanted, &original), Reached::No(_)));
            // Its memory is no longer claimed, so where it lies is not known any more.
            let now = state(None, Place::Unknown);
            assert_eq!(step().reached(&wanted, &now), Reached::Yes);
            let goal = step().undone(&original, &wanted, &now);
            assert_eq!(
                told(&step().moves(&now, &goal, 0)),
                [r#"write "simple-framebuffer.0" to /sys/bus/platform/drivers/simple-framebuffer/bind"#]
            );
            assert_eq!(step().reached(&goal, &original), Reached::Yes);
        }
    }

    #[test]
    fn one_that_lies_elsewhere_or_has_no_driver_is_left_alone() {
        for original in [state(Some("efi-framebuffer"), Place::Elsewhere), state(None, Place::Unknown)] {
            let wanted = step().wanted(&original).unwrap();
            assert_eq!(step().moves(&original, &wanted, 0), []);
            let goal = step().undone(&original, &wanted, &original);
            assert_eq!(step().moves(&original, &goal, 0), []);
            // It went on its own, or came: no matter of ours.
            let gone = FramebufferState { framebuffers: Vec::new(), place: Place::Elsewhere, native: None };
            assert_eq!(step().reached(&goal, &gone), Reached::Yes);
        }
    }

    #[test]
    fn a_guess_is_refused() {
        let why = step().wanted(&state(Some("efi-framebuffer"), Place::Unknown)).unwrap_err().message;
        assert!(why.starts_with("the firmware's framebuffer simple-framebuffer.0 may lie on 0000:00:01.0 or"), "{why}");
        let mut two = state(Some("efi-framebuffer"), Place::Likely);
        two.framebuffers.push(Framebuffer { device: "simple-framebuffer.1".to_owned(), driver: Some("x".to_owned()) });
        assert!(step().wanted(&two).is_err());
    }

    #[test]
    fn what_does_not_come_back_is_said_and_enough() {
        let original = state(Some("efi-framebuffer"), Place::OnGpu);
        let wanted = step().wanted(&original).unwrap();
        let ends = |now: FramebufferState, writes: usize| {
            let goal = step().undone(&original, &wanted, &now);
            assert_eq!(step().moves(&now, &goal, 0).len(), writes);
            let Reached::Enough(note) = step().reached(&goal, &now) else { panic!() };
            note
        };
        let driven = FramebufferState { native: Some("card1".to_owned()), ..state(None, Place::Unknown) };
        assert!(ends(driven, 0).ends_with("0000:00:01.0 is driven by a driver of its own (card1)"));
        let removed = FramebufferState { framebuffers: Vec::new(), ..state(None, Place::Elsewhere) };
        assert!(ends(removed, 0).ends_with("the kernel has removed it for another driver"));
        assert!(ends(state(None, Place::Unknown), 1).ends_with("efi-framebuffer does not take it a second time"));
    }
}
