//! Many sessions over one connection: the fault of one is nobody else's, and everything is bounded.

use std::collections::BTreeSet;
use std::fs;
use std::future::poll_fn;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use rejoin_client::{Event, Host as Shared, SessionId};
use rejoin_protocol::mux::{CLIENT_MAGIC, HOST_MAGIC, MAX_STREAMS};
use rejoin_ssh::{Attempt, CommandConnect, Connect as _};
use rejoin_testing::Signal;
use rustix::fs::{FlockOperation, flock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

use crate::support::{Host, LIMIT, Sharing, Talk, is_alive, kill, rejoin_server, until};

const ECHO: &str = "while read -r line; do echo \"got $line\"; done";

/// The server program on this machine, without ssh.
fn local(host: &Host) -> CommandConnect {
    CommandConnect::new(rejoin_server()).arg("mux").env("REJOIN_REGISTRY", host.registry())
}

fn is_detached(event: &Event) -> bool {
    matches!(event, Event::Detached { .. })
}

/// The one server that is not among these.
#[track_caller]
fn newest(host: &Host, earlier: &[i32]) -> i32 {
    let fresh: Vec<i32> = host.servers().into_iter().filter(|pid| !earlier.contains(pid)).collect();
    assert_eq!(fresh.len(), 1, "{fresh:?}");
    fresh[0]
}

#[test]
fn a_session_whose_server_is_killed_is_told_so_and_the_others_notice_nothing() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let lost = sharing.open(ECHO);
    lost.ask("a\n", "got a\n");
    let server = newest(&host, &[]);
    let kept = sharing.open(ECHO);
    kept.ask("a\n", "got a\n");
    kill(server, Signal::KILL);
    lost.until_event("it is told", |event| matches!(event, Event::Lost { .. }));
    kept.ask("b\n", "got b\n");
    assert_eq!(kept.count(is_detached), 0);
    assert_eq!(host.relay().connections(), 1);
    lost.finish();
    kept.finish();
}

#[test]
fn servers_that_have_ended_do_not_stay_as_zombies_of_the_mux() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let kept = sharing.open(ECHO);
    kept.ask("a\n", "got a\n");
    let earlier = host.servers();
    let ended = sharing.open(ECHO);
    ended.ask("a\n", "got a\n");
    let server = newest(&host, &earlier);
    ended.finish();
    until("nothing is left of it", || !fs::exists(format!("/proc/{server}")).unwrap());
    kept.finish();
}

#[test]
fn servers_have_nothing_of_each_other_open() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks: Vec<Talk> = (0..8).map(|_| sharing.open(ECHO)).collect();
    for talk in &talks {
        talk.ask("a\n", "got a\n");
    }
    let mut locks = BTreeSet::new();
    for server in host.servers() {
        let own: Vec<PathBuf> = open_files(server)
            .into_iter()
            .filter(|file| file.extension() == Some("lock".as_ref()))
            .collect();
        assert_eq!(own.len(), 1, "{own:?}");
        locks.extend(own);
        // Its stream, its listener, and the streams that belong to its process and its runtime.
        let sockets = open_files(server).into_iter();
        let sockets = sockets.filter(|file| file.to_string_lossy().starts_with("socket:")).count();
        assert!(sockets <= 5, "{:?}", open_files(server));
    }
    assert_eq!(locks.len(), talks.len());
    for talk in talks {
        talk.finish();
    }
}

fn open_files(pid: i32) -> Vec<PathBuf> {
    let listed = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    listed.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

#[test]
fn a_session_that_is_waited_for_holds_up_no_other() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let first = sharing.open(ECHO);
    first.ask("a\n", "got a\n");
    // As a server does that has not begun to listen.
    let session = SessionId::from_bytes([7; 16]);
    let lock = fs::File::create(host.registry().join(format!("{session}.lock"))).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let waiting = sharing.open_as(session, ECHO);
    let second = sharing.open(ECHO);
    second.ask("b\n", "got b\n");
    first.ask("c\n", "got c\n");
    assert_eq!(waiting.events(), [Event::Connecting]);
    drop(lock);
    waiting.ask("d\n", "got d\n");
    for talk in [waiting, first, second] {
        talk.finish();
    }
}

#[test]
fn while_the_host_cannot_be_reached_it_is_dialled_for_all_together() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks: Vec<Talk> = (0..20).map(|_| sharing.open(ECHO)).collect();
    for talk in &talks {
        talk.ask("a\n", "got a\n");
    }
    host.relay().refuse(true);
    host.cut();
    for talk in &talks {
        until("it was tried for a while", || attempts(talk) >= 6);
    }
    let (dials, most) = (host.relay().counts().refused, talks.iter().map(attempts).max().unwrap());
    // As each for itself, it would be as many as there are sessions for each of their attempts.
    assert!(dials <= 4 * most, "{dials} dials for {most} attempts of each of {}", talks.len());
    host.relay().refuse(false);
    talks[0].control.retry_now(false);
    for talk in talks {
        talk.until_resumed(1);
        talk.ask("b\n", "got b\n");
        talk.finish();
    }
    let counts = host.relay().counts();
    assert_eq!(counts.connections - counts.refused, 2, "one before, one after");
}

