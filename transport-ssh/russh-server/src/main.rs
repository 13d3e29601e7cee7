//! An SSH server on russh: `russh-server PORT HOST_KEY AUTHORIZED_KEYS`
//!
//! Runs each command with `sh -c`, and says on stderr where it listens.

use std::collections::HashMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PublicKey, load_public_key, load_secret_key};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// One connection.
struct Connection {
    authorized: PublicKey,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let is_authorized = key.public_key.key_data() == self.authorized.key_data();
        Ok(if is_authorized { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(channel) = self.channels.remove(&id) else { return session.channel_failure(id) };
        let command = String::from_utf8_lossy(command).into_owned();
        session.channel_success(id)?;
        tokio::spawn(async move {
            if let Err(error) = run(channel, &command).await {
                eprintln!("{command}: {error}");
            }
        });
        Ok(())
    }
}

/// One command.
async fn run(channel: Channel<Msg>, command: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else { return Ok(()) };
    let (mut input, output) = channel.split();
    let feeding = tokio::spawn(async move {
        // It ends with the input, the connection, or the command.
        let _ = tokio::io::copy(&mut input.make_reader(), &mut stdin).await;
        let _ = stdin.shutdown().await;
    });
    let (mut to_stdout, mut to_stderr) = (output.make_writer(), output.make_writer_ext(Some(1)));
    let carried = tokio::try_join!(
        tokio::io::copy(&mut stdout, &mut to_stdout),
        tokio::io::copy(&mut stderr, &mut to_stderr),
    );
    drop((stdout, stderr));
    let status = child.wait().await?;
    feeding.abort();
    carried?;
    output.exit_status(status.code().unwrap_or(255).cast_unsigned()).await?;
    output.eof().await?;
    output.close().await?;
    Ok(())
}

async fn serve(stream: TcpStream, config: Arc<Config>, authorized: PublicKey) {
    let connection = Connection { authorized, channels: HashMap::new() };
    let ended = match russh::server::run_stream(config, stream, connection).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        eprintln!("a connection has ended: {error}");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, host_key, authorized_keys] = &arguments[..] else {
        return Err("usage: russh-server PORT HOST_KEY AUTHORIZED_KEYS".into());
    };
    let config = Arc::new(Config {
        keys: vec![load_secret_key(host_key, None)?],
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    });
    let authorized = load_public_key(Path::new(authorized_keys))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    eprintln!("listening on {}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, Arc::clone(&config), authorized.clone()));
    }
}
