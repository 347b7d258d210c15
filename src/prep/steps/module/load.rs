//! Have a module loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::parameter::same;
use super::super::sysfs::write;
use super::{LOOK_WITHIN, Loaded, ModuleState, Need, drives, key};
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::live::modules::{Library, named};
use crate::prep::trouble::Trouble;

/// Have this module loaded with these parameters. Those of one that is loaded already are set where that can be done; else it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadModule {
    /// Its name.
    pub module: String,
    /// `name=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// A parameter as a loaded module shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What it is.
    pub value: String,
    /// Whether it can be set while the module is loaded.
    pub writable: bool,
}

impl LoadModule {
    /// The parameters by name; a name alone switches something on (kernel: kernel/params.c, parse_one and param_set_bool).
    fn asked(&self) -> impl Iterator<Item = (String, &str)> {
        self.parameters.iter().map(|parameter| match parameter.split_once('=') {
            Some((name, value)) => (named(name), value.trim_matches('"')),
            None => (named(parameter), "1"),
        })
    }

    fn file(&self, parameter: &str) -> String {
        format!("sys/module/{}/parameters/{parameter}", named(&self.module))
    }
}

/// Modules of VFIO stay once they are loaded: whoever comes next needs them, and unloading one takes its devices from it.
pub(super) fn is_vfio(module: &str) -> bool {
    module == "vfio" || module.starts_with("vfio_") || module.ends_with("_vfio_pci")
}

/// What is loaded and was not.
fn brought<'a>(now: &'a ModuleState, original: &'a ModuleState) -> impl Iterator<Item = &'a Need> {
    let was = |name: &str| original.needs.iter().any(|need| need.name == name && need.loaded);
    now.needs.iter().filter(move |need| need.loaded && !was(&need.name))
}

/// Why what we have loaded is not unloaded.
fn stays(now: &ModuleState) -> Option<String> {
    let module = now.loaded.last()?;
    let stays = |why: &str| Some(format!("module {} stays loaded: {why}", module.name));
    if let [user, _, ..] = &*now.loaded {
        return stays(&format!("module {} uses it", user.name));
    }
    if is_vfio(&module.name) {
        return stays("it is of VFIO, which the next one needs too");
    }
    if let Some(busy) = &module.busy {
        return stays(busy);
    }
    stays(&format!("it drives {}", module.drives.first()?.device))
}

impl Kind for LoadModule {
    type State = ModuleState;

    fn describe(&self) -> String {
        match &*self.parameters {
            [] => format!("load module {}", self.module),
            parameters => format!("load module {} with {}", self.module, parameters.join(" ")),
        }
    }

    fn effect(&self) -> Effect {
        Effect::shared(key(&self.module))
    }

    fn observe_within(&self) -> Duration {
        LOOK_WITHIN
    }

    fn observe(&self, root: &Root) -> Result<ModuleState, Trouble> {
        let now = ModuleState::observe(root, &self.module)?;
        let mut shown = BTreeMap::new();
        for (name, _) in self.asked() {
            let file = self.file(&name);
            // Some can only be written.
            if let Ok(Some(value)) = root.text(&file) {
                let mode = std::fs::metadata(root.path(&file)).map_or(0, |data| data.permissions().mode());
                shown.insert(name, Shown { value, writable: mode & 0o200 != 0 });
            }
        }
        if now.built_in {
            return Ok(ModuleState { shown, ..now });
        }
        let needs = Library::open(root, None)?.needs(&named(&self.module)).into_iter().map(|name| {
            let count = root.text(format!("sys/module/{name}/refcnt"))?;
            let idle = count.as_deref() == Some("0") && !drives::anything(root, &name)?;
            Ok(Need { loaded: count.is_some(), idle, name })
        });
        let needs = needs.collect::<Result<_, Trouble>>()?;
        Ok(ModuleState { needs, shown, ..now })
    }

    fn wanted(&self, now: &ModuleState) -> Result<ModuleState, Trouble> {
        if !now.built_in && !now.is_loaded() {
            return Ok(ModuleState { loaded: vec![Loaded::new(named(&self.module))], ..now.clone() });
        }
        let mut shown = now.shown.clone();
        for (name, value) in self.asked() {
            match shown.get_mut(&name) {
                Some(is) if same(&is.value, value) => (),
                Some(is) if is.writable => value.clone_into(&mut is.value),
                Some(is) => {
                    let what = if now.built_in { "built into this kernel" } else { "loaded already" };
                    return Err(Trouble::new(format!(
                        "module {} is {what} with {name}={}, and not {value}: that can only be given when it is loaded \
                         (unload it first, give {name}={value} at boot, or ask for what it has)",
                        self.module, is.value
                    )));
                }
                // Whether it has it is not to be seen: said when it is read back.
                None => (),
            }
        }
        Ok(ModuleState { shown, ..now.clone() })
    }

