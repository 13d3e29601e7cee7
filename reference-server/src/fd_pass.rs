//! How an attach program passes its client's channel to the session's server. It passes the
//! descriptors themselves, so that no byte of the session goes through the attach program.
//!
//! The message with the descriptors holds the number of bytes that were already read from the
//! channel; these bytes follow on the same stream. After them the stream carries nothing. When
//! either program closes it, the server loses the link, and the attach program ends (SPEC section
//! 11.8).

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

/// The length of the length prefix, in bytes.
pub(crate) const HEADER: usize = 4;
/// How many bytes may have been read before: a Hello, and what one read may return after it.
const MOST_READ: u32 = MAX_HELLO + 64 * 1024;
/// The number of descriptors: input and output.
const CHANNEL: usize = 2;

/// Passes standard input and output to the server, with the bytes `read` that were already read
/// from input, and waits until either side closes the stream.
///
/// # Errors
/// The server has gone.
pub(crate) fn pass_channel(mut server: UnixStream, read: &[u8]) -> io::Result<()> {
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
    // The only event that can follow is the end of the stream.
    retry(|| rustix::io::read(&server, &mut [0])).map(drop)
}

/// Checks that standard input and output can be passed on. Call it before writing anything: if a
/// start-up file of the login shell has redirected them, the error on standard error reaches the
/// user through ssh.
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

/// The first message on a stream.
#[derive(Debug)]
pub(crate) enum FirstMessage {
    /// The first bytes of a link that the stream itself carries: at most [`HEADER`], and 0 at the
    /// end of the stream.
    Bytes(usize),
    /// The descriptors of a channel. Bytes that were already read from it follow.
    Channel {
        /// The descriptor that the client writes to.
        input: OwnedFd,
        /// The descriptor that the client reads from.
        output: OwnedFd,
        /// The number of bytes of the channel that follow on the stream.
        read: u32,
    },
}

/// Reads the beginning of a stream into `header`.
///
/// # Errors
/// System errors; `InvalidData` for a message that no attach program sends.
pub(crate) fn receive(stream: impl AsFd, header: &mut [u8; HEADER]) -> io::Result<FirstMessage> {
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
        (None, _) => Ok(FirstMessage::Bytes(message.bytes)),
        (Some(input), Some(output)) if message.bytes == HEADER && read <= MOST_READ => {
            Ok(FirstMessage::Channel { input, output, read })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::pipe;

    use super::*;

    /// The result of receiving two descriptors with this length.
    fn given(read: u32) -> io::Result<FirstMessage> {
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
    fn rejects_more_bytes_than_an_attach_program_reads() {
        assert!(matches!(given(MOST_READ).unwrap(), FirstMessage::Channel { read: MOST_READ, .. }));
        assert_eq!(given(MOST_READ + 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
