//! The single effects that steps are made of.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hand::ProcessId;
use super::vf::VfSetting;
use crate::base::PciAddress;

/// A file below a host's root that may be written: in `sys` or `proc`, without `..`.
///
/// Made from parsed values only (a PCI address, a module's name), never from text of a VM's author.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostFile(String);

/// Why a path is no file that may be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a file of sys or proc that may be written")]
pub struct HostFileError {
    /// What was given.
    pub path: String,
}

impl HostFile {
    /// A file below the root, written without a leading slash: `sys/bus/pci/drivers_probe`.
    ///
    /// # Errors
    ///
    /// [`HostFileError`]: it lies elsewhere, or has `..` in it.
    pub fn new(path: impl Into<String>) -> Result<Self, HostFileError> {
        let path = path.into();
        let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if plain && (path.starts_with("sys/") || path.starts_with("proc/")) && !path.contains(['\0', '\n']) {
            Ok(Self(path))
        } else {
            Err(HostFileError { path })
        }
    }

    /// The path below the root.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl TryFrom<String> for HostFile {
    type Error = HostFileError;

    fn try_from(path: String) -> Result<Self, HostFileError> {
        Self::new(path)
    }
}

impl From<HostFile> for String {
    fn from(file: HostFile) -> Self {
        file.0
    }
}

impl fmt::Display for HostFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// One effect on the node. It is carried out by the expendable process, within [`Action::deadline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// One `write(2)` of the whole value to a file that is there. `tolerate` names errors that are no failure here.
    Write {
        /// Which file.
        file: HostFile,
        /// What is written. Clearing an attribute takes `"\n"`: a write of nothing never reaches the kernel.
        value: String,
        /// Error numbers that mean "this one cannot be had" (EIO of an interrupt that cannot be moved).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tolerate: Vec<i32>,
    },
    /// Waits until something is there, or is not.
    Await {
        /// What, below the root: a link, a folder, a device node.
        path: PathBuf,
        /// Whether it should be there.
        present: bool,
        /// At most so long.
        millis: u64,
    },
    /// Waits, before a retry.
    Pause {
        /// So long.
        millis: u64,
    },
    /// Loads a module with its dependencies: the running kernel's, or one from a folder laid out like `/lib/modules` (`from`).
    LoadModule {
        /// Its name.
        module: String,
        /// `name=value` each.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        parameters: Vec<String>,
        /// A folder on the host that holds `lib/modules/<release>`, for builds out of tree.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<PathBuf>,
    },
    /// Unloads one module. Never by force.
    UnloadModule {
        /// Its name.
        module: String,
    },
    /// Changes one attribute of a VF, by the PF's network interface.
    SetVf {
        /// The PF.
        pf: PciAddress,
        /// Which of its VFs, from 0.
        index: u32,
        /// What.
        setting: VfSetting,
    },
    /// Makes a control group: a folder below `sys/fs/cgroup`. One that is there already is no error.
    MakeFolder {
        /// Which.
        folder: HostFile,
    },
    /// Removes a control group nobody is in. One that is gone already is no error.
    RemoveFolder {
        /// Which.
        folder: HostFile,
    },
    /// Writes what only lies in memory to the disks, so that the memory can be had.
    Sync,
    /// Sets how much memory a process may lock. `None` is no limit.
    SetMemlock {
        /// Who, if it still is the same.
        process: ProcessId,
        /// What it may lock now, in bytes.
        soft: Option<u64>,
        /// Up to where it may raise that itself.
        hard: Option<u64>,
    },
    /// Has systemd start a unit, and waits for what becomes of it.
    StartUnit {
        /// Its name.
        unit: String,
    },
    /// Stops a unit of systemd and waits for it.
    StopUnit {
        /// Its name.
        unit: String,
    },
    /// Keeps a unit from being started by anybody, until the next boot.
    MaskUnit {
        /// Its name.
        unit: String,
    },
    /// Takes that back.
    UnmaskUnit {
        /// Its name.
        unit: String,
    },
    /// Has systemd start a unit again in some time, should nobody be left to do it.
    ReturnAfter {
        /// Its name.
        unit: String,
        /// In so long.
        seconds: u64,
        /// What is started then, in this order: sockets and timers, the unit itself if it ran, what stopped along with it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        start: Vec<String>,
    },
    /// Takes that back.
    CancelReturn {
        /// Its name.
        unit: String,
    },
}

impl Action {
    /// A write to a file below the root.
    pub fn write(file: HostFile, value: impl Into<String>) -> Self {
        Self::Write { file, value: value.into(), tolerate: Vec::new() }
    }

    /// Whether it is calls of the kernel only: whoever is in one does nothing else once it returns, but finish (a module after what it
    /// needs).
    pub fn is_one_call(&self) -> bool {
        matches!(
            self,
            Self::Write { .. } | Self::LoadModule { .. } | Self::UnloadModule { .. } | Self::SetVf { .. } | Self::Sync
        )
    }

