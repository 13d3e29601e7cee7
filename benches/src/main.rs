//! `cargo run --release -p rejoin-benches`: the figures that a reconnect is made of, measured
//! beside plain `ssh` in one run.
//!
//! With `sharing` as the first argument, those of many sessions over one connection.
//!
//! Wants `rejoin-server` built in the same profile, or its path as the last argument, and an `sshd`.

mod figures;
mod prober;
mod sharing;

use std::path::PathBuf;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let is_sharing = arguments.next_if(|word| word == "sharing").is_some();
    let named = arguments.next().map_or_else(beside, PathBuf::from);
    // A login shell on the host starts in another folder.
    let server = std::path::absolute(&named).unwrap_or(named);
    if !server.is_file() {
        eprintln!("{} is not there: build rejoin-server, or name it", server.display());
        return ExitCode::FAILURE;
    }
    let measured =
        if is_sharing { sharing::measure(&server).await } else { figures::measure(&server).await };
    match measured {
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
