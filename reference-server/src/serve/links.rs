//! The streams that attach programs hand over.

use std::time::Duration;

use bytes::BytesMut;
use rejoin_protocol::codec::{Acks, Decoder, WriteQueue};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Frame, Item, Link};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::wire::{self, Input, Output};

/// How long a stream may take to bring its first frame.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a stream that is closed may take to be written to its end.
const FAREWELL: Duration = Duration::from_secs(1);
const READ: usize = 64 * 1024;
/// How many frames are written at once.
const BATCH: usize = 64;
/// How many frames may wait to be written: twice what the largest window allows. Only a peer that
/// asks without reading the answers gets there.
#[allow(clippy::cast_possible_truncation)]
const QUEUE: usize = 2 * (ProcessSpec::MAX_WINDOW / Item::OVERHEAD) as usize;

/// What a stream reports.
#[derive(Debug)]
pub(super) enum Report {
    /// Frames came.
    Frames(Vec<Frame>),
    /// Something came that may not. Nothing follows.
    Misbehaved(Misbehaviour),
    /// The stream has ended. Nothing follows.
    Lost,
}

type Reports = mpsc::Sender<(Link, Report)>;

/// A stream with its two tasks.
pub(super) struct LiveLink {
    link: Link,
    reports: Reports,
    frames: Option<mpsc::Sender<Frame>>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl LiveLink {
    pub(super) fn start(link: Link, stream: UnixStream, reports: Reports) -> Self {
        let (frames, outgoing) = mpsc::channel(QUEUE);
        let (opened, output) = oneshot::channel();
        Self {
            link,
            frames: Some(frames),
            reader: tokio::spawn(run_reader(link, stream, opened, reports.clone())),
            writer: tokio::spawn(run_writer(link, output, outgoing, reports.clone())),
            reports,
        }
    }

    pub(super) fn send(&self, frame: Frame) {
        // A queue that is full has a reader that never reads: heartbeats will find it silent.
        if let Some(frames) = &self.frames {
            let _ = frames.try_send(frame);
        }
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
            let _ = reports.send((link, Report::Lost)).await;
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
    opened: oneshot::Sender<Output>,
    reports: Reports,
) {
    let report = match read(link, stream, opened, &reports).await {
        Ok(()) => Report::Lost,
        Err(what) => Report::Misbehaved(what),
    };
    let _ = reports.send((link, report)).await;
}

async fn read(
    link: Link,
    stream: UnixStream,
    opened: oneshot::Sender<Output>,
    reports: &Reports,
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
        let (frames, fault) = decode_all(&mut decoder, &mut buffer);
        if !frames.is_empty() {
            has_spoken = true;
            let _ = reports.send((link, Report::Frames(frames))).await;
        }
        if let Some(what) = fault {
            return Err(what);
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

async fn read_some(input: &mut Input, buffer: &mut BytesMut) -> std::io::Result<usize> {
    if buffer.capacity() - buffer.len() < READ / 4 {
        buffer.reserve(READ);
    }
    input.read(buffer).await
}

fn decode_all(decoder: &mut Decoder, buffer: &mut BytesMut) -> (Vec<Frame>, Option<Misbehaviour>) {
    let mut frames = Vec::new();
    loop {
        match decoder.decode(buffer) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, None),
            Err(error) => return (frames, Some(Misbehaviour::Frame(error))),
        }
    }
}

/// Writes until the queue is closed, and reports that. Where the stream ends before, the reader
/// reports it, after everything that has come.
async fn run_writer(
    link: Link,
    output: oneshot::Receiver<Output>,
    mut frames: mpsc::Receiver<Frame>,
    reports: Reports,
) {
    // A stream that brings nothing is told nothing.
    let Ok(mut writer) = output.await else { return };
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
    if frames.is_closed() {
        let _ = reports.send((link, Report::Lost)).await;
    }
}
