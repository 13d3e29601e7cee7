//! The running process: writes its input, reads its output, and notices its end.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rejoin_protocol::{ExitStatus, Item, Seq, Signal, Stream};
use rustix::io::Errno;
use rustix::process::{Pid, WaitStatus};
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr};
use tokio::io::unix::AsyncFd;

use crate::process::{Io, Started, set_window, signal_foreground, watch};
use crate::procfs::Stat;

/// The maximum output in an item, in bytes.
pub(super) const PIECE: usize = 16 * 1024;
/// The maximum size of a read, and the overhead of the items made from it.
const READ: usize = 64 * 1024;
#[allow(clippy::cast_possible_truncation)]
const OVERHEADS: usize = (READ / PIECE) * Item::OVERHEAD as usize;
/// The size of the buffers that outputs share.
const BUFFER: usize = 64 * 1024;
/// A buffer with less space than this is not used any more.
const SMALLEST_READ: usize = 4096;
/// How long a terminal must stay quiet after its process has ended, while another process has it
/// open, before all its output counts as read.
const LINGER: Duration = Duration::from_millis(100);

/// An event of the process.
#[derive(Debug)]
pub(super) enum ProcessEvent {
    /// It wrote output.
    Output(Stream, Bytes),
    /// It took all input before this number.
    InputTaken(Seq),
    /// One of its outputs has ended.
    Drained,
}

/// A process that was started.
pub(super) struct Running {
    pid: Pid,
    input: Sink,
    stdout: Source,
    stderr: Source,
    terminal: bool,
    exit: Exit,
}

enum Exit {
    Running,
    Ended(ExitStatus),
    Reported,
}

struct Source {
    stream: Stream,
    fd: Option<Rc<AsyncFd<OwnedFd>>>,
    buffer: BytesMut,
}

struct Sink {
    fd: Option<Rc<AsyncFd<OwnedFd>>>,
    /// Items, each with the number of the next item.
    waiting: VecDeque<(Seq, Item)>,
    /// The last byte that was written.
    last: u8,
}

/// Whether the process takes an input item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    NotYet,
    /// It takes no more input.
    Closed,
}

impl Running {
    pub(super) fn new(started: Started) -> io::Result<Self> {
        let shared = |fd| watch(fd).map(Rc::new);
        let (input, stdout, stderr, terminal) = match started.io {
            Io::Terminal { master } => {
                let master = shared(master)?;
                (master.clone(), Some(master), None, true)
            }
            Io::Pipes { stdin, stdout, stderr } => {
                (shared(stdin)?, Some(shared(stdout)?), Some(shared(stderr)?), false)
            }
        };
        let source = |stream, fd| Source { stream, fd, buffer: BytesMut::new() };
        Ok(Self {
            pid: started.pid,
            input: Sink { fd: Some(input), waiting: VecDeque::new(), last: b'\n' },
            stdout: source(Stream::Stdout, stdout),
            stderr: source(Stream::Stderr, stderr),
            terminal,
            exit: Exit::Running,
        })
    }

    /// Takes an input item. Signals and sizes overtake bytes that the process has not read: an
    /// interrupt must not wait for the process.
    pub(super) fn hand_over(&mut self, seq: Seq, item: Item) {
        match item {
            Item::Signal(signal) => self.signal(signal),
            Item::Resize(size) => {
                if let Some(master) = self.master() {
                    let _ = set_window(master, self.pid, size);
                }
            }
            _ => {}
        }
        // Input that an ended process has not taken is never taken.
        if self.is_running() {
            self.input.waiting.push_back((item.end(seq), item));
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.exit, Exit::Running)
    }

    /// Whether the process is exiting. Its pipes close before it can be reaped.
    pub(super) fn is_exiting(&self) -> bool {
        Stat::read(self.pid.as_raw_nonzero().get()).is_some_and(|stat| stat.is_exiting)
    }

    /// Whether the process reads no more input.
    pub(super) fn has_closed_input(&self) -> bool {
        self.input.fd.is_none()
    }

    fn signal(&self, signal: Signal) {
        if self.is_running() {
            // An unknown signal number changes nothing.
            let _ = signal_foreground(self.master().map(AsFd::as_fd), self.pid, signal);
        }
    }

    fn master(&self) -> Option<&OwnedFd> {
        self.stdout.fd.as_ref().filter(|_| self.terminal).map(|fd| fd.get_ref())
    }

    /// Waits for the next event of the process. Reads output only if there is `room`.
    pub(super) async fn act(&mut self, room: usize) -> ProcessEvent {
        let is_lingering = self.terminal && matches!(self.exit, Exit::Ended(_));
        let has_room = room > 0;
        let can_write = !self.input.waiting.is_empty();
        tokio::select! {
            next = self.input.write(self.terminal), if can_write => ProcessEvent::InputTaken(next),
            output = self.stdout.read(room), if has_room => output,
            output = self.stderr.read(room), if has_room => output,
            () = tokio::time::sleep(LINGER), if is_lingering && has_room => {
                self.stdout.fd = None;
                ProcessEvent::Drained
            }
            else => std::future::pending().await,
        }
    }

