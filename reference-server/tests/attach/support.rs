//! Links of one client, each with an attach program of its own, in raw frames.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, SERVER_MAGIC, encode};
use rejoin_protocol::frame::{Bye, Hello, Wish};
use rejoin_protocol::spec::{self, ProcessSpec};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, ExitStatus, Frame, HostId, Incarnation, Item, Reason,
    Seq, SessionId, Tenure, Version,
};
use rejoin_server::registry::Registry;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, pidfd_open, pidfd_send_signal, prlimit};
use tempfile::TempDir;

/// A test that waits this long has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// An attach program of its own for each link, all of one client instance.
pub(crate) struct Client {
    pub(crate) registry: TempDir,
    pub(crate) session: SessionId,
    pub(crate) attach: u64,
    pub(crate) program: PathBuf,
    /// Whom it runs as, if not as the test does.
    pub(crate) user: Option<u32>,
    /// Where it starts, if not where the test did.
    pub(crate) directory: Option<PathBuf>,
}

pub(crate) struct Link {
    pub(crate) child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    /// What the attach program writes to comes out here.
    pub(crate) stdout: UnixStream,
    pub(crate) frames: Receiver<Frame>,
    pub(crate) host: HostId,
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut session = [0; 16];
        getrandom::fill(&mut session).unwrap();
        let registry = TempDir::with_prefix("rejoin-attach-").unwrap();
        Self {
            registry,
            session: SessionId::from_bytes(session),
            attach: 0,
            program: env!("CARGO_BIN_EXE_rejoin-server").into(),
            user: None,
            directory: None,
        }
    }

    pub(crate) fn server(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--registry").arg(self.folder());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    pub(crate) fn folder(&self) -> std::path::PathBuf {
        self.registry.path().join("r")
    }

    /// A link that has begun.
    pub(crate) fn link(&self) -> Link {
        let mut link = self.silent();
        link.write(&CLIENT_MAGIC);
        link
    }

    /// A link on which the client has said nothing yet.
    pub(crate) fn silent(&self) -> Link {
        let mut command = self.server();
        let (stdout, theirs) = UnixStream::pair().unwrap();
        command.arg("attach").stdin(Stdio::piped()).stdout(OwnedFd::from(theirs));
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        // With the command goes this process's own hold on the other end.
        drop(command);
        let frames = read_frames(stdout.try_clone().unwrap(), BytesMut::new());
        let Frame::Greeting(greeting) = frames.recv_timeout(LIMIT).unwrap() else {
            panic!("it greets first")
        };
        Link { child, stdin, stdout, frames, host: greeting.host }
    }

    /// Asks for an incarnation that runs `words`, on a link of its own.
    pub(crate) fn open(&mut self, incarnation: u64, words: &str) -> Link {
        self.open_spec(incarnation, &ProcessSpec::new(spec::Command::Shell(words.into())))
    }

    pub(crate) fn open_spec(&mut self, incarnation: u64, spec: &ProcessSpec) -> Link {
        let mut link = self.link();
        self.ask(&mut link, incarnation, spec);
        link
    }

    pub(crate) fn ask(&mut self, link: &mut Link, incarnation: u64, spec: &ProcessSpec) {
        let hello = self.open_hello(link.host, incarnation, spec);
        link.send(&hello);
    }

    pub(crate) fn open_hello(
        &mut self,
        host: HostId,
        incarnation: u64,
        spec: &ProcessSpec,
    ) -> Frame {
        let spec = spec.encode().unwrap();
        self.hello(Wish::Open { incarnation: Incarnation(incarnation), host, spec })
    }

    /// The next Hello.
    pub(crate) fn hello(&mut self, wish: Wish) -> Frame {
        self.attach += 1;
        Frame::Hello(Hello {
            version: Version::CURRENT,
            session: self.session,
            instance: ClientInstance::from_bytes([1; 16]),
            name: ClientName::new("test"),
            attach: AttachNumber(self.attach),
            tenure: Tenure(0),
            wish,
        })
    }

    /// A stream to the session's server, as an attach program opens it.
    pub(crate) fn stream(&self) -> UnixStream {
        let registry = Registry::open(Some(&self.folder())).unwrap();
        UnixStream::connect(registry.socket_path(self.session)).unwrap()
    }

    pub(crate) fn server_pid(&self) -> Pid {
        let entry = format!("serve\0--registry\0{}\0{}", self.folder().display(), self.session);
        let pid = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|process| process.unwrap().file_name().to_str()?.parse::<i32>().ok())
            .find(|pid| {
                let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
                line.is_ok_and(|line| line.contains(&entry))
            });
        Pid::from_raw(pid.expect("the server runs")).unwrap()
    }

    pub(crate) fn kill_server(&self) {
        let pid = self.server_pid();
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        pidfd_send_signal(&handle, rustix::process::Signal::KILL).unwrap();
        // A server that is just dying still takes streams, and answers none of them.
        until_ended(&handle);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.server().arg("kill").arg(self.session.to_string()).output();
    }
}

