//! A session as three byte streams, as those of a child process.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use bytes::{Buf as _, Bytes};
use rejoin_protocol::{ExitStatus, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_util::sync::PollSender;

use crate::event::{Event, Replaced};
use crate::output::{Output, Outputs, Taken};
use crate::ports::InputItem;
use crate::session::{Control, Events, Session};

/// The most bytes that one write to [`Stdin`] accepts.
const MAX_WRITE: usize = 32 * 1024;

/// A session as [`Session::into_streams`] splits it.
///
/// Bytes count as taken once a read has returned them; the host then forgets them. An application that
/// must be able to continue exactly after its own restart reads [`Session::output`] instead, which says
/// the number of each item.
///
/// Read both outputs, or drop the one that you do not need: what nobody reads fills the window, and then
/// the process waits, as it does with a pipe. Dropping [`stdout`](Self::stdout), [`stderr`](Self::stderr)
/// and [`exit`](Self::exit) detaches: the process lives on.
#[derive(Debug)]
pub struct Streams {
    /// The process's input.
    pub stdin: Stdin,
    /// Its standard output. A process with a terminal writes everything here.
    pub stdout: Reader,
    /// Its standard error.
    pub stderr: Reader,
    /// How the process ends.
    pub exit: Exit,
    /// What happens to the session.
    pub events: Events,
    /// What else can be done with the session.
    pub control: Control,
}

/// The process's input, as [`AsyncWrite`].
///
/// A write returns once rejoin has the bytes: it keeps them through any loss of the connection and sends
/// them again, for as long as the process lives. A write waits while the window is full. A flush does
/// not wait for the host.
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) closes the process's input. Dropping this does not:
/// the session can outlive the application, and with it what the process waits for.
#[derive(Debug)]
pub struct Stdin {
    sender: PollSender<InputItem>,
}

/// What the process writes to its standard output or standard error, as [`AsyncRead`].
///
/// It ends (a read of 0 bytes) when the process has ended and everything was read. Where the stream
/// is not what one process wrote without a gap, the read there fails, once, with a [`StreamError`] inside
/// the [`io::Error`]; reads behind it go on. If the session is over before the process has ended, all
/// further reads fail with [`StreamError::Over`].
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    side: Side,
}

/// How the process ends.
#[derive(Debug)]
pub struct Exit {
    shared: Arc<Shared>,
}

/// What [`Streams::wait_with_output`] collects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessOutput {
    /// How the process ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

/// Why a stream is interrupted, or ends early.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The host dropped this many items of output, as the session's [`Overflow`](crate::spec::Overflow)
    /// allows.
    Gap(u64),
    /// The process was lost, and another one runs in the same session. What follows is the new one's.
    Replaced(Replaced),
    /// The session is over for this client, and the end of the process was not received. With the event
    /// that ended it; none if this client has detached.
    Over(Option<Event>),
}

impl std::fmt::Display for StreamError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gap(items) => write!(f, "{items} items of output were dropped"),
            Self::Replaced(it) => write!(f, "process {} was lost; process {} runs", it.old, it.new),
            Self::Over(None) => f.write_str("this client has detached from the session"),
            Self::Over(Some(end)) => write!(f, "the session is over: {}", end.end_message()),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Over(_) => io::ErrorKind::UnexpectedEof,
            StreamError::Gap(_) | StreamError::Replaced(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl Session {
    /// Splits the session into streams, as those of a child process.
    pub fn into_streams(self) -> Streams {
        let Self { id: _, input, output, events, control } = self;
        let state = State::new(output, control.clone());
        let wakers = Arc::<Wakers>::default();
        let shared = Arc::new(Shared { wakers, state: Mutex::new(state) });
        let reader = |side| Reader { shared: Arc::clone(&shared), side };
        Streams {
            stdin: Stdin { sender: PollSender::new(input.into_sender()) },
            stdout: reader(Side::Stdout),
            stderr: reader(Side::Stderr),
            exit: Exit { shared },
            events,
            control,
        }
    }
}

impl Streams {
    /// Waits for the end of the process and throws its output away. Its input stays open: shut
    /// [`stdin`](Self::stdin) down before, if the process waits for that.
    ///
    /// # Errors
    /// [`StreamError::Over`].
    pub async fn wait(self) -> Result<ExitStatus, StreamError> {
        let Self { stdin, stdout, stderr, mut exit, events: _, control: _ } = self;
        drop((stdout, stderr));
        let status = exit.wait().await;
        drop(stdin);
        status
    }

    /// Waits for the end of the process and collects its output, without bound.
    ///
    /// # Errors
    /// The stream is interrupted or ends early: the [`io::Error`] contains a [`StreamError`].
    pub async fn wait_with_output(self) -> io::Result<ProcessOutput> {
        let Self { stdin, mut stdout, mut stderr, mut exit, events: _, control: _ } = self;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
        let status = exit.wait().await?;
        drop(stdin);
        Ok(ProcessOutput { status, stdout: out, stderr: err })
    }
}

impl Exit {
    /// Waits for the end of the process; of the last one, if lost ones were replaced. It comes behind all
    /// output: somebody has to read both streams, or drop them. Cancel-safe.
    ///
    /// # Errors
    /// [`StreamError::Over`].
    pub async fn wait(&mut self) -> Result<ExitStatus, StreamError> {
        std::future::poll_fn(|cx| self.shared.poll_exit(cx)).await
    }
}

impl AsyncWrite for Stdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if ready!(self.sender.poll_reserve(cx)).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let data = &data[..data.len().min(MAX_WRITE)];
        let sent = self.sender.send_item(InputItem::Data(Bytes::copy_from_slice(data)));
        Poll::Ready(sent.map(|()| data.len()).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sender.is_closed() {
            return Poll::Ready(Ok(()));
        }
        // A process that has ended reads nothing any more: its input counts as closed.
        if ready!(self.sender.poll_reserve(cx)).is_ok() {
            let _ = self.sender.send_item(InputItem::End);
        }
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.shared.poll_read(self.side, cx, buffer)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_read[self.side as usize] = false;
        self.shared.trim(&mut state);
    }
}

