//! A folder of modules, laid out like `/lib/modules/<release>`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::named;
use super::place::real;
use crate::base::did_you_mean;
use crate::host::Root;
use crate::prep::trouble::Trouble;

/// The endings of a module's file.
const ENDINGS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// Modules of one kernel.
#[derive(Debug)]
pub(crate) struct Library {
    /// Below the host's root.
    folder: PathBuf,
    /// Name to file, below the host's root.
    files: BTreeMap<String, PathBuf>,
    /// Name to all that must be loaded before, the nearest first.
    needs: BTreeMap<String, Vec<String>>,
    built_in: Vec<String>,
    /// What a module would like to have loaded before it.
    softly: BTreeMap<String, Vec<String>>,
}

impl Library {
    /// The running kernel's modules, or those for it in a folder that holds `lib/modules/<release>`.
    pub(crate) fn open(root: &Root, from: Option<&Path>) -> Result<Self, Trouble> {
        let Some(release) = root.text("proc/sys/kernel/osrelease")? else {
            return Err(Trouble::new("/proc/sys/kernel/osrelease is not there: which kernel is running?"));
        };
        let base = from.unwrap_or(Path::new("/"));
        let places = ["lib/modules", "usr/lib/modules"].map(|place| base.join(place).join(&release));
        let Some((folder, real)) = places.iter().find_map(|place| Some((place, real(root, place).ok()?))) else {
            let [wanted, _] = &places;
            let others = root.names(base.join("lib/modules")).unwrap_or_default();
            let there = if others.is_empty() { String::new() } else { format!(" (there is {})", others.join(", ")) };
            return Err(Trouble::new(format!(
                "there are no modules for the running kernel in {}{there}",
                wanted.display()
            )));
        };
        let mut library = Self {
            folder: folder.clone(),
            files: BTreeMap::new(),
            needs: BTreeMap::new(),
            built_in: Vec::new(),
            softly: BTreeMap::new(),
        };
        let text = |list: &str| std::fs::read_to_string(real.join(list)).ok();
        match text("modules.dep") {
            Some(text) => {
                for (file, needs) in text.lines().filter_map(|line| line.split_once(':')) {
                    let Some(name) = stem(file) else { continue };
                    library.needs.insert(name.clone(), needs.split_ascii_whitespace().filter_map(stem).collect());
                    library.files.insert(name, folder.join(file));
                }
            }
            // Nobody has run depmod there: a folder with a file or two.
            None => library.walk(root, folder, 8),
        }
        let built_in = text("modules.builtin").unwrap_or_default();
        library.built_in = built_in.lines().filter_map(stem).collect();
        for line in text("modules.softdep").unwrap_or_default().lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("softdep"), Some(name)) = (words.next(), words.next()) {
                let before = words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
                library.softly.entry(named(name)).or_default().extend(before.map(named));
            }
        }
        Ok(library)
    }

    /// Links are followed: vendors' packages lay their builds out as links to other kernels' (weak-updates), and to absolute places.
    fn walk(&mut self, root: &Root, folder: &Path, deep: u32) {
        let Some(entries) = real(root, folder).ok().and_then(|real| std::fs::read_dir(real).ok()) else { return };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        // depmod.d(5) looks into updates first, and the first one counts here.
        names.sort_by_key(|name| (name != "updates", name.clone()));
        for path in names.into_iter().map(|name| folder.join(name)) {
            let Some(data) = real(root, &path).ok().and_then(|real| std::fs::metadata(real).ok()) else { continue };
            match path.to_str().and_then(stem) {
                Some(name) if data.is_file() => drop(self.files.entry(name).or_insert(path)),
                _ if data.is_dir() && deep > 0 => self.walk(root, &path, deep - 1),
                _ => (),
            }
        }
    }

    /// A module's file.
    pub(crate) fn file(&self, name: &str) -> Option<PathBuf> {
        self.files.get(name).cloned()
    }

    /// All that must be loaded before it, the nearest first.
    pub(crate) fn needs(&self, name: &str) -> Vec<String> {
        self.needs.get(name).cloned().unwrap_or_default()
    }

    /// Whether it is part of the kernel itself.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|other| other == name)
    }

    /// What it would like to have loaded before it (modprobe.d(5), softdep).
    pub(crate) fn softly_before(&self, name: &str) -> Vec<String> {
        self.softly.get(name).cloned().unwrap_or_default()
    }

    /// For a message.
    pub(crate) fn did_you_mean(&self, name: &str) -> String {
        did_you_mean(name, self.files.keys().map(String::as_str))
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.display())
    }
}