impl Link {
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.write(&bytes_of(frame));
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Why the other side closes this link, which it does.
    pub(crate) fn bye(&self) -> Bye {
        last_word(&self.frames)
    }

    pub(crate) fn next(&self) -> Frame {
        self.frames.recv_timeout(LIMIT).expect("an answer in time")
    }

    pub(crate) fn welcomed(self) -> Self {
        match self.next() {
            Frame::Welcome(_) => self,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn refusal(&self) -> Reason {
        match self.next() {
            Frame::Refused(refused) => refused.reason,
            other => panic!("{other:?}"),
        }
    }

    /// All output up to the exit, how it ended, and the highest acknowledgement on the way.
    pub(crate) fn until_exit(&self) -> (Vec<u8>, ExitStatus, Seq) {
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

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything up to this frame is dropped.
    pub(crate) fn until(&self, wanted: &Frame) {
        while self.next() != *wanted {}
    }

    pub(crate) fn hang_up(mut self) {
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

/// A frame as it travels.
pub(crate) fn bytes_of(frame: &Frame) -> Vec<u8> {
    let encoded = encode(frame).unwrap();
    [&encoded.head[..], &encoded.payload[..]].concat()
}

/// What a server writes to a stream of its own: an attach program has greeted before.
pub(crate) fn server_frames(stream: &UnixStream) -> Receiver<Frame> {
    read_frames(stream.try_clone().unwrap(), BytesMut::from(&SERVER_MAGIC[..]))
}

/// The last frame of a link, behind which it ends.
#[track_caller]
pub(crate) fn last_word(frames: &Receiver<Frame>) -> Bye {
    // What has begun has half a minute to be whole.
    let frame = frames.recv_timeout(2 * LIMIT).expect("a last word");
    assert_eq!(frames.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    match frame {
        Frame::Bye(bye) => bye,
        other => panic!("{other:?}"),
    }
}

/// Reads no further than one frame ahead of the test.
pub(crate) fn read_frames(
    mut stdout: impl Read + Send + 'static,
    mut buffer: BytesMut,
) -> Receiver<Frame> {
    let (sender, receiver) = sync_channel(1);
    std::thread::spawn(move || {
        let mut decoder = Decoder::of_server();
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

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a process has ended.
#[track_caller]
pub(crate) fn until_ended(process: &OwnedFd) {
    let limit = rustix::time::Timespec::try_from(LIMIT).unwrap();
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit));
    assert_eq!(ended, Ok(1), "the process does not end");
}

/// What a process has open stays open, and nothing more can be opened. Returns its usual limit.
pub(crate) fn forbid_descriptors(pid: Pid) -> Rlimit {
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(3), maximum }).unwrap()
}

/// The sockets that a process has open, by their names in `/proc`.
pub(crate) fn sockets(pid: Pid) -> BTreeSet<PathBuf> {
    let listed = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero())).unwrap();
    let paths = listed.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    paths.filter(|path| path.to_string_lossy().starts_with("socket:")).collect()
}

pub(crate) fn input(seq: u64, data: impl Into<Bytes>) -> Frame {
    Frame::Item { seq: Seq(seq), item: Item::Input(data.into()) }
}
