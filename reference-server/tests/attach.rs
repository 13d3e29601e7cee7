//! `rejoin-server attach` and the servers that it starts, spoken to in raw frames.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, WriteQueue};
use rejoin_protocol::frame::{Hello, Wish};
use rejoin_protocol::spec::{self, ProcessSpec, Terminal};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, ExitStatus, Frame, HostId, Incarnation, Item, Reason,
    Seq, SessionId, Signal, Tenure, Version, WindowSize,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

/// A test that waits this long has failed.
const LIMIT: Duration = Duration::from_secs(30);

/// An attach program of its own for each link, all of one client instance.
struct Client {
    registry: TempDir,
    session: SessionId,
    attach: u64,
}

struct Link {
    child: Child,
    stdin: Option<ChildStdin>,
    frames: Receiver<Frame>,
    host: HostId,
}

impl Client {
    fn new() -> Self {
        let mut session = [0; 16];
        getrandom::fill(&mut session).unwrap();
        let registry = TempDir::with_prefix("rejoin-attach-").unwrap();
        Self { registry, session: SessionId::from_bytes(session), attach: 0 }
    }

    fn server(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin-server"));
        command.arg("--registry").arg(self.folder());
        command
    }

    fn folder(&self) -> std::path::PathBuf {
        self.registry.path().join("r")
    }

    fn link(&self) -> Link {
        let mut command = self.server();
        command.arg("attach").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&CLIENT_MAGIC).unwrap();
        let frames = read_frames(child.stdout.take().unwrap());
        let Frame::Greeting(greeting) = frames.recv_timeout(LIMIT).unwrap() else {
            panic!("it greets first")
        };
        Link { child, stdin: Some(stdin), frames, host: greeting.host }
    }

    /// Asks for an incarnation that runs `words`, on a link of its own.
    fn open(&mut self, incarnation: u64, words: &str) -> Link {
        self.open_spec(incarnation, &ProcessSpec::new(spec::Command::Shell(words.into())))
    }

    fn open_spec(&mut self, incarnation: u64, spec: &ProcessSpec) -> Link {
        let mut link = self.link();
        self.attach += 1;
        let wish = Wish::Open {
            incarnation: Incarnation(incarnation),
            host: link.host,
            spec: spec.encode().unwrap(),
        };
        link.send(&Frame::Hello(Hello {
            version: Version::CURRENT,
            session: self.session,
            instance: ClientInstance::from_bytes([1; 16]),
            name: ClientName::new("test"),
            attach: AttachNumber(self.attach),
            tenure: Tenure(0),
            wish,
        }));
        link
    }

    fn kill_server(&self) {
        let entry = format!("serve\0--registry\0{}\0{}", self.folder().display(), self.session);
        let pid = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|process| process.unwrap().file_name().to_str()?.parse::<i32>().ok())
            .find(|pid| {
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
                line.is_ok_and(|line| line.contains(&entry))
            });
        let pid = rustix::process::Pid::from_raw(pid.expect("the server runs")).unwrap();
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        pidfd_send_signal(&handle, rustix::process::Signal::KILL).unwrap();
        // A server that is just dying still takes streams, and answers none of them.
        poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.server().arg("kill").arg(self.session.to_string()).output();
    }
}

impl Link {
    fn send(&mut self, frame: &Frame) {
        let mut queue = WriteQueue::default();
        queue.push(frame).unwrap();
        let bytes = queue.copy_to_bytes(queue.remaining());
        self.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    fn next(&self) -> Frame {
        self.frames.recv_timeout(LIMIT).expect("an answer in time")
    }

    fn welcomed(self) -> Self {
        match self.next() {
            Frame::Welcome(_) => self,
            other => panic!("{other:?}"),
        }
    }

    fn refusal(&self) -> Reason {
        match self.next() {
            Frame::Refused(refused) => refused.reason,
            other => panic!("{other:?}"),
        }
    }

    /// All output up to the exit, how it ended, and the highest acknowledgement on the way.
    fn until_exit(&self) -> (Vec<u8>, ExitStatus, Seq) {
        let (mut all, mut acknowledged) = (Vec::new(), Seq(0));
        loop {
            match self.next() {
                Frame::Item { item: Item::Output { data, .. }, .. } => all.extend_from_slice(&data),
                Frame::Item { item: Item::Exit(status), .. } => return (all, status, acknowledged),
                Frame::Ack { next } => acknowledged = next,
                _ => {}
            }
        }
    }

    fn hang_up(mut self) {
        self.stdin = None;
        self.child.wait().unwrap();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_frames(mut stdout: impl Read + Send + 'static) -> Receiver<Frame> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut decoder, mut buffer) = (Decoder::of_server(), BytesMut::new());
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut chunk) {
            buffer.extend_from_slice(&chunk[..count]);
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                let _ = sender.send(frame);
            }
        }
    });
    receiver
}

