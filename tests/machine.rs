//! Views of a machine: of small trees made by hand, and of the machine the tests run on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise, and say what it cannot show"
)]

mod common;

#[path = "machine/blocks.rs"]
mod blocks;
#[path = "machine/holders.rs"]
mod holders;
#[path = "machine/live.rs"]
mod live;
#[path = "machine/nics.rs"]
mod nics;
#[path = "machine/signatures.rs"]
mod signatures;
#[path = "machine/usb.rs"]
mod usb;

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use virt_tailor::base::PciAddress;
use virt_tailor::host::Root;

/// A tree made by hand; [`common::host_tree`] says how it is written.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new(text: &str) -> Self {
        Self { folder: common::host_tree::unpack_text(text) }
    }

    /// Adds a file of several lines.
    fn with(self, path: &str, text: &str) -> Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn root(&self) -> Root {
        Root::new(self.folder.path())
    }
}

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

/// A new file of this size, without blocks, that is gone with the folder.
fn sparse(folder: &Path, name: &str, size: u64) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}