    /// How long it may take before whoever does it is given up.
    pub fn deadline(&self) -> Duration {
        match self {
            // A driver makes its VFs one by one, some in seconds each.
            Self::Write { file, .. } if file.0.ends_with("/sriov_numvfs") => Duration::from_secs(120),
            // Page by page, on a machine with terabytes: clearing a page of 1 GiB alone takes a tenth of a second.
            Self::Write { file, .. }
                if file.0.ends_with("/nr_hugepages")
                    || file.0.ends_with("/compact")
                    || file.0.starts_with("proc/sys/vm/") =>
            {
                Duration::from_secs(120)
            }
            // A driver that is offered a device brings it up first; udev gives it as long (udev.conf(5), event_timeout=180).
            Self::Write { file, .. } if file.0.ends_with("/drivers_probe") || file.0.ends_with("/bind") => {
                Duration::from_secs(180)
            }
            // Unbinding waits for the driver to let go: the slowest seen to come back were seconds (a NIC's firmware reset).
            Self::Write { .. } | Self::SetVf { .. } => Duration::from_secs(10),
            Self::Await { millis, .. } | Self::Pause { millis } => {
                Duration::from_millis(*millis) + Duration::from_secs(5)
            }
            // A module offers itself every device that it knows.
            Self::LoadModule { .. } => Duration::from_secs(180),
            Self::UnloadModule { .. } => Duration::from_secs(30),
            Self::MakeFolder { .. } | Self::RemoveFolder { .. } | Self::SetMemlock { .. } => Duration::from_secs(5),
            Self::Sync => Duration::from_secs(120),
            // systemd itself kills what has not ended after 90 s (DefaultTimeoutStopSec) and gives up what has not started by then.
            Self::StartUnit { .. } | Self::StopUnit { .. } => Duration::from_secs(100),
            Self::MaskUnit { .. } | Self::UnmaskUnit { .. } | Self::ReturnAfter { .. } | Self::CancelReturn { .. } => {
                Duration::from_secs(30)
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { file, value, .. } => write!(f, "write {value:?} to {file}"),
            Self::Await { path, present, .. } => {
                write!(
                    f,
                    "wait until {} is {}",
                    Path::new("/").join(path).display(),
                    if *present { "there" } else { "gone" }
                )
            }
            Self::Pause { millis } => write!(f, "wait {millis} ms"),
            Self::LoadModule { module, parameters, from } => {
                write!(f, "load module {module}")?;
                for parameter in parameters {
                    write!(f, " {parameter}")?;
                }
                match from {
                    Some(folder) => write!(f, " from {}", folder.display()),
                    None => Ok(()),
                }
            }
            Self::UnloadModule { module } => write!(f, "unload module {module}"),
            Self::SetVf { pf, index, setting } => write!(f, "set {setting} of VF {index} of {pf}"),
            Self::MakeFolder { folder } => write!(f, "make {folder}"),
            Self::RemoveFolder { folder } => write!(f, "remove {folder}"),
            Self::Sync => write!(f, "write cached data to the disks"),
            Self::SetMemlock { process, soft, hard } => {
                let bytes = |limit: &Option<u64>| limit.map_or("unlimited".to_owned(), |bytes| bytes.to_string());
                write!(f, "let process {process} lock {} bytes of memory (at most {})", bytes(soft), bytes(hard))
            }
            Self::StartUnit { unit } => write!(f, "start {unit}"),
            Self::StopUnit { unit } => write!(f, "stop {unit}"),
            Self::MaskUnit { unit } => write!(f, "mask {unit} until the next boot"),
            Self::UnmaskUnit { unit } => write!(f, "unmask {unit}"),
            Self::ReturnAfter { unit, seconds, .. } => {
                write!(f, "have {unit} started again in {seconds} s, come what may")
            }
            Self::CancelReturn { unit } => write!(f, "no longer have {unit} started by time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, HostFile};

    #[test]
    fn only_files_of_sys_and_proc() {
        assert!(HostFile::new("sys/bus/pci/drivers_probe").is_ok());
        for bad in ["/sys/x", "sys/../etc/passwd", "etc/passwd", "sys", "sys/a\nb", "", "dev/sda", "sys/./x"] {
            // A single dot is dropped by Path's components, and does no harm.
            assert_eq!(HostFile::new(bad).is_ok(), bad == "sys/./x", "{bad}");
        }
    }

    /// PreStartContainer's 30 s are kubelet's patience, not a driver's.
    #[test]
    fn a_driver_is_given_its_time() {
        let write = |path: &str| Action::write(HostFile::new(path).unwrap(), "x");
        for slow in
            [write("sys/bus/pci/drivers_probe"), write("sys/bus/pci/drivers/igb/bind"), write("sys/a/sriov_numvfs")]
        {
            assert!(slow.deadline().as_secs() >= 120 && slow.is_one_call(), "{slow}");
        }
        let module = Action::LoadModule { module: "igb".to_owned(), parameters: Vec::new(), from: None };
        assert!(module.deadline().as_secs() >= 120 && module.is_one_call());
        for quick in ["sys/bus/pci/devices/0000:01:00.0/driver/unbind", "sys/a/driver_override"] {
            assert_eq!(write(quick).deadline().as_secs(), 10, "{quick}");
        }
        assert!(!Action::StopUnit { unit: "a.service".to_owned() }.is_one_call());
    }

    #[test]
    fn an_action_reads_like_what_it_does() {
        let file = HostFile::new("sys/bus/pci/devices/0000:3b:00.0/driver_override").unwrap();
        assert_eq!(
            Action::write(file, "vfio-pci").to_string(),
            r#"write "vfio-pci" to /sys/bus/pci/devices/0000:3b:00.0/driver_override"#
        );
    }
}
