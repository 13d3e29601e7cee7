//! Sessions over another transport than ssh: any command that runs `rejoin-server` somewhere.
//! Usage: `cargo run --example own_transport docker exec -i CONTAINER rejoin-server`

use std::error::Error;
use std::sync::Arc;

use rejoin_client::Remote;
use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_ssh::{CommandConnect, Connect};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [program, rest @ ..] = &words[..] else {
        return Err("usage: own_transport PROGRAM [ARGUMENT...]".into());
    };
    let command = CommandConnect::new(program).args(rest);
    let remote = Remote::new(move |arguments: &str| -> Arc<dyn Connect> {
        Arc::new(command.clone().args(arguments.split(' ')))
    });
    let session = remote.open(&ProcessSpec::new(Command::Shell(b"echo hello; exit 3".to_vec())))?;
    let output = session.into_streams().wait_with_output().await?;
    println!("{:?}, {}", String::from_utf8_lossy(&output.stdout), output.status);
    Ok(())
}
