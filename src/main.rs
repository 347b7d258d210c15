//! virt-tailor: parse the arguments, run one command, print one error, exit.

use std::process::ExitCode;

use clap::Parser;
use virt_tailor::cli::Cli;
use virt_tailor::commands::{self, Failure, Shim};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("virt-tailor: this is a mistake of ours, please report it: {panic}");
        // A panic is exit code 70; the sidecar, which answers it, has a hook of its own.
        std::process::exit(i32::from(Failure::BUG));
    }));
    // KubeVirt's shim calls its hooks by the name of the program.
    if let Some(shim) = Shim::from_program_name() {
        return exit(shim.run(std::env::args_os().skip(1)));
    }
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
    exit(commands::run(&cli))
}

/// Prints the one error, and tells the exit code.
fn exit(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("virt-tailor: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
