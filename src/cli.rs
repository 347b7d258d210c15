//! The command line: clap types, nothing else.

pub mod agent;
pub mod node;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kubevirt::launcher::Release;
use crate::kubevirt::serve::PluginName;

/// Fits a KubeVirt VM's libvirt domain to its hardware, and its node to the VM.
///
/// The domain: everything works offline, on files; try a profile before a VM runs with it. The same code answers KubeVirt's hooks. The
/// node: `virt-tailor node` looks at the machine it runs on, gives devices away and takes them back.
#[derive(Debug, Parser)]
#[command(name = "virt-tailor", version, arg_required_else_help = true, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  virt-tailor mutate --domain domain.xml --profile gpu-workstation --diff
  virt-tailor mutate --domain domain.xml --vmi vm.yaml --set viommu.model=intel --changes
  virt-tailor check --domain domain.xml --profile ./my-profile.yaml
  virt-tailor rehearse --vmi vm.yaml --domain domain.xml --profile gpu-workstation
  virt-tailor node inspect
  virt-tailor node plan --config node.yaml --resource example.com/gpu --owner trial
  virt-tailor import /etc/modprobe.d
  virt-tailor import machineconfigs/ -o imported/
  virt-tailor schema domain-profile > domain-profile.schema.json

Exit codes:
   0  done
  64  the request is wrong in itself (options, profile, annotation, VM)
  65  the input is no libvirt domain, or one that cannot take what is asked; or files
      that cannot be imported
  66  a file cannot be read or written
  69  something on the node stands in the way, and nothing was changed; or a program
      that we need does not answer
  70  a mistake of ours
  74  something was begun on the node and failed; what could not be undone is named
  75  another virt-tailor is changing the node: ask again
 128  and more: a signal, e.g. 130 for Ctrl-C (rehearse)")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Rewrite a domain as profiles, annotations and settings ask
    ///
    /// Standard output is the new XML and nothing else (or the diff, or the list of changes). What you should know besides goes to
    /// standard error. Nothing is written if anything is wrong; then every problem is named at once.
    Mutate(Mutate),
    /// Say whether a domain can take what is asked, without writing anything
    ///
    /// Prints nothing and exits with 0 if it can. Without profiles it checks the domain as it is against libvirt's and QEMU's rules.
    Check(Check),
    /// Try a VM's start without KubeVirt: play virt-launcher against a real sidecar process
    ///
    /// Needs --vmi as well as --domain. Collects the sidecar's socket with KubeVirt's timings, calls it as often as KubeVirt would, loses in between what KubeVirt
    /// loses, and ends it. Standard output says what each call changed; times and warnings go to standard error. It fails where
    /// KubeVirt would, in the words of the VMI's condition.
    Rehearse(Rehearse),
    /// Answer KubeVirt's hooks for one VM, as a container beside its virt-launcher
    ///
    /// KubeVirt starts it: the VM's annotation hooks.kubevirt.io/hookSidecars names an image with "args": ["sidecar"]. It serves Info
    /// and Callbacks v1alpha1, v1alpha2 and v1alpha3 on a unix socket until KubeVirt says Shutdown, or SIGTERM. Logs are JSON on
    /// standard error. On a desk, rehearse starts one and plays KubeVirt.
    Sidecar(Sidecar),
    /// Prepare this node for a VM, and put it back: devices, drivers, consoles, services, modules, memory
    ///
    /// What is changed is written down first, with what was there, and undone from that alone.
    Node(node::Node),
    /// Hand this node's devices to VMs: kubelet's device plugin, and what sidecars ask for
    ///
    /// Runs on every node, as root, from a DaemonSet (examples/cluster). Binds a device when its VM starts and gives it back when the VM has gone; follows its configuration
    /// while it runs. Ending it undoes nothing: the next one takes over. Logs are JSON on standard error.
    Agent(agent::Agent),
    /// Turn what a node does at boot into a NodeConfig, DomainProfiles and a report
    ///
    /// Reads MachineConfig, Ignition, Butane, PerformanceProfile, Tuned, KMM Module, KubeletConfig, SriovNetworkNodePolicy, KubeVirt's
    /// permittedHostDevices and mediatedDevicesConfiguration, modprobe.d, modules-load.d, udev rules, GRUB defaults, kernel command lines,
    /// systemd units and the scripts they run, sysctl.d, limits.d, drop-ins of CRI-O. The report says of every action what does it per VM now, why it must stay at boot, or that it never worked; what is not
    /// understood is listed with its place. Without -o everything goes to standard output, the report as comments.
    Import(Import),
    /// Print the JSON Schema of a document that people write
    ///
    /// Editors that know JSON Schema complete and check such documents with it; it has a description of each field.
    Schema {
        /// Which document.
        #[arg(value_enum)]
        document: SchemaDocument,
    },
    /// Print the completions of a shell
    ///
    /// For bash: virt-tailor completions bash > /etc/bash_completion.d/virt-tailor
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    ///
    /// To read it at once: virt-tailor man | man -l -
    Man,
}

