//! The client's end of a stream: what is read of it and what is said on it, whatever carries it,
//! and the exec channel's own.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::frame::{Greeting, Hello};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::PATIENCE;
use crate::retry::retry;

const READ: usize = 16 * 1024;

/// What a client says until its stream is joined to a server.
pub(crate) struct Hellos {
    decoder: Decoder,
    buffer: BytesMut,
}

impl Hellos {
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::of_client(), buffer: BytesMut::new() }
    }

    /// Takes what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next Hello, if all of it is there. Everything else is what a client sent right behind a
    /// Hello that was refused, and goes by.
    pub(crate) fn next(&mut self) -> io::Result<Option<Hello>> {
        loop {
            match self.decoder.decode(&mut self.buffer).map_err(invalid)? {
                Some(Frame::Hello(hello)) => return Ok(Some(hello)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
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
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Standard input as the client's half of a link.
pub(super) struct Standard {
    hellos: Hellos,
    /// For the rest of a Hello that has begun.
    deadline: Option<Instant>,
}

impl Standard {
    pub(super) fn new() -> Self {
        Self { hellos: Hellos::new(), deadline: None }
    }

    /// The next Hello. None at the end of the stream, or when one is not whole in time. A client may
    /// take its time to begin: the link may stand by for another one.
    pub(super) fn next_hello(&mut self) -> io::Result<Option<Hello>> {
        self.deadline = None;
        loop {
            let hello = self.hellos.next()?;
            if hello.is_some() || !self.read()? {
                return Ok(hello);
            }
        }
    }

    pub(super) fn into_unread(self) -> BytesMut {
        self.hellos.into_unread()
    }

    fn read(&mut self) -> io::Result<bool> {
        let stdin = rustix::stdio::stdin();
        if !wait_readable(stdin, self.deadline)? {
            return Ok(false);
        }
        let mut chunk = [0; READ];
        let count = retry(|| rustix::io::read(stdin, &mut chunk))?;
        self.hellos.push(&chunk[..count]);
        self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(count > 0)
    }
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

fn wait_readable(fd: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<bool> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.map(Timespec::try_from).transpose().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    Ok(retry(|| poll(&mut fds, left.as_ref()))? > 0)
}
