//! How sockets are called.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::str::FromStr;

// Those of a former life are recognised by it, and the agent looks for them.
pub(super) use crate::link::{SOCKET_PREFIX as PREFIX, SOCKET_SUFFIX as SUFFIX};

/// The socket of the Plugin API: its name stands in the Plugin object, so it is fixed.
pub(super) const PLUGIN_SOCKET: &str = "virt-tailor.sock";

/// Longest part that tells who we are. virt-launcher sees the socket under a longer path than we do, and a socket address has 108
/// bytes: `/var/run/kubevirt-hooks/hook-sidecar-10/` and this name make 99.
const MAX_WHO: usize = 24;

/// A name that no other socket in a pod has: virt-launcher knows sockets by base name alone and waits in vain for the second of two
/// that are called alike.
pub(super) fn unique() -> String {
    let who = std::env::var("CONTAINER_NAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| {
        // KubeVirt names the container since 1.6.
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!("{}-{}", std::process::id(), host.trim())
    });
    format!("{PREFIX}{}-{:016x}{SUFFIX}", clean(&who), random())
}

/// The part of a text that can stand in a file's name.
fn clean(who: &str) -> String {
    who.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_WHO).collect()
}

/// A number that nobody can foresee: the keys of std's hash maps come from the operating system.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The name of a Plugin object, and of its folder below `/var/run/kubevirt-plugin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginName(String);

/// Why a text is not the name of a Plugin object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PluginNameError {
    /// Characters that Kubernetes does not take.
    #[error("a Plugin's name has lower case letters, digits, - and . only, and begins and ends with a letter or digit")]
    Characters,
    /// The path of its socket would be longer than KubeVirt takes.
    #[error("the name is too long: KubeVirt takes paths of at most 108 characters, so it may have {max}")]
    TooLong {
        /// How long it may be.
        max: usize,
    },
}

impl PluginName {
    /// Longest name: a socket address ends with a zero byte.
    const MAX: usize = 107 - "/var/run/kubevirt-plugin/".len() - 1 - PLUGIN_SOCKET.len();

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginName {
    type Err = PluginNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        if !ends.iter().all(|c| c.is_some_and(|c| is_word(*c)))
            || !bytes.iter().all(|c| is_word(*c) || matches!(c, b'-' | b'.'))
        {
            return Err(PluginNameError::Characters);
        }
        if text.len() > Self::MAX {
            return Err(PluginNameError::TooLong { max: Self::MAX });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sockets_are_unique_and_short() {
        let (one, two) = (unique(), unique());
        assert_ne!(one, two);
        assert!(one.starts_with("virt-tailor-") && one.ends_with(".sock"), "{one}");
        assert!("/var/run/kubevirt-hooks/hook-sidecar-10/".len() + one.len() < 108, "{one}");
        assert_eq!(clean("hook-sidecar-3"), "hook-sidecar-3");
        assert_eq!(clean("../a b\n.sock"), "absock");
    }

    #[test]
    fn names_of_plugins_are_kubernetes_names() {
        for name in ["a", "tailor", "virt-tailor.example.org", &"x".repeat(65)] {
            assert_eq!(name.parse::<PluginName>().unwrap().as_str(), name);
        }
        for name in ["", ".", "..", "a/b", "A", "-a", "a-", "a\0", "ä"] {
            assert_eq!(name.parse::<PluginName>(), Err(PluginNameError::Characters), "{name:?}");
        }
        assert_eq!("x".repeat(66).parse::<PluginName>(), Err(PluginNameError::TooLong { max: 65 }));
    }
}
