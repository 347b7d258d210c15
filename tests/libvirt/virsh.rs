//! One virsh call for many documents: how it is run, and how its output is told apart.

use std::fs;
use std::io::{Read, pipe};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::embed::Verdict;

/// One virsh call takes its commands as one argument, which Linux limits to 128 KiB.
pub(crate) const PER_CALL: usize = 100;

const END: &str = "@@virt-tailor-end@@";

/// What virsh says itself, around libvirt's own words or after the first failure.
const NOT_LIBVIRT: [&str; 3] = ["Failed to define", "Failed to start", "failed to get domain"];

fn begin(number: usize) -> String {
    format!("@@virt-tailor-{number}@@")
}

/// The commands for one document: what `judged` prints is the verdict, what `clean_up` prints is not.
pub(crate) fn section(number: usize, judged: &str, clean_up: &str) -> String {
    let begin = begin(number);
    format!("echo '{begin}'; {judged} echo '{END}'; {clean_up} ")
}

/// Whether a call survived this document.
pub(crate) fn came_through(output: &str, number: usize) -> bool {
    output.split_once(&begin(number)).is_some_and(|(_, rest)| rest.contains(END))
}

/// The verdict on one document, from what a call with its [`section`] printed.
pub(crate) fn verdict(output: &str, number: usize) -> Verdict {
    let section = output
        .split_once(&begin(number))
        .and_then(|(_, rest)| rest.split_once(END))
        .unwrap_or_else(|| panic!("virsh never came to document {number}:\n{output}"))
        .0;
    // Only at the start of a line: a dumped document may have such words in it.
    let mut errors = section.lines().skip_while(|line| !line.starts_with("error: ")).peekable();
    if errors.peek().is_none() {
        return Ok(section.trim().to_owned());
    }
    let lines: Vec<&str> = errors
        .map(|line| line.trim_start_matches("error: "))
        .filter(|line| !NOT_LIBVIRT.iter().any(|own| line.starts_with(own)))
        .collect();
    Err(lines.join("\n").trim().to_owned())
}

/// Runs virsh once, on a root directory and as a user, and gives stdout and stderr as one text in the order in which
/// they were written.
pub(crate) fn call(root: &Path, user: Option<u32>, script: &str, seconds: usize, preload: Option<&Path>) -> String {
    let root = root.display();
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &seconds.to_string()]);
    command.arg(format!("{root}/reap"));
    if let Some(uid) = user.map(|uid| uid.to_string()) {
        command.args(["setpriv", "--reuid", &uid, "--regid", &uid]);
        command.arg("--clear-groups");
    }
    // Pinned: what libvirt caches about QEMU is void as soon as the process may run on other CPUs.
    command.args(["taskset", "-c", &first_cpu(), "env"]);
    // Not for timeout, setpriv and taskset, which have nothing to do with libvirt.
    command.args(preload.map(|library| format!("LD_PRELOAD={}", library.display())));
    command.args(["virsh", "-q", "-c"]);
    command.args([&format!("qemu:///embed?root={root}"), script]);
    command.env_clear().env("HOME", format!("{root}"));
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("LC_ALL", "C.UTF-8");
    command.env("LIBVIRT_LOG_OUTPUTS", format!("3:file:{root}/libvirt.log"));
    let (mut reader, writer) = pipe().unwrap();
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().expect("timeout (coreutils)");
    drop(command); // and with it our ends of the pipe
    let mut output = Vec::new();
    reader.read_to_end(&mut output).unwrap();
    let status = child.wait().unwrap();
    let output = String::from_utf8_lossy(&output).into_owned();
    // virsh itself ends with 1 whenever one of its commands failed.
    assert!(matches!(status.code(), Some(0 | 1)), "virsh: {status} after at most {seconds} s:\n{output}");
    output
}

/// The first CPU that we may run on.
fn first_cpu() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("Cpus_allowed_list");
    let digits = list.trim().chars().take_while(char::is_ascii_digit);
    digits.collect()
}

#[test]
fn verdicts_are_told_apart() {
    let output = "@@virt-tailor-0@@<domain>\n <!-- error: no -->\n</domain>\n\n@@virt-tailor-end@@\
        @@virt-tailor-1@@error: Failed to define domain from x\nerror: XML error: bad\nmore\n\
        error: failed to get domain 'x'\n@@virt-tailor-end@@error: failed to get domain 'x'\n";
    let dump = "<domain>\n <!-- error: no -->\n</domain>".to_owned();
    assert_eq!(verdict(output, 0), Ok(dump));
    assert_eq!(verdict(output, 1), Err("XML error: bad\nmore".to_owned()));
}
