//! Parameters that the node's administrator has set for a module: modprobe gives them to every module it loads, so we do.
//!
//! From `modprobe.d` (modprobe.d(5)) and from the kernel's command line, where `module.name=value` counts for modules loaded later too.
//!
//! In a container the folders are not the node's: those that its first process sees are. What is opened there is read where it was opened,
//! for a path in another mount namespace leads nowhere in ours.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::named;
use super::place::open;
use crate::host::Root;

/// No file of options comes near it.
const LONGEST: u64 = 1 << 20;

/// A file hides others of its name in later folders.
const FOLDERS: [&str; 5] =
    ["etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];

/// The parameters for a module, in the order in which modprobe would give them. What cannot be read sets none.
pub(super) fn options(root: &Root, module: &str) -> Vec<String> {
    let mut options = said_of(root, "options", module).concat();
    let line = root.text("proc/cmdline").ok().flatten().unwrap_or_default();
    let ours = line.split_ascii_whitespace().filter_map(|word| {
        let (name, option) = word.split_once('.')?;
        // `a.b=c` is one; the dot of `root=/dev/disk.1` is not.
        (named(name) == module && !option.is_empty()).then(|| option.to_owned())
    });
    options.extend(ours);
    options
}

/// Whether the node's administrator has a command run in place of loading a module (modprobe.d(5), `install`).
pub(super) fn has_install(root: &Root, module: &str) -> bool {
    !said_of(root, "install", module).is_empty()
}

/// What the lines of a kind that name a module say of it, in the order of their files.
fn said_of(root: &Root, kind: &str, module: &str) -> Vec<Vec<String>> {
    let first = root.of_first();
    let node = if first.has("etc") { &first } else { root };
    let mut files = BTreeMap::<String, PathBuf>::new();
    for folder in FOLDERS {
        for name in names(node, Path::new(folder)).unwrap_or_default() {
            if name.ends_with(".conf") {
                let path = Path::new(folder).join(&name);
                files.entry(name).or_insert(path);
            }
        }
    }
    let mut said = Vec::new();
    for path in files.values() {
        let text = text(node, path).unwrap_or_default().replace("\\\n", " ");
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            if words.next() == Some(kind) && words.next().is_some_and(|name| named(name) == module) {
                said.push(words.map(str::to_owned).collect());
            }
        }
    }
    said
}

fn names(root: &Root, folder: &Path) -> io::Result<Vec<String>> {
    let folder = open(root, folder)?;
    let entries = fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn text(root: &Root, path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(root, path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modprobe_would_give() {
        let tree = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "etc/modprobe.d/b.conf",
                "# options kvm-intel x=0\noptions kvm-intel nested=1 \\\n  ept=0\noptions kvm x=1\n",
            ),
            ("etc/modprobe.d/a.conf", "options kvm_intel pml=1\nblacklist nouveau\ninstall usb-storage /bin/false\n"),
            ("usr/lib/modprobe.d/b.conf", "options kvm_intel hidden=1\n"),
            ("etc/modprobe.d/notes.txt", "options kvm_intel no=1\n"),
            ("proc/cmdline", "root=/dev/kvm_intel.1 kvm-intel.vmentry=always kvm_intel. kvm.y=2 quiet\n"),
        ] {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = Root::new(tree.path());
        assert_eq!(options(&root, "kvm_intel"), ["pml=1", "nested=1", "ept=0", "vmentry=always"]);
        assert_eq!(options(&root, "igb"), Vec::<String>::new());
        assert!(has_install(&root, "usb_storage") && !has_install(&root, "kvm_intel"));
        // In a container: what lies there is the image's, and the node's is behind its first process, with links of its own.
        let node = tree.path().join("node");
        fs::create_dir_all(node.join("etc/static/modprobe.d")).unwrap();
        fs::write(node.join("etc/static/modprobe.d/a.conf"), "options kvm_intel pml=0\n").unwrap();
        std::os::unix::fs::symlink("/etc/static/modprobe.d", node.join("etc/modprobe.d")).unwrap();
        fs::create_dir_all(tree.path().join("proc/1")).unwrap();
        std::os::unix::fs::symlink(&node, root.of_first().folder()).unwrap();
        assert_eq!(options(&root, "kvm_intel"), ["pml=0", "vmentry=always"]);
    }
}
