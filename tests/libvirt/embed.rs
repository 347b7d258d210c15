//! A libvirt of our own: the QEMU driver inside virsh, on a root directory that lives as long as [`Libvirt`].

use std::fs;
use std::io::{Read, pipe};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::normalise;

/// A document and the name it has in messages.
pub(crate) type Doc<'a> = (&'a str, &'a [u8]);

/// What libvirt printed (the dumped XML, the command line), or its own error text.
pub(crate) type Verdict = Result<String, String>;

/// `nobody` on every Linux: libvirt is in session mode for any uid but 0, as in KubeVirt's virt-launcher.
const NOBODY: u32 = 65534;

/// One virsh call takes its commands as one argument, which Linux limits to 128 KiB.
const PER_CALL: usize = 100;

#[derive(Debug)]
pub(crate) struct Libvirt {
    root: TempDir,
    uid: u32,
    switch_user: bool,
}

impl Libvirt {
    /// A libvirt as the user who runs the tests: privileged if that is root.
    pub(crate) fn embed() -> Self {
        let uid = fs::metadata("/proc/self").expect("/proc").uid();
        Self::new(uid, false)
    }

    /// A libvirt in session mode.
    pub(crate) fn session() -> Self {
        let uid = fs::metadata("/proc/self").expect("/proc").uid();
        if uid == 0 {
            Self::new(NOBODY, true)
        } else {
            Self::new(uid, false)
        }
    }

    /// Whether session-mode rules do not apply.
    pub(crate) fn privileged(&self) -> bool {
        self.uid == 0
    }

    fn new(uid: u32, switch_user: bool) -> Self {
        // A short path: a UNIX socket's name (the monitor, below the domain's name) has 108 bytes.
        let root = tempfile::Builder::new()
            .prefix("vt-")
            .tempdir()
            .expect("temporary directory");
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
        compile_preload(&path.join("preload.so"));
        if switch_user {
            for below in ["", "etc", "docs", "etc/qemu.conf", "preload.so"] {
                chown(path.join(below), Some(uid), Some(uid)).unwrap();
            }
        }
        Self {
            root,
            uid,
            switch_user,
        }
    }

    /// Defines each document and gives libvirt's own form of it (addresses assigned, defaults filled in).
    pub(crate) fn define(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        self.batch(docs, 60, &[], |file, id| {
            let clean_up = id
                .map(|id| format!("undefine --nvram '{id}';"))
                .unwrap_or_default();
            let dump = id.map(|id| format!("dumpxml '{id}';")).unwrap_or_default();
            (format!("define {file}; {dump}"), clean_up)
        })
    }

    /// The QEMU command line of each document, after [`normalise::for_native`].
    ///
    /// libvirt replaces NICs by tap NICs without alias and address here, so nothing about a NIC shows.
    pub(crate) fn native(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        let (changed, problems): (Vec<_>, Vec<_>) = docs
            .iter()
            .map(|(name, xml)| match normalise::for_native(xml) {
                Ok(xml) => ((*name, xml), None),
                Err(why) => ((*name, Vec::new()), Some(why)),
            })
            .unzip();
        let changed: Vec<Doc<'_>> = changed
            .iter()
            .map(|(name, xml)| (*name, xml.as_slice()))
            .collect();
        let preload = format!(
            "LD_PRELOAD={}",
            self.root.path().join("preload.so").display()
        );
        let verdicts = self.batch(&changed, 60, &[preload], |file, _| {
            (format!("domxml-to-native qemu-argv {file};"), String::new())
        });
        // A document that could not even be normalised was sent empty; say why instead of libvirt's "Document is empty".
        verdicts
            .into_iter()
            .zip(problems)
            .map(|(verdict, problem)| problem.map_or(verdict, Err))
            .collect()
    }