/// Who reads from the queue of outputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Stdout,
    Stderr,
    Exit,
}

/// What the two readers and the exit share.
#[derive(Debug)]
struct Shared {
    wakers: Arc<Wakers>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    outputs: Outputs,
    control: Control,
    /// What came and was not read whole, in order.
    queue: VecDeque<Piece>,
    /// Whether somebody still reads it.
    is_read: [bool; 2],
    end: Option<Result<ExitStatus, StreamError>>,
}

#[derive(Debug)]
struct Piece {
    /// What reading it acknowledges.
    taken: Option<Taken>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Data(Side, Bytes),
    /// Both sides are told; which of them have been.
    Break(StreamError, [bool; 2]),
}

impl State {
    fn new(outputs: Outputs, control: Control) -> Self {
        Self { outputs, control, queue: VecDeque::new(), is_read: [true; 2], end: None }
    }

    /// Acknowledges what was read, in order: nothing behind a piece that was not.
    fn trim(&mut self) {
        while let Some(Piece { taken, content }) = self.queue.front() {
            let is_done = match content {
                Content::Data(side, data) => data.is_empty() || !self.is_read[*side as usize],
                Content::Break(_, told) => (0..2).all(|side| told[side] || !self.is_read[side]),
            };
            if !is_done {
                return;
            }
            if let Some(taken) = *taken {
                self.outputs.acknowledge(taken);
            }
            self.queue.pop_front();
        }
    }

    /// Takes one more output from the session, if there is one.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let next = ready!(self.outputs.poll_placed(cx));
        let Some((taken, output)) = next else {
            self.end = Some(Err(StreamError::Over(self.control.end())));
            return Poll::Ready(());
        };
        let content = match output {
            Output::Data { stream, data, .. } => {
                let side = if stream == Stream::Stderr { Side::Stderr } else { Side::Stdout };
                Content::Data(side, data)
            }
            Output::Gap { from, next, .. } => {
                Content::Break(StreamError::Gap(next.since(from)), [false; 2])
            }
            Output::Replaced(replaced) => {
                Content::Break(StreamError::Replaced(replaced), [false; 2])
            }
            Output::Exit { status, .. } => {
                self.end = Some(Ok(status));
                Content::Data(Side::Stdout, Bytes::new())
            }
        };
        self.queue.push_back(Piece { taken, content });
        self.trim();
        Poll::Ready(())
    }

    /// The next bytes of a side, or why it is interrupted.
    fn next(&mut self, side: Side) -> Option<Result<&mut Bytes, StreamError>> {
        self.queue.iter_mut().find_map(|piece| match &mut piece.content {
            Content::Data(of, data) if *of == side && !data.is_empty() => Some(Ok(data)),
            Content::Break(error, told) if !told[side as usize] => {
                told[side as usize] = true;
                Some(Err(error.clone()))
            }
            _ => None,
        })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds it leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits for the end waits for everything before it.
    fn trim(&self, state: &mut State) {
        state.trim();
        if state.queue.is_empty() && state.end.is_some() {
            self.wakers.wake_all();
        }
    }

    fn poll_read(
        &self,
        side: Side,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        loop {
            match state.next(side) {
                Some(Ok(data)) => {
                    let chunk = data.split_to(data.remaining().min(buffer.remaining()));
                    buffer.put_slice(&chunk);
                    self.trim(&mut state);
                    return Poll::Ready(Ok(()));
                }
                Some(Err(error)) => {
                    self.trim(&mut state);
                    return Poll::Ready(Err(error.into()));
                }
                None => {}
            }
            match &state.end {
                Some(Ok(_)) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error.clone().into())),
                None => ready!(self.poll_more(&mut state, side, cx)),
            }
        }
    }

    fn poll_exit(&self, cx: &mut Context<'_>) -> Poll<Result<ExitStatus, StreamError>> {
        let mut state = self.state();
        loop {
            // What was not read yet may still be: the end is behind it.
            match &state.end {
                Some(end) if state.queue.is_empty() => return Poll::Ready(end.clone()),
                Some(_) => {
                    self.wakers.add(Side::Exit, cx.waker());
                    return Poll::Pending;
                }
                None => ready!(self.poll_more(&mut state, Side::Exit, cx)),
            }
        }
    }

    /// The session's outputs have one reader, on whose behalf each of ours polls: all are woken.
    fn poll_more(&self, state: &mut State, side: Side, cx: &mut Context<'_>) -> Poll<()> {
        self.wakers.add(side, cx.waker());
        let waker = Waker::from(Arc::clone(&self.wakers));
        ready!(state.poll_more(&mut Context::from_waker(&waker)));
        self.wakers.wake_all();
        Poll::Ready(())
    }
}

/// Who waits for output, by side.
#[derive(Debug, Default)]
struct Wakers(Mutex<[Option<Waker>; 3]>);

impl Wakers {
    fn all(&self) -> MutexGuard<'_, [Option<Waker>; 3]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, side: Side, waker: &Waker) {
        self.all()[side as usize] = Some(waker.clone());
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.all());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
