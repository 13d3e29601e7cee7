//! A client reduced to what a measurement needs: it resumes a session as often as it is asked to,
//! and acknowledges nothing, so that there is always something to replay.

use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, WriteQueue};
use rejoin_protocol::frame::{Hello, Welcome, Wish};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, Epoch, Frame, Incarnation, Item, Seq, SessionId,
    Tenure, Version,
};
use rejoin_ssh::{Attempt, Connect, LinkGuard, LinkReader, LinkWriter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// As much as the drivers read at once.
const READ: usize = 64 * 1024;

/// A session that has something to replay.
#[derive(Debug)]
pub struct Prober {
    session: SessionId,
    instance: ClientInstance,
    attach: AttachNumber,
    epoch: Option<Epoch>,
}

/// An open link, with what was read of it.
struct Probe {
    reader: LinkReader,
    writer: LinkWriter,
    guard: LinkGuard,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Prober {
    /// Starts `command`, and returns once it has written something.
    pub async fn open(connect: &dyn Connect, command: &str) -> io::Result<Self> {
        Self::with_window(connect, command, ProcessSpec::DEFAULT_WINDOW).await
    }

    /// The same, with so many bytes of window.
    pub async fn with_window(
        connect: &dyn Connect,
        command: &str,
        window: u64,
    ) -> io::Result<Self> {
        let mut prober = Self {
            session: SessionId::from_bytes(random()?),
            instance: ClientInstance::from_bytes(random()?),
            attach: AttachNumber(0),
            epoch: None,
        };
        let mut probe = Probe::open(connect).await?;
        let Frame::Greeting(greeting) = probe.next().await? else { return Err(unexpected()) };
        let mut spec = ProcessSpec::new(Command::Shell(command.as_bytes().to_vec()));
        spec.window = window;
        let spec: Bytes = spec.encode().map_err(io::Error::other)?;
        let host = greeting.host;
        probe.ask(prober.hello(Wish::Open { incarnation: Incarnation(0), host, spec })).await?;
        prober.epoch = Some(probe.welcome().await?.epoch);
        probe.output().await?;
        Ok(prober)
    }

    /// How long it takes from nothing to the first byte replayed over a new link.
    pub async fn resume(&mut self, connect: &dyn Connect) -> io::Result<Duration> {
        let since = Instant::now();
        let mut probe = self.resumed(connect).await?;
        probe.output().await?;
        let elapsed = since.elapsed();
        probe.end().await;
        Ok(elapsed)
    }

    /// How long it takes to get so many bytes of output once the new link is attached.
    pub async fn replay(&mut self, connect: &dyn Connect, bytes: usize) -> io::Result<Duration> {
        let mut probe = self.resumed(connect).await?;
        let (since, mut left) = (Instant::now(), bytes);
        while left > 0 {
            left = left.saturating_sub(probe.output().await?);
        }
        let elapsed = since.elapsed();
        probe.end().await;
        Ok(elapsed)
    }

    /// The session's id.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Looks at something while a link is attached.
    pub async fn while_attached<T>(
        &mut self,
        connect: &dyn Connect,
        look: impl FnOnce() -> T,
    ) -> io::Result<T> {
        let probe = self.resumed(connect).await?;
        let seen = look();
        probe.end().await;
        Ok(seen)
    }

    async fn resumed(&mut self, connect: &dyn Connect) -> io::Result<Probe> {
        let epoch = self.epoch.ok_or_else(unexpected)?;
        let wish = Wish::Resume { incarnation: Incarnation(0), epoch, next_output: Seq(0) };
        let mut probe = Probe::open(connect).await?;
        probe.ask(self.hello(wish)).await?;
        probe.welcome().await?;
        Ok(probe)
    }

    /// Ends the session.
    pub async fn close(mut self, connect: &dyn Connect) -> io::Result<()> {
        let mut probe = self.resumed(connect).await?;
        probe.send(&Frame::Close).await?;
        loop {
            if let Frame::Closed { .. } = probe.next().await? {
                return Ok(());
            }
        }
    }

    fn hello(&mut self, wish: Wish) -> Hello {
        self.attach = AttachNumber(self.attach.0 + 1);
        Hello {
            version: Version::CURRENT,
            session: self.session,
            instance: self.instance,
            name: ClientName::new("benchmark"),
            attach: self.attach,
            tenure: Tenure(0),
            wish,
        }
    }
}

impl Probe {
    async fn open(connect: &dyn Connect) -> io::Result<Self> {
        let link = connect.connect(Attempt::Reconnect).await.map_err(io::Error::other)?;
        let (reader, writer, guard) = link.into_parts();
        let (decoder, buffer) = (Decoder::of_server(), BytesMut::new());
        Ok(Self { reader, writer, guard, decoder, buffer })
    }

    async fn ask(&mut self, hello: Hello) -> io::Result<()> {
        let mut queue = WriteQueue::starting_with(CLIENT_MAGIC);
        queue.push(&Frame::Hello(hello)).map_err(io::Error::other)?;
        self.writer.write_all_buf(&mut queue).await
    }

    async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut queue = WriteQueue::default();
        queue.push(frame).map_err(io::Error::other)?;
        self.writer.write_all_buf(&mut queue).await
    }

    async fn welcome(&mut self) -> io::Result<Welcome> {
        loop {
            match self.next().await? {
                Frame::Welcome(welcome) => return Ok(welcome),
                Frame::Greeting(_) => {}
                frame => return Err(io::Error::other(format!("{frame:?} instead of a Welcome"))),
            }
        }
    }

    /// The length of the next piece of output.
    async fn output(&mut self) -> io::Result<usize> {
        loop {
            if let Frame::Item { item: Item::Output { data, .. }, .. } = self.next().await? {
                return Ok(data.len());
            }
        }
    }

    async fn next(&mut self) -> io::Result<Frame> {
        loop {
            let decoded = self.decoder.decode(&mut self.buffer).map_err(io::Error::other)?;
            if let Some(frame) = decoded {
                return Ok(frame);
            }
            self.buffer.reserve(READ);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Ends the link, so that the next measurement does not compete with its end.
    async fn end(self) {
        drop((self.reader, self.writer));
        self.guard.post_mortem().await;
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

fn unexpected() -> io::Error {
    io::Error::other("an unexpected answer")
}
