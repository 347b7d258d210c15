//! `virt-tailor node hand`: the expendable process that touches the node, for the engine alone.

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::failure::Failure;
use crate::host::Root;
use crate::prep::LiveEffects;
use crate::prep::hand::serve;

/// Carries out orders from standard input until there are no more; answers on standard output.
pub(super) fn run(root: &Path) -> Result<(), Failure> {
    let (orders, answers) = (io::stdin().lock(), io::stdout().lock());
    serve(&Root::new(root), &mut LiveEffects, orders, answers)
        .map_err(|error| Failure::Read { path: PathBuf::from("standard input"), error })
}
