//! Another build of a module instead of the one that is loaded: a vendor's, from a folder, without a reboot.
//!
//! Which build is loaded is told by its build id, which the kernel shows of every loaded module and the file has in it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::is_vfio;
use super::{LOOK_WITHIN, Loaded, ModuleState, key, load_again};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::live::modules::{Image, Library, named};
use crate::prep::trouble::Trouble;

/// Have this module loaded from a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapModule {
    /// Its name.
    pub module: String,
    /// A folder on the host that holds `lib/modules/<release>`.
    pub from: PathBuf,
    /// `name=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// Which build is loaded, and who uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapState {
    /// The module and those that use it.
    pub modules: ModuleState,
    /// Whether what is loaded is the folder's build.
    pub swapped: bool,
}

impl Kind for SwapModule {
    type State = SwapState;

    fn describe(&self) -> String {
        format!("replace module {} by the one in {}", self.module, self.from.display())
    }

    fn effect(&self) -> Effect {
        Effect::shared(key(&self.module))
    }

    fn observe_within(&self) -> Duration {
        LOOK_WITHIN
    }

    fn observe(&self, root: &Root) -> Result<SwapState, Trouble> {
        let name = named(&self.module);
        let modules = ModuleState::observe(root, &name)?;
        if !modules.is_loaded() {
            return Ok(SwapState { modules, swapped: false });
        }
        let library = Library::open(root, Some(&self.from))?;
        let Some(file) = library.file(&name) else {
            let close = library.did_you_mean(&name);
            return Err(Trouble::new(format!("there is no module {name} in {library}{close}")));
        };
        let image = Image::read(root, &file)?;
        let note = root.bytes(format!("sys/module/{name}/notes/.note.gnu.build-id"))?;
        let version = root.text(format!("sys/module/{name}/srcversion"))?;
        let swapped = match (note, version) {
            (Some(note), _) => image.has(&note),
            (None, Some(version)) => image.field("srcversion") == Some(version),
            (None, None) => {
                let why = "it has neither a build id nor a source version (build it with MODULE_VERSION)";
                return Err(Trouble::new(format!("which build of module {name} is loaded cannot be told: {why}")));
            }
        };
        Ok(SwapState { modules, swapped })
    }

    fn wanted(&self, now: &SwapState) -> Result<SwapState, Trouble> {
        if now.modules.built_in {
            return Err(Trouble::new(format!(
                "module {} is built into this kernel and cannot be replaced",
                self.module
            )));
        }
        if let Some(vfio) = now.modules.loaded.iter().find(|one| is_vfio(&one.name)) {
            return Err(Trouble::new(format!(
                "module {} cannot be replaced: {} is one of VFIO's, and takes devices from VMs when it goes",
                self.module, vfio.name
            )));
        }
        if now.swapped {
            return Ok(now.clone());
        }
        if let Some(why) = now.modules.kept() {
            return Err(Trouble::new(format!("module {} cannot be replaced: {why}", self.module)));
        }
        let mut modules = now.modules.clone();
        if !modules.is_loaded() {
            modules.loaded = vec![Loaded::new(named(&self.module))];
        }
        Ok(SwapState { modules, swapped: true })
    }

    fn moves(&self, from: &SwapState, to: &SwapState, attempt: u32) -> Vec<Action> {
        // Nobody is unloaded for what cannot be done, and the second time whatever is missing comes back without parameters.
        if attempt > 1 || from.modules.kept().is_some() || (!to.modules.is_loaded() && user(from).is_some()) {
            return Vec::new();
        }
        let mut moves = Vec::new();
        let exchange = from.swapped != to.swapped || !to.modules.is_loaded();
        if exchange {
            moves.extend(from.modules.unload());
        }
        let name = named(&self.module);
        for one in to.modules.loaded.iter().rev() {
            let there = !exchange && from.modules.loaded.iter().any(|other| other.name == one.name);
            moves.extend(match (there, one.name == name && to.swapped) {
                (true, _) => None,
                (false, true) => Some(Action::LoadModule {
                    module: self.module.clone(),
                    parameters: self.parameters.clone(),
                    from: Some(self.from.clone()),
                }),
                (false, false) => Some(load_again(one, attempt == 1)),
            });
        }
        moves
    }

    fn undone(&self, original: &SwapState, _wanted: &SwapState, now: &SwapState) -> SwapState {
        let mut goal = original.clone();
        if original.modules.is_loaded() {
            // Who has come to use it meanwhile shall use what takes its place.
            let there = |one: &&Loaded| original.modules.loaded.iter().any(|other| other.name == one.name);
            let users = now.modules.loaded.iter().filter(|one| one.name != named(&self.module) && !there(one));
            goal.modules.loaded.splice(0..0, users.cloned());
        }
        goal
    }

