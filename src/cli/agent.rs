//! `virt-tailor agent`: clap types.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

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
    /// The agent's own pod, NAMESPACE/NAME: what kubelet says of pods counts once it names this one [default: found by the agent's
    /// control group]
    #[arg(long, value_name = "POD")]
    pub own_pod: Option<String>,
    /// Where this node's features are left for Node Feature Discovery, if the folder is there
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/node-feature-discovery/features.d")]
    pub features_dir: PathBuf,
    /// The socket for KubeVirt's node hooks (KubeVirt 1.9 and later), if its folder is there; off: none
    #[arg(long, value_name = "PATH", default_value = "/var/run/kubevirt/plugins/virt-tailor.sock")]
    pub plugin_socket: PluginSocket,
    /// Log more: what is looked at and left as it is
    #[arg(short, long)]
    pub verbose: bool,
}

/// Where node hooks are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSocket {
    /// Nowhere.
    Off,
    /// At this path.
    At(PathBuf),
}

impl FromStr for PluginSocket {
    type Err = String;

    /// A path, or `off` or nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" | "off" => Ok(Self::Off),
            path if path.starts_with('/') && !path.ends_with('/') => Ok(Self::At(path.into())),
            _ => Err("give the whole path of a socket, or off".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_or_none() {
        assert_eq!("".parse(), Ok(PluginSocket::Off));
        assert_eq!("off".parse(), Ok(PluginSocket::Off));
        assert_eq!("/run/a.sock".parse(), Ok(PluginSocket::At("/run/a.sock".into())));
        for text in ["on", "a.sock", "/run/"] {
            assert!(text.parse::<PluginSocket>().is_err(), "{text}");
        }
    }
}
