//! Small machines for tests: a folder with some of `sys` and `proc`.

use std::fs;
use std::os::unix::fs::symlink;

use super::root::Root;

/// A machine that is removed when the value is dropped.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    /// A machine with an empty `sys`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sys")).unwrap();
        Self(folder)
    }

    /// One more file, with its folders.
    pub(crate) fn file(self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.place(path);
        fs::write(path, text).unwrap();
        self
    }

    /// One more link, to anywhere.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.place(path)).unwrap();
        self
    }

    /// One more folder.
    pub(crate) fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.place(path)).unwrap();
        self
    }

    /// A PCI function below a parent (`pci0000:00` or `pci0000:00/0000:00:01.0`), with what every function has. `class` is `0x030000`.
    pub(crate) fn pci(self, parent: &str, address: &str, class: &str, header_type: u8) -> Self {
        let folder = format!("sys/devices/{parent}/{address}");
        let mut config = [0u8; 64];
        config[0] = 0x86;
        config[0x0e] = header_type;
        self.file(&format!("{folder}/vendor"), "0x8086\n")
            .file(&format!("{folder}/device"), "0x1234\n")
            .file(&format!("{folder}/class"), format!("{class}\n"))
            .file(&format!("{folder}/config"), config)
            .file(&format!("{folder}/resource"), "0x0 0x0 0x0\n".repeat(13))
            .link(&format!("sys/bus/pci/devices/{address}"), &format!("../../../devices/{parent}/{address}"))
    }

    /// Puts a function into an IOMMU group.
    pub(crate) fn group(self, group: u32, parent: &str, address: &str) -> Self {
        let folder = format!("sys/kernel/iommu_groups/{group}/devices/{address}");
        let target = format!("../../../../devices/{parent}/{address}");
        self.link(&folder, &target)
            .link(&format!("sys/devices/{parent}/{address}/iommu_group"), &format!("/sys/kernel/iommu_groups/{group}"))
    }

    /// Its root.
    pub(crate) fn root(&self) -> Root {
        Root::new(self.0.path())
    }

    fn place(&self, path: &str) -> std::path::PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}
