//! Loading and unloading kernel modules, and giving exactly that back.
//!
//! A module is unloaded at undo only if it was we who loaded it, and nobody uses it by then; never by force. What a module drives is no
//! user of it: unloading a driver takes its devices from it, which the guards look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::live::modules::{Library, named, users};
use crate::prep::trouble::Trouble;

/// Have this module loaded. Its parameters are given only if it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadModule {
    /// Its name.
    pub module: String,
    /// `name=value` each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// Have this module, and those that use it, not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnloadModule {
    /// Its name.
    pub module: String,
}

/// One loaded module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its name as the kernel writes it.
    pub name: String,
    /// What it was loaded with, or has been told since.
    pub parameters: BTreeMap<String, String>,
    /// Who uses it but for modules that are in the list before it, in words.
    pub busy: Option<String>,
}

/// A module and those that use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleState {
    /// Whether it is part of the kernel itself.
    pub built_in: bool,
    /// Those that are loaded, in the order in which they can be unloaded: the module itself is the last.
    pub loaded: Vec<Loaded>,
    /// What it needs loaded before it, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
}

/// A module that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Its name.
    pub name: String,
    /// Whether it is loaded.
    pub loaded: bool,
    /// Whether nobody uses it.
    pub idle: bool,
}

impl ModuleState {
    pub(super) fn observe(root: &Root, module: &str) -> Result<Self, Trouble> {
        let name = named(module);
        let mut loaded = Vec::new();
        collect(root, &name, &mut loaded)?;
        // A built-in module shows parameters at most, and is never counted.
        let built_in = loaded.is_empty()
            && (root.has(format!("sys/module/{name}"))
                || Library::open(root, None).is_ok_and(|library| library.is_built_in(&name)));
        Ok(Self { built_in, loaded, needs: Vec::new() })
    }

    pub(super) fn is_loaded(&self) -> bool {
        !self.loaded.is_empty()
    }

    /// The first that is in use.
    pub(super) fn busy(&self) -> Option<String> {
        self.loaded.iter().find_map(|one| Some(format!("module {} stays loaded: {}", one.name, one.busy.as_ref()?)))
    }

    pub(super) fn unload(&self) -> impl Iterator<Item = Action> {
        self.loaded.iter().map(|one| Action::UnloadModule { module: one.name.clone() })
    }
}

/// Puts a module behind all that use it.
fn collect(root: &Root, name: &str, into: &mut Vec<Loaded>) -> Result<(), Trouble> {
    let folder = format!("sys/module/{name}");
    let Some(count) = root.value(format!("{folder}/refcnt"), "a number", |text| text.parse::<u64>().ok())? else {
        return Ok(());
    };
    if into.iter().any(|one| one.name == name) {
        return Ok(());
    }
    let holders = root.names(format!("{folder}/holders"))?;
    for holder in &holders {
        collect(root, holder, into)?;
    }
    let busy = if count > holders.len() as u64 { users(root, name) } else { None };
    into.push(Loaded { name: name.to_owned(), parameters: parameters(root, name)?, busy });
    Ok(())
}

/// What a module's parameters are now. Some can only be written, and some have no text.
fn parameters(root: &Root, name: &str) -> Result<BTreeMap<String, String>, Trouble> {
    let folder = format!("sys/module/{name}/parameters");
    let mut values = BTreeMap::new();
    for parameter in root.names(&folder)? {
        if let Ok(Some(value)) = root.text(format!("{folder}/{parameter}"))
            && !value.is_empty()
            && value != "(null)"
            && !value.contains(char::is_whitespace)
        {
            values.insert(parameter, value);
        }
    }
    Ok(values)
}

/// Loads a module as it was loaded.
pub(super) fn load_again(one: &Loaded, plainly: bool) -> Action {
    let parameters = one.parameters.iter().map(|(name, value)| format!("{name}={value}"));
    Action::LoadModule { module: one.name.clone(), parameters: parameters.filter(|_| !plainly).collect(), from: None }
}

/// What is loaded and was not.
fn brought<'a>(now: &'a ModuleState, original: &'a ModuleState) -> impl Iterator<Item = &'a Need> {
    let was = |name: &str| original.needs.iter().any(|need| need.name == name && need.loaded);
    now.needs.iter().filter(move |need| need.loaded && !was(&need.name))
}

impl Kind for LoadModule {
    type State = ModuleState;

