//! The client's end of an exec channel, read with a deadline.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::frame::{Greeting, Hello};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

const READ: usize = 16 * 1024;

/// Standard input as the client's half of a link.
pub(crate) struct ClientStream {
    decoder: Decoder,
    buffer: BytesMut,
    deadline: Instant,
}

impl ClientStream {
    pub(crate) fn standard(deadline: Instant) -> Self {
        Self { decoder: Decoder::of_client(), buffer: BytesMut::new(), deadline }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The next Hello. Everything else is what a client sent right behind a Hello that was
    /// refused, and goes by. None at the end of the stream, or when the deadline has passed.
    pub(crate) fn next_hello(&mut self) -> io::Result<Option<Hello>> {
        loop {
            match self.decoder.decode(&mut self.buffer) {
                Ok(Some(Frame::Hello(hello))) => return Ok(Some(hello)),
                Ok(None) if !self.read()? => return Ok(None),
                Ok(Some(_) | None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    /// What was read behind the last frame.
    pub(crate) fn into_unread(self) -> BytesMut {
        self.buffer
    }

    fn read(&mut self) -> io::Result<bool> {
        let stdin = rustix::stdio::stdin();
        if !wait_readable(stdin, self.deadline)? {
            return Ok(false);
        }
        let mut chunk = [0; READ];
        let count = retry(|| rustix::io::read(stdin, &mut chunk))?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count > 0)
    }
}

/// Says the first word, unasked.
pub(super) fn greet(greeting: Greeting) -> io::Result<()> {
    write(WriteQueue::starting_with(SERVER_MAGIC), &Frame::Greeting(greeting))
}

pub(super) fn send(frame: &Frame) -> io::Result<()> {
    write(WriteQueue::default(), frame)
}

fn write(mut queue: WriteQueue, frame: &Frame) -> io::Result<()> {
    queue.push(frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    // In one piece, so that it can leave in one packet.
    let bytes = queue.copy_to_bytes(queue.remaining());
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let written = retry(|| rustix::io::write(rustix::stdio::stdout(), rest))?;
        rest = &rest[written..];
    }
    Ok(())
}

fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    Ok(retry(|| poll(&mut fds, Some(&left)))? > 0)
}

/// A call that a signal interrupted is made again.
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
