//! Fifty remote processes over one connection, as an application would have them.
//!
//! ```sh
//! cargo run --example fifty_sessions              # on this machine, without ssh
//! cargo run --example fifty_sessions user@host    # there, with rejoin-server in the PATH
//! ```
//!
//! Each session runs a shell that greets and repeats what it reads. Cut the connection while it
//! runs, and all of them go on where they were.

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{Event, Events, Host, Options, Output, Session, new_session_id};
use rejoin_ssh::{CommandConnect, Connect, SshConnect};
use tokio::task::JoinSet;

const SESSIONS: usize = 50;
const LINES: usize = 3;
/// The word by which this program runs itself as the server.
const SERVER: &str = "__server";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let destination = arguments.next();
    if destination.as_ref().is_some_and(|word| word == SERVER) {
        return rejoin_server::run(arguments, &[SERVER]);
    }
    match run(destination) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(destination: Option<OsString>) -> Result<(), Box<dyn Error>> {
    let connect = connect(destination)?;
    println!("{SESSIONS} sessions on: {}", connect.destination());
    let host = Host::new(connect);
    let mut running = JoinSet::new();
    for number in 1..=SESSIONS {
        let line = format!("echo hello from {number}; while read -r x; do echo {number}: $x; done");
        let spec = ProcessSpec::new(Command::Shell(line.into_bytes()));
        // Only the first session may ask a person for a password: the others share its login.
        let options = Options { may_ask: number == 1, ..Options::default() };
        running.spawn(talk(number, host.open(new_session_id()?, &spec, options)?));
    }
    while let Some(done) = running.join_next().await {
        println!("{}", done?);
    }
    println!("all of them have ended");
    Ok(())
}

fn connect(destination: Option<OsString>) -> std::io::Result<Arc<dyn Connect>> {
    Ok(match destination {
        Some(destination) => Arc::new(SshConnect::new(destination, "rejoin-server mux")),
        None => Arc::new(CommandConnect::new(std::env::current_exe()?).args([SERVER, "mux"])),
    })
}

/// Says a few lines to a session, reads all that it answers, and tells how it went.
async fn talk(number: usize, session: Session) -> String {
    let Session { mut input, mut output, events, control: _control, .. } = session;
    tokio::spawn(watch(number, events));
    for line in 1..=LINES {
        // A session that is over says so on its output.
        let _ = input.send(format!("line {line}\n").into()).await;
    }
    let _ = input.end().await;
    let mut text = String::new();
    while let Some(output) = output.recv().await {
        match output {
            Output::Data { data, .. } => text.push_str(&String::from_utf8_lossy(&data)),
            // Nobody asked for output to be dropped.
            Output::Gap { .. } => text.push_str("[something is missing]"),
            Output::Exit { status, .. } => text.push_str(&status.to_string()),
            Output::Replaced(_) => text.push_str("[another process]"),
        }
    }
    text.trim_end().replace('\n', " | ")
}

async fn watch(number: usize, mut events: Events) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Detached { reason } => println!("session {number}: detached ({reason})"),
            Event::Attached { how, millis, .. } => {
                println!("session {number}: {how:?} after {millis} ms");
            }
            Event::GaveUp { message, .. } | Event::Lost { message, .. } => {
                println!("session {number}: {message}");
            }
            _ => {}
        }
    }
}
