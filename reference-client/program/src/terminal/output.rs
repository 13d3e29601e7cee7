//! Writes to descriptors without holding up the runtime.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Bytes;
use rejoin_client::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write};
use rustix::termios::isatty;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

use crate::terminal::standard_streams;

/// Says something on stderr. If that cannot be written - its terminal was closed -, nobody is there to
/// hear of it.
pub(crate) fn say(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
}

/// What a pipe that can be written takes without blocking, whatever else it holds (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// One of this program's streams that output goes to.
pub(crate) struct Sink {
    stream: Stream,
    /// The stream, where the runtime can wait for it.
    watched: Option<pipe::Sender>,
    was_terminal: bool,
}

impl Sink {
    pub(crate) fn new(stream: Stream) -> Self {
        let (watched, was_terminal) =
            (standard_streams::writer(descriptor(stream)), isatty(descriptor(stream)));
        Self { stream, watched, was_terminal }
    }

    /// Whether it was a terminal to begin with. One that is gone is none.
    pub(crate) fn was_terminal(&self) -> bool {
        self.was_terminal
    }

    /// Writes all of it, and comes back when it is written.
    pub(crate) async fn write_all(&mut self, data: Bytes) -> io::Result<()> {
        if let Some(watched) = &mut self.watched {
            return watched.write_all(&data).await;
        }
        let stream = self.stream;
        // A few bytes are not worth a thread's wake-up.
        if data.len() <= ATOMIC && is_ready(descriptor(stream)) {
            return write_fully(descriptor(stream), &data);
        }
        let written = tokio::task::spawn_blocking(move || write_fully(descriptor(stream), &data));
        written.await.map_err(io::Error::other)?
    }
}

fn descriptor(stream: Stream) -> BorrowedFd<'static> {
    match stream {
        Stream::Stdout => rustix::stdio::stdout(),
        Stream::Stderr => rustix::stdio::stderr(),
    }
}

fn is_ready(descriptor: BorrowedFd<'_>) -> bool {
    let mut waited = [PollFd::new(&descriptor, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut waited, Some(&now)).is_ok_and(|count| count > 0)
}

/// Writes all of it, also where the descriptor is one that does not block: its other holders may
/// have made it so.
pub(crate) fn write_fully(descriptor: impl AsFd, mut data: &[u8]) -> io::Result<()> {
    let descriptor = descriptor.as_fd();
    while !data.is_empty() {
        match write(descriptor, data) {
            Ok(length) => data = &data[length..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::new(&descriptor, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::io::Read as _;

    #[test]
    fn a_descriptor_that_does_not_block_is_waited_for() {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        rustix::io::ioctl_fionbio(&reader, false).unwrap();
        let data = vec![7; 1 << 20];
        let read = std::thread::spawn(move || {
            let mut all = Vec::new();
            std::fs::File::from(reader).read_to_end(&mut all).map(|_| all)
        });
        write_fully(&writer, &data).unwrap();
        drop(writer);
        assert_eq!(read.join().unwrap().unwrap(), data);
    }

    #[test]
    fn a_reader_that_is_gone_is_an_error() {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(reader);
        let error = write_fully(&writer, b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn readiness_is_asked_without_waiting() {
        let (_reader, writer) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        assert!(is_ready(writer.as_fd()));
        while write(&writer, &[0; 4096]).is_ok() {}
        assert!(!is_ready(writer.as_fd()));
    }
}
