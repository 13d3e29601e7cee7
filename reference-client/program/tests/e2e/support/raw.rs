//! A client that says what it likes, to `rejoin-server attach` without a connection in between.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use bytes::BytesMut;
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, encode};
use rejoin_protocol::frame::{From, Hello, Scope, Welcome, Wish};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, Epoch, Frame, Holder, HostId, Incarnation, Reason,
    Seq, SessionId, Tenure, VersionRange,
};

use super::host::Host;
use super::wait::LIMIT;

/// A link.
pub(crate) struct Raw {
    child: Child,
    stdin: Option<ChildStdin>,
    frames: Receiver<Frame>,
}

impl Raw {
    /// A link on which nothing was said yet, not even the magic.
    pub(crate) fn silent(host: &Host) -> Self {
        let mut child = host
            .server()
            .arg("attach")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("rejoin-server starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, frames) = channel();
        std::thread::spawn(move || read(stdout, &sender));
        Self { child, stdin, frames }
    }

    /// A link that has begun.
    pub(crate) fn begin(host: &Host) -> Self {
        let mut link = Self::silent(host);
        link.send(&CLIENT_MAGIC);
        link
    }

    /// Writes bytes. The other side may have closed already.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(bytes);
        }
    }

    pub(crate) fn say(&mut self, frame: &Frame) {
        self.send(&frame_bytes(frame));
    }

    /// The next frame; none at the end of the stream. Heartbeats are answered and left out.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frames.recv_timeout(left) {
                Ok(Frame::Ping { token }) => self.say(&Frame::Pong { token }),
                Ok(frame) => return Some(frame),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => panic!("no frame within {LIMIT:?}"),
            }
        }
    }

    /// The next frame that is wanted; those before it are dropped.
    #[track_caller]
    pub(crate) fn hear_until<T>(&mut self, mut wanted: impl FnMut(&Frame) -> Option<T>) -> T {
        let mut passed = Vec::new();
        while let Some(frame) = self.hear() {
            if let Some(found) = wanted(&frame) {
                return found;
            }
            passed.push(frame);
        }
        panic!("the stream ended without the frame, after {passed:?}");
    }

    #[track_caller]
    pub(crate) fn greeting(&mut self) -> HostId {
        self.hear_until(|frame| match frame {
            Frame::Greeting(greeting) => Some(greeting.host),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn welcome(&mut self) -> Welcome {
        self.hear_until(|frame| match frame {
            Frame::Welcome(welcome) => Some(welcome.clone()),
            Frame::Refused(refused) => panic!("refused: {refused:?}"),
            _ => None,
        })
    }

    #[track_caller]
    pub(crate) fn refusal(&mut self) -> Reason {
        self.hear_until(|frame| match frame {
            Frame::Refused(refused) => Some(refused.reason.clone()),
            Frame::Welcome(_) => panic!("it was granted"),
            _ => None,
        })
    }

    /// Everything up to the end of the stream. Heartbeats do not put off the deadline.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        let deadline = Instant::now() + LIMIT;
        let mut frames = Vec::new();
        while let Some(frame) = self.hear() {
            assert!(Instant::now() < deadline, "the stream does not end: {frames:?}");
            frames.push(frame);
        }
        frames
    }

    /// Says nothing more.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut stdout: ChildStdout, frames: &Sender<Frame>) {
    let (mut decoder, mut buffer) = (Decoder::of_server(), BytesMut::new());
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stdout.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..length]);
        while let Some(frame) = decoder.decode(&mut buffer).expect("servers send frames") {
            if frames.send(frame).is_err() {
                return;
            }
        }
    }
}

/// A frame as it travels.
pub(crate) fn frame_bytes(frame: &Frame) -> Vec<u8> {
    let encoded = encode(frame).expect("the frame is within its limits");
    [&encoded.head[..], &encoded.payload[..]].concat()
}

/// What one client instance wishes of one session.
#[derive(Clone)]
pub(crate) struct Wishes {
    pub(crate) session: SessionId,
    pub(crate) instance: ClientInstance,
    pub(crate) name: String,
    pub(crate) attach: u64,
    pub(crate) tenure: Tenure,
}

impl Wishes {
    pub(crate) fn new() -> Self {
        Self {
            session: SessionId::from_bytes(random()),
            instance: ClientInstance::from_bytes(random()),
            name: "raw@test".to_owned(),
            attach: 0,
            tenure: Tenure(0),
        }
    }

    /// Another instance, with the same session.
    pub(crate) fn another(&self) -> Self {
        Self { session: self.session, ..Self::new() }
    }

    /// The next Hello.
    pub(crate) fn hello(&mut self, wish: Wish) -> Frame {
        self.attach += 1;
        Frame::Hello(Hello {
            version: VersionRange::SUPPORTED.max,
            session: self.session,
            instance: self.instance,
            name: ClientName::new(&self.name),
            attach: AttachNumber(self.attach),
            tenure: self.tenure,
            wish,
        })
    }

    pub(crate) fn open(&mut self, host: HostId, command: &str) -> Frame {
        let spec = ProcessSpec::new(Command::Shell(command.into())).encode().unwrap();
        self.hello(Wish::Open { incarnation: Incarnation(0), host, spec })
    }

    pub(crate) fn resume(&mut self, welcome: &Welcome, next_output: Seq) -> Frame {
        let Welcome { incarnation, epoch, .. } = *welcome;
        self.hello(Wish::Resume { incarnation, epoch, next_output })
    }

    pub(crate) fn resume_unheard_of(&mut self) -> Frame {
        let epoch = Epoch::from_bytes(random());
        self.hello(Wish::Resume { incarnation: Incarnation(0), epoch, next_output: Seq(0) })
    }

    pub(crate) fn claim(&mut self, expected: Option<Holder>, from: From) -> Frame {
        self.hello(Wish::Claim { expected, from })
    }

    pub(crate) fn close(&mut self) -> Frame {
        self.hello(Wish::Close { incarnation: Incarnation(0), scope: Scope::Session })
    }

    /// A new link on which a process was started.
    #[track_caller]
    pub(crate) fn opened(&mut self, host: &Host, command: &str) -> (Raw, Welcome) {
        let mut link = Raw::begin(host);
        let id = link.greeting();
        link.say(&self.open(id, command));
        let welcome = link.welcome();
        (link, welcome)
    }
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