    /// Starts each document's QEMU, stopped before its first instruction, and destroys it.
    pub(crate) fn start(&self, docs: &[Doc<'_>]) -> Vec<Verdict> {
        let changed: Vec<Vec<u8>> = docs
            .iter()
            .map(|(_, xml)| normalise::for_native(xml).unwrap())
            .collect();
        let changed: Vec<Doc<'_>> = docs
            .iter()
            .zip(&changed)
            .map(|((name, _), xml)| (*name, xml.as_slice()))
            .collect();
        // A QEMU that refuses takes two seconds, because libvirt waits for its monitor.
        self.batch(&changed, 60 + 10 * docs.len(), &[], |file, id| {
            let id = id.expect("only documents with a name or UUID can be started");
            (
                format!("define {file}; start --paused '{id}';"),
                format!("destroy '{id}'; undefine --nvram '{id}';"),
            )
        })
    }

    /// Runs `commands(file, id)` for each document: first those whose output is the verdict, then those that clean up.
    fn batch(
        &self,
        docs: &[Doc<'_>],
        seconds: usize,
        environment: &[String],
        commands: impl Fn(&str, Option<&str>) -> (String, String),
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(docs.len());
        for chunk in docs.chunks(PER_CALL) {
            let mut script = String::new();
            for (number, (_, xml)) in chunk.iter().enumerate() {
                let file = self.root.path().join(format!("docs/{number}.xml"));
                fs::write(&file, xml).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
                let id = normalise::identity(xml);
                let (judged, clean_up) = commands(file.to_str().unwrap(), id.as_deref());
                script.push_str(&format!(
                    "echo '{}'; {judged} echo '{END}'; {clean_up} ",
                    begin(number)
                ));
            }
            let output = self.virsh(&script, seconds, environment);
            verdicts.extend((0..chunk.len()).map(|number| verdict(&output, number)));
        }
        verdicts
    }

    /// Runs virsh once and gives stdout and stderr as one text, in the order in which they were written.
    fn virsh(&self, script: &str, seconds: usize, environment: &[String]) -> String {
        let root = self.root.path().display();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", &seconds.to_string()]);
        if self.switch_user {
            let uid = self.uid.to_string();
            command.args([
                "setpriv",
                "--reuid",
                &uid,
                "--regid",
                &uid,
                "--clear-groups",
            ]);
        }
        // Pinned: what libvirt caches about QEMU is void as soon as the process may run on other CPUs.
        command
            .args(["taskset", "-c", &first_cpu(), "env"])
            .args(environment);
        command.args([
            "virsh",
            "-q",
            "-c",
            &format!("qemu:///embed?root={root}"),
            script,
        ]);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        command.env("HOME", self.root.path());
        command.env("LIBVIRT_LOG_OUTPUTS", format!("3:file:{root}/libvirt.log"));
        let (mut reader, writer) = pipe().unwrap();
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        let mut child = command.spawn().expect("timeout (coreutils)");
        drop(command); // and with it our ends of the pipe
        let mut output = Vec::new();
        reader.read_to_end(&mut output).unwrap();
        let status = child.wait().unwrap();
        let output = String::from_utf8_lossy(&output).into_owned();
        // virsh itself ends with 1 whenever one of its commands failed.
        assert!(
            matches!(status.code(), Some(0 | 1)),
            "virsh: {status} after at most {seconds} s:\n{output}"
        );
        output
    }
}

impl Drop for Libvirt {
    /// Ends what a call that ran out of time has left behind.
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(self.root.path().join("run/qemu")) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_a_guest =
                path.extension().is_some_and(|e| e == "pid") && !path.ends_with("driver.pid");
            if let Some(pid) = is_a_guest.then(|| fs::read_to_string(&path).ok()).flatten() {
                // Already gone is fine.
                let _ = Command::new("kill")
                    .args(["-9", pid.trim()])
                    .stderr(Stdio::null())
                    .status();
            }
        }
    }
}

const END: &str = "@@virt-tailor-end@@";

fn begin(number: usize) -> String {
    format!("@@virt-tailor-{number}@@")
}

/// What stands between the marks of one document.
fn verdict(output: &str, number: usize) -> Verdict {
    let section = output
        .split_once(&begin(number))
        .and_then(|(_, rest)| rest.split_once(END))
        .unwrap_or_else(|| panic!("virsh never came to document {number}:\n{output}"))
        .0;
    // Only at the start of a line: a dumped document may have such words in it.
    let lines: Vec<&str> = section
        .lines()
        .skip_while(|line| !line.starts_with("error: "))
        .collect();
    if lines.is_empty() {
        return Ok(section.trim().to_owned());
    }
    let lines: Vec<&str> = lines
        .into_iter()
        .map(|line| line.trim_start_matches("error: "))
        // virsh's own words around libvirt's, and what follows from the first failure.
        .filter(|line| {
            ![
                "Failed to define",
                "Failed to start",
                "failed to get domain",
            ]
            .iter()
            .any(|own| line.starts_with(own))
        })
        .collect();
    Err(lines.join("\n").trim().to_owned())
}

/// The first CPU that we may run on.
fn first_cpu() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .expect("Cpus_allowed_list");
    list.trim()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect()
}

fn compile_preload(to: &Path) {
    let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/libvirt/preload.c"]
        .iter()
        .collect();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"])
        .args([to, &source])
        .status()
        .expect("a C compiler (cc)");
    assert!(status.success(), "cc: {status}");
}
