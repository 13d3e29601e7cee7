//! `rejoin-server`: keeps remote processes whole through anything that happens to the connection.

use std::process::ExitCode;

fn main() -> ExitCode {
    rejoin_server::run(std::env::args_os().skip(1), &[])
}
