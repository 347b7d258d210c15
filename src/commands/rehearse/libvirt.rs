//! Defining a domain and reading it back: in a real libvirt through virsh, or in the stand-in.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Trouble;
use crate::commands::Failure;
use crate::kubevirt::readback::{read_back, take_over};
use crate::kubevirt::reduce::Release;
use crate::xml::{Document, Limits};

/// Where domains are defined.
#[derive(Debug, Clone)]
pub(super) enum Libvirt<'a> {
    /// Nowhere.
    StandIn,
    /// In a libvirt that virsh reaches.
    Virsh { uri: &'a str, folder: &'a Path },
}

impl Libvirt<'_> {
    /// The devices of an answer as KubeVirt takes them over, in the domain that it sent.
    pub(super) fn read_back(&self, sent: &[u8], answer: &[u8], release: Release) -> Result<String, Failure> {
        let read = match self {
            Self::StandIn => read_back(sent, answer, release),
            Self::Virsh { .. } => take_over(sent, self.define(answer)?.as_bytes(), release),
        };
        read.map_err(|error| Trouble::Sync(refusal(&error.to_string())).into())
    }

    /// Whether libvirt would take an answer whose devices nobody reads back; the stand-in only knows about places.
    pub(super) fn accepts(&self, answer: &[u8], release: Release) -> Result<(), Failure> {
        match self {
            Self::StandIn => self.read_back(answer, answer, release).map(drop),
            Self::Virsh { .. } => self.define(answer).map(drop),
        }
    }

    /// Defines, dumps and undefines a domain under a name and a UUID that are nobody's.
    fn define(&self, domain: &[u8]) -> Result<String, Failure> {
        let Self::Virsh { uri, folder } = self else {
            return Ok(String::new());
        };
        let (name, uuid) = own_identity();
        let file = folder.join("domain.xml");
        let renamed = renamed(domain, &name, &uuid).map_err(|error| Trouble::Sync(refusal(&error)))?;
        fs::write(&file, renamed).map_err(|error| Failure::Write { path: file.clone(), error })?;
        // One call: a libvirt inside virsh forgets what it knows when virsh ends. The firmware's variables are the user's.
        let script =
            format!("define '{}'; dumpxml --inactive '{name}'; undefine '{name}' --keep-nvram", file.display());
        let output = Command::new("virsh")
            .args(["-q", "-c", uri, &script])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.unusable(&missing(&error)))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if text.contains("<domain") {
            return Ok(text);
        }
        let lines: Vec<&str> = errors.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        if !lines.iter().any(|line| line.starts_with("Failed to define")) {
            return Err(self.unusable(lines.first().unwrap_or(&"virsh says nothing")));
        }
        let why = lines.iter().find(|line| !line.starts_with("Failed to") && !line.starts_with("failed to"));
        Err(Trouble::Sync(refusal(why.unwrap_or(&"libvirt gives no reason"))).into())
    }

    fn unusable(&self, why: &str) -> Failure {
        let uri = match self {
            Self::Virsh { uri, .. } => (*uri).to_owned(),
            Self::StandIn => String::new(),
        };
        Trouble::Libvirt { uri, why: why.to_owned() }.into()
    }
}

fn missing(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "virsh is not installed".to_owned(),
        _ => error.to_string(),
    }
}

/// A refusal as libvirt's Go library writes it.
fn refusal(message: &str) -> String {
    let (code, domain) = match message {
        message if message.starts_with("XML error") => (27, 20),
        message if message.starts_with("unsupported configuration") => (67, 10),
        message if message.starts_with("internal error") => (1, 10),
        // Not libvirt's: KubeVirt's own reader's.
        message => return message.to_owned(),
    };
    format!("virError(Code={code}, Domain={domain}, Message='{message}')")
}

fn own_identity() -> (String, String) {
    let pid = std::process::id();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (seconds, nanos) = (now.as_secs(), now.subsec_nanos());
    let uuid = format!(
        "{nanos:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        seconds & 0xffff,
        pid & 0xfff,
        (pid >> 12) & 0xfff,
        seconds & 0xffff_ffff_ffff
    );
    (format!("virt-tailor-rehearsal-{pid}-{nanos}"), uuid)
}

/// The domain under another name; SMBIOS repeats the UUID, and libvirt wants both to be equal.
fn renamed(domain: &[u8], name: &str, uuid: &str) -> Result<Vec<u8>, String> {
    let mut document = Document::parse(domain, &Limits::default()).map_err(|error| format!("XML error: {error}"))?;
    let root = document.root();
    for (element, text) in [("name", name), ("uuid", uuid)] {
        let element = document.child(root, element).unwrap_or_else(|| document.append(root, element));
        document.set_text(element, text);
    }
    let entries: Vec<_> = document
        .descend(root, &["sysinfo", "system"])
        .map(|system| document.children_named(system, "entry").collect())
        .unwrap_or_default();
    for entry in entries {
        if document.attribute(entry, "name").as_deref() == Some("uuid") {
            document.set_text(entry, uuid);
        }
    }
    Ok(document.to_bytes())
}
