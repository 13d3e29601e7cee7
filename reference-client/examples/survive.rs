//! Opens a session on a host, loses it, finds it in the list, and resumes it without losing a byte.
//! Puts this very program on the host as the server. Usage: `cargo run --example survive user@host`

use std::{error::Error, ffi::OsString, process::ExitCode, sync::Arc};

use rejoin_client::servers::{ServerStore, VERSION};
use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{Output, Remote};
use rejoin_ssh::{Deployment, SshConnect};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == "server" {
        return rejoin_server::run(arguments, &["server"]);
    }
    let survived = survive(first).inspect_err(|error| eprintln!("{error}"));
    if survived.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[tokio::main(flavor = "current_thread")]
async fn survive(destination: OsString) -> Result<(), Box<dyn Error>> {
    let servers = ServerStore::from_environment().this_program("server");
    let deployment = Arc::new(Deployment::new(VERSION, servers));
    let remote = Remote::deployed(SshConnect::new(destination, "").fast_lane(), deployment);
    let line = b"for i in 1 2 3 4 5; do echo line $i; read -r go; done";

    let mut session = remote.open(&ProcessSpec::new(Command::Shell(line.to_vec())))?;
    let Some(Output::Data { data, .. }) = session.output.recv().await else {
        return Err(format!("no output: {:?}", session.control.end()).into());
    };
    println!("before the loss: {}", String::from_utf8_lossy(&data).trim());
    session.output.take();
    let id = session.id();
    drop(session); // As if this application had died: only the id is left.

    println!("sessions there: {}", remote.list().await?.len());
    let mut session = remote.attach(id)?;
    session.input.send("go\n".repeat(5).into()).await?;
    let output = session.into_streams().wait_with_output().await?;
    print!("after the loss: {}", String::from_utf8_lossy(&output.stdout).replace('\n', "; "));
    println!("{}", output.status);
    Ok(())
}
