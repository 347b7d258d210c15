//! What a hook answers. The three versions of Callbacks, the Plugin API and the programs that KubeVirt's shim calls all come here.
//!
//! No state is kept from call to call, except facts about the host (see `facts`): KubeVirt calls up to three times per
//! start and loses part of every answer in between, so each call is answered from what it brings.

mod errand;
mod error;
mod facts;
mod pass;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use crate::config::{
    DomainProfile, Guest, Problems, ProfileArgument, Profiles, Request as Asked, Resolved, resolve, validate,
};
use crate::domain::{Domain, LibvirtMode, Outcome, Request, mutate};

use super::VmView;
use super::cloudinit::{Document, Reboot, pre_cloud_init_iso_with};

pub use error::{HookError, one_line};
pub use pass::Pass;

use facts::{Host, Known};

/// The longest answer: KubeVirt receives messages of 4 MiB at most; the rest is room for everything around the document.
pub const MAX_ANSWER: usize = (4 << 20) - (1 << 10);

/// What the program was started with.
#[derive(Debug)]
pub struct Options {
    /// The profiles that can be named.
    pub profiles: Profiles,
    /// `--profile`, left to right.
    pub arguments: Vec<ProfileArgument>,
    /// `--set`, left to right.
    pub sets: Vec<String>,
    /// How libvirt runs.
    pub libvirt: LibvirtMode,
    /// The root of the host, for facts about devices.
    pub host_root: PathBuf,
    /// What happens when the answer would be an error.
    pub on_error: OnError,
    /// Whether PreCloudInitIso is offered.
    pub cloud_init: bool,
}

/// What happens to the VM when the domain cannot be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Its start is refused, and the VMI's condition says why.
    #[default]
    Fail,
    /// It starts with the domain as KubeVirt made it; the log says why.
    Keep,
}

/// One hook, for one VM.
#[derive(Debug)]
pub struct Hook {
    options: Options,
    host: Host,
}

/// How a call was answered, for the caller and for the log.
#[derive(Debug)]
pub struct Reply<T = Outcome> {
    /// `namespace/name`, as soon as it is known.
    pub vm: Option<String>,
    /// Which of KubeVirt's calls this seems to be.
    pub pass: Option<Pass>,
    /// The document, or why there is none.
    pub answer: Result<T, HookError>,
    /// Why the document is the one that came, although something else was asked ([`OnError::Keep`]).
    pub kept: Option<HookError>,
}

/// What a call of PreCloudInitIso brings, as KubeVirt's JSON.
///
/// It holds a user's data, so its `Debug` shows sizes.
#[derive(Clone, Copy)]
pub struct Brought<'a> {
    /// A `CloudInitNoCloudSource`: the older form.
    pub no_cloud: &'a [u8],
    /// A `CloudInitData`: what counts.
    pub data: &'a [u8],
}

/// What the answer to PreCloudInitIso takes back, in the same form.
#[derive(Clone, PartialEq, Eq)]
pub struct CloudInit {
    /// A `CloudInitNoCloudSource`: the older form.
    pub no_cloud: Vec<u8>,
    /// A `CloudInitData`: what counts.
    pub data: Vec<u8>,
    /// Which of the two are other than they came.
    pub changed: Vec<Document>,
    /// What the user should know besides.
    pub notes: Vec<String>,
}

impl fmt::Debug for Brought<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Brought({} and {} bytes)", self.no_cloud.len(), self.data.len())
    }
}

impl fmt::Debug for CloudInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (changed, notes) = (&self.changed, &self.notes);
        write!(f, "CloudInit({} and {} bytes, {changed:?}, {notes:?})", self.no_cloud.len(), self.data.len())
    }
}

impl Brought<'_> {
    fn bytes(&self) -> usize {
        self.no_cloud.len() + self.data.len()
    }

    /// Whether there is no document at all: a VM without cloud-init, or with a kind that KubeVirt does not hand over.
    fn is_hollow(&self) -> bool {
        [self.no_cloud, self.data].iter().all(|json| matches!(json.trim_ascii(), b"" | b"null"))
    }

    fn unchanged(&self) -> CloudInit {
        let (no_cloud, data) = (self.no_cloud.to_vec(), self.data.to_vec());
        CloudInit { no_cloud, data, changed: Vec::new(), notes: Vec::new() }
    }
}

impl Hook {
    /// A hook; refuses options that are wrong by themselves. What they mean together with a VM's annotations shows when a VM asks.
    pub fn new(options: Options) -> Result<Self, Problems> {
        validate(&asked(&options, Default::default()), &options.profiles)?;
        let host = Host::new(options.host_root.clone());
        Ok(Self { options, host })
    }

    /// Mistakes in profiles that can be named and that nobody has named yet: worth a warning, and nobody's harm until then.
    pub fn dormant_problems(&self) -> Vec<String> {
        let profiles = &self.options.profiles;
        let mistakes = |name: &str| {
            let alone = Asked { profiles: vec![ProfileArgument::Name(name.to_owned())], ..Asked::default() };
            validate(&alone, profiles).err()
        };
        // The built-in ones are right: tests say so.
        profiles.directory().filter_map(mistakes).map(|problems| problems.one_line()).collect()
    }

