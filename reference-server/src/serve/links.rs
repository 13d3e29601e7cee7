//! The streams that attach programs hand over.

use std::time::Duration;

use bytes::BytesMut;
use rejoin_protocol::codec::{Acks, Decoder, WriteQueue};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::{Frame, Link};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::queue::{FrameReceiver, FrameSender, QueueFull, queue};
use super::wire::{self, LinkInput, LinkOutput};

/// How long a stream may take to bring its first frame, and its next one while it is not attached.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a stream that is closed may take to be written to its end.
const FAREWELL: Duration = Duration::from_secs(1);
const READ: usize = 64 * 1024;
/// How many frames are written at once.
const BATCH: usize = 64;
/// How many frames are reported at once: a read brings thousands of the shortest.
const REPORTED: usize = 256;

/// What a stream reports.
#[derive(Debug)]
pub(super) enum LinkReport {
    /// Frames came.
    Frames(Vec<Frame>),
    /// Something came that may not. Nothing follows.
    Misbehaved(Misbehaviour),
    /// The stream has ended. Nothing follows.
    Lost,
}

type LinkReports = mpsc::Sender<(Link, LinkReport)>;

/// A stream with its two tasks.
pub(super) struct LiveLink {
    link: Link,
    reports: LinkReports,
    /// Whether it has brought a Hello.
    pub(super) has_asked: bool,
    /// When it brought something last.
    pub(super) heard: Instant,
    frames: Option<FrameSender>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl LiveLink {
    pub(super) fn start(link: Link, stream: UnixStream, reports: LinkReports) -> Self {
        let (frames, outgoing) = queue();
        let (opened, output) = oneshot::channel();
        Self {
            link,
            has_asked: false,
            heard: Instant::now(),
            frames: Some(frames),
            reader: tokio::spawn(run_reader(link, stream, opened, reports.clone())),
            writer: tokio::spawn(run_writer(link, output, outgoing, reports.clone())),
            reports,
        }
    }

    /// Queues a frame, unless the link is closed. The session has this window.
    ///
    /// # Errors
    /// [`QueueFull`] if the peer does not read what it asks for: then the link has to be cut.
    pub(super) fn send(&self, frame: Frame, window: u64) -> Result<(), QueueFull> {
        self.frames.as_ref().map_or(Ok(()), |frames| frames.push(frame, window))
    }

    /// Ends the stream at once. What is queued is lost, and nothing more is reported.
    pub(super) fn cut(self) {
        self.reader.abort();
        self.writer.abort();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_none()
    }

    /// Reads nothing more, and ends the stream once what is queued is written, or cannot be.
    pub(super) fn close(&mut self) {
        self.frames = None;
        self.reader.abort();
        let writer = self.writer.abort_handle();
        let (link, reports) = (self.link, self.reports.clone());
        tokio::spawn(async move {
            tokio::time::sleep(FAREWELL).await;
            writer.abort();
            let _ = reports.send((link, LinkReport::Lost)).await;
        });
    }

    /// Waits until what is queued is written.
    pub(super) async fn farewell(mut self) {
        self.frames = None;
        self.reader.abort();
        let _ = self.writer.await;
    }
}

async fn run_reader(
    link: Link,
    stream: UnixStream,
    opened: oneshot::Sender<LinkOutput>,
    reports: LinkReports,
) {
    let report = match read(link, stream, opened, &reports).await {
        Ok(()) => LinkReport::Lost,
        Err(what) => LinkReport::Misbehaved(what),
    };
    let _ = reports.send((link, report)).await;
}

async fn read(
    link: Link,
    stream: UnixStream,
    opened: oneshot::Sender<LinkOutput>,
    reports: &LinkReports,
) -> Result<(), Misbehaviour> {
    let handshake = Instant::now() + HANDSHAKE;
    let mut buffer = BytesMut::new();
    let opening = timeout_at(handshake, wire::open(stream, &mut buffer)).await;
    let Ok((mut input, output)) = opening.map_err(|_| Misbehaviour::Silent)? else {
        return Ok(());
    };
    let _ = opened.send(output);
    let mut decoder = Decoder::of_client();
    let mut has_spoken = false;
    loop {
        let (frames, fault) = decode_some(&mut decoder, &mut buffer);
        let may_be_more = frames.len() == REPORTED;
        if !frames.is_empty() {
            has_spoken = true;
            let _ = reports.send((link, LinkReport::Frames(frames))).await;
        }
        if let Some(what) = fault {
            return Err(what);
        }
        if may_be_more {
            continue;
        }
        let reading = read_some(&mut input, &mut buffer);
        let count = if has_spoken {
            reading.await
        } else {
            timeout_at(handshake, reading).await.map_err(|_| Misbehaviour::Silent)?
        };
        if matches!(count, Ok(0) | Err(_)) {
            return Ok(());
        }
    }
}

async fn read_some(input: &mut LinkInput, buffer: &mut BytesMut) -> std::io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ / 4 {
        buffer.reserve(READ);
    }
    input.read(buffer).await
}

fn decode_some(decoder: &mut Decoder, buffer: &mut BytesMut) -> (Vec<Frame>, Option<Misbehaviour>) {
    let mut frames = Vec::new();
    while frames.len() < REPORTED {
        match decoder.decode(buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(Misbehaviour::Frame(error))),
        }
    }
    (frames, None)
}

/// Writes until the queue is closed, and reports that. Where the stream ends before, the reader
/// reports it, after everything that has come.
async fn run_writer(
    link: Link,
    output: oneshot::Receiver<LinkOutput>,
    mut frames: FrameReceiver,
    reports: LinkReports,
) {
    if let Ok(writer) = output.await {
        write(writer, &mut frames).await;
    }
    // A stream that brings nothing is told nothing.
    if frames.is_closed() {
        let _ = reports.send((link, LinkReport::Lost)).await;
    }
}

async fn write(mut writer: LinkOutput, frames: &mut FrameReceiver) {
    let mut queue = WriteQueue::default();
    let (mut acks, mut next) = (Acks::default(), Vec::new());
    while frames.recv_many(&mut next, BATCH).await > 0 {
        if acks.can_wait(&next) {
            let _ = timeout(Acks::DELAY, frames.recv_many(&mut next, BATCH)).await;
        }
        acks.thin(&mut next);
        for frame in next.drain(..) {
            // Every frame of a server is within its limits: texts are cut, payloads are read in
            // pieces of the right size.
            let _ = queue.push(&frame);
        }
        if writer.write(&mut queue).await.is_err() {
            break;
        }
    }
    writer.finish().await;
}
