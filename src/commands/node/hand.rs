//! `virt-tailor node hand`: the expendable process.

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::Failure;
use crate::host::Root;
use crate::prep::LiveEffects;
use crate::prep::hand::serve;

/// Carries out orders from standard input until there are no more.
pub(super) fn run(host_root: &Path) -> Result<(), Failure> {
    let served = serve(&Root::new(host_root), &mut LiveEffects, io::stdin().lock(), io::stdout().lock());
    served.map_err(|error| Failure::Read { path: PathBuf::from("standard input"), error })
}
