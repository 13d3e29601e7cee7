//! Standard input, read on a thread of its own that can be told to leave it alone for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::mpsc;

const READ: usize = 64 * 1024;

/// What is read, until its end.
pub(crate) type Chunks = mpsc::Receiver<Bytes>;

/// Has the thread pause while somebody else - an ssh that asks for a passphrase - reads the terminal.
#[derive(Debug)]
pub(crate) struct Pause {
    is_paused: Arc<AtomicBool>,
    wake: OwnedFd,
}

impl Pause {
    pub(crate) fn is_set(&self) -> bool {
        self.is_paused.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::SeqCst);
        // A full pipe wakes as well.
        let _ = write(&self.wake, b"!");
    }
}

/// Starts to read.
pub(crate) fn start() -> io::Result<(Chunks, Pause)> {
    let (woken, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let is_paused = Arc::new(AtomicBool::new(false));
    let paused = Arc::clone(&is_paused);
    // One chunk waits here; behind it the reader waits, and whoever writes to it.
    let (sender, chunks) = mpsc::channel(1);
    std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        if let Err(error) = read_all(&sender, &woken, &paused) {
            tracing::debug!(%error, "stdin cannot be read");
        }
    })?;
    Ok((chunks, Pause { is_paused, wake }))
}

/// Ends at the end of input, with an error - a terminal that is gone -, or when nobody listens.
fn read_all(
    chunks: &mpsc::Sender<Bytes>,
    woken: &OwnedFd,
    is_paused: &AtomicBool,
) -> io::Result<()> {
    loop {
        if !wait(woken, is_paused.load(Ordering::SeqCst))? {
            continue;
        }
        let mut buffer = BytesMut::zeroed(READ);
        match read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(length) if chunks.blocking_send(chunk(buffer, length)).is_err() => return Ok(()),
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A few keys are not worth a buffer of their own.
fn chunk(mut buffer: BytesMut, length: usize) -> Bytes {
    buffer.truncate(length);
    if length < READ / 8 { Bytes::copy_from_slice(&buffer) } else { buffer.freeze() }
}

/// Waits until something can be read, or the pause begins or ends. Says whether there is.
fn wait(woken: &OwnedFd, is_paused: bool) -> io::Result<bool> {
    let stdin = rustix::stdio::stdin();
    let mut waited = [
        PollFd::new(woken, PollFlags::IN),
        PollFd::new(&stdin, if is_paused { PollFlags::empty() } else { PollFlags::IN }),
    ];
    let count = if is_paused { 1 } else { 2 };
    match poll(&mut waited[..count], None) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    if !waited[0].revents().is_empty() {
        let _ = read(woken, &mut [0; 16]);
        return Ok(false);
    }
    Ok(!waited[1].revents().is_empty())
}
