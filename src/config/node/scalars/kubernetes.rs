//! Names of Kubernetes.

use std::str::FromStr;

use crate::config::tree::quote;

use super::{ScalarError, refuse, shown_as_is, written_as_text};

/// An extended resource, `domain/name` (Kubernetes: pkg/apis/core/v1/helper `IsExtendedResourceName`, which kubelet asks of a device
/// plugin's).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceName(String);

shown_as_is!(ResourceName);
written_as_text!(ResourceName);

impl ResourceName {
    /// The name's part in KubeVirt's variables `PCI_RESOURCE_…` and `MDEV_PCI_RESOURCE_…` (KubeVirt: pkg/util
    /// `ResourceNameToEnvVar`). Two names may share it.
    pub fn variable(&self) -> String {
        self.0.to_uppercase().replace(['/', '.'], "_")
    }
}

/// RFC 1123 label: lower-case letters, digits, `-` within; at most 63.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl FromStr for ResourceName {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let no = |why: &str| refuse(format!("{} is not the name of a resource: {why}", quote(text)));
        let Some((domain, name)) = text.split_once('/') else {
            return no("write domain/name, e.g. example.com/gpu");
        };
        // Kubernetes puts "requests." in front for a quota, and that must be a name too.
        if domain.len() > 253 - "requests.".len() || !domain.split('.').all(is_label) {
            return no("before the / stands a domain of lower-case letters, digits, '-' and '.', e.g. example.com");
        }
        if domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") || domain.starts_with("requests.") {
            return no("Kubernetes keeps this domain for itself");
        }
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let ends = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric());
        if name.len() > 63 || !ends || !name.bytes().all(inner) {
            return no("after the / stand at most 63 letters and digits, with '-', '_' and '.' within");
        }
        Ok(Self(text.to_owned()))
    }
}
