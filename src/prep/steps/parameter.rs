//! A module's parameter, while it is loaded (kernel: Documentation/admin-guide/sysfs-rules, /sys/module).

use std::os::unix::fs::PermissionsExt as _;

use serde::{Deserialize, Serialize};

use super::sysfs::write;
use crate::base::did_you_mean;
use crate::host::Root;
use crate::prep::action::Action;
use crate::prep::kind::{Effect, Kind, Reached};
use crate::prep::live::modules::named;
use crate::prep::trouble::Trouble;

/// Set this parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetParameter {
    /// Of which module.
    pub module: String,
    /// Which.
    pub name: String,
    /// To what.
    pub value: String,
}

/// What a parameter is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterState {
    /// `None`: there is none.
    pub value: Option<String>,
    /// Whether it can be set while the module is loaded.
    pub writable: bool,
    /// Names of all there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Kind for SetParameter {
    type State = ParameterState;

    fn describe(&self) -> String {
        format!("set parameter {} of module {} to {:?}", self.name, self.module, self.value)
    }

    fn effect(&self) -> Effect {
        Effect::shared(format!("parameter {} of module {}", named(&self.name), named(&self.module)))
    }

    fn observe(&self, root: &Root) -> Result<ParameterState, Trouble> {
        let file = self.file();
        let mode = std::fs::metadata(root.path(&file)).map_or(0, |data| data.permissions().mode());
        let names = root.names(format!("sys/module/{}/parameters", named(&self.module)))?;
        Ok(ParameterState { value: root.text(&file)?, writable: mode & 0o200 != 0, names })
    }

    fn wanted(&self, now: &ParameterState) -> Result<ParameterState, Trouble> {
        let refuse = |why: String| Err(Trouble::new(format!("cannot {}: {why}", self.describe())));
        match &now.value {
            None if now.names.is_empty() => refuse("the module is not loaded or has no parameters".to_owned()),
            None => {
                let close = did_you_mean(&self.name, now.names.iter().map(String::as_str));
                refuse(format!("it has no such parameter{close}"))
            }
            Some(value) if same(value, &self.value) => Ok(now.clone()),
            Some(_) if !now.writable => refuse("it can only be given when the module is loaded".to_owned()),
            Some(_) => Ok(ParameterState { value: Some(self.value.clone()), ..now.clone() }),
        }
    }

    fn moves(&self, _from: &ParameterState, to: &ParameterState, attempt: u32) -> Vec<Action> {
        match &to.value {
            // A write of nothing never reaches the kernel.
            Some(value) if attempt == 0 => {
                write(self.file(), if value.is_empty() { "\n" } else { value }).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn undone(&self, original: &ParameterState, _wanted: &ParameterState, now: &ParameterState) -> ParameterState {
        // What has been unloaded took its parameters along.
        if now.value.is_some() { original.clone() } else { now.clone() }
    }

    fn reached(&self, goal: &ParameterState, now: &ParameterState) -> Reached {
        match (&goal.value, &now.value) {
            (None, None) => Reached::Yes,
            (Some(goal), Some(now)) if same(goal, now) => Reached::Yes,
            (_, now) => Reached::No(format!("parameter {} of module {} is {now:?}", self.name, self.module)),
        }
    }
}

impl SetParameter {
    fn file(&self) -> String {
        format!("sys/module/{}/parameters/{}", named(&self.module), self.name)
    }
}

/// Whether two texts are one value: the kernel shows 1 as Y where it is a switch, and 0x10 as 16.
pub(super) fn same(a: &str, b: &str) -> bool {
    let switch = |text: &str| match text {
        "1" | "y" | "Y" => Some(true),
        "0" | "n" | "N" => Some(false),
        _ => None,
    };
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => i128::from_str_radix(digits, 16).ok(),
        None => text.parse::<i128>().ok(),
    };
    a == b || (switch(a).is_some() && switch(a) == switch(b)) || (number(a).is_some() && number(a) == number(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(mode: u32) -> (tempfile::TempDir, Root) {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("sys/module/vfio_pci/parameters");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("disable_idle_d3"), "N\n").unwrap();
        std::fs::set_permissions(folder.join("disable_idle_d3"), std::fs::Permissions::from_mode(mode)).unwrap();
        let root = Root::new(tree.path());
        (tree, root)
    }

    fn step(name: &str, value: &str) -> SetParameter {
        SetParameter { module: "vfio-pci".to_owned(), name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn it_is_set_and_comes_back() {
        let (_tree, root) = tree(0o644);
        let step = step("disable_idle_d3", "1");
        let original = step.observe(&root).unwrap();
        let wanted = step.wanted(&original).unwrap();
        let told = |actions: Vec<Action>| actions.iter().map(ToString::to_string).collect::<Vec<_>>();
        let file = "/sys/module/vfio_pci/parameters/disable_idle_d3";
        assert_eq!(told(step.moves(&original, &wanted, 0)), [format!("write \"1\" to {file}")]);
        let shown = ParameterState { value: Some("Y".to_owned()), ..wanted.clone() };
        assert_eq!(step.reached(&wanted, &shown), Reached::Yes);
        assert_eq!(
            told(step.moves(&shown, &step.undone(&original, &wanted, &shown), 0)),
            [format!("write \"N\" to {file}")]
        );
        assert_eq!(step.wanted(&shown).unwrap(), shown);
    }

    #[test]
    fn what_cannot_be_set_is_refused() {
        let (_tree, root) = tree(0o444);
        let refused = |step: SetParameter| step.wanted(&step.observe(&root).unwrap()).unwrap_err().message;
        assert!(refused(step("disable_idle_d3", "1")).ends_with("it can only be given when the module is loaded"));
        assert!(refused(step("disable_idle_d", "1")).ends_with("did you mean \"disable_idle_d3\"?"));
        let other = SetParameter { module: "kvm".to_owned(), ..step("x", "1") };
        assert!(refused(other).ends_with("the module is not loaded or has no parameters"));
    }
}
