//! One link: its frames in, its frames out, and how it ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rejoin_protocol::codec::{Acks, CLIENT_MAGIC, Decoder, Noise, WriteQueue};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::{Frame, Item, Link};
use rejoin_ssh::{
    Attempt, Connect, Link as Stream, LinkError, LinkErrorKind, LinkGuard, LinkReader, LinkWriter,
    Milestones,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::attachment::LinkLane;
use crate::timeline::LinkProgress;

/// How much is read at once.
const READ: usize = 64 * 1024;
/// How many frames are written at once.
const BATCH: usize = 64;
/// How much may wait to be sent of what a server causes: a Pong counts as much as an item's overhead,
/// an Ack as little as leaves room for one of each item of the largest window. A server that asks
/// and never reads loses its link there (SPEC section 10).
const MAX_ANSWERS: u64 = 1024 * 1024;
/// How much is quoted of what a login shell prints, in bytes.
pub(crate) const MAX_QUOTED: usize = 80;
/// How long a link that is closed may take to send what it still has.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a link reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// The transport is there. Nothing came from the server yet.
    Opened,
    /// Something came that the server does not begin with: at most once, before it has begun. The start of
    /// it, for people.
    Heard(String),
    /// The server has begun to speak, behind this noise.
    Started(Noise),
    /// Frames came.
    Frames(Vec<Frame>),
    /// Bytes came that are no frame, behind this noise. Nothing follows.
    Misbehaved(FrameError, Noise),
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

    fn lane(self) -> LinkLane {
        match self {
            Self::Usual(_) => LinkLane::Ssh,
            Self::Fast => LinkLane::Fast,
        }
    }

    pub(crate) async fn open(self, connect: &dyn Connect) -> Result<Stream, LinkError> {
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
    pub(crate) progress: LinkProgress,
    /// When the server began to speak, as the reader saw it.
    greeted: Arc<OnceLock<Instant>>,
    frames: mpsc::UnboundedSender<Frame>,
    answers: Answers,
    reader: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

pub(crate) type Reports = mpsc::Sender<(Link, Report)>;

impl LiveLink {
    /// Opens a link.
    pub(crate) fn open(link: Link, connect: Arc<dyn Connect>, way: Way, reports: Reports) -> Self {
        let (frames, outgoing) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let answers = Answers::default();
        let greeted = Arc::<OnceLock<Instant>>::default();
        let opening = Opening {
            link,
            connect,
            way,
            reports,
            outgoing,
            answers: answers.clone(),
            greeted: Arc::clone(&greeted),
            end,
        };
        let milestones = Milestones::default();
        let progress = LinkProgress::begin(way.lane(), milestones.clone());
        let reader = tokio::spawn(async move { milestones.note(opening.run()).await });
        Self { link, progress, greeted, frames, answers, reader, ended }
    }

    /// What the link has reached, with what the reader has seen meanwhile.
    pub(crate) fn progress(&mut self) -> &mut LinkProgress {
        if let Some(at) = self.greeted.get() {
            self.progress.greeted(*at);
        }
        &mut self.progress
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

    /// Queues a frame. How many items wait is bounded by the window, how many answers by the reader.
    pub(crate) fn send(&self, frame: Frame) {
        self.answers.0.fetch_add(Answers::cost(&frame), Ordering::Relaxed);
        // A link that has ended reports that by itself.
        let _ = self.frames.send(frame);
    }
}

/// What waits to be sent of what the server has caused, in bytes.
#[derive(Clone, Debug, Default)]
struct Answers(Arc<AtomicU64>);

impl Answers {
    fn cost(frame: &Frame) -> u64 {
        match frame {
            Frame::Pong { .. } => Item::OVERHEAD,
            Frame::Ack { .. } => 1,
            _ => 0,
        }
    }

    fn are_too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_ANSWERS
    }
}

struct Opening {
    link: Link,
    connect: Arc<dyn Connect>,
    way: Way,
    reports: Reports,
    outgoing: mpsc::UnboundedReceiver<Frame>,
    answers: Answers,
    /// When the server began to speak.
    greeted: Arc<OnceLock<Instant>>,
    end: oneshot::Sender<()>,
}

impl Opening {
    async fn run(self) {
        let Self { link, connect, way, reports, outgoing, answers, greeted, end } = self;
        let opened = match way.open(&*connect).await {
            Ok(opened) => opened,
            Err(error) => {
                let _ = reports.send((link, Report::Lost(error))).await;
                return;
            }
        };
        let (reader, writer, guard) = opened.into_parts();
        let (done, written) = oneshot::channel();
        let written_off = answers.clone();
        let writing = tokio::spawn(async move {
            let _ = write(writer, outgoing, &written_off).await;
            drop(done);
        });
        let mut keeper = Keeper { parts: Some((guard, written, end)) };
        let _ = reports.send((link, Report::Opened)).await;
        let report = match read(link, reader, &reports, &answers, &greeted).await {
            Ending::Misbehaved(error, noise) => Report::Misbehaved(error, noise),
            Ending::Ended => keeper.post_mortem().await,
            Ending::Unread => {
                // It would wait for ever, and keep the link open.
                writing.abort();
                keeper.post_mortem().await
            }
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
    /// The server does not read what it asks for.
    Unread,
    Misbehaved(FrameError, Noise),
}

async fn read(
    link: Link,
    mut reader: LinkReader,
    reports: &Reports,
    answers: &Answers,
    greeted: &OnceLock<Instant>,
) -> Ending {
    let mut decoder = Decoder::of_server();
    let mut buffer = BytesMut::with_capacity(READ);
    let mut is_heard = false;
    loop {
        if buffer.capacity() - buffer.len() < READ / 4 {
            buffer.reserve(READ);
        }
        if answers.are_too_many() {
            tracing::warn!("the server asks and does not read the answers: its link is closed");
            return Ending::Unread;
        }
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ending::Ended,
            Ok(_) => {}
        }
        let was_started = decoder.is_started();
        let (frames, fault) = decode_all(&mut decoder, &mut buffer);
        if decoder.is_started() && !was_started {
            let _ = greeted.set(Instant::now());
            let _ = reports.send((link, Report::Started(decoder.noise().clone()))).await;
        }
        if !decoder.is_started() && !std::mem::replace(&mut is_heard, true) {
            let start = [&decoder.noise().start[..], &buffer].concat();
            let start = rejoin_text::printable_bytes(&start, MAX_QUOTED);
            let _ = reports.send((link, Report::Heard(start))).await;
        }
        if !frames.is_empty() {
            let _ = reports.send((link, Report::Frames(frames))).await;
        }
        if let Some(error) = fault {
            return Ending::Misbehaved(error, decoder.noise().clone());
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
    answers: &Answers,
) -> std::io::Result<()> {
    let mut queue = WriteQueue::starting_with(CLIENT_MAGIC);
    let (mut acks, mut waiting) = (Acks::default(), Vec::new());
    while frames.recv_many(&mut waiting, BATCH).await > 0 {
        if acks.can_wait(&waiting) {
            let _ = timeout(Acks::DELAY, frames.recv_many(&mut waiting, BATCH)).await;
        }
        answers.0.fetch_sub(waiting.iter().map(Answers::cost).sum(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use rejoin_protocol::codec::{SERVER_MAGIC, encode};

    use super::*;

    /// What a server may send in vain at most: the answers to far less are too many.
    const IN_VAIN: usize = 16 * 1024 * 1024;

    #[tokio::test]
    async fn a_server_that_pings_without_end_and_reads_nothing_loses_its_link() {
        let (connect, mut listener) = rejoin_ssh::memory();
        let (reports, mut reported) = mpsc::channel(16);
        let way = Way::Usual(Attempt::First);
        let live = LiveLink::open(Link(1), Arc::new(connect), way, reports);
        let (unread, mut server, _guard) = listener.accept().await.unwrap().into_parts();
        let server = tokio::spawn(async move {
            server.write_all(&SERVER_MAGIC).await.unwrap();
            let pings = encode(&Frame::Ping { token: 7 }).unwrap().head.repeat(1000);
            let mut sent = 0;
            while sent < IN_VAIN && server.write_all(&pings).await.is_ok() {
                sent += pings.len();
            }
            drop(unread);
            sent
        });
        loop {
            match reported.recv().await.unwrap().1 {
                Report::Frames(frames) => {
                    for _ in frames {
                        live.send(Frame::Pong { token: 7 });
                    }
                }
                Report::Lost(_) => break,
                _ => {}
            }
        }
        assert!(server.await.unwrap() < IN_VAIN);
    }
}
