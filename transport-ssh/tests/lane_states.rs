//! The fast lane, where the connection fails or lies in each of its states: what was learnt from it is
//! judged, the user is told, and ssh still has its way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::lane::{Lane, OURS, echo, failure, link};
use common::{Echo, in_time, until, why_it_ends};
use rejoin_ssh::{Attempt, Connect as _, FastLaneEvent, LinkErrorKind, SshConnect};
use rejoin_testing::needs;
use rejoin_testing::{Agent, Direction, Fault, Sshd, ssh_parts};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Of the ciphers, the one with which the lengths of packets can be read.
const READABLE: &[&str] = &["-o", "Ciphers=aes256-gcm@openssh.com"];

/// A host that says nothing of its own beside the command.
async fn quiet() -> Lane {
    Lane::to(Sshd::builder().config_line("LogLevel INFO")).await
}

/// A connector that has learnt the host with that cipher.
async fn learnt(lane: &Lane) -> SshConnect {
    let connector = lane.configured("exec cat", READABLE);
    lane.learn(&connector).await;
    connector
}

/// What the server says until the command has started.
async fn handshake(lane: &Lane, connector: &SshConnect) -> Vec<u8> {
    said(lane, connector, Direction::ToClient).await
}

/// What goes this way until then.
async fn said(lane: &Lane, connector: &SshConnect, way: Direction) -> Vec<u8> {
    let tape = lane.tape(way);
    let link = link(connector).await.unwrap();
    until("the command has started", || lane.news().last() == Some(&FastLaneEvent::Taken)).await;
    drop(link);
    tape.lock().unwrap().clone()
}

/// The parts of that: the server's identification, its lists, its half of the exchange, its NEWKEYS; the
/// others are sealed.
async fn parts(lane: &Lane, connector: &SshConnect) -> Vec<Range<usize>> {
    let said = handshake(lane, connector).await;
    let parts = ssh_parts(&said);
    assert_eq!(parts.last().map(|part| part.end), Some(said.len()));
    // EXT_INFO, and the answers to service, login, channel and command.
    assert!(parts.len() >= 4 + 5, "{parts:?}");
    parts
}

const REPLY: usize = 2;
const NEWKEYS: usize = 3;

/// Within each part, so that the client waits in each of its states for the rest of a message.
fn within(parts: &[Range<usize>]) -> impl Iterator<Item = u64> {
    parts.iter().map(|part| part.start.midpoint(part.end) as u64)
}

/// Has the next connection fail so, and expects that to be told.
async fn fails(lane: &Lane, connector: &SshConnect, after: u64, fault: Fault) {
    fails_on(Direction::ToClient, lane, connector, after, fault).await;
}

async fn fails_on(way: Direction, lane: &Lane, connector: &SshConnect, after: u64, fault: Fault) {
    lane.relay.fail_next(way, after, fault);
    let error = failure(connector).await;
    assert_eq!(error.kind, LinkErrorKind::Unreachable, "{fault:?} after {after}: {error:?}");
    assert_told(lane, &error.message);
}

#[track_caller]
fn assert_told(lane: &Lane, message: &str) {
    assert_eq!(lane.news().last(), Some(&FastLaneEvent::Failed(message.to_owned())));
}

#[tokio::test]
async fn reports_a_reset_in_any_state_and_keeps_the_host() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = quiet().await;
    let connector = learnt(&lane).await;
    let parts = parts(&lane, &connector).await;
    let (_, before_last) = parts.split_last().unwrap();
    let behind = before_last.iter().map(|part| part.end as u64);
    for after in within(&parts).chain(behind).chain([0]) {
        fails(&lane, &connector, after, Fault::Reset).await;
        // It is still predicted, and rightly.
        echo(&connector).await.say(b"all is well").await;
    }
    let theirs = said(&lane, &connector, Direction::ToServer).await;
    for after in within(&ssh_parts(&theirs)) {
        fails_on(Direction::ToServer, &lane, &connector, after, Fault::Reset).await;
        echo(&connector).await.say(b"all is well").await;
    }
    Echo::start(&connector, Attempt::Reconnect).await;
}

#[tokio::test]
async fn learns_a_host_again_that_hangs_up_after_its_identification() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = quiet().await;
    let connector = learnt(&lane).await;
    let parts = parts(&lane, &connector).await;
    let (ident, parts) = parts.split_first().unwrap();
    for after in [0, ident.end as u64 / 2] {
        fails(&lane, &connector, after, Fault::Close).await;
        assert!(connector.fast().is_some(), "it may be too busy");
    }
    for after in within(parts).chain([ident.end as u64]) {
        let connector = learnt(&lane).await;
        fails(&lane, &connector, after, Fault::Close).await;
        assert!(connector.fast().is_none(), "{after}");
    }
    Echo::start(&connector, Attempt::Reconnect).await;
}

