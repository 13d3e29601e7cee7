//! Hosts to reconnect to, without ssh: in memory, and behind a Unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::server::{Config, Effect, Event, Limits, Past};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{
    Capabilities, Epoch, Frame, HostId, Link, Server, SessionId, Stream, VersionRange,
};
use rejoin_ssh::{Attempt, BoxFuture, Connect, LinkError, MemoryConnect, UnixConnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

const HOST: HostId = HostId { machine: [1; 16], boot: [2; 16] };
/// As much as a server reads of its process at once.
const PIECE: usize = 64 * 1024;

/// A socket in `folder` where each connection gets an attach program, as inetd would give it.
///
/// # Errors
/// The socket cannot be bound.
pub fn attach_per_connection(
    server: &Path,
    folder: &Path,
    registry: &Path,
) -> io::Result<UnixConnect> {
    let path = folder.join("attach");
    let listener = UnixListener::bind(&path)?;
    tokio::spawn(run_attaches(listener, server.into(), registry.into()));
    Ok(UnixConnect::new(path))
}

async fn run_attaches(
    listener: UnixListener,
    server: PathBuf,
    registry: PathBuf,
) -> io::Result<()> {
    loop {
        let stream = listener.accept().await?.0.into_std()?;
        stream.set_nonblocking(false)?;
        let mut attach = Command::new(&server)
            .arg("--registry")
            .arg(&registry)
            .arg("attach")
            .stdin(OwnedFd::from(stream.try_clone()?))
            .stdout(OwnedFd::from(stream))
            .spawn()?;
        tokio::spawn(async move { attach.wait().await });
    }
}

/// Links to the socket of a session's server itself, without an attach program in between.
#[derive(Debug)]
pub struct ServerSocket(PathBuf);

impl ServerSocket {
    /// Where the server of this session listens.
    pub fn of(registry: &Path, session: SessionId) -> Self {
        Self(registry.join(session.to_string()).join("socket"))
    }
}

impl Connect for ServerSocket {
    fn connect(&self, _: Attempt) -> BoxFuture<'_, Result<rejoin_ssh::Link, LinkError>> {
        Box::pin(async {
            let stream = UnixStream::connect(&self.0).await.map_err(|error| {
                LinkError::new(rejoin_ssh::LinkErrorKind::Unreachable, error.to_string())
            })?;
            let (reader, writer) = stream.into_split();
            // The attach program has said it by the time that a server gets its stream.
            Ok(rejoin_ssh::Link::new((&SERVER_MAGIC[..]).chain(reader), writer))
        })
    }

    fn destination(&self) -> String {
        self.0.display().to_string()
    }
}

/// The server's machine in this program, with a process that has written `backlog` bytes and does
/// nothing more: what remains of a reconnect when everything around the protocol takes no time.
///
/// It lives as long as the runtime.
pub fn in_memory(backlog: usize) -> MemoryConnect {
    let (connect, mut listener) = rejoin_ssh::memory();
    tokio::spawn(async move {
        let mut host = MemoryHost::new(backlog);
        while let Some(link) = listener.accept().await {
            // A link that fails is one that its client has dropped.
            let _ = host.serve(link).await;
        }
    });
    connect
}

struct MemoryHost {
    config: Config,
    machine: Server,
    link: Link,
    backlog: usize,
}

impl MemoryHost {
    fn new(backlog: usize) -> Self {
        let config = Config {
            session: SessionId::from_bytes([0; 16]),
            host: HOST,
            versions: VersionRange::SUPPORTED,
            capabilities: Capabilities(0),
        };
        Self { config, machine: Server::Absent(Past::default()), link: Link(0), backlog }
    }

    async fn serve(&mut self, link: rejoin_ssh::Link) -> io::Result<()> {
        self.link = Link(self.link.0 + 1);
        let (mut reader, mut writer, _guard) = link.into_parts();
        let mut queue = WriteQueue::starting_with(SERVER_MAGIC);
        let versions = VersionRange::SUPPORTED;
        let greeting = Greeting { versions, host: HOST, host_name: "memory".into() };
        queue.push(&Frame::Greeting(greeting)).map_err(io::Error::other)?;
        let (mut decoder, mut buffer) = (Decoder::of_client(), BytesMut::new());
        let ended = loop {
            while let Some(frame) = decoder.decode(&mut buffer).map_err(io::Error::other)? {
                self.step(Event::Frame(self.link, frame), &mut queue)?;
            }
            if let Err(error) = writer.write_all_buf(&mut queue).await {
                break Err(error);
            }
            match reader.read_buf(&mut buffer).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.step(Event::LinkLost(self.link), &mut queue)?;
        ended
    }

    fn step(&mut self, event: Event, queue: &mut WriteQueue) -> io::Result<()> {
        // It keeps whichever session comes first.
        if let Event::Frame(_, Frame::Hello(hello)) = &event {
            self.config.session = hello.session;
        }
        for effect in self.machine.step(&self.config, event) {
            match effect {
                Effect::Send(_, frame) => queue.push(&frame).map_err(io::Error::other)?,
                Effect::Start { .. } => self.start(queue)?,
                Effect::EndProcess(_) => self.step(Event::Ended(0), queue)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, queue: &mut WriteQueue) -> io::Result<()> {
        let limits = Limits { window: ProcessSpec::MAX_WINDOW, overflow: Overflow::Block };
        self.step(Event::Started(Epoch::from_bytes([3; 16]), limits), queue)?;
        let mut left = self.backlog;
        while left > 0 {
            let piece = Bytes::from(vec![b'x'; left.min(PIECE)]);
            left -= piece.len();
            self.step(Event::Output(Stream::Stdout, piece), queue)?;
        }
        Ok(())
    }
}
