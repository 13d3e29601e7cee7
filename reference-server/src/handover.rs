//! How an attach program gives its client's channel to the session's server: the descriptors
//! themselves, so that no byte of the session passes through the attach program.
//!
//! The message that carries them says how many bytes of the channel were read before; those follow
//! on the same stream. From then on the stream carries nothing. It ends when either program lets
//! go: to a server that means a lost link, to an attach program that the channel is over (SPEC 11.8).

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rejoin_protocol::codec::MAX_HELLO;
use rustix::fs::{FileType, fstat};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::retry::retry;

/// The length of what was read before, in front of it.
pub(crate) const HEADER: usize = 4;
/// How much may have been read before: a Hello, and what was read with its end.
const MOST_READ: u32 = MAX_HELLO + 64 * 1024;
/// Input and output.
const CHANNEL: usize = 2;

/// Gives standard input and output, of which `read` was read before, to the server at the other end,
/// and waits until either side lets go of them.
///
/// # Errors
/// The server has gone.
pub(crate) fn give_channel(mut server: UnixStream, read: &[u8]) -> io::Result<()> {
    let (input, output) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let length = u32::try_from(read.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let descriptors = [input, output];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHANNEL))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let header = length.to_be_bytes();
    retry(|| sendmsg(&server, &[IoSlice::new(&header)], &mut ancillary, SendFlags::empty()))?;
    server.write_all(read)?;
    // Nothing comes but the end.
    retry(|| rustix::io::read(&server, &mut [0])).map(drop)
}

/// Checks that standard input and output can be given away. Asked before anything is said: what a login
/// shell's start-up file has redirected is told on standard error, where ssh passes it on.
///
/// # Errors
/// They are neither pipes nor sockets.
pub(crate) fn require_channel() -> io::Result<()> {
    let streams = [("input", rustix::stdio::stdin()), ("output", rustix::stdio::stdout())];
    for (name, stream) in streams {
        require_stream(stream).map_err(|_| {
            io::Error::other(format!(
                "standard {name} is not the connection: look for a redirection, such as exec \
                 </dev/null, in the start-up files of the login shell"
            ))
        })?;
    }
    Ok(())
}

fn require_stream(fd: impl AsFd) -> io::Result<()> {
    match FileType::from_raw_mode(fstat(fd)?.st_mode) {
        FileType::Fifo | FileType::Socket => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_A_CHANNEL)),
    }
}

pub(crate) const NOT_A_CHANNEL: &str = "standard input and output have to be pipes or sockets";

/// What a stream begins with.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The first bytes of a link that the stream itself carries: at most [`HEADER`], none at its end.
    Bytes(usize),
    /// The descriptors of a channel, in front of as many bytes that were read from it.
    Channel {
        /// What the client writes to.
        input: OwnedFd,
        /// What the client reads from.
        output: OwnedFd,
        /// How many bytes of the channel follow on the stream.
        read: u32,
    },
}

/// Reads the beginning of a stream into `header`.
///
/// # Errors
/// What the system says; `InvalidData` if something came that no attach program sends.
pub(crate) fn receive(stream: impl AsFd, header: &mut [u8; HEADER]) -> io::Result<Opening> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHANNEL))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(header)];
    let message = recvmsg(stream, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    let read = u32::from_be_bytes(*header);
    match (descriptors.next(), descriptors.next()) {
        (None, _) => Ok(Opening::Bytes(message.bytes)),
        (Some(input), Some(output)) if message.bytes == HEADER && read <= MOST_READ => {
            Ok(Opening::Channel { input, output, read })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    /// What a server makes of two descriptors with this number.
    fn given(read: u32) -> io::Result<Opening> {
        let (there, here) = UnixStream::pair().unwrap();
        let (input, output) = pipe().unwrap();
        let descriptors = [input.as_fd(), output.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHANNEL))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let header = read.to_be_bytes();
        sendmsg(&there, &[IoSlice::new(&header)], &mut ancillary, SendFlags::empty()).unwrap();
        receive(&here, &mut [0; HEADER])
    }

    #[test]
    fn what_was_read_before_is_a_hello_and_little_more() {
        assert!(matches!(given(MOST_READ).unwrap(), Opening::Channel { read: MOST_READ, .. }));
        assert_eq!(given(MOST_READ + 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