    fn moves(&self, from: &ModuleState, to: &ModuleState, attempt: u32) -> Vec<Action> {
        match (from.is_loaded(), to.is_loaded(), attempt) {
            (false, true, 0) => {
                vec![Action::LoadModule {
                    module: self.module.clone(),
                    parameters: self.parameters.clone(),
                    from: None,
                }]
            }
            (true, true, 0) | (false, false, 0) if from.built_in || from.is_loaded() => {
                let other = |(name, to): &(&String, &Shown)| {
                    from.shown.get(*name).is_some_and(|from| from.writable && !same(&from.value, &to.value))
                };
                let text = |value: &str| if value.is_empty() { "\n".to_owned() } else { value.to_owned() };
                let other = to.shown.iter().filter(other);
                other.filter_map(|(name, to)| write(self.file(name), text(&to.value))).collect()
            }
            (true, false, 0) if stays(from).is_none() => from.unload().collect(),
            // What it had brought along, as far as nobody uses it: each that goes may let others go.
            (false, false, 0..=8) => {
                let ours = brought(from, to).filter(|need| need.idle && !is_vfio(&need.name));
                ours.map(|need| Action::UnloadModule { module: need.name.clone() }).collect()
            }
            _ => Vec::new(),
        }
    }

    fn undone(&self, original: &ModuleState, _wanted: &ModuleState, now: &ModuleState) -> ModuleState {
        // Who unloaded it meanwhile had a reason.
        if original.is_loaded() && !now.is_loaded() { now.clone() } else { original.clone() }
    }

    fn along(&self, from: &ModuleState, to: &ModuleState) -> Vec<String> {
        let comes = !from.is_loaded() && to.is_loaded();
        from.needs.iter().filter(|need| comes && !need.loaded).map(|need| key(&need.name)).collect()
    }

    fn sparing(&self, goal: &ModuleState, held: &BTreeSet<String>) -> ModuleState {
        let mut goal = goal.clone();
        for need in &mut goal.needs {
            need.loaded |= held.contains(&key(&need.name));
        }
        goal
    }

