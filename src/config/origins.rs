//! Who asked for which field.

use std::collections::BTreeMap;

/// For each field path (`viommu.model`, `hostDevices[gpu0].rom.bar`) the layer that set it, as a person reads it:
/// `profile gpu-workstation (built-in)`, `annotation virt-tailor.io/domain`, `--set viommu.model`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Records the origin of a path.
    pub fn insert(&mut self, path: impl Into<String>, origin: impl Into<String>) {
        self.0.insert(path.into(), origin.into());
    }

    /// The origin of exactly this path.
    pub fn exact(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The origin of a field, else of the nearest field above it or beside it, else "the profile".
    pub fn of(&self, path: &str) -> &str {
        let mut at = path;
        loop {
            let below = |key: &str| key.strip_prefix(at).is_some_and(|rest| rest.starts_with(['.', '[']));
            let nearest =
                self.0.get(at).or_else(|| self.0.iter().find(|(key, _)| below(key)).map(|(_, origin)| origin));
            if let Some(origin) = nearest {
                return origin;
            }
            match at.rfind(['.', '[']) {
                Some(cut) => at = &at[..cut],
                None => return "the profile",
            }
        }
    }
}
