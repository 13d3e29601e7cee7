//! The links: streams and channels from attach programs.

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

/// How long a stream may take to send its first frame, and each later frame while it is not
/// attached.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long writing the queued frames of a closed stream may take.
const FAREWELL: Duration = Duration::from_secs(1);
const READ: usize = 64 * 1024;
/// The maximum number of frames in one write.
const BATCH: usize = 64;
/// The maximum number of frames in one report: one read may return thousands of short frames.
const REPORTED: usize = 256;

/// An event of a link.
#[derive(Debug)]
pub(super) enum LinkReport {
    /// Frames arrived.
    Frames(Vec<Frame>),
    /// The peer broke the protocol. No report follows.
    Misbehaved(Misbehaviour),
    /// The stream has ended. No report follows.
    Lost,
}

type LinkReports = mpsc::Sender<(Link, LinkReport)>;

/// A stream with its two tasks.
pub(super) struct LiveLink {
    link: Link,
    reports: LinkReports,
    /// Whether a Hello has arrived on it.
    pub(super) has_asked: bool,
    /// When something last arrived.
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
    /// [`QueueFull`] if the peer does not read its answers. Then the link has to be cut.
    pub(super) fn send(&self, frame: Frame, window: u64) -> Result<(), QueueFull> {
        self.frames.as_ref().map_or(Ok(()), |frames| frames.push(frame, window))
    }

    /// Ends the stream at once. Queued frames are lost, and nothing more is reported.
    pub(super) fn cut(self) {
        self.reader.abort();
        self.writer.abort();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_none()
    }

    /// Stops reading, and ends the stream once the queued frames are written or fail.
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

    /// Waits until the queued frames are written.
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

/// Writes until the queue is closed, and reports the end. If the stream ends first, the reader
/// reports that after all frames that arrived.
async fn run_writer(
    link: Link,
    output: oneshot::Receiver<LinkOutput>,
    mut frames: FrameReceiver,
    reports: LinkReports,
) {
    if let Ok(writer) = output.await {
        write(writer, &mut frames).await;
    }
    // The reader reports the end of an open stream.
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
            // Every frame of a server is within its limits: texts are shortened, and payloads are
            // read in pieces of the right size.
            let _ = queue.push(&frame);
        }
        if writer.write(&mut queue).await.is_err() {
            break;
        }
    }
    writer.finish().await;
}
