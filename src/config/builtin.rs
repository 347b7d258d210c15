//! The profiles that come with the program, and those an admin puts beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::problems::Source;

/// The built-in profiles: name and text. None names a device.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("dpdk-viommu", include_str!("builtin/dpdk-viommu.yaml")),
    ("gpu-workstation", include_str!("builtin/gpu-workstation.yaml")),
    ("low-latency", include_str!("builtin/low-latency.yaml")),
    ("vgpu-desktop", include_str!("builtin/vgpu-desktop.yaml")),
];

/// A profile as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileText {
    /// How messages call it: the path of its file.
    pub label: String,
    /// The YAML document.
    pub text: String,
}

/// The profiles that can be named: the built-in ones and those of a directory, which beat a built-in of their name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profiles {
    directory: BTreeMap<String, ProfileText>,
}

impl Profiles {
    /// The built-in profiles alone.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Adds a profile of the directory under the name it is found as (its file's name without `.yaml`). Its text is read only when
    /// somebody names it, so that a broken profile harms nobody else.
    pub fn insert(&mut self, name: impl Into<String>, profile: ProfileText) {
        self.directory.insert(name.into(), profile);
    }

    /// The names there are, in order.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            BUILT_IN.iter().map(|(name, _)| *name).chain(self.directory.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of the directory's profiles, in order.
    pub fn directory(&self) -> impl Iterator<Item = &str> {
        self.directory.keys().map(String::as_str)
    }

    /// The source and text of a profile.
    pub(super) fn get(&self, name: &str) -> Option<(Arc<Source>, &str)> {
        if let Some(profile) = self.directory.get(name) {
            return Some((profile.source(), &profile.text));
        }
        let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        let label = format!("profile {name} (built-in)");
        let source = Source::File { origin: label.clone(), label };
        Some((Arc::new(source), text))
    }
}

impl ProfileText {
    pub(super) fn source(&self) -> Arc<Source> {
        Arc::new(Source::File { label: self.label.clone(), origin: format!("profile {}", self.label) })
    }
}