/// What a domain is fitted with.
#[derive(Debug, Args)]
pub struct Inputs {
    /// The domain XML; - is standard input
    #[arg(long, value_name = "FILE")]
    pub domain: PathBuf,
    /// The VM or VMI, YAML or JSON: its annotations are asked for, its host devices are known by name
    #[arg(long, value_name = "FILE")]
    pub vmi: Option<PathBuf>,
    /// A profile: a name, or a file if it has a / or ends in .yaml; later ones are stronger
    #[arg(long = "profile", value_name = "FILE|NAME")]
    pub profiles: Vec<String>,
    /// Where named profiles are found, as NAME.yaml; one found here beats a built-in of its name
    /// [default: /etc/virt-tailor/profiles.d, if it is there]
    #[arg(long, value_name = "DIR")]
    pub profile_dir: Option<PathBuf>,
    /// One field, e.g. viommu.model=intel or 'hostDevices[0000:3b:00.0].rom.bar=off'; stronger than all profiles
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// How libvirt will run: in KubeVirt in session mode, where it cannot set limits of memory (<memtune>)
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Libvirt::Auto)]
    pub libvirt: Libvirt,
    /// The root of the host whose devices are assigned (/ on the node itself, or a captured tree); without it nothing is known
    /// about them
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
}

/// `mutate`.
#[derive(Debug, Args)]
pub struct Mutate {
    /// Inputs.
    #[command(flatten)]
    pub inputs: Inputs,
    /// Print a unified diff instead of the XML
    #[arg(long, conflicts_with = "changes")]
    pub diff: bool,
    /// Print what changes, why and who asked, instead of the XML
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub changes: Option<ChangesFormat>,
    /// Write to a file instead of standard output; it is replaced as a whole
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Inputs.
    #[command(flatten)]
    pub inputs: Inputs,
}

/// `rehearse`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// Inputs; the domain is what the first hook of a start is sent.
    #[command(flatten)]
    pub inputs: Inputs,
    /// Define the domain in this libvirt, under another name, and read it back from there; it is undefined again
    /// [default: a stand-in that assigns addresses by libvirt's rules]
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,
    /// The socket of a sidecar that runs already; it is told to end at last
    #[arg(long, value_name = "PATH", conflicts_with_all = ["profiles", "profile_dir", "sets", "host_root", "on_error", "cloud_init"])]
    pub socket: Option<PathBuf>,
    /// Which KubeVirt is played: 1.1 to 1.9, or main
    #[arg(long, value_name = "VERSION", default_value_t)]
    pub release: Release,
    /// What the sidecar does when the domain cannot be fitted
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnError::Fail)]
    pub on_error: OnError,
    /// Let the sidecar change the VM's cloud-init as well (PreCloudInitIso)
    #[arg(long)]
    pub cloud_init: bool,
    /// How long the sidecar's socket is looked for, in seconds: KubeVirt's --qemu-timeout
    #[arg(long, value_name = "SECONDS", default_value_t = 240)]
    pub qemu_timeout: u64,
    /// How long everything may take before virt-handler gives up, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, hide = true)]
    pub sync_limit: u64,
}

