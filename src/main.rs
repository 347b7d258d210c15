//! virt-tailor: parse the arguments, run one command, print one error, exit.

use std::process::ExitCode;

use clap::Parser;
use virt_tailor::cli::Cli;
use virt_tailor::commands::{self, Failure};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("virt-tailor: this is a mistake of ours, please report it: {panic}");
        std::process::exit(i32::from(Failure::BUG));
    }));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; asking for nothing is.
            let code = if error.use_stderr() { Failure::USAGE } else { 0 };
            // A closed pipe is all that can go wrong here, and nobody is left to be told.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("virt-tailor: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