    fn describe(&self) -> String {
        format!("load module {}", self.module)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("module {}", named(&self.module)))
    }

    fn observe(&self, root: &Root) -> Result<ModuleState, Trouble> {
        let now = ModuleState::observe(root, &self.module)?;
        if now.built_in {
            return Ok(now);
        }
        let needs = Library::open(root, None)?.needs(&named(&self.module)).into_iter().map(|name| {
            let count = root.text(format!("sys/module/{name}/refcnt"))?;
            Ok(Need { loaded: count.is_some(), idle: count.as_deref() == Some("0"), name })
        });
        let needs = needs.collect::<Result<_, Trouble>>()?;
        Ok(ModuleState { needs, ..now })
    }

    fn wanted(&self, now: &ModuleState) -> Result<ModuleState, Trouble> {
        let one = Loaded { name: named(&self.module), parameters: BTreeMap::new(), busy: None };
        let there = now.built_in || now.is_loaded();
        Ok(if there { now.clone() } else { ModuleState { loaded: vec![one], ..now.clone() } })
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
            // Only it: who has come to use it since keeps it.
            (true, false, 0) if from.loaded.len() == 1 && from.busy().is_none() => from.unload().collect(),
            // What it had brought along, as far as nobody uses it: each that goes may let others go.
            (false, false, 0..=8) => {
                let ours = brought(from, to).filter(|need| need.idle);
                ours.map(|need| Action::UnloadModule { module: need.name.clone() }).collect()
            }
            _ => Vec::new(),
        }
    }

    fn reached(&self, goal: &ModuleState, now: &ModuleState) -> Reached {
        let who = || match now.busy() {
            Some(busy) => busy,
            None => format!("module {} stays loaded: module {} uses it", self.module, now.loaded[0].name),
        };
        let (goal_loaded, now_loaded) = (goal.is_loaded(), now.is_loaded());
        match (goal_loaded, now_loaded) {
            (false, false) => match brought(now, goal).next() {
                Some(need) if need.idle => Reached::No(format!("module {} is still loaded", need.name)),
                Some(need) => Reached::Enough(format!("module {} stays loaded: it is in use", need.name)),
                None => Reached::Yes,
            },
            (true, true) => Reached::Yes,
            (false, true) if now.loaded.len() > 1 || now.busy().is_some() => Reached::Enough(who()),
            (false, _) => Reached::No(format!("module {} is still loaded", self.module)),
            (true, _) => Reached::No(format!("module {} is not loaded", self.module)),
        }
    }
}

impl Kind for UnloadModule {
    type State = ModuleState;

    fn describe(&self) -> String {
        format!("unload module {}", self.module)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("module {}", named(&self.module)))
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
        match now.busy() {
            Some(busy) => Err(Trouble::new(format!("module {} cannot be unloaded: {busy}", self.module))),
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
        if attempt == 0 && from.busy().is_none() { from.unload().collect() } else { Vec::new() }
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
            (false, _) => Reached::No(now.busy().unwrap_or_else(|| format!("module {} is still loaded", self.module))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, busy: bool) -> Loaded {
        let parameters = [("debug".to_owned(), "1".to_owned())].into();
        Loaded { name: name.to_owned(), parameters, busy: busy.then(|| "it is in use (1 references)".to_owned()) }
    }

    fn state(loaded: &[Loaded]) -> ModuleState {
        ModuleState { built_in: false, loaded: loaded.to_vec(), needs: Vec::new() }
    }

    fn told(actions: &[Action]) -> Vec<String> {
        actions.iter().map(ToString::to_string).collect()
    }

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

    #[test]
    fn only_what_we_loaded_is_unloaded_and_only_if_nobody_uses_it() {
        let step = LoadModule { module: "vfio-pci".to_owned(), parameters: Vec::new() };
        let there = state(&[one("vfio_pci", false)]);
        assert_eq!(step.wanted(&there).unwrap(), there);
        let need = |loaded, idle| Need { name: "vfio".to_owned(), loaded, idle };
        let original = ModuleState { needs: vec![need(false, false)], ..state(&[]) };
        let wanted = step.wanted(&original).unwrap();
        assert_eq!(told(&step.moves(&original, &wanted, 0)), ["load module vfio-pci"]);
        let now = ModuleState { needs: vec![need(true, false)], ..there.clone() };
        assert_eq!(told(&step.moves(&now, &original, 0)), ["unload module vfio_pci"]);
        let then = ModuleState { needs: vec![need(true, true)], ..state(&[]) };
        assert_eq!(told(&step.moves(&then, &original, 1)), ["unload module vfio"]);
        for used in [state(&[one("vfio_pci", true)]), state(&[one("mlx5_vfio_pci", false), one("vfio_pci", false)])] {
            assert_eq!(step.moves(&used, &original, 0), []);
            assert!(matches!(step.reached(&original, &used), Reached::Enough(_)));
        }
    }

    #[test]
    fn who_uses_whom_is_read() {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "kvm/refcnt",
                "2
",
            ),
            ("kvm/holders/kvm_intel", ""),
            (
                "kvm/parameters/halt_poll_ns",
                "200000
",
            ),
            (
                "kvm/parameters/odd",
                "(null)
",
            ),
            (
                "kvm_intel/refcnt",
                "0
",
            ),
            (
                "pci_stub/parameters/ids",
                "
",
            ),
        ] {
            let path = tree.path().join("sys/module").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = Root::new(tree.path());
        let now = ModuleState::observe(&root, "kvm").unwrap();
        assert_eq!(now.loaded.iter().map(|one| &*one.name).collect::<Vec<_>>(), ["kvm_intel", "kvm"]);
        assert_eq!(now.loaded[1].busy.as_deref(), Some("it is used by module kvm_intel and 1 more references"));
        assert_eq!(now.loaded[1].parameters, [("halt_poll_ns".to_owned(), "200000".to_owned())].into());
        assert!(ModuleState::observe(&root, "pci-stub").unwrap().built_in);
    }
}