    fn reached(&self, goal: &SwapState, now: &SwapState) -> Reached {
        let missing = |one: &&Loaded| !now.modules.loaded.iter().any(|other| other.name == one.name);
        let kept = || now.modules.kept().map_or_else(String::new, |why| format!(": {why}"));
        match goal.modules.loaded.iter().find(missing) {
            Some(one) => Reached::No(format!("module {} is not loaded", one.name)),
            None if !goal.modules.is_loaded() && now.modules.is_loaded() => {
                let used = user(now).map(|user| format!(": module {user} uses it"));
                Reached::No(format!("module {} is still loaded{}", self.module, used.unwrap_or_else(kept)))
            }
            None if goal.swapped && !now.swapped => {
                Reached::No(format!("module {} is not the one in {}{}", self.module, self.from.display(), kept()))
            }
            None if now.swapped && !goal.swapped => {
                Reached::No(format!("module {} is still the one in {}{}", self.module, self.from.display(), kept()))
            }
            None => Reached::Yes,
        }
    }
}

/// A module that uses it.
fn user(now: &SwapState) -> Option<&str> {
    let (_, users) = now.modules.loaded.split_last()?;
    users.last().map(|one| one.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(names: &[&str], swapped: bool, busy: bool) -> SwapState {
        let loaded = names.iter().map(|name| Loaded {
            name: (*name).to_owned(),
            parameters: [("debug".to_owned(), "2".to_owned())].into(),
            busy: busy.then(|| "it is in use (3 references)".to_owned()),
            drives: Vec::new(),
        });
        SwapState { modules: super::super::tests::state(&loaded.collect::<Vec<_>>()), swapped }
    }

    fn step() -> SwapModule {
        SwapModule { module: "sfc".to_owned(), from: "/opt/sfc".into(), parameters: vec!["x=1".to_owned()] }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_other_build_takes_its_place_and_gives_it_back() {
        let original = state(&["sfc_ptp", "sfc"], false, false);
        let wanted = step().wanted(&original).unwrap();
        assert_eq!(
            told(&step().moves(&original, &wanted, 0)),
            [
                "unload module sfc_ptp",
                "unload module sfc",
                "load module sfc x=1 from /opt/sfc",
                "load module sfc_ptp debug=2"
            ]
        );
        assert_eq!(
            told(&step().moves(&wanted, &original, 0)),
            ["unload module sfc_ptp", "unload module sfc", "load module sfc debug=2", "load module sfc_ptp debug=2"]
        );
        // The folder's build was refused: what was there comes back.
        let none = state(&[], false, false);
        assert_eq!(
            told(&step().moves(&none, &original, 0)),
            ["load module sfc debug=2", "load module sfc_ptp debug=2"]
        );
        assert_eq!(told(&step().moves(&none, &original, 1)), ["load module sfc", "load module sfc_ptp"]);
    }

    #[test]
    fn what_was_not_loaded_is_unloaded_again() {
        let original = state(&[], false, false);
        let wanted = step().wanted(&original).unwrap();
        assert_eq!(told(&step().moves(&original, &wanted, 0)), ["load module sfc x=1 from /opt/sfc"]);
        assert_eq!(told(&step().moves(&state(&["sfc"], true, false), &original, 0)), ["unload module sfc"]);
    }

    #[test]
    fn who_came_to_use_it_meanwhile_is_not_forgotten() {
        let original = state(&["sfc"], false, false);
        let (wanted, now) = (step().wanted(&original).unwrap(), state(&["sfc_ptp", "sfc"], true, false));
        let goal = step().undone(&original, &wanted, &now);
        assert_eq!(
            told(&step().moves(&now, &goal, 0)),
            ["unload module sfc_ptp", "unload module sfc", "load module sfc debug=2", "load module sfc_ptp debug=2"]
        );
        // It was we who loaded it, and its user stays.
        let none = state(&[], false, false);
        assert_eq!(step().moves(&now, &step().undone(&none, &wanted, &now), 0), []);
        assert_eq!(
            step().reached(&none, &now),
            Reached::No("module sfc is still loaded: module sfc_ptp uses it".to_owned())
        );
    }

    #[test]
    fn what_is_in_use_is_left_alone() {
        let error = step().wanted(&state(&["sfc"], false, true)).unwrap_err();
        assert_eq!(
            error.message,
            "module sfc cannot be replaced: module sfc stays loaded: it is in use (3 references)"
        );
        let (busy, original) = (state(&["sfc"], true, true), state(&["sfc"], false, false));
        assert_eq!(step().moves(&busy, &original, 0), []);
        let Reached::No(why) = step().reached(&original, &busy) else { unreachable!() };
        assert!(why.contains("still the one in /opt/sfc: module sfc stays loaded"), "{why}");
    }
}
