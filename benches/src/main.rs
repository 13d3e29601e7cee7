//! `cargo run --release -p rejoin-benches`: the figures that a reconnect is made of, measured
//! beside plain `ssh` in one run.
//!
//! With `sharing` as the first argument, those of many sessions over one connection.
//!
//! Builds the programs that it measures, if Cargo runs it; another `rejoin-server` can be named as
//! the last argument. Wants an `sshd`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use rejoin_benches::programs::Programs;
use rejoin_benches::{figures, sharing};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match measure().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the figures could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let is_sharing = arguments.next_if(|word| word == "sharing").is_some();
    let server = match arguments.next() {
        // A login shell on the host starts in another folder.
        Some(named) => std::path::absolute(PathBuf::from(named))?,
        None => Programs::built()?.server,
    };
    if is_sharing { sharing::measure(&server).await } else { figures::measure(&server).await }
}
