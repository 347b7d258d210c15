//! The hook programs that KubeVirt's sidecar shim calls: this program under the name `onDefineDomain` or `preCloudInitIso`, in the
//! PATH of a shim image. Documents come as arguments; the answer goes to standard output, and everything else to standard error.
//!
//! The shim gives no options of ours, so all that is asked comes from the VM's annotations and the folder of profiles.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::domain::LibvirtMode;
use crate::kubevirt::hook::{self, Brought, Hook, OnError, Options};

use super::{Failure, input, output, tell};

/// A hook program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shim {
    /// `onDefineDomain --vmi JSON --domain XML`
    OnDefineDomain,
    /// `preCloudInitIso --vmi JSON --cloud-init JSON`
    PreCloudInitIso,
}

impl Shim {
    /// The hook program we were called as, if any.
    pub fn from_program_name() -> Option<Self> {
        let name = std::env::args_os().next()?;
        match Path::new(&name).file_name()?.to_str()? {
            "onDefineDomain" => Some(Self::OnDefineDomain),
            "preCloudInitIso" => Some(Self::PreCloudInitIso),
            _ => None,
        }
    }

    /// Answers on standard output.
    pub fn run(self, arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
        hook::tell_places_of_panics(|place| tell(format_args!("virt-tailor: a panic at {place}")));
        let given = Given::read(arguments)?;
        if given.help {
            return output::write(format!("Usage: {}\n", self.usage()).as_bytes(), None);
        }
        let hook = prepared(self)?;
        let vmi = self.needed("--vmi", given.vmi)?;
        match self {
            Self::OnDefineDomain => {
                let domain = self.needed("--domain", given.domain)?;
                if let Some(errand) = hook.errand(&domain, &vmi, false)
                    && !errand.is_empty()
                    && !errand.is_optional()
                {
                    if !errand.node_profiles.is_empty() {
                        return Err(Failure::Shim(format!(
                            "this VM needs {errand} from virt-tailor's agent, which a program of the sidecar shim cannot ask: use the image with virt-tailor sidecar, or take the annotation virt-tailor.io/node-profiles away"
                        )));
                    }
                    tell(format_args!("note: not asked of the node's agent, and needed on a node: {errand}"));
                }
                let reply = hook.define(&domain, &vmi, false);
                let outcome = reply.answer?;
                for change in &outcome.changes {
                    tell(format_args!("changed {}: {} ({})", change.what, change.why, change.from));
                }
                for note in &outcome.notes {
                    tell(format_args!("note: {note}"));
                }
                output::write(&outcome.bytes, None)
            }
            Self::PreCloudInitIso => {
                let data = self.needed("--cloud-init", given.cloud_init)?;
                let merged = hook.cloud_init(&vmi, Brought { no_cloud: &[], data: &data }).answer?;
                for note in &merged.notes {
                    tell(format_args!("note: {note}"));
                }
                output::write(&merged.data, None)
            }
        }
    }

    fn usage(self) -> &'static str {
        match self {
            Self::OnDefineDomain => "onDefineDomain --vmi JSON --domain XML",
            Self::PreCloudInitIso => "preCloudInitIso --vmi JSON --cloud-init JSON",
        }
    }

    fn needed(self, option: &str, value: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        value.ok_or_else(|| Failure::Shim(format!("{option} is missing; usage: {}", self.usage())))
    }
}

fn prepared(shim: Shim) -> Result<Hook, Failure> {
    let options = Options {
        profiles: input::profiles(None)?,
        arguments: Vec::new(),
        sets: Vec::new(),
        libvirt: LibvirtMode::Session,
        host_root: PathBuf::from("/"),
        on_error: OnError::Fail,
        // Being called is being asked.
        cloud_init: shim == Shim::PreCloudInitIso,
    };
    Ok(Hook::new(options)?)
}

/// What the arguments say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    vmi: Option<Vec<u8>>,
    domain: Option<Vec<u8>>,
    cloud_init: Option<Vec<u8>>,
    help: bool,
}

impl Given {
    /// Reads `--name value`, `--name=value` and, as Go's own flags have it, the same with one dash. Options that a later shim may add
    /// are passed over: what they mean for us nobody can know yet, and the VM starts.
    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut given = Self::default();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_bytes();
            let Some(option) = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")) else {
                // The value of an option that we do not know.
                continue;
            };
            let (name, value) = match option.iter().position(|c| *c == b'=') {
                Some(at) => (&option[..at], Some(option[at + 1..].to_vec())),
                None => (option, None),
            };
            let place = match name {
                b"vmi" => &mut given.vmi,
                b"domain" => &mut given.domain,
                b"cloud-init" => &mut given.cloud_init,
                b"help" | b"h" => {
                    given.help = true;
                    continue;
                }
                _ => {
                    let name = String::from_utf8_lossy(name);
                    let name: String = name.chars().take(40).collect();
                    tell(format_args!("note: the option --{} is not known and is passed over", name.escape_debug()));
                    continue;
                }
            };
            let value = value.or_else(|| arguments.next().map(OsString::into_vec));
            let name = String::from_utf8_lossy(name);
            let value = value.ok_or_else(|| Failure::Shim(format!("--{name} has no value")))?;
            if place.replace(value).is_some() {
                return Err(Failure::Shim(format!("--{name} is given twice")));
            }
        }
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Given, String> {
        Given::read(arguments.iter().map(OsString::from)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn options_come_as_the_shim_passes_them() {
        let expected = Given { vmi: Some(b"{}".to_vec()), domain: Some(b"<a b='='/>".to_vec()), ..Given::default() };
        let ways: [&[&str]; 4] = [
            &["--vmi", "{}", "--domain", "<a b='='/>"],
            &["--domain=<a b='='/>", "--vmi={}"],
            &["-vmi", "{}", "-domain=<a b='='/>"],
            &["--new", "value", "--vmi", "{}", "--newer=x", "--domain", "<a b='='/>"],
        ];
        for way in ways {
            assert_eq!(read(way).as_ref(), Ok(&expected), "{way:?}");
        }
        assert_eq!(read(&["--vmi"]), Err("--vmi has no value".to_owned()));
        assert_eq!(read(&["--vmi=a", "--vmi=b"]), Err("--vmi is given twice".to_owned()));
    }
}
