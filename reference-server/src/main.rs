//! `rejoin-server`: keeps remote processes alive while their connections come and go.

use std::process::ExitCode;

fn main() -> ExitCode {
    rejoin_server::run(std::env::args_os().skip(1), &[])
}
