//! Standard input, read in the background by something that can be told to leave it alone for a while:
//! a task where the runtime can wait for it, a thread where not.

use std::io;
use std::os::fd::OwnedFd;

use bytes::{Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};

use crate::terminal::standard_streams;

const READ: usize = 64 * 1024;

/// What is read, until its end.
pub(crate) type Chunks = mpsc::Receiver<Chunk>;

/// A piece of what is read.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// How many pauses went before it was read.
    pub(crate) turn: u64,
    pub(crate) data: Bytes,
}

/// What the reader is told.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    is_paused: bool,
    /// How many pauses there were.
    turn: u64,
}

/// Has the reader pause while somebody else - an ssh that asks for a passphrase - reads the terminal.
#[derive(Debug)]
pub(crate) struct Pause {
    orders: watch::Sender<Orders>,
    /// Wakes the thread, if one reads.
    wake: Option<OwnedFd>,
}

impl Pause {
    pub(crate) fn is_set(&self) -> bool {
        self.orders.borrow().is_paused
    }

    pub(crate) fn set(&self, is_paused: bool) {
        self.orders.send_modify(|orders| {
            orders.turn += u64::from(is_paused && !orders.is_paused);
            orders.is_paused = is_paused;
        });
        if let Some(wake) = &self.wake {
            // A full pipe wakes as well.
            let _ = write(wake, b"!");
        }
    }
}

/// Starts to read.
pub(crate) fn start() -> io::Result<(Chunks, Pause)> {
    let (orders, ordered) = watch::channel(Orders::default());
    // One chunk waits here; behind it the reader waits, and whoever writes to it.
    let (sender, chunks) = mpsc::channel(1);
    let wake = if let Some(stdin) = standard_streams::reader(rustix::stdio::stdin()) {
        tokio::spawn(async move { told(run(stdin, &sender, ordered).await) });
        None
    } else {
        let (woken, wake) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let reader = std::thread::Builder::new().name("stdin".to_owned());
        reader.spawn(move || told(read_all(&sender, &woken, &ordered)))?;
        Some(wake)
    };
    Ok((chunks, Pause { orders, wake }))
}

fn told(ended: io::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "stdin cannot be read");
    }
}

/// Ends at the end of input, with an error - a terminal that is gone -, or when nobody listens.
async fn run(
    mut stdin: pipe::Receiver,
    chunks: &mpsc::Sender<Chunk>,
    mut ordered: watch::Receiver<Orders>,
) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        let Orders { is_paused, turn } = *ordered.borrow_and_update();
        if is_paused {
            if ordered.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        buffer.reserve(READ);
        tokio::select! {
            biased;
            changed = ordered.changed() => if changed.is_err() { return Ok(()) },
            length = stdin.read_buf(&mut buffer) => {
                if length? == 0 {
                    return Ok(());
                }
                if chunks.send(Chunk { turn, data: take(&mut buffer) }).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// A few keys are not worth a buffer of their own.
fn take(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() >= READ / 8 {
        return buffer.split().freeze();
    }
    let keys = Bytes::copy_from_slice(buffer);
    buffer.clear();
    keys
}

/// The same on a thread.
fn read_all(
    chunks: &mpsc::Sender<Chunk>,
    woken: &OwnedFd,
    ordered: &watch::Receiver<Orders>,
) -> io::Result<()> {
    let mut buffer = BytesMut::zeroed(READ);
    loop {
        let Orders { is_paused, turn } = *ordered.borrow();
        if !wait(woken, is_paused)? {
            continue;
        }
        match read(rustix::stdio::stdin(), &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                let data = Bytes::copy_from_slice(&buffer[..length]);
                if chunks.blocking_send(Chunk { turn, data }).is_err() {
                    return Ok(());
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
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