fn input(seq: u64, data: impl Into<Bytes>) -> Frame {
    Frame::Item { seq: Seq(seq), item: Item::Input(data.into()) }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn the_next_incarnation_starts_where_a_dead_server_left_its_socket() {
    let mut client = Client::new();
    let runs = client.registry.path().join("runs");
    let words = format!("echo run >> {}; exec sleep 1000", runs.display());
    let first = client.open(0, &words).welcomed();
    client.kill_server();
    let second = client.open(1, &words).welcomed();
    // However late it comes: what was used once is never started again.
    assert_eq!(client.open(0, &words).refusal_or_joined(), None);
    client.kill_server();
    assert_eq!(client.open(0, &words).refusal(), Reason::ProcessGone);
    assert_eq!(client.open(1, &words).refusal(), Reason::ProcessGone);
    drop((first, second));
    assert!(lines(&runs) <= 2);
}

impl Link {
    /// The reason, or none if the living incarnation was joined.
    fn refusal_or_joined(&self) -> Option<Reason> {
        match self.next() {
            Frame::Refused(refused) => Some(refused.reason),
            Frame::Welcome(welcome) => {
                assert_eq!(welcome.incarnation, Incarnation(1));
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_sent_right_before_hanging_up_arrives() {
    let mut client = Client::new();
    let file = client.registry.path().join("file");
    let done = client.registry.path().join("done");
    let words = format!("cat > {}; echo > {}", file.display(), done.display());
    let mut link = client.open(0, &words).welcomed();
    for seq in 0..40 {
        link.send(&input(seq, vec![b'x'; 65_536]));
    }
    link.send(&Frame::Item { seq: Seq(40), item: Item::InputEnd });
    link.send(&Frame::Detach);
    link.hang_up();
    let mut back = client.open(0, &words).welcomed();
    assert_eq!(back.until_exit().1, ExitStatus::Code(0));
    back.send(&Frame::Close);
    assert!(done.exists());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 40 * 65_536);
}

#[test]
fn input_that_a_process_did_not_take_before_its_end_is_not_acknowledged() {
    let mut client = Client::new();
    let mut link = client.open(0, "exec sleep 1000").welcomed();
    // More than a pipe holds, so that some of it waits when the process ends.
    for seq in 0..5 {
        link.send(&input(seq, vec![b'x'; 65_536]));
    }
    link.send(&Frame::Item { seq: Seq(5), item: Item::Signal(Signal::KILL) });
    link.send(&input(6, "too late"));
    let (_, status, acknowledged) = link.until_exit();
    assert_eq!(status, ExitStatus::Signal(Signal::KILL));
    assert!(acknowledged < Seq(5), "{acknowledged}");
}

#[test]
fn the_end_of_input_on_a_terminal_counts_behind_an_unfinished_line_too() {
    for text in ["abc", "abc\n"] {
        let mut client = Client::new();
        let mut spec = ProcessSpec::new(spec::Command::Shell(b"exec cat".to_vec()));
        let size = WindowSize { rows: 24, cols: 80, ..WindowSize::default() };
        spec.terminal = Some(Terminal { term: String::from("dumb"), size });
        let mut link = client.open_spec(0, &spec).welcomed();
        link.send(&input(0, text));
        link.send(&Frame::Item { seq: Seq(1), item: Item::InputEnd });
        assert_eq!(link.until_exit().1, ExitStatus::Code(0), "{text:?}");
    }
}

#[test]
fn kill_wants_a_name_that_is_no_slip() {
    let mut client = Client::new();
    let link = client.open(0, "exec sleep 1000").welcomed();
    for name in ["", "0", &client.session.to_string()[..3]] {
        assert!(!client.server().args(["kill", name]).output().unwrap().status.success());
    }
    let listed = client.server().args(["ls", "--json"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\"state\":\"attached\""));
    drop(link);
}
