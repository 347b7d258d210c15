//! `virt-tailor schema`, `completions` and `man`: texts made from one definition each.

use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::cli::{Cli, SchemaDocument};
use crate::config::domain_profile_schema;
use crate::config::node::node_config_schema;

use super::{Failure, output};

/// Prints a JSON Schema.
pub(super) fn schema(document: SchemaDocument) -> Result<(), Failure> {
    let schema = match document {
        SchemaDocument::DomainProfile => domain_profile_schema(),
        SchemaDocument::NodeConfig => node_config_schema(),
    };
    output::write(format!("{schema:#}\n").as_bytes(), None)
}

/// Prints the completions of a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "virt-tailor", &mut out);
    output::write(&out, None)
}

/// Prints the manual page: the overview, then each command.
pub(super) fn man() -> Result<(), Failure> {
    let mut out = Vec::new();
    let mut command = Cli::command();
    command.build();
    let mut render = || -> std::io::Result<()> {
        clap_mangen::Man::new(command.clone()).render(&mut out)?;
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            let verb = verb.clone().display_name(format!("virt-tailor {}", verb.get_name()));
            clap_mangen::Man::new(verb).render(&mut out)?;
        }
        Ok(())
    };
    render().map_err(|error| Failure::Write { path: PathBuf::from("standard output"), error })?;
    output::write(&out, None)
}
