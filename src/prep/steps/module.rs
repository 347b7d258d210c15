//! Loading, unloading and replacing kernel modules, and giving exactly that back.
//!
//! | file | what it is |
//! |---|---|
//! | `load`, `unload`, `swap` | the steps |
//! | `drives` | what a module drives, and whether the node needs it |
//!
//! A module is unloaded at undo only if it was we who loaded it, and nobody uses it by then; never by force. The kernel counts modules
//! and open files as users, and not the devices that a module drives: unloading takes them from it. So these are looked at here.

mod drives;
mod load;
mod swap;
mod unload;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::live::modules::{Library, named, users};
use crate::prep::trouble::Trouble;
pub use drives::Driven;
pub use load::{LoadModule, Shown};
pub use swap::{SwapModule, SwapState};
pub use unload::UnloadModule;

/// One loaded module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its name as the kernel writes it.
    pub name: String,
    /// What it was loaded with, or has been told since.
    pub parameters: BTreeMap<String, String>,
    /// Who uses it but for modules that are in the list before it, in words.
    pub busy: Option<String>,
    /// The devices that it drives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drives: Vec<Driven>,
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
    /// The parameters that are asked for, as they are; those that are not shown are not in here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shown: BTreeMap<String, Shown>,
}

/// A module that another one needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Its name.
    pub name: String,
    /// Whether it is loaded.
    pub loaded: bool,
    /// Whether nobody uses it and it drives nothing.
    pub idle: bool,
}

impl Loaded {
    /// A module that is to be loaded.
    fn new(name: String) -> Self {
        Self { name, parameters: BTreeMap::new(), busy: None, drives: Vec::new() }
    }

    /// Why it cannot be unloaded, or must not.
    fn kept(&self) -> Option<String> {
        let why = match (&self.busy, self.drives.iter().find_map(|one| Some((one, one.needed.as_ref()?)))) {
            (Some(busy), _) => busy.clone(),
            (None, Some((driven, needed))) => format!("it drives {}, and {needed}", driven.device),
            (None, None) => return None,
        };
        Some(format!("module {} stays loaded: {why}", self.name))
    }
}

impl ModuleState {
    fn observe(root: &Root, module: &str) -> Result<Self, Trouble> {
        let name = named(module);
        let mut loaded = Vec::new();
        collect(root, &name, &mut loaded)?;
        drives::look(root, &mut loaded)?;
        // A built-in module shows parameters at most, and is never counted.
        let built_in = loaded.is_empty()
            && (root.has(format!("sys/module/{name}"))
                || Library::open(root, None).is_ok_and(|library| library.is_built_in(&name)));
        Ok(Self { built_in, loaded, needs: Vec::new(), shown: BTreeMap::new() })
    }

    fn is_loaded(&self) -> bool {
        !self.loaded.is_empty()
    }

    /// Why one of them cannot be unloaded, or must not.
    fn kept(&self) -> Option<String> {
        self.loaded.iter().find_map(Loaded::kept)
    }

    fn unload(&self) -> impl Iterator<Item = Action> {
        self.loaded.iter().map(|one| Action::UnloadModule { module: one.name.clone() })
    }
}

/// Looking at modules reads long lists and unpacks whole files, and waits for no device: a busy machine may take its time.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

/// The effect of all that is done to a module.
fn key(module: &str) -> String {
    format!("module {}", named(module))
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
    into.push(Loaded { name: name.to_owned(), parameters: parameters(root, name)?, busy, drives: Vec::new() });
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
fn load_again(one: &Loaded, plainly: bool) -> Action {
    let parameters = one.parameters.iter().map(|(name, value)| format!("{name}={value}"));
    Action::LoadModule { module: one.name.clone(), parameters: parameters.filter(|_| !plainly).collect(), from: None }
}

#[cfg(test)]
mod tests;
