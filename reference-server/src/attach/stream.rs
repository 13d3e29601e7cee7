//! The client's end of a stream: what is read of it and what is said on it, whatever carries it,
//! and the exec channel's own.

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

/// What a client says until its stream is joined to a server.
pub(crate) struct Hellos {
    decoder: Decoder,
    buffer: BytesMut,
    /// Whether the last Hello was a Resume: behind one that is refused, input may stand.
    was_resume: bool,
}

/// Why a stream ends before it is joined to a server.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The client did what it may not, and is told so.
    Client(Misbehaviour),
    /// The stream or the system failed.
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Hellos {
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::of_client(), buffer: BytesMut::new(), was_resume: false }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next Hello, if all of it is there. Input that a client sent right behind a Resume goes
    /// by: that was refused, or it would not be asked for another Hello here (SPEC section 7.2).
    ///
    /// # Errors
    /// Anything else came, or bytes that are no frame.
    pub(crate) fn next(&mut self) -> Result<Option<Hello>, Fault> {
        loop {
            let frame = self.decoder.decode(&mut self.buffer);
            match frame.map_err(|error| Fault::Client(Misbehaviour::Frame(error)))? {
                Some(Frame::Hello(hello)) => {
                    self.was_resume = matches!(hello.wish, Wish::Resume { .. });
                    return Ok(Some(hello));
                }
                Some(Frame::Item { item, .. }) if self.was_resume && item.is_input() => {}
                // It goes by itself.
                Some(Frame::Bye(_)) => return Err(io::Error::from(ErrorKind::BrokenPipe).into()),
                Some(_) => return Err(Fault::Client(Misbehaviour::WrongSide)),
                None => return Ok(None),
            }
        }
    }

    /// Whether something has begun to come and is not whole. A magic that is whole is nothing: the
    /// link stands by (SPEC section 11.2).
    pub(crate) fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// What was read behind the last frame.
    pub(crate) fn into_unread(self) -> BytesMut {
        self.buffer
    }
}

/// The first word to a client, said unasked.
pub(crate) fn first_word(greeting: Greeting) -> io::Result<Bytes> {
    in_one_piece(WriteQueue::starting_with(SERVER_MAGIC), &Frame::Greeting(greeting))
}

/// An answer in bytes.
pub(crate) fn word(frame: &Frame) -> io::Result<Bytes> {
    in_one_piece(WriteQueue::default(), frame)
}

/// So that it can leave in one packet.
fn in_one_piece(mut queue: WriteQueue, frame: &Frame) -> io::Result<Bytes> {
    queue.push(frame).map_err(invalid)?;
    Ok(queue.copy_to_bytes(queue.remaining()))
}

pub(crate) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Standard input as the client's half of a link.
pub(super) struct Standard {
    hellos: Hellos,
}

impl Standard {
    pub(super) fn new() -> Self {
        Self { hellos: Hellos::new() }
    }

    /// The next Hello, or none at the end of the stream. A client may take its time to begin: the
    /// link may stand by for another one. What has begun has to be whole in time.
    pub(super) fn next_hello(&mut self) -> Result<Option<Hello>, Fault> {
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

    fn read(&mut self, deadline: Option<Instant>) -> Result<bool, Fault> {
        let stdin = rustix::stdio::stdin();
        if !wait(stdin, PollFlags::IN, deadline)? {
            return Err(Fault::Client(Misbehaviour::Silent));
        }
        let mut chunk = [0; READ];
        let count = retry(|| rustix::io::read(stdin, &mut chunk))?;
        self.hellos.push(&chunk[..count]);
        Ok(count > 0)
    }
}

/// When the rest of what has begun has to be there. `set` is what was said before.
pub(crate) fn time_for_rest(hellos: &Hellos, set: Option<Instant>) -> Option<Instant> {
    hellos.has_begun().then(|| set.unwrap_or_else(|| Instant::now() + PATIENCE))
}

/// Tells the client why its link is closed, if it reads: nobody waits for one that does not.
pub(super) fn say_bye(what: Misbehaviour) -> io::Result<()> {
    if wait(rustix::stdio::stdout(), PollFlags::OUT, Some(Instant::now()))? {
        say(&bye(what)?)?;
    }
    Ok(())
}

/// The last word to a client.
pub(crate) fn bye(what: Misbehaviour) -> io::Result<Bytes> {
    word(&Frame::Bye(Bye::Misbehaved(what)))
}

/// Says something on standard output.
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
