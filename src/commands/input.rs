//! Reading what the arguments name: files, profiles, the VM, the host.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::cli::{Inputs, Libvirt};
use crate::config::{self, ProfileArgument, ProfileText, Profiles, Resolved, resolve};
use crate::domain::{Domain, LibvirtMode, Request, VmFacts};
use crate::host::{HostFacts, read_pci};
use crate::kubevirt::VmView;

use super::Failure;

/// Where profiles are found unless another folder is named.
const PROFILE_DIR: &str = "/etc/virt-tailor/profiles.d";
/// More than any domain we would take: reading stops there.
const MAX_INPUT: u64 = 16 << 20;

/// Everything a mutation needs, read and resolved.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) profile: Resolved,
    pub(super) vm: Option<VmFacts>,
    pub(super) host: Option<HostFacts>,
    pub(super) libvirt: LibvirtMode,
}

impl Prepared {
    /// The request to the mutator.
    pub(super) fn request(&self) -> Request<'_> {
        Request {
            profile: &self.profile,
            vm: self.vm.as_ref(),
            host: self.host.as_ref(),
            libvirt: self.libvirt,
            lock_confirmed: false,
        }
    }
}

/// Reads the domain.
pub(super) fn domain(inputs: &Inputs) -> Result<Domain, Failure> {
    let path = inputs.domain.as_path();
    if path == Path::new("-") && inputs.vmi.as_deref() == Some(path) {
        return Err(Failure::InputTwice);
    }
    let bytes = bytes(path)?;
    let name = if path == Path::new("-") { PathBuf::from("standard input") } else { path.to_owned() };
    // Other beginnings (none, a mark of the encoding) are the XML reader's to explain.
    let no_xml = bytes.trim_ascii_start().first().is_some_and(|first| first.is_ascii_graphic() && *first != b'<');
    Domain::parse(bytes).map_err(|error| match no_xml {
        true => Failure::NotXml { name },
        false => Failure::NotADomain { name, error: Box::new(error) },
    })
}

/// Reads and resolves everything else.
pub(super) fn prepare(inputs: &Inputs) -> Result<Prepared, Failure> {
    let vm = inputs.vmi.as_deref().map(vm).transpose()?;
    let profiles = profiles(inputs.profile_dir.as_deref())?;
    let request = config::Request {
        annotations: vm.as_ref().map(|vm| vm.annotations.clone()).unwrap_or_default(),
        profiles: arguments(&inputs.profiles)?,
        sets: inputs.sets.clone(),
    };
    let profile = resolve(&request, &profiles)?;
    let host = inputs.host_root.as_deref().map(read_pci).transpose()?;
    Ok(Prepared { profile, vm, host, libvirt: inputs.libvirt.into() })
}

fn vm(path: &Path) -> Result<VmFacts, Failure> {
    let view = VmView::parse(&text(path)?).map_err(|error| Failure::Vmi { path: path.to_owned(), error })?;
    Ok(view.facts())
}

impl From<Libvirt> for LibvirtMode {
    fn from(libvirt: Libvirt) -> Self {
        match libvirt {
            Libvirt::Auto => Self::Auto,
            Libvirt::Session => Self::Session,
            Libvirt::System => Self::System,
        }
    }
}

/// Profiles that are named, or in files.
pub(super) fn arguments(profiles: &[String]) -> Result<Vec<ProfileArgument>, Failure> {
    profiles.iter().map(|profile| argument(profile)).collect()
}

/// A profile that is named, or one in a file.
fn argument(profile: &str) -> Result<ProfileArgument, Failure> {
    if !profile.contains('/') && !profile.ends_with(".yaml") {
        return Ok(ProfileArgument::Name(profile.to_owned()));
    }
    let text = text(Path::new(profile))?;
    Ok(ProfileArgument::File(ProfileText { label: profile.to_owned(), text }))
}

/// The profiles that can be named. The default folder may be missing, one that was named may not.
pub(super) fn profiles(dir: Option<&Path>) -> Result<Profiles, Failure> {
    let mut profiles = Profiles::built_in();
    let path = dir.unwrap_or(Path::new(PROFILE_DIR));
    let entries = match std::fs::read_dir(path) {
        Err(error) if dir.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(profiles),
        entries => entries.map_err(|error| Failure::read(path, error))?,
    };
    for entry in entries {
        let file = entry.map_err(|error| Failure::read(path, error))?.path();
        let (Some(name), Some("yaml")) =
            (file.file_stem().and_then(|s| s.to_str()), file.extension().and_then(|e| e.to_str()))
        else {
            continue;
        };
        let label = file.display().to_string();
        let bytes = regular(&file).map_err(|error| Failure::read(&file, error))?;
        let text = String::from_utf8(bytes).map_err(|_| Failure::NotText { path: file.clone() })?;
        profiles.insert(name, ProfileText { label, text });
    }
    Ok(profiles)
}

/// The bytes of a regular file, or of one that a link leads to, as in the folder of a ConfigMap. Anything else would keep us waiting: a
/// pipe for whoever writes into it, a device for ever.
pub(super) fn regular(path: &Path) -> io::Result<Vec<u8>> {
    // Without this flag opening a pipe waits, and nothing ends a process that waits there.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file: give a file of YAML, or a link to one"));
    }
    let mut out = Vec::new();
    file.take(MAX_INPUT).read_to_end(&mut out)?;
    Ok(out)
}

pub(super) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes(path)?).map_err(|_| Failure::NotText { path: path.to_owned() })
}

pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MAX_INPUT).read_to_end(&mut out)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_end(&mut out))
    };
    read.map_err(|error| Failure::read(path, error))?;
    Ok(out)
}
