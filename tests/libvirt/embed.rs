//! A libvirt of our own: the QEMU driver inside virsh, on a root directory that lives as long as [`Libvirt`].

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{normalise, virsh};

/// A document and the name it has in messages.
pub(crate) type Doc<'a> = (&'a str, &'a [u8]);

/// What libvirt printed (the dumped XML, the command line), or its own error text.
pub(crate) type Verdict = Result<String, String>;

/// `nobody` on every Linux: libvirt is in session mode for any uid but 0, as in KubeVirt's virt-launcher.
const NOBODY: u32 = 65534;

#[derive(Debug)]
pub(crate) struct Libvirt {
    root: TempDir,
    uid: u32,
    /// Whom virsh runs as, if not as we do.
    switch_to: Option<u32>,
}

impl Libvirt {
    /// A libvirt as the user who runs the tests: privileged if that is root.
    pub(crate) fn embed() -> Self {
        let uid = fs::metadata("/proc/self").expect("/proc").uid();
        Self::new(uid, None)
    }

    /// A libvirt in session mode.
    pub(crate) fn session() -> Self {
        let uid = fs::metadata("/proc/self").expect("/proc").uid();
        if uid == 0 { Self::new(NOBODY, Some(NOBODY)) } else { Self::new(uid, None) }
    }

    /// Whether session-mode rules do not apply.
    pub(crate) fn privileged(&self) -> bool {
        self.uid == 0
    }

    /// How virsh is told to use it, if it runs as we do.
    pub(crate) fn uri(&self) -> String {
        format!("qemu:///embed?root={}", self.root.path().display())
    }

    fn new(uid: u32, switch_to: Option<u32>) -> Self {
        // A short path: a UNIX socket's name (the monitor, below the domain's name) has 108 bytes.
        let root = tempfile::Builder::new().prefix("vt-").tempdir().expect("temporary directory");
        let path = root.path();
        fs::create_dir(path.join("etc")).unwrap();
        fs::create_dir(path.join("docs")).unwrap();
        // Without the uid libvirt probes QEMU anew at every call. The rest keeps it from touching the machine:
        // no confinement of guests that never run, no log daemon, no owner notes on files.
        let conf = format!(
            "user = \"+{uid}\"\ngroup = \"+{uid}\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\n\
             namespaces = []\nseccomp_sandbox = 0\nstdio_handler = \"file\"\nremember_owner = 0\n"
        );
        fs::write(path.join("etc/qemu.conf"), conf).unwrap();
        compile("preload.c", &["-shared", "-fPIC"], &path.join("preload.so"));
        compile("reap.c", &[], &path.join("reap"));
        if switch_to.is_some() {
            for below in ["", "etc", "docs", "etc/qemu.conf", "preload.so", "reap"] {
                chown(path.join(below), Some(uid), Some(uid)).unwrap();
            }
        }
        Self { root, uid, switch_to }
    }

    /// Defines each document and gives libvirt's own form of it (addresses assigned, defaults filled in).
    pub(crate) fn define(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        let as_it_is = |xml: &[u8]| Ok(xml.to_vec());
        self.batch(docs, 60, None, as_it_is, |file, id| match id {
            Some(id) => (format!("define {file}; dumpxml '{id}';"), format!("undefine --nvram '{id}';")),
            None => (format!("define {file};"), String::new()),
        })
    }

    /// The QEMU command line of each document, after [`normalise::for_native`].
    ///
    /// libvirt replaces NICs by tap NICs without alias and address here, so nothing about a NIC shows.
    pub(crate) fn native(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        let preload = self.root.path().join("preload.so");
        self.batch(docs, 60, Some(&preload), normalise::for_native, |file, _| {
            (format!("domxml-to-native qemu-argv {file};"), String::new())
        })
    }

    /// Starts each document's QEMU, stopped before its first instruction, and destroys it.
    pub(crate) fn start(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        // Each takes two seconds, most of it libvirt waiting for QEMU's monitor.
        let seconds = 60 + 10 * docs.len();
        self.batch(docs, seconds, None, normalise::for_native, |file, id| {
            let id = id.expect("only a domain with a name or UUID can be started");
            (format!("define {file}; start --paused '{id}';"), format!("destroy '{id}'; undefine --nvram '{id}';"))
        })
    }

    /// Prepares each document and runs `commands(file, id)` for it: first those whose output is the verdict, then those
    /// that clean up. A document that cannot be prepared is refused with the reason.
    fn batch(
        &self,
        docs: &[Doc<'_>],
        seconds: usize,
        preload: Option<&Path>,
        prepare: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
        commands: impl Fn(&str, Option<&str>) -> (String, String),
    ) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::with_capacity(docs.len());
        let mut rest = docs;
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(virsh::PER_CALL)];
            let mut script = String::new();
            let mut problems = Vec::new();
            for (number, (_, xml)) in chunk.iter().enumerate() {
                let xml = match prepare(xml) {
                    Ok(xml) => xml,
                    Err(why) => {
                        problems.push((number, why));
                        script.push_str(&virsh::section(number, "", ""));
                        continue;
                    }
                };
                let file = self.root.path().join(format!("docs/{number}.xml"));
                fs::write(&file, &xml).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
                // virsh's own quoting knows no escape for this, and no UUID has it.
                let id = normalise::identity(&xml).filter(|id| !id.contains(['\'', '\n']));
                let (judged, clean_up) = commands(file.to_str().unwrap(), id.as_deref());
                script.push_str(&virsh::section(number, &judged, &clean_up));
            }
            let root = self.root.path();
            let output = virsh::call(root, self.switch_to, &script, seconds, preload);
            let begin = verdicts.len();
            let judged = (0..chunk.len()).take_while(|number| virsh::came_through(&output, *number)).count();
            verdicts.extend((0..judged).map(|number| virsh::verdict(&output, number)));
            for (number, why) in problems.into_iter().filter(|(number, _)| *number < judged) {
                verdicts[begin + number] = Err(why);
            }
            assert_eq!(judged, chunk.len(), "virsh did not come to its end:\n{output}");
            rest = &rest[judged..];
        }
        verdicts
    }
}

impl Drop for Libvirt {
    /// Ends what a call that ran out of time has left behind.
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(self.root.path().join("run/qemu")) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_a_guest = path.extension().is_some_and(|e| e == "pid") && !path.ends_with("driver.pid");
            if let Some(pid) = is_a_guest.then(|| fs::read_to_string(&path).ok()).flatten() {
                // Already gone is fine.
                let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
            }
        }
    }
}

fn compile(source: &str, options: &[&str], to: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libvirt");
    let mut command = Command::new("cc");
    command.args(["-Wall", "-Wextra", "-Werror"]).args(options);
    command.arg("-o").args([to, &folder.join(source)]);
    let status = command.status().expect("a C compiler (cc)");
    assert!(status.success(), "cc: {status}");
}