fn attempts(talk: &Talk) -> u64 {
    let attempts = talk.events().into_iter().filter_map(|event| match event {
        Event::Reconnecting { attempt, .. } => Some(attempt),
        _ => None,
    });
    attempts.max().unwrap_or(0)
}

#[test]
fn bytes_that_are_no_streams_end_their_connection_and_no_other() {
    let host = Host::start();
    let sharing = Sharing::over(local(&host));
    let talk = sharing.open(ECHO);
    talk.ask("a\n", "got a\n");
    for bytes in [&b"nonsense"[..], &[&CLIENT_MAGIC[..], &[0xff; 64]].concat()] {
        let mut mux = host.server();
        let mux =
            mux.arg("mux").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut mux = mux.spawn().unwrap();
        mux.stdin.as_mut().unwrap().write_all(bytes).unwrap();
        let output = mux.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.stdout.starts_with(&HOST_MAGIC));
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    }
    talk.ask("b\n", "got b\n");
    assert_eq!(talk.count(is_detached), 0);
    talk.finish();
}

#[test]
fn a_host_that_speaks_no_streams_is_told_of_and_not_waited_for() {
    let magic = r"\301rejoin]";
    let garbage = format!("printf '{magic}'; head -c 64 /dev/zero | tr '\\0' '\\377'; cat");
    // Of what comes behind the magic, a session may learn no more than that its link is closed.
    for (say, told) in [(garbage.as_str(), ""), ("yes no", "no no no"), ("exit 3", "status 3")] {
        let sharing = Sharing::over(CommandConnect::new("sh").args(["-c", say]));
        let talk = sharing.open(ECHO);
        talk.until_event("it gives up", |event| match event {
            Event::GaveUp { message, .. } => message.contains(told),
            _ => false,
        });
    }
}

#[test]
fn one_stream_too_many_is_reset_and_costs_no_other() {
    let host = Host::start();
    let program = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    program.block_on(async {
        let link = local(&host).connect(Attempt::First).await.unwrap();
        let (mut reader, mut writer, _guard) = link.into_parts();
        writer.write_all(&CLIENT_MAGIC).await.unwrap();
        let mut magic = [0; HOST_MAGIC.len()];
        reader.read_exact(&mut magic).await.unwrap();
        let mut config = yamux::Config::default();
        config.set_max_num_streams(2 * MAX_STREAMS);
        let carrier = tokio::io::join(reader, writer).compat();
        let mut carrier = yamux::Connection::new(carrier, config, yamux::Mode::Client);
        let mut streams = Vec::new();
        for number in 0..MAX_STREAMS + 3 {
            let mut stream = poll_fn(|cx| carrier.poll_new_outbound(cx)).await.unwrap().compat();
            let _ = stream.write(&[]).await.unwrap();
            let mut word = [0; 8];
            let answer = tokio::select! {
                answer = stream.read_exact(&mut word) => answer,
                _ = poll_fn(|cx| carrier.poll_next_inbound(cx)) => panic!("the connection ended"),
            };
            assert_eq!(answer.is_ok(), number < MAX_STREAMS, "stream {number}");
            streams.push(stream);
        }
        // One that ends makes room for another, once the host has noticed.
        drop(streams.drain(..MAX_STREAMS / 2));
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut stream = poll_fn(|cx| carrier.poll_new_outbound(cx)).await.unwrap().compat();
            let _ = stream.write(&[]).await.unwrap();
            let mut word = [0; 8];
            let answer = tokio::select! {
                answer = stream.read_exact(&mut word) => answer,
                _ = poll_fn(|cx| carrier.poll_next_inbound(cx)) => panic!("the connection ended"),
            };
            if answer.is_ok() {
                break;
            }
            assert!(Instant::now() < deadline, "streams that ended make no room");
        }
    });
}

#[test]
fn a_client_opens_no_more_streams_than_are_served() {
    let host = Host::start();
    let sharing = Sharing::over(local(&host));
    let shared = sharing.host.clone();
    sharing.run(async {
        let mut links = Vec::new();
        for _ in 0..Shared::MAX_SESSIONS {
            links.push(shared.connect(Attempt::First).await.unwrap());
        }
        let refused = shared.connect(Attempt::First).await.unwrap_err();
        assert!(refused.message.contains("sessions already"), "{refused}");
        links.pop();
        links.push(shared.connect(Attempt::First).await.unwrap());
    });
    assert!(host.muxes().iter().all(|mux| is_alive(*mux)));
}