#[tokio::test]
async fn silence_in_any_state_ends_in_time_and_says_nothing_about_the_host() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = quiet().await;
    let parts = parts(&lane, &learnt(&lane).await).await;
    let behind = parts[REPLY].end as u64;
    let mut hosts = Vec::new();
    for after in within(&parts).chain([0, behind]) {
        let lane = quiet().await;
        hosts.push((after, learnt(&lane).await, lane));
    }
    // At once, since each takes its whole time.
    let mut all = JoinSet::new();
    for (after, connector, lane) in hosts {
        all.spawn(async move {
            fails(&lane, &connector, after, Fault::Silence).await;
            assert_told(&lane, "the host did not answer in time");
            assert!(connector.fast().is_some(), "{after}");
            Echo::start(&connector, Attempt::Reconnect).await;
        });
    }
    in_time("an end of each", all.join_all()).await;
}

#[tokio::test]
async fn a_link_that_is_lost_or_closed_once_it_is_there_leaves_what_was_learnt() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = quiet().await;
    let connector = learnt(&lane).await;
    let said = handshake(&lane, &connector).await.len() as u64;
    for fault in [Fault::Reset, Fault::Close] {
        // With the first bytes of its echo, which is a packet of more.
        lane.relay.fail_next(Direction::ToClient, said + 10, fault);
        let (reader, mut writer, guard) = link(&connector).await.unwrap().into_parts();
        writer.write_all(b"hello").await.unwrap();
        let error = Echo { reader, writer, guard }.why_it_ended().await;
        assert_eq!(error.kind, LinkErrorKind::Closed, "{fault:?}: {error:?}");
        assert_eq!(lane.news().last(), Some(&FastLaneEvent::Taken));
    }
    echo(&connector).await.say(b"all is well").await;
}

/// Has a byte of what the server says next arrive as another one. What is told, and what was said to the
/// server.
async fn altered(lane: &Lane, connector: &SshConnect, at: usize) -> (String, Vec<u8>) {
    let said: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (next, saying) = (lane.relay.connections(), Arc::clone(&said));
    lane.relay.intercept(move |piece| {
        match piece.way {
            _ if piece.connection != next => {}
            Direction::ToServer => saying.lock().unwrap().extend_from_slice(&piece.bytes),
            Direction::ToClient => piece.byte(at as u64).into_iter().for_each(|byte| *byte ^= 1),
        }
        None
    });
    let error = failure(connector).await;
    assert_eq!(error.kind, LinkErrorKind::Other, "{error:?}");
    assert_told(lane, &error.message);
    assert!(connector.fast().is_none(), "it erases what was learnt");
    Echo::start(connector, Attempt::Reconnect).await;
    let said = said.lock().unwrap().clone();
    (error.message, said)
}

/// Such a connection of which the server is told nothing but a key exchange.
async fn altered_exchange(lane: &Lane, place: impl FnOnce(&[u8]) -> usize) -> String {
    let connector = learnt(lane).await;
    let at = place(&handshake(lane, &connector).await);
    let before = lane.logged_since(0).await.len();
    let (message, said) = altered(lane, &connector, at).await;
    let parts = ssh_parts(&said);
    let kinds: Vec<u8> = parts[1..].iter().map(|packet| said[packet.start + 5]).collect();
    assert_eq!(kinds, [20, 30], "KEXINIT and KEX_ECDH_INIT");
    assert_eq!(parts[2].end, said.len());
    let log = lane.logged_since(before).await;
    let ours = log.iter().position(|line| line.contains(OURS)).unwrap();
    // The ssh that comes after it logs in.
    let theirs = log.iter().position(|line| line.contains("software version OpenSSH")).unwrap();
    let logs_in = log.iter().position(|line| line.contains("userauth")).unwrap();
    assert!(ours < theirs && theirs < logs_in, "{log:#?}");
    message
}

#[tokio::test]
async fn a_host_that_did_not_sign_what_was_said_is_told_nothing() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let forged = "the host did not prove that it has the private key of its host key";
    // The identification, the end of the lists' first name, the host's half, and its signature.
    let message = altered_exchange(&lane, |_| 10).await;
    assert_eq!(message, forged);
    let message = altered_exchange(&lane, |said| ssh_parts(said)[1].start + 10).await;
    assert_eq!(message, forged, "the cookie");
    let message = altered_exchange(&lane, |said| {
        let reply = &ssh_parts(said)[REPLY];
        let padding = usize::from(said[reply.start + 4]);
        reply.end - padding - 1
    });
    assert_eq!(message.await, forged, "the signature");
}

