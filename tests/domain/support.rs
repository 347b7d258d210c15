//! What the tests of this program share: reading inputs, running a mutation, showing and comparing outcomes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use virt_tailor::config::{self, ProfileArgument, ProfileText, Profiles, Resolved, resolve};
use virt_tailor::domain::{Domain, LibvirtMode, Outcome, Request, VmFacts, mutate};
use virt_tailor::host::{HostFacts, read_pci};
use virt_tailor::kubevirt::VmView;

use crate::common::host_tree;

/// A folder of `tests`.
pub(crate) fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// The entries of a folder, in order.
pub(crate) fn sorted(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    let mut paths: Vec<PathBuf> = entries.unwrap_or_default();
    paths.sort();
    paths
}

/// A text, if the file is there.
pub(crate) fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The only line of a file, if the file is there.
pub(crate) fn line(path: &Path) -> Option<String> {
    read(path).map(|text| text.trim().to_owned())
}

/// The facts of a host fixture.
pub(crate) fn host(name: &str) -> HostFacts {
    read_pci(host_tree::unpack(name).path()).unwrap()
}

/// What the VM in a file says.
pub(crate) fn vm(path: &Path) -> VmFacts {
    VmView::parse(&fs::read_to_string(path).unwrap()).unwrap().facts()
}

/// Everything that a mutation depends on.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) profiles: Vec<ProfileArgument>,
    pub(crate) sets: Vec<String>,
    pub(crate) vm: Option<VmFacts>,
    pub(crate) host: Option<HostFacts>,
    pub(crate) libvirt: LibvirtMode,
    pub(crate) lock_confirmed: bool,
}

impl Asked {
    /// A built-in profile.
    pub(crate) fn built_in(name: &str) -> Self {
        Self { profiles: vec![ProfileArgument::Name(name.to_owned())], ..Self::default() }
    }

    /// The spec of a profile.
    pub(crate) fn spec(spec: &str) -> Self {
        let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "apiVersion: virt-tailor.io/v1alpha1\nkind: DomainProfile\nmetadata: {{name: test}}\nspec:\n{indented}"
        );
        let file = ProfileArgument::File(ProfileText { label: "profile.yaml".to_owned(), text });
        Self { profiles: vec![file], ..Self::default() }
    }

    /// The merged profile, or what is wrong with it.
    pub(crate) fn resolve(&self) -> Result<Resolved, String> {
        let request = config::Request {
            annotations: self.vm.as_ref().map(|vm| vm.annotations.clone()).unwrap_or_default(),
            profiles: self.profiles.clone(),
            sets: self.sets.clone(),
        };
        resolve(&request, &Profiles::built_in()).map_err(|problems| problems.to_string())
    }

    /// Fits a domain, or says why not: as `mutate` does it, a migration target before everything else.
    pub(crate) fn run(&self, bytes: &[u8]) -> Result<Outcome, String> {
        let domain = Domain::parse(bytes).map_err(|error| error.to_string())?;
        if domain.is_migration_target() {
            return Ok(domain.into_unchanged());
        }
        let profile = self.resolve()?;
        let request = Request {
            profile: &profile,
            vm: self.vm.as_ref(),
            host: self.host.as_ref(),
            libvirt: self.libvirt,
            lock_confirmed: self.lock_confirmed,
        };
        mutate(domain, &request).map_err(|refusal| refusal.to_string())
    }
}

/// What holds for every success: the output is well-formed, changes are named exactly if bytes differ, and once more changes nothing.
pub(crate) fn soundness(asked: &Asked, input: &[u8], outcome: &Outcome) -> Result<(), String> {
    Domain::parse(outcome.bytes.clone()).map_err(|error| format!("malformed output: {error}"))?;
    let changed = outcome.bytes != input;
    if changed == outcome.changes.is_empty() {
        return Err(format!("bytes changed: {changed}, but the changes are {:#?}", outcome.changes));
    }
    let again = asked.run(&outcome.bytes).map_err(|error| format!("refused its own output: {error}"))?;
    if again.bytes != outcome.bytes {
        return Err(format!("once more is not the same:\n{}", diff(&outcome.bytes, &again.bytes)));
    }
    if !again.changes.is_empty() {
        return Err(format!("once more changes nothing, but says {:#?}", again.changes));
    }
    Ok(())
}

/// What differs, as a unified diff. Carriage returns and byte order marks stay as they are.
pub(crate) fn diff(before: &[u8], after: &[u8]) -> String {
    let (before, after) = (str::from_utf8(before).unwrap(), str::from_utf8(after).unwrap());
    similar::TextDiff::from_lines(before, after).unified_diff().context_radius(2).to_string()
}

/// The list of changes and notes as `mutate --changes` prints it.
pub(crate) fn changes(outcome: &Outcome) -> String {
    let mut out = String::new();
    for change in &outcome.changes {
        writeln!(out, "{change}").unwrap();
    }
    if outcome.changes.is_empty() {
        out.push_str("nothing changes\n");
    }
    for note in &outcome.notes {
        writeln!(out, "note: {note}").unwrap();
    }
    out
}

/// Files that should have certain contents; collects what differs, or writes it if `UPDATE_GOLDEN` is set.
#[derive(Debug, Default)]
pub(crate) struct Golden {
    wrong: Vec<String>,
}

impl Golden {
    /// A file should have this content, or (`None`) not be there.
    pub(crate) fn expect(&mut self, path: &Path, content: Option<&str>) {
        let known = read(path);
        if known.as_deref() == content {
            return;
        }
        if std::env::var_os("UPDATE_GOLDEN").is_none() {
            let shown = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(path).display();
            self.wrong.push(match content {
                Some(content) => format!("{shown} should be:\n{content}"),
                None => format!("{shown} should not be there"),
            });
            return;
        }
        match content {
            Some(content) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            None => fs::remove_file(path).unwrap(),
        }
    }

    /// Something else is wrong.
    pub(crate) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Fails if anything differs.
    pub(crate) fn done(self) {
        let count = self.wrong.len();
        assert!(count == 0, "{}\n{count} differ; if this is meant: UPDATE_GOLDEN=1 cargo test", self.wrong.join("\n"));
    }
}
