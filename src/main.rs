//! virt-tailor: parse the arguments, run one command, print one error, exit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use virt_tailor::cli::Cli;
use virt_tailor::commands::{self, Failure, Shim, tell};

fn main() -> ExitCode {
    // The sidecar, which answers a panic, has a hook of its own.
    std::panic::set_hook(Box::new(|panic| {
        tell(format_args!("virt-tailor: this is a mistake of ours, please report it: {panic}"));
    }));
    // Unwinding, and no exit in the hook: processes and folders of ours go on the way.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(ExitCode::from(Failure::BUG))
}

fn run() -> ExitCode {
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
            tell(format_args!("virt-tailor: {failure}"));
            ExitCode::from(failure.code())
        }
    }
}