/// The module in a file, by its name.
fn stem(file: &str) -> Option<String> {
    let name = file.rsplit('/').next()?;
    ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = files.iter().chain(&[("proc/sys/kernel/osrelease", "6.12-x\n")]);
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn depmods_lists() {
        let tree = tree(&[
            (
                "lib/modules/6.12-x/modules.dep",
                "kernel/a/snd-hda-intel.ko.xz: kernel/a/snd.ko.xz\nkernel/a/snd.ko.xz:\n",
            ),
            ("lib/modules/6.12-x/modules.builtin", "kernel/drivers/pci/pci-stub.ko\n"),
            ("lib/modules/6.12-x/modules.softdep", "# x\nsoftdep snd-hda-intel pre: snd seq post: other\n"),
        ]);
        let library = Library::open(&Root::new(tree.path()), None).unwrap();
        let file = library.file("snd_hda_intel").unwrap();
        assert_eq!(file, Path::new("/lib/modules/6.12-x/kernel/a/snd-hda-intel.ko.xz"));
        assert_eq!(library.needs("snd_hda_intel"), ["snd"]);
        assert!(library.is_built_in("pci_stub") && !library.is_built_in("snd"));
        assert_eq!(library.softly_before("snd_hda_intel"), ["snd", "seq"]);
        assert_eq!(library.did_you_mean("snd_hda_intl"), ", did you mean \"snd_hda_intel\"?");
    }

    #[test]
    fn a_folder_without_lists_is_searched_and_another_kernels_is_refused() {
        let tree = tree(&[("opt/sfc/lib/modules/6.12-x/extra/sfc.ko.zst", ""), ("old/lib/modules/5.1/x.ko", "")]);
        let root = Root::new(tree.path());
        let library = Library::open(&root, Some(Path::new("/opt/sfc"))).unwrap();
        assert!(library.file("sfc").unwrap().ends_with("extra/sfc.ko.zst"));
        let error = Library::open(&root, Some(Path::new("/old"))).unwrap_err();
        assert_eq!(
            error.message,
            "there are no modules for the running kernel in /old/lib/modules/6.12-x (there is 5.1)"
        );
    }
    #[test]
    fn links_are_followed_below_the_hosts_root() {
        let tree = tree(&[
            ("opt/sfc-2/lib/modules/6.12-x/kernel/sfc.ko", "old"),
            ("opt/sfc-2/lib/modules/6.12-x/updates/sfc.ko", "new"),
            ("opt/elsewhere/mlx5.ko", "linked"),
            ("opt/loop/x", ""),
        ]);
        let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, tree.path().join(from)).unwrap();
        link("/opt/sfc-2", "opt/sfc");
        link("/opt/elsewhere/mlx5.ko", "opt/sfc-2/lib/modules/6.12-x/kernel/mlx5.ko");
        link("/opt/sfc/lib", "opt/sfc-2/lib/modules/6.12-x/kernel/circle");
        link("/nowhere.ko", "opt/sfc-2/lib/modules/6.12-x/kernel/gone.ko");
        let root = Root::new(tree.path());
        let library = Library::open(&root, Some(Path::new("/opt/sfc"))).unwrap();
        let read = |name: &str| std::fs::read_to_string(real(&root, &library.file(name).unwrap()).unwrap()).unwrap();
        assert_eq!((&*read("sfc"), &*read("mlx5")), ("new", "linked"));
        assert_eq!(library.file("gone"), None);
    }

    #[test]
    fn odd_lines_of_depmods_lists_are_passed_over() {
        let tree = tree(&[(
            "usr/lib/modules/6.12-x/modules.dep",
            "\nno colon\nREADME: x\nupdates/dkms/a-b.ko.zst:   kernel/c-d.ko.gz\textra/e.ko\nkernel/c-d.ko.gz:\n",
        )]);
        let library = Library::open(&Root::new(tree.path()), None).unwrap();
        assert_eq!(library.needs("a_b"), ["c_d", "e"]);
        assert_eq!(library.files.keys().collect::<Vec<_>>(), ["a_b", "c_d"]);
    }
}
