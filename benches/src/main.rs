//! `cargo run --release -p rejoin-benches`: the figures that a reconnect is made of, measured
//! beside plain `ssh` in one run.
//!
//! With `sharing` as the first argument, those of many sessions over one connection; with `deploying`,
//! those of a host that has no server program yet; with `waiting`, those of a reconnect whose ssh was
//! started before; with `servers`, those of a reconnect to each SSH server that is installed; with `lanes`, what
//! a reconnect costs the host; with `compare`, rejoin beside everything else that keeps a session, through all kinds
//! of outages.
//!
//! Builds the programs that it measures, if Cargo runs it; except with `deploying`, `servers`, `lanes` and
//! `compare`, another `rejoin-server` can be named as the last argument. Wants an `sshd`.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use rejoin_benches::compare::{self, Compare};
use rejoin_benches::programs::Programs;
use rejoin_benches::{deploying, figures, lanes, servers, sharing, waiting};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the figures could not be measured: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let mut words = std::env::args_os().skip(1).peekable();
    let first = words.peek().map(|word| word.to_string_lossy().into_owned());
    match first.as_deref() {
        // What `compare` runs on the host.
        Some("answer") => compare::answer(),
        // What `waiting` has ssh run.
        Some(waiting::HELPER) => rejoin_ssh::pass_fd(),
        Some("waiting") => {
            let server = server(words.nth(1))?;
            runtime()?.block_on(waiting::measure(&server))
        }
        Some("compare") => Compare::parse_from(words).run(),
        Some("deploying") => deploying::measure(&Programs::built()?),
        Some("lanes") => runtime()?.block_on(lanes::measure(&Programs::built()?)),
        Some("servers") => runtime()?.block_on(servers::measure(&Programs::built()?)),
        Some("sharing") => {
            let server = server(words.nth(1))?;
            runtime()?.block_on(sharing::measure(&server))
        }
        _ => {
            let server = server(words.next())?;
            runtime()?.block_on(figures::measure(&server))
        }
    }
}

fn server(named: Option<OsString>) -> io::Result<PathBuf> {
    match named {
        // A login shell on the host starts in another folder.
        Some(named) => std::path::absolute(PathBuf::from(named)),
        None => Ok(Programs::built()?.server),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
