//! The fast lane to whoever has taken a host's place: one that wastes its time, or even has its key.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::lane::{Lane, failure};
use rejoin_ssh::{Connect as _, LinkErrorKind, SshConnect};
use rejoin_ssh2::NameLists;
use rejoin_ssh2::testing::{ToyScript, ToyServer};
use rejoin_ssh2::wire::{Reader, Writer};
use rejoin_testing::needs;
use rejoin_testing::{Agent, Direction, Relay, ssh_parts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const IGNORE: u8 = 2;
const SERVICE_ACCEPT: u8 = 6;
const USERAUTH_REQUEST: u8 = 50;
const LATE: &str = "the host did not answer in time";

/// A host that was learnt and is gone, and the address where it was.
struct Vacant {
    connector: SshConnect,
    listener: TcpListener,
    host_key: [u8; 32],
    /// What it has said.
    said: Vec<u8>,
    _reached_by: (Relay, Agent),
}

impl Vacant {
    async fn start() -> Self {
        let lane = Lane::start().await;
        let said = lane.tape(Direction::ToClient);
        let connector = lane.learnt("exec cat").await;
        let said = said.lock().unwrap().clone();
        let host_key = host_key(&lane);
        let Lane { sshd, relay, agent, .. } = lane;
        let addr = sshd.addr();
        drop(sshd);
        let listener = TcpListener::bind(addr).await.unwrap();
        Self { connector, listener, host_key, said, _reached_by: (relay, agent) }
    }

    /// Why the next connection fails, which is served so.
    async fn fails<F: Future<Output = ()>>(&self, serve: impl FnOnce(TcpStream) -> F) -> String {
        let serving = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            serve(stream).await;
        };
        let (error, ()) = tokio::join!(failure(&self.connector), serving);
        assert!(
            matches!(error.kind, LinkErrorKind::Unreachable | LinkErrorKind::Other),
            "{error:?}"
        );
        error.message
    }

    /// The same by a server that has the host's key and looks like it.
    async fn fails_with(&self, script: ToyScript, is_noisy: bool) -> String {
        let (ident, lists) = shown(&self.said);
        let (host_key, lists) = (Some(self.host_key), Some(lists));
        let script = ToyScript { ident, lists, host_key, ..script };
        self.fails(async move |stream| drop(serve(stream, script, is_noisy).await)).await
    }
}

/// What the host's private key is made of, as OpenSSH keeps it (its PROTOCOL.key).
fn host_key(lane: &Lane) -> [u8; 32] {
    let file = fs::read_to_string(lane.sshd.home().with_file_name("host_key")).unwrap();
    let base64: String = file.lines().filter(|line| !line.starts_with('-')).collect();
    let file = STANDARD.decode(base64).unwrap();
    let mut reader = Reader::new(file.strip_prefix(b"openssh-key-v1\0").unwrap());
    for _cipher_kdf_and_options in 0..3 {
        reader.string().unwrap();
    }
    assert_eq!(reader.uint32(), Ok(1));
    let _public = reader.string().unwrap();
    let mut private = Reader::new(reader.string().unwrap());
    let _check = private.bytes(8).unwrap();
    assert_eq!(private.string(), Ok(&b"ssh-ed25519"[..]));
    let _public = private.string().unwrap();
    *private.string().unwrap().first_chunk().unwrap()
}

/// How a server has identified itself, and what it has said that it has.
fn shown(said: &[u8]) -> (String, NameLists) {
    let [line, packet] = [0, 1].map(|part| ssh_parts(said)[part].clone());
    let ident = String::from_utf8(said[line].trim_ascii_end().to_vec()).unwrap();
    // Behind lengths, kind and cookie.
    let mut reader = Reader::new(&said[packet.start + 6 + 16..]);
    let mut next = || reader.names().unwrap();
    let lists = NameLists {
        kex: next(),
        host_keys: next(),
        ciphers_to_server: next(),
        ciphers_to_client: next(),
        macs_to_server: next(),
        macs_to_client: next(),
        compressions_to_server: next(),
        compressions_to_client: next(),
    };
    (ident, lists)
}

/// Until the client is gone. A noisy one says nothing that means anything, once it
/// is to judge the user's key.
async fn serve(mut stream: TcpStream, script: ToyScript, is_noisy: bool) -> io::Result<()> {
    let mut server = ToyServer::new(script).unwrap();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        stream.write_all(&server.take_output()).await?;
        if is_noisy && server.heard().contains(&USERAUTH_REQUEST) {
            server.say(&Writer::message(IGNORE).string([0; 1000]).finish()).unwrap();
            continue;
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        server.input(&buffer[..count]).unwrap();
    }
}

/// Says this over and over, until nobody listens any more. Nothing that is said back is read.
async fn say(mut stream: TcpStream, bytes: &[u8], pause: Duration) {
    while stream.write_all(bytes).await.is_ok() {
        tokio::time::sleep(pause).await;
    }
}

/// Each way to speak without an end, and that the handshake has one.
#[tokio::test]
async fn gives_up_a_host_that_never_finishes_in_time() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let (trickle, lines) = (Vacant::start().await, Vacant::start().await);
    let noise = Vacant::start().await;
    let pause = Duration::from_millis(50);
    let trickle = trickle.fails(|stream| say(stream, b"S", pause));
    let line = b"not yet\r\n".repeat(100);
    let lines = lines.fails(|stream| say(stream, &line, Duration::ZERO));
    let noise =
        noise.fails_with(ToyScript { tamper: Box::new(mute), ..ToyScript::default() }, true);
    let all = tokio::join!(trickle, lines, noise);
    assert_eq!([&*all.0, &*all.2], [LATE; 2]);
    assert_eq!(all.1, "the host sent more than it may", "too many lines");
    // Meanwhile more than that has come.
    assert!(most_memory().is_none_or(|most| most < 64 << 20), "{:?}", most_memory());
}

/// The most memory that this process has had, in bytes, where the system tells.
fn most_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    most.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|most| most << 10)
}

/// Says nothing to what is asked behind the key exchange.
fn mute(message: Vec<u8>) -> Vec<Vec<u8>> {
    let is_answer = message[0] == SERVICE_ACCEPT || message[0] > USERAUTH_REQUEST;
    if is_answer { vec![] } else { vec![message] }
}

#[tokio::test]
async fn a_host_that_counts_channels_in_another_way_is_told() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let vacant = Vacant::start().await;
    let message = vacant.fails_with(ToyScript { channel: 3, ..ToyScript::default() }, false).await;
    assert_eq!(message, "the host assigned channel number 3, not 0 as before");
    assert!(vacant.connector.fast().is_none());
}
