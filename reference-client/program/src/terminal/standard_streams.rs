//! This program's streams, opened once more: whether a file blocks is a property that all who have it
//! open share, and only of a file that this program has for itself it can be changed.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::termios::isatty;
use tokio::net::unix::pipe;

/// A stream that the runtime reads, if it is a terminal or a pipe and the system allows it.
pub(crate) fn reader(stream: impl AsFd) -> Option<pipe::Receiver> {
    pipe::Receiver::from_file_unchecked(reopen(stream, OFlags::RDONLY)?).ok()
}

/// A stream that the runtime writes to, under the same conditions.
pub(crate) fn writer(stream: impl AsFd) -> Option<pipe::Sender> {
    pipe::Sender::from_file_unchecked(reopen(stream, OFlags::WRONLY)?).ok()
}

/// Not a socket, which cannot be opened again, and no file on a disk, of which nobody can be told
/// when it is ready. Another user's terminal cannot be opened either.
fn reopen(stream: impl AsFd, access: OFlags) -> Option<File> {
    let stream = stream.as_fd();
    let kind = FileType::from_raw_mode(fstat(stream).ok()?.st_mode);
    if !cfg!(target_os = "linux") || !(kind == FileType::Fifo || isatty(stream)) {
        return None;
    }
    let path = format!("/proc/self/fd/{}", stream.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from).ok()
}

#[cfg(test)]
mod tests {
    use rustix::fs::fcntl_getfl;
    use rustix::pipe::{PipeFlags, pipe_with};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn others_who_have_a_stream_open_still_block_on_it() {
        let (there, here) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (mut reader, mut writer) = (reader(&there).unwrap(), writer(&here).unwrap());
        writer.write_all(b"one").await.unwrap();
        let mut read = [0; 3];
        reader.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one");
        for fd in [&there, &here] {
            assert!(!fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK));
        }
    }

    #[tokio::test]
    async fn a_file_and_a_socket_are_left_as_they_are() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(reader(&socket).is_none());
        assert!(writer(tempfile::tempfile().unwrap()).is_none());
    }
}
