//! The program: its command line, its terminal, its words.

mod args;
#[cfg(test)]
mod args_tests;
mod quote;
mod ssh_options;
mod values;

use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1).collect()) {
        Ok(cli) => println!("{cli:?}"),
        Err(e) => println!("{e}"),
    }
    ExitCode::SUCCESS
}
