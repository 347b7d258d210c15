//! A pod's UID → its namespace and name, without asking Kubernetes: kubelet knows, and the container runtime writes it down.
//!
//! Kubelet makes a folder `<namespace>_<name>_<uid>` for the logs of every pod (kubernetes: pkg/kubelet/kuberuntime/helpers.go,
//! BuildPodLogsDirectory), as root, below a folder where only root can write. No name in Kubernetes has an underscore.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::Pod;
use super::walk::is_uid;

/// Whoever else knows the names of pods: kubelet's Pods API, where there is one.
pub trait Names: Send + Sync + 'static {
    /// The namespace and name of a pod; none if this does not know, and then the folders of logs are asked.
    fn name_of(&self, uid: &str) -> impl Future<Output = Option<(String, String)>> + Send;
}

/// Nobody else knows.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogsAlone;

impl Names for LogsAlone {
    async fn name_of(&self, _: &str) -> Option<(String, String)> {
        None
    }
}

/// Why it is not known who a pod is. Then nothing is done for it.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// Nobody has written it down.
    #[error("nobody knows the pod's name: kubelet has no folder of logs for it")]
    Absent,
    /// Two names.
    #[error("the pod has more than one folder of logs, with different names")]
    Ambiguous,
    /// The folder cannot be read.
    #[error("cannot read the folder of pod logs: {0}")]
    Unreadable(#[source] io::Error),
}

/// Who a pod is, by the folders of logs.
pub fn from_logs(folder: &Path, uid: &str) -> Result<Pod, NameError> {
    if !is_uid(uid) {
        return Err(NameError::Absent);
    }
    let owner = fs::metadata(folder).map_err(NameError::Unreadable)?.uid();
    let mut known: Option<Pod> = None;
    for entry in fs::read_dir(folder).map_err(NameError::Unreadable)? {
        let entry = entry.map_err(NameError::Unreadable)?;
        let Some(pod) = entry.file_name().to_str().and_then(read) else { continue };
        // Only who owns the whole may say who a pod is. A link says nothing.
        let is_right = || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == owner);
        if pod.uid == uid && is_right() && known.replace(pod).is_some() {
            return Err(NameError::Ambiguous);
        }
    }
    known.ok_or(NameError::Absent)
}

/// The name of a folder of logs.
fn read(name: &str) -> Option<Pod> {
    let mut parts = name.split('_');
    let (Some(namespace), Some(name), Some(uid), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    pod(uid, namespace, name)
}

/// A pod of well-formed names.
pub(super) fn pod(uid: &str, namespace: &str, name: &str) -> Option<Pod> {
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    // RFC 1123 names: a label for a namespace, a subdomain for a pod.
    let is_name = |text: &str, most: usize, inner: &[u8]| {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()].iter().all(|c| c.is_some_and(|c| is_word(*c)));
        ends && bytes.len() <= most && bytes.iter().all(|c| is_word(*c) || inner.contains(c))
    };
    let is_pod = is_uid(uid) && is_name(namespace, 63, b"-") && is_name(name, 253, b"-.");
    is_pod.then(|| Pod { uid: uid.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const UID: &str = "0f9c2a7e-1111-4222-8333-444455556666";

    #[test]
    fn a_folder_of_logs_names_its_pod() {
        let logs = tempfile::tempdir().unwrap();
        fs::create_dir(logs.path().join(format!("team-a_virt-launcher-vm.one-x7k2p_{UID}"))).unwrap();
        fs::create_dir(logs.path().join("kube-system_other_00000000-1111-4222-8333-444455556666")).unwrap();
        let pod = from_logs(logs.path(), UID).unwrap();
        assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("team-a", "virt-launcher-vm.one-x7k2p"));
        assert_eq!(pod.uid, UID);
    }

    #[test]
    fn what_is_no_such_folder_names_nobody() {
        let logs = tempfile::tempdir().unwrap();
        let path = |name: &str| logs.path().join(name);
        fs::write(path(&format!("a_file_{UID}")), "").unwrap();
        symlink("/", path(&format!("a_link_{UID}"))).unwrap();
        for name in ["a_b_c", "A_b", "a_b..", "a__b", "-a_b", "_b", "a_"] {
            fs::create_dir(path(&format!("{name}_{UID}"))).unwrap();
        }
        for uid in [UID, "", "..", "../../x", "0f9c2a7e_1111"] {
            assert!(matches!(from_logs(logs.path(), uid), Err(NameError::Absent)), "{uid}");
        }
        assert!(matches!(from_logs(&path("none"), UID), Err(NameError::Unreadable(_))));
    }

    #[test]
    fn two_names_are_none() {
        let logs = tempfile::tempdir().unwrap();
        for name in ["a_b", "a_c"] {
            fs::create_dir(logs.path().join(format!("{name}_{UID}"))).unwrap();
        }
        assert!(matches!(from_logs(logs.path(), UID), Err(NameError::Ambiguous)));
    }

    #[test]
    fn a_folder_of_somebody_elses_names_nobody() {
        let logs = tempfile::tempdir().unwrap();
        let folder = logs.path().join(format!("a_b_{UID}"));
        fs::create_dir(&folder).unwrap();
        // Only root can give it away; without root there is nobody else's folder to make.
        if std::os::unix::fs::chown(&folder, Some(107), None).is_ok() {
            assert!(matches!(from_logs(logs.path(), UID), Err(NameError::Absent)));
        }
    }
}
