//! `virt-tailor agent`: clap types.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::node::{Configuration, Place};

/// `agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// Configuration.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// kubelet's folder; k0s and microk8s have it elsewhere
    #[arg(long, value_name = "DIR", default_value = "/var/lib/kubelet")]
    pub kubelet_root: PathBuf,
    /// Serve OpenMetrics at /metrics, and /healthz and /readyz, at this address
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// The agent's own pod, NAMESPACE/NAME: kubelet's answers count once they name it [default: found by the agent's control group]
    #[arg(long, value_name = "POD")]
    pub own_pod: Option<String>,
    /// Where features are left for Node Feature Discovery
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/node-feature-discovery/features.d")]
    pub features_dir: PathBuf,
    /// Log more
    #[arg(short, long)]
    pub verbose: bool,
}
