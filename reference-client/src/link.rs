//! One link: its frames in, its frames out, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rejoin_protocol::codec::{Acks, CLIENT_MAGIC, Decoder, Noise, WriteQueue};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::{Frame, Link};
use rejoin_ssh::{
    Attempt, Connect, Link as Stream, LinkError, LinkErrorKind, LinkGuard, LinkReader, LinkWriter,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::trace::{self, Course};

/// How much is read at once.
const READ: usize = 64 * 1024;
/// How many frames are written at once.
const BATCH: usize = 64;
/// How long a link that is closed may take to send what it still has.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a link reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// The transport is there. Nothing came from the server yet.
    Opened,
    /// The server has begun to speak, behind this noise.
    Started(Noise),
    /// Frames came.
    Frames(Vec<Frame>),
    /// Bytes came that are no frame. Nothing follows.
    Misbehaved(FrameError),
    /// It has ended. Nothing follows.
    Lost(LinkError),
}

/// How a link is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// As any other.
    Usual(Attempt),
    /// In a hurry.
    Fast,
}

impl Way {
    /// What is asked of whoever opens it.
    pub(crate) fn attempt(self) -> Attempt {
        match self {
            Self::Usual(attempt) => attempt,
            Self::Fast => Attempt::Reconnect,
        }
    }

    /// Its name for programs.
    pub(crate) fn lane(self) -> &'static str {
        match self {
            Self::Usual(_) => "ssh",
            Self::Fast => "fast",
        }
    }

    async fn open(self, connect: &dyn Connect) -> Result<Stream, LinkError> {
        match self {
            Self::Usual(attempt) => connect.connect(attempt).await,
            Self::Fast => match connect.fast() {
                Some(fast) => fast.await,
                None => Err(LinkError::new(LinkErrorKind::Other, "there is no fast lane now")),
            },
        }
    }
}

/// A link that is open or being opened.
#[derive(Debug)]
pub(crate) struct LiveLink {
    pub(crate) link: Link,
    pub(crate) course: Course,
    frames: mpsc::UnboundedSender<Frame>,
    reader: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

pub(crate) type Reports = mpsc::Sender<(Link, Report)>;

impl LiveLink {
    /// Opens a link.
    pub(crate) fn open(link: Link, connect: Arc<dyn Connect>, way: Way, reports: Reports) -> Self {
        let (frames, outgoing) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let opening = Opening { link, connect, way, reports, outgoing, end };
        let course = Course::begin(link, way);
        let reader = tokio::spawn(opening.run().instrument(course.span()));
        Self { link, course, frames, reader, ended }
    }

    /// Ends the link. What is queued is still sent, within [`FAREWELL`]; the future that comes back
    /// waits for that, and nothing depends on its being awaited.
    pub(crate) fn end(self) -> impl Future<Output = ()> + Send + 'static {
        // The writer follows by itself: its channel is closed with this.
        self.reader.abort();
        let ended = self.ended;
        async move {
            let _ = timeout(2 * FAREWELL, ended).await;
        }
    }

    /// Queues a frame. How many wait is bounded by the window.
    pub(crate) fn send(&self, frame: Frame) {
        // A link that has ended reports that by itself.
        let _ = self.frames.send(frame);
    }
}

struct Opening {
    link: Link,
    connect: Arc<dyn Connect>,
    way: Way,
    reports: Reports,
    outgoing: mpsc::UnboundedReceiver<Frame>,
    end: oneshot::Sender<()>,
}

impl Opening {
    async fn run(self) {
        let Self { link, connect, way, reports, outgoing, end } = self;
        let opened = match way.open(&*connect).await {
            Ok(opened) => opened,
            Err(error) => {
                let _ = reports.send((link, Report::Lost(error))).await;
                return;
            }
        };
        let (reader, writer, guard) = opened.into_parts();
        let (done, written) = oneshot::channel();
        tokio::spawn(async move {
            let _ = write(writer, outgoing).await;
            drop(done);
        });
        let mut keeper = Keeper { parts: Some((guard, written, end)) };
        let _ = reports.send((link, Report::Opened)).await;
        let report = match read(link, reader, &reports).await {
            Ending::Misbehaved(error) => Report::Misbehaved(error),
            Ending::Ended => keeper.post_mortem().await,
        };
        let _ = reports.send((link, report)).await;
    }
}

/// Keeps the transport until everything queued is written, also when the reader is aborted:
/// dropping the guard ends a child process that still carries it.
struct Keeper {
    parts: Option<(LinkGuard, oneshot::Receiver<()>, oneshot::Sender<()>)>,
}

impl Keeper {
    async fn post_mortem(&mut self) -> Report {
        match self.parts.take() {
            Some((guard, ..)) => Report::Lost(guard.post_mortem().await),
            None => Report::Lost(LinkError::new(LinkErrorKind::Closed, "the link was closed")),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some((guard, written, end)) = self.parts.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = timeout(FAREWELL, written).await;
                let _ = guard.post_mortem().await;
                drop(end);
            });
        }
    }
}

enum Ending {
    Ended,
    Misbehaved(FrameError),
}

async fn read(link: Link, mut reader: LinkReader, reports: &Reports) -> Ending {
    let mut decoder = Decoder::of_server();
    let mut buffer = BytesMut::with_capacity(READ);
    loop {
        if buffer.capacity() - buffer.len() < READ / 4 {
            buffer.reserve(READ);
        }
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ending::Ended,
            Ok(_) => {}
        }
        let was_started = decoder.is_started();
        let (frames, fault) = decode_all(&mut decoder, &mut buffer);
        if decoder.is_started() && !was_started {
            trace::greeted();
            let _ = reports.send((link, Report::Started(decoder.noise().clone()))).await;
        }
        if !frames.is_empty() {
            let _ = reports.send((link, Report::Frames(frames))).await;
        }
        if let Some(error) = fault {
            return Ending::Misbehaved(error);
        }
    }
}

fn decode_all(decoder: &mut Decoder, buffer: &mut BytesMut) -> (Vec<Frame>, Option<FrameError>) {
    let mut frames = Vec::new();
    loop {
        match decoder.decode(buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(error)),
        }
    }
}

/// Writes frames as they come, as many at once as wait. Ends with the channel, or with the link.
async fn write(
    mut writer: LinkWriter,
    mut frames: mpsc::UnboundedReceiver<Frame>,
) -> std::io::Result<()> {
    let mut queue = WriteQueue::starting_with(CLIENT_MAGIC);
    let (mut acks, mut waiting) = (Acks::default(), Vec::new());
    while frames.recv_many(&mut waiting, BATCH).await > 0 {
        if acks.can_wait(&waiting) {
            let _ = timeout(Acks::DELAY, frames.recv_many(&mut waiting, BATCH)).await;
        }
        acks.thin(&mut waiting);
        for frame in waiting.drain(..) {
            if let Err(error) = queue.push(&frame) {
                tracing::error!(%error, "a frame of our own was too long and was not sent");
            }
        }
        writer.write_all_buf(&mut queue).await?;
        writer.flush().await?;
    }
    writer.shutdown().await
}
