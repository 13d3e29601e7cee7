//! Runs a command on a host as `ssh` does, and survives every loss of the connection.
//! Usage: `cargo run --example run user@host COMMAND`

use std::error::Error;
use std::process::ExitCode;

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{ExitStatus, Remote, Streams};
use tokio::io::{copy, stderr, stdout};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(destination), Some(line)) = (arguments.next(), arguments.next()) else {
        return Err("usage: run user@host COMMAND".into());
    };
    let spec = ProcessSpec::new(Command::Shell(line.into_bytes()));
    let session = Remote::ssh(destination).open(&spec)?;
    let Streams { stdout: mut from_stdout, stderr: mut from_stderr, mut exit, .. } =
        session.into_streams();
    let (mut to_stdout, mut to_stderr) = (stdout(), stderr());
    tokio::try_join!(
        copy(&mut from_stdout, &mut to_stdout),
        copy(&mut from_stderr, &mut to_stderr)
    )?;
    Ok(match exit.wait().await? {
        ExitStatus::Code(code) => ExitCode::from(code),
        ExitStatus::Signal(signal) => ExitCode::from(128_u8.saturating_add(signal.0)),
    })
}
