//! Defining a domain and reading it back: in a real libvirt through virsh, or in the stand-in.

use std::fs;
use std::io;
use std::path::Path;

use super::Trouble;
use super::virsh::{Said, Virsh};
use crate::commands::Failure;
use crate::domain::Domain;
use crate::kubevirt::readback::{read_back, take_over};
use crate::kubevirt::reduce::Release;
use crate::xml::{Document, Limits};

/// Kinds of machine, as far as KubeVirt and addresses are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    /// PCI Express on x86.
    Q35,
    /// PCI Express on Arm.
    Virt,
    /// Without root ports: KubeVirt asks once only.
    Other,
}

impl Board {
    pub(super) fn of(domain: &Domain) -> Self {
        let document = domain.document();
        let kind = document.descend(document.root(), &["os", "type"]);
        let machine = kind.and_then(|kind| document.attribute(kind, "machine")).unwrap_or_default();
        match machine.as_ref() {
            machine if machine.contains("q35") => Self::Q35,
            machine if machine.starts_with("virt") => Self::Virt,
            _ => Self::Other,
        }
    }
}

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
    pub(super) async fn read_back(&self, sent: &[u8], answer: &[u8], release: Release) -> Result<String, Failure> {
        let read = match self {
            Self::StandIn => read_back(sent, answer, release),
            Self::Virsh { .. } => take_over(sent, self.define(answer).await?.as_bytes(), release),
        };
        read.map_err(not_taken)
    }

    /// Refuses a board whose addresses nobody here can assign.
    pub(super) fn knows(&self, board: Board) -> Result<(), Trouble> {
        match (self, board) {
            (Self::StandIn, Board::Virt) => Err(Trouble::Board),
            _ => Ok(()),
        }
    }

    /// Whether libvirt would take an answer whose devices nobody reads back; the stand-in only knows about places.
    pub(super) async fn accepts(&self, answer: &[u8], board: Board, release: Release) -> Result<(), Failure> {
        match self {
            Self::StandIn if board != Board::Q35 => Ok(()),
            Self::StandIn => read_back(answer, answer, release).map(drop).map_err(not_taken),
            Self::Virsh { .. } => self.define(answer).await.map(drop),
        }
    }

    /// Defines, dumps and undefines a domain under a name and a UUID that are nobody's.
    async fn define(&self, domain: &[u8]) -> Result<String, Failure> {
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
        let virsh = Virsh::start(uri, &script, folder).map_err(|error| self.unusable(&missing(&error)))?;
        let Said { text, errors } = virsh.said().await.map_err(|error| self.unusable(&error.to_string()))?;
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

fn not_taken(error: impl ToString) -> Failure {
    Trouble::Sync(refusal(&error.to_string())).into()
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
