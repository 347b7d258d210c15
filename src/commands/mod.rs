//! One file per verb of the command line; each has `run(args)`.

mod agent;
mod check;
mod failure;
mod generate;
mod import;
mod input;
mod mutate;
mod node;
mod output;
mod rehearse;
mod shim;
mod sidecar;

pub use failure::Failure;
pub use output::tell;
pub use shim::Shim;

use crate::cli::{Cli, Command};

/// Runs one command.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Mutate(args) => mutate::run(args),
        Command::Check(args) => check::run(args),
        Command::Rehearse(args) => rehearse::run(args),
        Command::Sidecar(args) => {
            rehearse::end_with_rehearsal()?;
            sidecar::run(args)
        }
        Command::Agent(args) => agent::run(args),
        Command::Node(args) => node::run(args),
        Command::Import(args) => import::run(args),
        Command::Schema { document } => generate::schema(*document),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man => generate::man(),
    }
}
