//! The client's end of a stream: reading Hellos from it and writing frames to it, for any
//! transport, and for the exec channel on standard input and output.

use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Bye, Greeting, Hello, Wish};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::PATIENCE;
use crate::retry::retry;

const READ: usize = 16 * 1024;

/// Reads a client's Hellos until its stream is passed to a server.
pub(crate) struct HelloReader {
    decoder: Decoder,
    buffer: BytesMut,
    /// Whether the last Hello was a Resume: input may follow a Resume that is refused.
    was_resume: bool,
}

/// Why a stream ends before it is passed to a server.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The client broke the protocol. It gets a Bye with the reason.
    Client(Misbehaviour),
    /// The stream or the system failed.
    Io(io::Error),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl HelloReader {
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::of_client(), buffer: BytesMut::new(), was_resume: false }
    }

    /// Adds bytes that were read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next Hello, once it is complete. Input right behind a Resume is skipped: the Resume was
    /// refused, or nobody would read another Hello here (SPEC section 7.2).
    ///
    /// # Errors
    /// The client sent another frame, or bytes that are not a frame.
    pub(crate) fn next(&mut self) -> Result<Option<Hello>, StreamError> {
        loop {
            let frame = self.decoder.decode(&mut self.buffer);
            match frame.map_err(|error| StreamError::Client(Misbehaviour::Frame(error)))? {
                Some(Frame::Hello(hello)) => {
                    self.was_resume = matches!(hello.wish, Wish::Resume { .. });
                    return Ok(Some(hello));
                }
                Some(Frame::Item { item, .. }) if self.was_resume && item.is_input() => {}
                // The client leaves.
                Some(Frame::Bye(_)) => return Err(io::Error::from(ErrorKind::BrokenPipe).into()),
                Some(_) => return Err(StreamError::Client(Misbehaviour::WrongSide)),
                None => return Ok(None),
            }
        }
    }

    /// Whether a frame has arrived in part. A complete magic alone does not count: the link is on
    /// standby (SPEC section 11.2).
    pub(crate) fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The bytes after the last frame.
    pub(crate) fn into_unread(self) -> BytesMut {
        self.buffer
    }
}

/// The bytes of the Greeting, with the magic in front.
pub(crate) fn first_word(greeting: Greeting) -> io::Result<Bytes> {
    in_one_piece(WriteQueue::starting_with(SERVER_MAGIC), &Frame::Greeting(greeting))
}

/// The bytes of an answer.
pub(crate) fn word(frame: &Frame) -> io::Result<Bytes> {
    in_one_piece(WriteQueue::default(), frame)
}

/// One buffer, so that it can leave in one packet.
fn in_one_piece(mut queue: WriteQueue, frame: &Frame) -> io::Result<Bytes> {
    queue.push(frame).map_err(invalid)?;
    Ok(queue.copy_to_bytes(queue.remaining()))
}

pub(crate) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Reads the client's Hellos from standard input.
pub(super) struct StandardInput {
    hellos: HelloReader,
}

impl StandardInput {
    pub(super) fn new() -> Self {
        Self { hellos: HelloReader::new() }
    }

    /// The next Hello, or `None` at the end of the stream. A client may wait before it sends a
    /// Hello, because the link may be on standby. A Hello that has begun must be complete in time.
    pub(super) fn next_hello(&mut self) -> Result<Option<Hello>, StreamError> {
        let mut deadline = None;
        loop {
            let hello = self.hellos.next()?;
            if hello.is_some() {
                return Ok(hello);
            }
            deadline = time_for_rest(&self.hellos, deadline);
            if !self.read(deadline)? {
                return Ok(None);
            }
        }
    }

    pub(super) fn into_unread(self) -> BytesMut {
        self.hellos.into_unread()
    }

    fn read(&mut self, deadline: Option<Instant>) -> Result<bool, StreamError> {
        let stdin = rustix::stdio::stdin();
        if !wait(stdin, PollFlags::IN, deadline)? {
            return Err(StreamError::Client(Misbehaviour::Silent));
        }
        let mut chunk = [0; READ];
        let count = retry(|| rustix::io::read(stdin, &mut chunk))?;
        self.hellos.push(&chunk[..count]);
        Ok(count > 0)
    }
}

/// The deadline for the rest of a frame that has begun. `set` is the deadline of the last call.
pub(crate) fn time_for_rest(hellos: &HelloReader, set: Option<Instant>) -> Option<Instant> {
    hellos.has_begun().then(|| set.unwrap_or_else(|| Instant::now() + PATIENCE))
}

/// Sends the client the reason for closing its link, if it can be written without waiting.
pub(super) fn say_bye(what: Misbehaviour) -> io::Result<()> {
    if wait(rustix::stdio::stdout(), PollFlags::OUT, Some(Instant::now()))? {
        say(&bye(what)?)?;
    }
    Ok(())
}

/// The bytes of the Bye that names the client's misbehaviour.
pub(crate) fn bye(what: Misbehaviour) -> io::Result<Bytes> {
    word(&Frame::Bye(Bye::Misbehaved(what)))
}

/// Writes all bytes to standard output.
pub(super) fn say(bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = retry(|| rustix::io::write(rustix::stdio::stdout(), rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

fn wait(fd: BorrowedFd<'_>, what: PollFlags, deadline: Option<Instant>) -> io::Result<bool> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.map(Timespec::try_from).transpose().map_err(|_| ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::new(&fd, what)];
    Ok(retry(|| poll(&mut fds, left.as_ref()))? > 0)
}
