//! `rejoin`: a remote process that outlives its connection.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
