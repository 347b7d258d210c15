//! `virt-tailor sidecar`: options in, a serving process out.

use std::path::Path;

use crate::cli::{self, HookLibvirt, Sidecar};
use crate::domain::LibvirtMode;
use crate::kubevirt::hook::{Hook, OnError, Options};
use crate::kubevirt::serve::{self, Places};
use crate::link::desk::Policy;

use super::{Failure, input};

/// Where KubeVirt has its hook sockets.
const SOCKET_DIR: &str = "/var/run/kubevirt-hooks";

/// Serves until KubeVirt, or a signal, says that it is over.
pub(super) fn run(args: &Sidecar) -> Result<(), Failure> {
    serve::log::start(args.verbose);
    // Signals first: from here on nothing of ours can be left behind.
    let sidecar = serve::Sidecar::start()?;
    let hook = hook(args)?;
    for problem in hook.dormant_problems() {
        tracing::warn!(problem, "a profile that can be named is wrong");
    }
    let agent = match args.agent {
        cli::Agent::Auto => Policy::Auto,
        cli::Agent::Off => Policy::Off,
        cli::Agent::Required => Policy::Required,
    };
    Ok(sidecar.serve(hook, &places(args), agent)?)
}

/// Reads and checks everything that was asked, before anything can be called.
fn hook(args: &Sidecar) -> Result<Hook, Failure> {
    let libvirt = match args.libvirt {
        HookLibvirt::Auto | HookLibvirt::Session => LibvirtMode::Session,
        HookLibvirt::System => LibvirtMode::System,
    };
    let options = Options {
        profiles: input::profiles(args.profile_dir.as_deref())?,
        arguments: input::arguments(&args.profiles)?,
        sets: args.sets.clone(),
        libvirt,
        host_root: args.host_root.clone(),
        on_error: match args.on_error {
            cli::OnError::Fail => OnError::Fail,
            cli::OnError::Keep => OnError::Keep,
        },
        cloud_init: args.cloud_init,
    };
    Ok(Hook::new(options)?)
}

/// A container that is there for the Plugin API alone has no folder for hook sockets.
fn places(args: &Sidecar) -> Places {
    let plugin = args.plugin.as_ref().map(|name| args.plugin_dir.join(name.as_str()));
    let is_wanted = plugin.is_none() || args.socket_dir != Path::new(SOCKET_DIR) || args.socket_dir.is_dir();
    Places { hooks: is_wanted.then(|| args.socket_dir.clone()), plugin }
}
