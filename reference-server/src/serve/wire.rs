//! The transport of a link: its stream, or the channel that an attach program passed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use bytes::{Buf, BufMut as _, BytesMut};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::fd_pass::{FirstMessage, HEADER, NOT_A_CHANNEL, receive};

/// The reading half of a link.
pub(super) struct LinkInput {
    bytes: Box<dyn AsyncRead + Send + Unpin>,
    /// The stream to the attach program that passed the channel.
    lender: Option<Arc<PassedChannel>>,
}

/// The writing half of a link.
pub(super) struct LinkOutput {
    bytes: Box<dyn AsyncWrite + Send + Unpin>,
    _lender: Option<Arc<PassedChannel>>,
}

/// Receives a link's first message. Puts bytes that were already read into `buffer`.
///
/// # Errors
/// The stream has ended, or the channel cannot be used.
pub(super) async fn open(
    stream: UnixStream,
    buffer: &mut BytesMut,
) -> io::Result<(LinkInput, LinkOutput)> {
    let mut header = [0; HEADER];
    let opening = stream.async_io(Interest::READABLE, || receive(&stream, &mut header)).await?;
    match opening {
        FirstMessage::Bytes(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        FirstMessage::Bytes(count) => {
            buffer.extend_from_slice(&header[..count]);
            let (input, output) = stream.into_split();
            let input = LinkInput { bytes: Box::new(input), lender: None };
            Ok((input, LinkOutput { bytes: Box::new(output), _lender: None }))
        }
        FirstMessage::Channel { input, output, read } => {
            let lent = Arc::new(PassedChannel::new(stream, [&input, &output])?);
            lent.read_before(read as usize, buffer).await?;
            let input = LinkInput { bytes: readable(input)?, lender: Some(Arc::clone(&lent)) };
            Ok((input, LinkOutput { bytes: writable(output)?, _lender: Some(lent) }))
        }
    }
}

impl LinkInput {
    /// Reads available bytes; 0 at the end.
    ///
    /// # Errors
    /// System errors of the channel.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let Some(lender) = &self.lender else { return self.bytes.read_buf(buffer).await };
        tokio::select! {
            biased;
            count = self.bytes.read_buf(buffer) => count,
            () = lender.gone() => Ok(0),
        }
    }
}

impl LinkOutput {
    /// Writes all bytes.
    ///
    /// # Errors
    /// System errors of the channel.
    pub(super) async fn write(&mut self, bytes: &mut impl Buf) -> io::Result<()> {
        self.bytes.write_all_buf(bytes).await
    }

    /// Shuts down the writing side, if the transport supports it.
    pub(super) async fn finish(&mut self) {
        let _ = self.bytes.shutdown().await;
    }
}

fn readable(fd: OwnedFd) -> io::Result<Box<dyn AsyncRead + Send + Unpin>> {
    match file_type(&fd)? {
        FileType::Fifo => Ok(Box::new(pipe::Receiver::from_owned_fd(fd)?)),
        _ => Ok(Box::new(socket(fd)?)),
    }
}

fn writable(fd: OwnedFd) -> io::Result<Box<dyn AsyncWrite + Send + Unpin>> {
    match file_type(&fd)? {
        FileType::Fifo => Ok(Box::new(pipe::Sender::from_owned_fd(fd)?)),
        _ => Ok(Box::new(socket(fd)?)),
    }
}

fn file_type(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode))
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    if file_type(&fd)? != FileType::Socket {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_A_CHANNEL));
    }
    let socket = StdUnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// A channel from an attach program, with its original flags: a waiting login shell may share the
/// open files, so that they must be blocking again afterwards.
struct PassedChannel {
    by: UnixStream,
    as_it_was: [(OwnedFd, OFlags); 2],
}

impl PassedChannel {
    fn new(by: UnixStream, [input, output]: [&OwnedFd; 2]) -> io::Result<Self> {
        let remember =
            |fd: &OwnedFd| io::Result::Ok((fd.as_fd().try_clone_to_owned()?, fcntl_getfl(fd)?));
        Ok(Self { by, as_it_was: [remember(input)?, remember(output)?] })
    }

    async fn read_before(&self, mut count: usize, buffer: &mut BytesMut) -> io::Result<()> {
        while count > 0 {
            self.by.readable().await?;
            match self.by.try_read_buf(&mut buffer.limit(count)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => count -= read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Completes when the attach program has ended.
    async fn gone(&self) {
        while self.by.readable().await.is_ok() {
            match self.by.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

impl Drop for PassedChannel {
    fn drop(&mut self) {
        for (fd, flags) in &self.as_it_was {
            // It fails if the file is gone, which does not matter.
            let _ = fcntl_setfl(fd, *flags);
        }
    }
}