    /// Answers OnDefineDomain, or the Plugin API's MutateDomain. `lock_confirmed`: see [`Request`].
    pub fn define(&self, domain: &[u8], vmi: &[u8], lock_confirmed: bool) -> Reply {
        let mut seen = Seen::default();
        let fitted = || {
            let Fitted { mut outcome, host, .. } = self.fitted(domain, vmi, lock_confirmed, &mut seen)?;
            if let Some(known) = host {
                outcome.notes.splice(0..0, known.note.clone());
                self.host.hold(known);
            }
            Ok(outcome)
        };
        let answer = guarded(fitted).and_then(short_enough);
        self.reply_with_domain(answer, domain, seen)
    }

    /// Answers with an error that came from elsewhere: the agent has not done yet what the VM needs.
    pub fn refuse(&self, domain: &[u8], vmi: &[u8], error: HookError) -> Reply {
        // For the log: of which VM, and when in its start. What cannot be read is not told.
        let mut seen = Seen::default();
        let _ = guarded(|| {
            seen.pass = Domain::parse(domain).ok().map(|domain| Pass::guess(domain.document()));
            seen.vm = view(vmi).ok().map(|view| view.facts().name);
            Ok(())
        });
        self.reply_with_domain(Err(error), domain, seen)
    }

    /// Answers the Plugin API's MutateDomain with a domain of a type that is not libvirt's.
    pub fn other_type(&self, domain: &[u8], found: String) -> Reply {
        self.reply_with_domain(Err(HookError::DomainType { found }), domain, Seen::default())
    }

    fn reply_with_domain(&self, answer: Result<Outcome, HookError>, domain: &[u8], seen: Seen) -> Reply {
        let Seen { vm, pass } = seen;
        match answer {
            Err(error) if self.keeps() && !domain.is_empty() && domain.len() <= MAX_ANSWER => {
                Reply { vm, pass, answer: Ok(as_it_came(domain)), kept: Some(error) }
            }
            answer => Reply { vm, pass, answer, kept: None },
        }
    }

    fn keeps(&self) -> bool {
        self.options.on_error == OnError::Keep
    }

    /// Whether PreCloudInitIso is offered.
    pub fn serves_cloud_init(&self) -> bool {
        self.options.cloud_init
    }

    /// Answers PreCloudInitIso.
    pub fn cloud_init(&self, vmi: &[u8], brought: Brought<'_>) -> Reply<CloudInit> {
        let mut seen = Seen::default();
        let answer = guarded(|| self.merged(vmi, brought, &mut seen));
        let Seen { vm, pass } = seen;
        match answer {
            Err(error) if self.keeps() && brought.bytes() <= MAX_ANSWER => {
                Reply { vm, pass, answer: Ok(brought.unchanged()), kept: Some(error) }
            }
            answer => Reply { vm, pass, answer, kept: None },
        }
    }

    fn merged(&self, vmi: &[u8], brought: Brought<'_>, seen: &mut Seen) -> Result<CloudInit, HookError> {
        if !self.options.cloud_init {
            return Err(HookError::NotServed {
                what: "PreCloudInitIso",
                instead: "start the sidecar with --cloud-init, and only for VMs that have cloud-init",
            });
        }
        let too_long = |bytes| HookError::TooLong {
            what: "the cloud-init data",
            bytes,
            instead: "make the user data shorter, for instance with #include and a URL",
        };
        let view = view(vmi)?;
        seen.vm = Some(view.facts().name);
        // Merging makes nothing shorter, to speak of.
        if brought.bytes() > MAX_ANSWER {
            return Err(too_long(brought.bytes()));
        }
        let reboot = Reboot::of(&view);
        let asked = asked(&self.options, view.annotations);
        let profile = resolve(&asked, &self.options.profiles).map_err(HookError::Request)?;
        let guest = &profile.spec.guest;
        let (no_cloud, data) =
            pre_cloud_init_iso_with(brought.no_cloud, brought.data, guest, reboot).map_err(HookError::CloudInit)?;
        match no_cloud.len() + data.len() {
            bytes if bytes > MAX_ANSWER => return Err(too_long(bytes)),
            _ => {}
        }
        let mut changed = Vec::new();
        if no_cloud != brought.no_cloud {
            changed.push(Document::NoCloudSource);
        }
        if data != brought.data {
            changed.push(Document::Data);
        }
        let mut notes = Vec::new();
        if *guest != Guest::default() && brought.is_hollow() {
            notes.push(
                "guest: settings inside the guest are asked for, but the call brings no cloud-init data to merge them into; they are not applied: give the VM a cloudInitNoCloud or cloudInitConfigDrive volume"
                    .to_owned(),
            );
        }
        Ok(CloudInit { no_cloud, data, changed, notes })
    }