/// `sidecar`.
#[derive(Debug, Args)]
pub struct Sidecar {
    /// Where virt-launcher looks for sockets; nothing but one socket ever appears there
    #[arg(long, value_name = "DIR", default_value = "/var/run/kubevirt-hooks")]
    pub socket_dir: PathBuf,
    /// A profile: a name, or a file if it has a / or ends in .yaml; later ones are stronger, and stronger than what the VM asks
    #[arg(long = "profile", value_name = "FILE|NAME")]
    pub profiles: Vec<String>,
    /// Where named profiles are found, as NAME.yaml; one found here beats a built-in of its name
    /// [default: /etc/virt-tailor/profiles.d, if it is there]
    #[arg(long, value_name = "DIR")]
    pub profile_dir: Option<PathBuf>,
    /// One field, e.g. viommu.model=intel; stronger than all profiles and than what the VM asks
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub sets: Vec<String>,
    /// How libvirt will run: in KubeVirt always in session mode
    #[arg(long, value_enum, value_name = "MODE", default_value_t = HookLibvirt::Auto)]
    pub libvirt: HookLibvirt,
    /// The root of the host whose devices are assigned: its /sys tells what they are
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub host_root: PathBuf,
    /// What happens when a domain cannot be fitted
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnError::Fail)]
    pub on_error: OnError,
    /// When the node's agent is asked and waited for
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Agent::Auto)]
    pub agent: Agent,
    /// Change the VM's cloud-init as well (PreCloudInitIso): only for VMs that have one, as KubeVirt's virt-launcher crashes without
    #[arg(long)]
    pub cloud_init: bool,
    /// Serve KubeVirt's Plugin API as well, for the Plugin object of this name; without the folder of hook sockets, that alone
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<PluginName>,
    /// Where the folders of plugins are
    #[arg(long, value_name = "DIR", default_value = "/var/run/kubevirt-plugin", hide = true)]
    pub plugin_dir: PathBuf,
    /// Log more: every Info, and why a client is refused
    #[arg(short, long)]
    pub verbose: bool,
}

/// `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Files, and folders, which are read in the order of names; - is standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Write node-config.yaml, profiles/NAME.yaml and report.txt into this folder
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// What the NodeConfig is called, and what names of profiles begin with
    #[arg(long, value_name = "NAME", default_value = "imported")]
    pub name: DocumentName,
    /// Fail if anything is not understood, and write nothing
    #[arg(long)]
    pub strict: bool,
    /// This is the node that the files are for: compare with what it really has
    #[arg(long)]
    pub check_node: bool,
    /// The root of that node: / on the node itself, or a captured tree
    #[arg(long, value_name = "DIR", default_value = "/", requires = "check_node")]
    pub host_root: PathBuf,
    /// Its name in Kubernetes [default: the host's name]
    #[arg(long, value_name = "NAME", requires = "check_node")]
    pub node_name: Option<String>,
}

/// A name that a document of ours may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentName(String);

impl DocumentName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for DocumentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        crate::config::document_name(text).map(|()| Self(text.to_owned()))
    }
}

/// What happens when a domain cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// The VM does not start, and its condition says why
    Fail,
    /// The VM starts with the domain as it is, and the log says why
    Keep,
}

/// When a sidecar asks the node's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Agent {
    /// If the VM needs it: for node profiles, for memory that only it lets QEMU lock
    Auto,
    /// Never; what only it can do is not done, and the log says so
    Off,
    /// Always: no VM starts on a node without an agent
    Required,
}

/// How libvirt runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Libvirt {
    /// Session if a VM is given, else system
    Auto,
    /// Unprivileged, as in KubeVirt
    Session,
    /// Privileged
    System,
}

/// How libvirt runs beside a sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HookLibvirt {
    /// Session
    Auto,
    /// Unprivileged, as in KubeVirt
    Session,
    /// Privileged
    System,
}

/// How a list of changes is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChangesFormat {
    /// For people
    Text,
    /// For programs: one JSON document
    Json,
}

/// Documents with a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaDocument {
    /// What a VM asks of its domain
    DomainProfile,
    /// What an admin lets virt-tailor do to a node
    NodeConfig,
}
