//! `virt-tailor node …`: clap types.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::base::PciAddress;
use crate::prep::Owner;

/// `node`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "\
Begin with inspect, which needs no NodeConfig and changes nothing:
  virt-tailor node inspect
  virt-tailor node plan  --config node.yaml --resource example.com/gpu --owner trial
  virt-tailor node apply --config node.yaml --resource example.com/gpu --owner trial
  virt-tailor node undo  --owner trial

Run it on the node itself, as root. virt-tailor schema node-config describes the NodeConfig;
virt-tailor import makes one of the files that prepare the node at boot today.")]
pub struct Node {
    /// What to do.
    #[command(subcommand)]
    pub command: NodeCommand,
}

/// What can be done about a node.
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Say whether this node is ready, and which devices can be handed over
    ///
    /// Reads only. Group by group: what is in it, who drives it, and if it cannot be handed over, the one reason.
    Inspect(Inspect),
    /// Print every write that apply would make, in order, with today's value
    ///
    /// Changes nothing. Exits with 69 if something stands in the way.
    Plan(Want),
    /// Prepare this node: give a device away, with everything its resource asks for
    ///
    /// All or nothing: what fails is undone. Asking again for the same changes nothing.
    Apply(Apply),
    /// Put back everything that was changed for an owner
    ///
    /// What others want too stays until the last of them goes. A device that is still in use is not taken away.
    Undo(Undo),
    /// Say what is changed now, for whom, and what hangs
    ///
    /// Reads only. One line a device, service, module … that is not as it was; and writes that the kernel has not come back from.
    Status(Status),
    /// After a crash: finish or undo what was cut short
    ///
    /// Whose device is in use is finished, others are undone; who had everything keeps it.
    Recover(Recover),
    /// Give devices back that the agent keeps, or has promised to pods that do not run: before uninstalling it
    ///
    /// What a process still uses stays, and is named. Works with the agent running and without it.
    Release(Release),
    /// Carry out orders from standard input: the expendable process behind the others
    #[command(hide = true)]
    Hand {
        /// The root of the host.
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
}

/// Where the node is, and what it keeps of us.
#[derive(Debug, Args)]
pub struct Place {
    /// The journal's folder: what was changed on this node, and what was there before; only root may enter it
    #[arg(long, value_name = "DIR", default_value = "/var/lib/virt-tailor")]
    pub state_dir: PathBuf,
    /// The root of the host's file system: / on the node itself
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub host_root: PathBuf,
}

/// The admin's configuration.
#[derive(Debug, Args)]
pub struct Configuration {
    /// The NodeConfig: which devices may be given away (virt-tailor schema node-config describes it)
    #[arg(long, value_name = "FILE", default_value = "/etc/virt-tailor/node.yaml")]
    pub config: PathBuf,
    /// This node's name in Kubernetes, as nodes: in the NodeConfig has it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
}

/// What is wanted.
#[derive(Debug, Args)]
pub struct Want {
    /// Configuration.
    #[command(flatten)]
    pub configuration: Configuration,
    /// What to give away: the name of a resource in the NodeConfig, e.g. example.com/gpu
    #[arg(long, value_name = "NAME")]
    pub resource: String,
    /// Which of its devices, e.g. 0000:0a:00.0 [default: the first that can be handed over]
    #[arg(long, value_name = "ADDRESS")]
    pub device: Option<PciAddress>,
    /// For whom, a name of your choice, e.g. default/my-vm: undo --owner takes it back by this name
    #[arg(long, value_name = "ID")]
    pub owner: Owner,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `node apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// What is wanted.
    #[command(flatten)]
    pub want: Want,
    /// Only say what would be done, as plan does
    #[arg(long)]
    pub dry_run: bool,
}

/// `node undo`.
#[derive(Debug, Args)]
pub struct Undo {
    /// For whom it was given away, as apply was told; status lists them
    #[arg(long, value_name = "ID")]
    pub owner: Owner,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Only say what would be undone
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `node status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `node recover`.
#[derive(Debug, Args)]
pub struct Recover {
    /// Configuration: what was begun is finished only if it still is allowed.
    #[command(flatten)]
    pub configuration: Configuration,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `node release`.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(false)))]
pub struct Release {
    /// Everything, also virtual functions and mediated devices that were made
    #[arg(long, group = "what")]
    pub all: bool,
    /// Everything of a resource
    #[arg(long, value_name = "NAME", group = "what")]
    pub resource: Option<String>,
    /// One device: its id, its address, or its UUID
    #[arg(long, value_name = "ID", group = "what")]
    pub device: Option<String>,
    /// Where.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `node inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The NodeConfig: say as well which of its resources each device is. Without it, what is so whatever an admin allows
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// This node's name in Kubernetes, as nodes: in the NodeConfig has it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// The root of the host: / on the node itself, or a captured tree
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub host_root: PathBuf,
    /// The journal's folder, to say for whom a device was given away [default: /var/lib/virt-tailor of the node itself]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
    /// Draw a picture as well: NUMA nodes, root complexes, groups, devices coloured by verdict
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}