    /// The answer on a migration target: the same document. KubeVirt throws it away, and only an error would matter.
    pub fn unchanged(&self, domain: &[u8]) -> Reply {
        let answer = if domain.len() > MAX_ANSWER { Err(too_long(domain.len())) } else { Ok(as_it_came(domain)) };
        Reply { vm: None, pass: Some(Pass::Target), answer, kept: None }
    }

    fn fitted(&self, domain: &[u8], vmi: &[u8], lock_confirmed: bool, seen: &mut Seen) -> Result<Fitted, HookError> {
        if domain.is_empty() {
            return Err(HookError::NoDomain);
        }
        // Fitting makes nothing shorter, to speak of, and reading takes several times the length.
        if domain.len() > MAX_ANSWER {
            return Err(too_long(domain.len()));
        }
        let domain = Domain::parse(domain).map_err(HookError::Domain)?;
        let pass = Pass::guess(domain.document());
        seen.pass = Some(pass);
        if pass == Pass::Target {
            return Ok(Fitted { outcome: domain.into_unchanged(), host: None, profile: None, node: None });
        }
        let view = view(vmi)?;
        let vm = view.facts();
        seen.vm = Some(vm.name.clone());
        let node = view.node.clone();
        let profile =
            resolve(&asked(&self.options, view.annotations), &self.options.profiles).map_err(HookError::Request)?;
        // Without anything asked nothing needs to be known, and no reading of the host can go wrong.
        let host = (profile.spec != DomainProfile::default()).then(|| self.host.look());
        let request = Request {
            profile: &profile,
            vm: Some(&vm),
            host: host.as_ref().and_then(|known| known.facts.as_deref()),
            libvirt: self.options.libvirt,
            lock_confirmed,
        };
        let mut outcome = mutate(domain, &request).map_err(HookError::Refused)?;
        if !outcome.changes.is_empty() {
            // libvirt gets these very bytes: a document that we would not read ourselves must not leave.
            Domain::parse(outcome.bytes.clone()).map_err(|error| HookError::Bug(error.to_string()))?;
        }
        if profile.spec.guest != Guest::default() && !self.options.cloud_init {
            outcome.notes.push(
                "guest: settings inside the guest are asked for, but this sidecar was not started with --cloud-init; they are not applied"
                    .to_owned(),
            );
        }
        Ok(Fitted { outcome, host, profile: Some(profile), node })
    }
}

/// A domain that is fitted, and what it was fitted with.
#[derive(Debug)]
struct Fitted {
    outcome: Outcome,
    host: Option<Known>,
    /// None for a migration target, which nothing is done for.
    profile: Option<Resolved>,
    /// The node, as the VMI names it.
    node: Option<String>,
}

/// What was found out before the answer was there.
#[derive(Debug, Default)]
struct Seen {
    vm: Option<String>,
    pass: Option<Pass>,
}

fn asked(options: &Options, annotations: std::collections::BTreeMap<String, String>) -> Asked {
    Asked { annotations, profiles: options.arguments.clone(), sets: options.sets.clone() }
}

/// Reads the VMI of a call.
fn view(vmi: &[u8]) -> Result<VmView, HookError> {
    if vmi.is_empty() {
        return Err(HookError::NoVmi);
    }
    let text = std::str::from_utf8(vmi).map_err(|error| HookError::VmiNotText { at: error.valid_up_to() })?;
    VmView::from_hook(text).map_err(HookError::Vmi)
}

/// An answer that KubeVirt can receive.
fn short_enough(outcome: Outcome) -> Result<Outcome, HookError> {
    match outcome.bytes.len() {
        bytes if bytes > MAX_ANSWER => Err(too_long(bytes)),
        _ => Ok(outcome),
    }
}

fn too_long(bytes: usize) -> HookError {
    let instead = "take long texts out of the VM's metadata and qemu.args, or give it fewer devices";
    HookError::TooLong { what: "the domain", bytes, instead }
}

fn as_it_came(domain: &[u8]) -> Outcome {
    Outcome { bytes: domain.to_vec(), changes: Vec::new(), notes: Vec::new() }
}

/// Runs code of ours so that a mistake in it costs one answer, not the process: a sidecar that is gone takes its pod with it.
fn guarded<T>(work: impl FnOnce() -> Result<T, HookError>) -> Result<T, HookError> {
    // Nothing that unwinding could leave half done outlives the call. What a panic says may quote a user's data (slicing a string
    // quotes it), so only its place is told, by the panic hook.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(HookError::Bug("a panic, whose place is in the log".to_owned())))
}

/// Has a panic tell its place to somebody and nothing else: neither what it says nor an end of the process.
pub fn tell_places_of_panics(tell: fn(&str)) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string);
        tell(place.as_deref().unwrap_or("an unknown place"));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_of_ours_costs_one_answer() {
        let answer: Result<(), _> = guarded(|| panic!("hunter2"));
        assert_eq!(answer, Err(HookError::Bug("a panic, whose place is in the log".to_owned())));
        assert_eq!(guarded(|| Ok(1)), Ok(1));
    }
}
