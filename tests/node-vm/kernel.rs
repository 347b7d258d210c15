//! The kernel that `tests/node-vm/fetch` has unpacked, and the initramfs made for it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the initramfs must have to reach the host's root; what else there is comes from there.
const EARLY_MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// The second stage and the agent, which the guest reads from the share.
pub(crate) const BOOT: &str = include_str!("guest/boot");
pub(crate) const AGENT: &str = include_str!("guest/agent");
const INIT: &str = include_str!("guest/init");

/// What the harness keeps between runs.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node-vm")
}

/// An unpacked kernel with its modules and headers.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    pub(crate) folder: PathBuf,
    /// As `uname -r` says it: "6.12.117+deb12-amd64".
    pub(crate) version: String,
}

impl Kernel {
    /// The one in `target/node-vm/kernel`.
    pub(crate) fn unpacked() -> Self {
        let folder = cache().join("kernel");
        let version = fs::read_to_string(folder.join("version"))
            .unwrap_or_else(|why| panic!("{}: {why}; run tests/node-vm/fetch (tests/run does)", folder.display()));
        Self { folder, version: version.trim().to_owned() }
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join(format!("boot/vmlinuz-{}", self.version))
    }

    /// The folder to build modules in (`make -C`).
    pub(crate) fn headers(&self) -> PathBuf {
        self.folder.join(format!("usr/src/linux-headers-{}", self.version))
    }

    /// The initramfs, made if there is none of this content yet.
    pub(crate) fn initramfs(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (INIT, EARLY_MODULES, &self.version, busybox()).hash(&mut hasher);
        let name = format!("initramfs-{:016x}", hasher.finish());
        let to = cache().join(&name);
        // Whoever comes second waits and finds it made.
        let lock = File::create(cache().join("initramfs.lock")).unwrap();
        lock.lock().unwrap();
        if !to.exists() {
            let made = self.make_initramfs();
            fs::rename(made, &to).unwrap();
        }
        to
    }

    fn make_initramfs(&self) -> PathBuf {
        let work = tempfile::Builder::new().prefix("initramfs-").tempdir_in(cache()).unwrap();
        let root = work.path().join("root");
        for folder in ["bin", "proc", "sys", "dev", "host", "new", "rw"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::copy(busybox(), root.join("bin/busybox")).unwrap();
        fs::write(root.join("init"), INIT).unwrap();
        let script = format!(
            r#"set -eu
            for module in {modules}; do modprobe -d "$kernel" -S "$version" --show-depends "$module"; done |
              awk '/^insmod/ {{ print $2 }}' | sort -u | while read -r file; do
                to=$root/${{file#"$kernel"/}}
                mkdir -p "${{to%/*}}"
                cp "$file" "$to"
                case $to in *.xz) xz -d "$to" ;; *.zst) zstd -q --rm -d "$to" ;; esac
              done
            cp "$kernel/lib/modules/$version"/modules.order "$kernel/lib/modules/$version"/modules.builtin* \
              "$root/lib/modules/$version/"
            depmod -b "$root" "$version"
            chmod +x "$root/init"
            cd "$root" && find . | cpio --quiet -o -H newc | gzip -1 >"$to"
            "#,
            modules = EARLY_MODULES.join(" ")
        );
        let to = cache().join(format!("initramfs.{}", std::process::id()));
        let status = Command::new("bash")
            .args(["-o", "pipefail", "-c", &script])
            .env("kernel", &self.folder)
            .env("version", &self.version)
            .env("root", &root)
            .env("to", &to)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .status()
            .expect("bash");
        assert!(status.success(), "making the initramfs: {status}");
        to
    }
}

/// A static busybox (Debian: busybox-static).
pub(crate) fn busybox() -> PathBuf {
    let found = ["/usr/bin/busybox", "/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    found.expect("busybox (Debian: busybox-static)")
}