    pub(super) fn reaped(&mut self, pid: Pid, status: WaitStatus) {
        if pid == self.pid {
            self.exit = Exit::Ended(exit_status(status));
            // Input that it did not read is not acknowledged.
            self.input.fd = None;
            self.input.waiting.clear();
        }
    }

    /// Its exit status, once, after all its output was read.
    pub(super) fn take_exit(&mut self) -> Option<ExitStatus> {
        let Exit::Ended(status) = self.exit else { return None };
        if self.stdout.fd.is_some() || self.stderr.fd.is_some() {
            return None;
        }
        self.exit = Exit::Reported;
        Some(status)
    }
}

fn exit_status(status: WaitStatus) -> ExitStatus {
    let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(small(code)),
        (None, Some(signal)) => ExitStatus::Signal(Signal(small(signal))),
        (None, None) => ExitStatus::Code(u8::MAX),
    }
}

impl Source {
    async fn read(&mut self, room: usize) -> ProcessEvent {
        let Some(fd) = self.fd.clone() else { return std::future::pending().await };
        loop {
            let Ok(mut ready) = fd.readable().await else { return self.drained() };
            match self.try_read(fd.as_fd(), room) {
                Ok(data) if data.is_empty() => return self.drained(),
                Ok(data) => return ProcessEvent::Output(self.stream, data),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                // A terminal returns EIO when no process has its other side open.
                Err(_) => return self.drained(),
            }
        }
    }

    fn try_read(&mut self, fd: std::os::fd::BorrowedFd<'_>, room: usize) -> Result<Bytes, Errno> {
        if self.buffer.len() < SMALLEST_READ {
            self.buffer = BytesMut::zeroed(BUFFER);
        }
        // Read no more than the room for one item.
        let room = room.saturating_sub(OVERHEADS).max(room.min(PIECE));
        let room = room.min(READ).min(self.buffer.len());
        let count = rustix::io::read(fd, &mut self.buffer[..room])?;
        Ok(self.buffer.split_to(count).freeze())
    }

    fn drained(&mut self) -> ProcessEvent {
        self.fd = None;
        ProcessEvent::Drained
    }
}

impl Sink {
    /// Writes the waiting items in order, as far as the process takes them.
    async fn write(&mut self, is_terminal: bool) -> Seq {
        loop {
            let Some((end, item)) = self.waiting.front_mut() else {
                return std::future::pending().await;
            };
            let end = *end;
            let is_taken = match item {
                Item::Input(data) => match &self.fd {
                    Some(fd) => write_some(fd, data, &mut self.last).await,
                    // It has closed its input, so that nobody takes this.
                    None => Taken::Yes,
                },
                Item::InputEnd => match &self.fd {
                    Some(fd) if is_terminal => end_of_file(fd, self.last).await,
                    _ => Taken::Closed,
                },
                _ => Taken::Yes,
            };
            if is_taken == Taken::Closed {
                self.fd = None;
            }
            if is_taken != Taken::NotYet {
                self.waiting.pop_front();
                return end;
            }
        }
    }
}

/// Writes what fits, and removes it from `data`.
async fn write_some(fd: &AsyncFd<OwnedFd>, data: &mut Bytes, last: &mut u8) -> Taken {
    let Ok(mut ready) = fd.writable().await else { return Taken::Closed };
    match rustix::io::write(fd, data) {
        Ok(count) => {
            let written = data.split_to(count);
            *last = written.last().copied().unwrap_or(*last);
        }
        Err(Errno::AGAIN) => ready.clear_ready(),
        Err(Errno::INTR) => {}
        // The reader is gone: discard the bytes, as a closed pipe does.
        Err(_) => return Taken::Closed,
    }
    if data.is_empty() { Taken::Yes } else { Taken::NotYet }
}

/// The end of input on a terminal is a character, which only works for programs that read lines.
/// After an unfinished line, it takes two of them.
async fn end_of_file(fd: &AsyncFd<OwnedFd>, last: u8) -> Taken {
    let Ok(mut ready) = fd.writable().await else { return Taken::Yes };
    let Ok(modes) = tcgetattr(fd) else { return Taken::Yes };
    if !modes.local_modes.contains(LocalModes::ICANON) {
        return Taken::Yes;
    }
    let end = [modes.special_codes[SpecialCodeIndex::VEOF]; 2];
    let count = if last == b'\n' { 1 } else { 2 };
    match rustix::io::write(fd, &end[..count]) {
        Err(Errno::AGAIN) => {
            ready.clear_ready();
            Taken::NotYet
        }
        _ => Taken::Yes,
    }
}