    fn reached(&self, goal: &ModuleState, now: &ModuleState) -> Reached {
        match (goal.is_loaded(), now.is_loaded()) {
            (true, false) => Reached::No(format!("module {} is not loaded", self.module)),
            (false, true) => match stays(now) {
                Some(why) => Reached::Enough(why),
                None => Reached::No(format!("module {} is still loaded", self.module)),
            },
            (false, false) if !now.built_in => match brought(now, goal).next() {
                Some(need) if need.idle && !is_vfio(&need.name) => {
                    Reached::No(format!("module {} is still loaded", need.name))
                }
                Some(need) => Reached::Enough(format!("module {} stays loaded: it is in use", need.name)),
                None => Reached::Yes,
            },
            (true, true) | (false, false) => {
                let other = |(name, goal): &(&String, &Shown)| {
                    now.shown.get(*name).is_some_and(|now| !same(&now.value, &goal.value))
                };
                match goal.shown.iter().find(other) {
                    Some((name, _)) => Reached::No(format!(
                        "parameter {name} of module {} is {:?}",
                        self.module,
                        now.shown.get(name).map(|shown| &shown.value)
                    )),
                    None => Reached::Yes,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{driving, one, state, told};
    use super::*;

    fn step(module: &str, parameters: &[&str]) -> LoadModule {
        let parameters = parameters.iter().map(|parameter| (*parameter).to_owned()).collect();
        LoadModule { module: module.to_owned(), parameters }
    }

    fn shown(value: &str, writable: bool) -> BTreeMap<String, Shown> {
        [("answer".to_owned(), Shown { value: value.to_owned(), writable })].into()
    }

    #[test]
    fn only_what_we_loaded_is_unloaded_and_only_if_nobody_uses_it() {
        let step = step("snd-hda", &[]);
        let there = state(&[one("snd_hda", false)]);
        assert_eq!(step.wanted(&there).unwrap(), there);
        let need = |loaded, idle| Need { name: "snd".to_owned(), loaded, idle };
        let original = ModuleState { needs: vec![need(false, false)], ..state(&[]) };
        let wanted = step.wanted(&original).unwrap();
        assert_eq!(told(&step.moves(&original, &wanted, 0)), ["load module snd-hda"]);
        let now = ModuleState { needs: vec![need(true, false)], ..there.clone() };
        assert_eq!(told(&step.moves(&now, &original, 0)), ["unload module snd_hda"]);
        let then = ModuleState { needs: vec![need(true, true)], ..state(&[]) };
        assert_eq!(told(&step.moves(&then, &original, 1)), ["unload module snd"]);
        let others = [one("snd_hda_intel", false), one("snd_hda", false)];
        for used in [state(&[one("snd_hda", true)]), state(&others), state(&[driving("snd_hda", None)])] {
            assert_eq!(step.moves(&used, &original, 0), []);
            assert!(matches!(step.reached(&original, &used), Reached::Enough(_)), "{used:?}");
        }
        // It was there, and somebody has unloaded it: it is not ours to load.
        assert_eq!(step.undone(&there, &there, &state(&[])), state(&[]));
    }

    #[test]
    fn modules_of_vfio_stay() {
        let original = state(&[]);
        for name in ["vfio", "vfio_pci", "vfio_iommu_type1", "mlx5_vfio_pci", "vfio_pci_core"] {
            let (step, now) = (step(name, &[]), state(&[one(name, false)]));
            assert_eq!(step.moves(&now, &original, 0), []);
            let why = format!("module {name} stays loaded: it is of VFIO, which the next one needs too");
            assert_eq!(step.reached(&original, &now), Reached::Enough(why));
        }
    }

    #[test]
    fn parameters_of_a_loaded_module_are_set_or_it_is_refused() {
        let step = step("toy", &["answer=0x10"]);
        let there =
            |value: &str, writable| ModuleState { shown: shown(value, writable), ..state(&[one("toy", false)]) };
        assert_eq!(step.wanted(&there("16", false)).unwrap(), there("16", false));
        let wanted = step.wanted(&there("41", true)).unwrap();
        let file = "/sys/module/toy/parameters/answer";
        assert_eq!(told(&step.moves(&there("41", true), &wanted, 0)), [format!("write \"0x10\" to {file}")]);
        assert!(matches!(step.reached(&wanted, &there("41", true)), Reached::No(_)));
        assert_eq!(step.reached(&wanted, &there("16", true)), Reached::Yes);
        assert_eq!(told(&step.moves(&there("16", true), &there("41", true), 0)), [format!("write \"41\" to {file}")]);
        let error = step.wanted(&there("41", false)).unwrap_err().message;
        assert!(error.starts_with("module toy is loaded already with answer=41, and not 0x10"), "{error}");
        let built_in = ModuleState { built_in: true, shown: shown("41", false), ..state(&[]) };
        assert!(step.wanted(&built_in).unwrap_err().message.contains("is built into this kernel with answer=41"));
        // Nothing is loaded for it either, and its switches can be set.
        let built_in = ModuleState { built_in: true, shown: shown("41", true), ..state(&[]) };
        let wanted = step.wanted(&built_in).unwrap();
        assert_eq!(told(&step.moves(&built_in, &wanted, 0)), [format!("write \"0x10\" to {file}")]);
    }

    #[test]
    fn what_comes_along_is_named_and_stays_if_others_want_it() {
        let step = step("vxlan", &[]);
        let need = |loaded, idle| Need { name: "udp_tunnel".to_owned(), loaded, idle };
        let original = ModuleState { needs: vec![need(false, false)], ..state(&[]) };
        assert_eq!(step.along(&original, &step.wanted(&original).unwrap()), ["module udp_tunnel"]);
        let now = ModuleState { needs: vec![need(true, true)], ..state(&[]) };
        assert_eq!(told(&step.moves(&now, &original, 1)), ["unload module udp_tunnel"]);
        let spared = step.sparing(&original, &["module udp_tunnel".to_owned()].into());
        assert_eq!((step.moves(&now, &spared, 1), step.reached(&spared, &now)), (Vec::new(), Reached::Yes));
    }

    #[test]
    fn a_name_alone_switches_on() {
        let step = step("toy", &["debug", "dash-ed=2", "text=\"a b\""]);
        let asked: Vec<_> = step.asked().collect();
        assert_eq!(asked, [("debug".to_owned(), "1"), ("dash_ed".to_owned(), "2"), ("text".to_owned(), "a b")]);
    }
}
