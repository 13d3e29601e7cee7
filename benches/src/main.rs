//! `cargo run --release -p rejoin-benches`: the figures that a reconnect is made of, measured
//! beside plain `ssh` in one run.
//!
//! Wants `rejoin-server` built in the same profile, or its path as the argument, and an `sshd`.

mod figures;
mod prober;

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let named = std::env::args_os().nth(1).map_or_else(beside, PathBuf::from);
    // A login shell on the host starts in another folder.
    let server = std::path::absolute(&named).unwrap_or(named);
    if !server.is_file() {
        eprintln!("{} is not there: build rejoin-server, or name it", server.display());
        return ExitCode::FAILURE;
    }
    match figures::measure(&server).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the figures could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server of the same build.
fn beside() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("rejoin-server")
}
