//! What a shell script does to a node, as far as it can be told without running it.
//!
//! `lexer` makes simple commands of a text, `run` follows assignments, functions and `for` loops over what is written there, and
//! `commands` and `tools` know what a command is for; `assign` reads files that only set variables. Both branches of
//! an `if` count: which one a node takes is not known here.

mod assign;
mod braces;
mod commands;
mod lexer;
mod run;
mod tools;

pub(super) use assign::assignments;
pub(super) use commands::{exec_line, exec_shell};
pub(super) use run::script;
