//! Have a module not loaded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load::is_vfio;
use super::{LOOK_WITHIN, Loaded, ModuleState, key, load_again};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::trouble::Trouble;

/// Have this module, and those that use it, not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadModule {
    /// Its name.
    pub module: String,
}

impl Kind for UnloadModule {
    type State = ModuleState;

    fn describe(&self) -> String {
        format!("unload module {}", self.module)
    }

    fn effect(&self) -> Effect {
        Effect::shared(key(&self.module))
    }

    fn observe_within(&self) -> Duration {
        LOOK_WITHIN
    }

    fn observe(&self, root: &Root) -> Result<ModuleState, Trouble> {
        ModuleState::observe(root, &self.module)
    }

    fn wanted(&self, now: &ModuleState) -> Result<ModuleState, Trouble> {
        if now.built_in {
            return Err(Trouble::new(format!(
                "module {} is built into this kernel and cannot be unloaded",
                self.module
            )));
        }
        if let Some(vfio) = now.loaded.iter().find(|one| is_vfio(&one.name)) {
            return Err(Trouble::new(format!(
                "module {} cannot be unloaded: {} is one of VFIO's, and takes devices from VMs when it goes",
                self.module, vfio.name
            )));
        }
        match now.kept() {
            Some(why) => Err(Trouble::new(format!("module {} cannot be unloaded: {why}", self.module))),
            None => Ok(ModuleState { loaded: Vec::new(), ..now.clone() }),
        }
    }

    fn moves(&self, from: &ModuleState, to: &ModuleState, attempt: u32) -> Vec<Action> {
        if to.is_loaded() {
            // Some parameters do not take back what they show: then without any.
            let missing = to.loaded.iter().rev().filter(|one| !from.loaded.iter().any(|other| other.name == one.name));
            return if attempt < 2 { missing.map(|one| load_again(one, attempt == 1)).collect() } else { Vec::new() };
        }
        // Nobody is unloaded for what cannot be done.
        if attempt == 0 && from.kept().is_none() { from.unload().collect() } else { Vec::new() }
    }

    fn along(&self, from: &ModuleState, to: &ModuleState) -> Vec<String> {
        let gone = from.loaded.iter().filter(|one| !to.loaded.iter().any(|other| other.name == one.name));
        gone.map(|one| key(&one.name)).filter(|key| *key != self.effect().key).collect()
    }

    fn reached(&self, goal: &ModuleState, now: &ModuleState) -> Reached {
        let find = |one: &&Loaded| !now.loaded.iter().any(|other| other.name == one.name);
        match (goal.is_loaded(), goal.loaded.iter().find(find)) {
            (true, Some(one)) => Reached::No(format!("module {} is not loaded", one.name)),
            (true, None) => {
                match goal.loaded.iter().find(|one| {
                    now.loaded.iter().any(|other| other.name == one.name && other.parameters != one.parameters)
                }) {
                    Some(one) => Reached::Enough(format!("module {} is loaded again with other parameters", one.name)),
                    None => Reached::Yes,
                }
            }
            (false, _) if !now.is_loaded() => Reached::Yes,
            (false, _) => Reached::No(now.kept().unwrap_or_else(|| format!("module {} is still loaded", self.module))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{one, state, told};
    use super::*;

    #[test]
    fn holders_go_first_and_come_back_last() {
        let step = UnloadModule { module: "nvidia".to_owned() };
        let original = state(&[one("nvidia_drm", false), one("nvidia_modeset", false), one("nvidia", false)]);
        let wanted = step.wanted(&original).unwrap();
        let away = told(&step.moves(&original, &wanted, 0));
        assert_eq!(away, ["unload module nvidia_drm", "unload module nvidia_modeset", "unload module nvidia"]);
        let half = state(&[one("nvidia", false)]);
        assert_eq!(
            told(&step.moves(&half, &original, 0)),
            ["load module nvidia_modeset debug=1", "load module nvidia_drm debug=1"]
        );
        assert_eq!(told(&step.moves(&half, &original, 1))[0], "load module nvidia_modeset");
        assert_eq!(step.moves(&half, &original, 2), []);
        assert_eq!(step.reached(&original, &original), Reached::Yes);
        assert!(matches!(step.reached(&original, &half), Reached::No(_)));
    }

    #[test]
    fn what_goes_along_is_named() {
        let step = UnloadModule { module: "nvidia".to_owned() };
        let original = state(&[one("nvidia_drm", false), one("nvidia", false)]);
        assert_eq!(step.along(&original, &step.wanted(&original).unwrap()), ["module nvidia_drm"]);
        assert_eq!(step.along(&original, &original), [""; 0]);
    }

    #[test]
    fn what_is_in_use_or_built_in_is_refused() {
        let step = UnloadModule { module: "nvidia".to_owned() };
        let error = step.wanted(&state(&[one("nvidia_drm", true), one("nvidia", false)])).unwrap_err();
        assert_eq!(
            error.message,
            "module nvidia cannot be unloaded: module nvidia_drm stays loaded: it is in use (1 references)"
        );
        let built_in = ModuleState { built_in: true, ..state(&[]) };
        assert!(step.wanted(&built_in).unwrap_err().message.contains("built into"));
        assert_eq!(step.wanted(&state(&[])).unwrap(), state(&[]));
    }
}
