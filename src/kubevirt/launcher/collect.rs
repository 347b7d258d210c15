//! Finding the sidecars' sockets, before anything else of virt-launcher runs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tonic::codegen::http::Uri;

use super::{Release, dial, grpc_error};
use crate::kubevirt::proto::info::{InfoParams, info_client::InfoClient};

/// How long a sidecar may take to say what it offers.
const INFO: Duration = Duration::from_secs(1);
/// The authority that KubeVirt sends since 1.1.
pub(super) fn authority() -> Uri {
    Uri::from_static("http://localhost")
}

/// A sidecar that was found.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its socket.
    pub socket: PathBuf,
    /// What it calls itself; KubeVirt never looks at it.
    pub name: String,
    /// The versions it speaks.
    pub versions: Vec<String>,
    /// The version that is used.
    pub version: String,
    /// The hook points it wants to be called for, as often as it named them.
    pub hook_points: Vec<String>,
}

impl Client {
    /// Whether it is called at a hook point.
    pub fn wants(&self, hook_point: &str) -> bool {
        self.times(hook_point) > 0
    }

    /// How often it is called at a hook point: once for each time that it named it.
    pub fn times(&self, hook_point: &str) -> usize {
        self.hook_points.iter().filter(|known| *known == hook_point).count()
    }
}

/// Why the pod fails.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The folder cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Too few sidecars in time.
    #[error("Failed to collect all expected sidecar hook sockets within given timeout{}", .0.as_ref().map(|last| format!(" (last seen: {last})")).unwrap_or_default())]
    Timeout(Option<String>),
    /// No socket in time, where KubeVirt looks at the time only while there is one.
    #[error(
        "no socket has come in {} s, and before KubeVirt 1.6 virt-launcher waits for the first one without end", .0.as_secs()
    )]
    Endless(Duration),
    /// Info was answered with an error, or too late.
    #[error("Failed to process sidecar socket: {}: {error}", socket.display())]
    Info {
        /// Of which socket.
        socket: PathBuf,
        /// In gRPC's words.
        error: String,
    },
    /// No version in common.
    #[error("Hook sidecar does not expose a supported version. Exposed versions: {0:?}")]
    Version(Vec<String>),
    /// The sidecar has ended meanwhile: its container is not restarted.
    #[error("the sidecar ended before it was asked anything ({0})")]
    Ended(String),
}

/// How sidecars are looked for.
#[derive(Debug, Clone)]
pub struct Collect {
    /// The folder that virt-launcher looks at.
    pub folder: PathBuf,
    /// KubeVirt's `--hook-sidecars`.
    pub wanted: usize,
    /// KubeVirt's `--qemu-timeout`.
    pub limit: Duration,
    /// Whose ways.
    pub release: Release,
}

impl Collect {
    /// Looks until all are found. `alive` says how the sidecar has ended, if it has.
    pub async fn run(&self, mut alive: impl FnMut() -> Option<String>) -> Result<Vec<Client>, CollectError> {
        let begin = Instant::now();
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut found = Vec::new();
        let mut last = None;
        while known.len() < self.wanted {
            let candidates = self.candidates()?;
            let looks_at_the_time = self.release.always_looks_at_the_time() || !candidates.is_empty();
            for socket in candidates {
                if begin.elapsed() > self.limit {
                    return Err(CollectError::Timeout(last));
                }
                let name = socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if known.contains(&name) {
                    continue;
                }
                match dial(&socket).await {
                    Ok(connection) => {
                        found.push(self.ask(socket, connection).await?);
                        known.insert(name);
                    }
                    Err(error) => last = Some(format!("{name}: {error}")),
                }
            }
            if known.len() < self.wanted {
                if let Some(how) = alive() {
                    return Err(CollectError::Ended(how));
                }
                if begin.elapsed() > self.limit {
                    return Err(match looks_at_the_time {
                        true => CollectError::Timeout(last),
                        false => CollectError::Endless(self.limit),
                    });
                }
                sleep(self.release.poll()).await;
            }
        }
        Ok(found)
    }

    /// Everything that is no folder is taken for a socket, whatever it is.
    fn candidates(&self) -> Result<Vec<PathBuf>, CollectError> {
        let mut found = Vec::new();
        for (path, is_folder) in entries(&self.folder)? {
            if !self.release.has_folders() {
                if !is_folder {
                    found.push(path);
                }
            } else if is_folder {
                found.extend(entries(&path)?.into_iter().filter(|(_, is_folder)| !is_folder).map(|(path, _)| path));
            }
        }
        Ok(found)
    }

    /// Asks one sidecar what it offers.
    pub async fn ask(&self, socket: PathBuf, connection: super::Connection) -> Result<Client, CollectError> {
        let mut client = InfoClient::with_origin(connection, authority());
        let answer = match timeout(INFO, client.info(InfoParams {})).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Err(CollectError::Info { socket, error: grpc_error(&status) }),
            Err(_) => {
                let error = "rpc error: code = DeadlineExceeded desc = context deadline exceeded".to_owned();
                return Err(CollectError::Info { socket, error });
            }
        };
        let own = ["v1alpha3", "v1alpha2", "v1alpha1"];
        let first = usize::from(!self.release.knows_v1alpha3());
        let version = own[first..].iter().find(|version| answer.versions.iter().any(|known| known == *version));
        let Some(version) = version.map(|version| (*version).to_owned()) else {
            return Err(CollectError::Version(answer.versions));
        };
        Ok(Client {
            socket,
            name: answer.name,
            versions: answer.versions,
            version,
            hook_points: answer.hook_points.into_iter().map(|point| point.name).collect(),
        })
    }
}

fn entries(folder: &Path) -> Result<Vec<(PathBuf, bool)>, CollectError> {
    let failed = |error| CollectError::Folder { path: folder.to_owned(), error };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_folder = path.is_dir();
        found.push((path, is_folder));
    }
    found.sort();
    Ok(found)
}