#[tokio::test]
async fn a_host_without_strict_key_exchange_is_told_nothing() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let strict = b"kex-strict-s-v00@openssh.com";
    let message = altered_exchange(&lane, |said| {
        said.windows(strict.len()).position(|window| window == strict).unwrap() + 3
    });
    let message = message.await;
    assert!(message.contains("strict key exchange"), "{message}");
}

#[tokio::test]
async fn what_was_altered_behind_the_new_keys_is_not_believed() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = quiet().await;
    let connector = learnt(&lane).await;
    let parts = parts(&lane, &connector).await;
    for part in &parts[NEWKEYS + 1..] {
        let connector = learnt(&lane).await;
        let (message, _) = altered(&lane, &connector, part.end - 1).await;
        assert_eq!(message, "a packet from the host was altered in transit");
    }
}

#[tokio::test]
async fn a_host_that_wants_more_than_a_key_since_then_is_left_to_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let mut lane = Lane::start().await;
    let connector = lane.learnt("exec cat").await;
    lane.sshd.reconfigure("AuthenticationMethods publickey,publickey").unwrap();
    let error = failure(&connector).await;
    assert_eq!(error.message, "the host requires more than a key");
    assert_told(&lane, &error.message);
    assert!(connector.fast().is_none());
    let error = why_it_ends(&connector, Attempt::Reconnect).await;
    assert_eq!(error.kind, LinkErrorKind::NeedsUser, "{error:?}");
}

const SIGN_REQUEST: u8 = 13;

/// Stands in front of an agent, and hands out its signatures late.
struct SlowAgent {
    socket: PathBuf,
    delay: Arc<Mutex<Duration>>,
    _serving: JoinSet<()>,
}

impl SlowAgent {
    fn start(agent: &Agent) -> Self {
        let (socket, behind) = (agent.socket().with_file_name("slow"), agent.socket());
        let listener = UnixListener::bind(&socket).unwrap();
        let delay: Arc<Mutex<Duration>> = Arc::default();
        let delayed = Arc::clone(&delay);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let agent = UnixStream::connect(&behind).await.unwrap();
                // It ends with its client.
                clients.spawn(serve(client, agent, Arc::clone(&delayed)));
            }
        });
        Self { socket, delay, _serving: serving }
    }

    fn set_delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }
}

async fn serve(
    mut client: UnixStream,
    mut agent: UnixStream,
    delay: Arc<Mutex<Duration>>,
) -> io::Result<()> {
    loop {
        let question = hand_on(&mut client, &mut agent, Duration::ZERO).await?;
        let is_to_sign = question.first() == Some(&SIGN_REQUEST);
        let delay = if is_to_sign { *delay.lock().unwrap() } else { Duration::ZERO };
        hand_on(&mut agent, &mut client, delay).await?;
    }
}

async fn hand_on(
    from: &mut UnixStream,
    to: &mut UnixStream,
    delay: Duration,
) -> io::Result<Vec<u8>> {
    let mut message = vec![0; from.read_u32().await?.try_into().unwrap()];
    from.read_exact(&mut message).await?;
    tokio::time::sleep(delay).await;
    to.write_u32(message.len().try_into().unwrap()).await?;
    to.write_all(&message).await?;
    Ok(message)
}

#[tokio::test]
async fn an_agent_that_takes_its_time_is_waited_for_but_not_as_one_that_asks_its_user() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let agent = SlowAgent::start(&lane.agent);
    let slow = format!("IdentityAgent={}", agent.socket.display());
    let connector = lane.configured("exec cat", &["-o", &slow]);
    lane.learn(&connector).await;
    agent.set_delay(Duration::from_millis(20));
    echo(&connector).await.say(b"in time").await;
    let before = lane.logged_since(0).await.len();
    agent.set_delay(Duration::from_secs(5));
    let error = failure(&connector).await;
    let slow = "the key did not sign: the ssh agent: it refuses to sign or asks for confirmation";
    assert_eq!(error.message, slow);
    assert_told(&lane, &error.message);
    let log = lane.logged_since(before).await;
    assert!(!log.iter().any(|line| line.contains("userauth")), "{log:#?}");
    // ssh does wait.
    agent.set_delay(Duration::from_millis(400));
    Echo::start(&connector, Attempt::Reconnect).await;
}
