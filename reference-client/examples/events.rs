//! Prints what happens to a session, as lines of JSON: attachments, losses, and how long each part of a
//! connection took. Usage: `cargo run --example events user@host COMMAND`

use std::error::Error;

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{Remote, Streams};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(destination), Some(line)) = (arguments.next(), arguments.next()) else {
        return Err("usage: events user@host COMMAND".into());
    };
    let spec = ProcessSpec::new(Command::Shell(line.into_bytes()));
    let session = Remote::ssh(destination).open(&spec)?;
    // Nobody wants the output. The exit keeps the session.
    let Streams { mut events, mut exit, .. } = session.into_streams();
    let ended = tokio::spawn(async move { exit.wait().await });
    while let Some(event) = events.recv().await {
        println!("{}", serde_json::to_string(&event)?);
    }
    ended.await??;
    Ok(())
}
