//! The process: its input written, its output read, its end noticed.

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

/// How much output an item has at most.
pub(super) const PIECE: usize = 16 * 1024;
/// How much is read at once, and what the items that it becomes need besides.
const READ: usize = 64 * 1024;
#[allow(clippy::cast_possible_truncation)]
const OVERHEADS: usize = (READ / PIECE) * Item::OVERHEAD as usize;
/// How large the pieces are that outputs share.
const BUFFER: usize = 64 * 1024;
/// A piece with less than this left is left as it is.
const SMALLEST_READ: usize = 4096;
/// How long a terminal may stay quiet after its process has ended, while something else still has
/// it open, before what was written counts as read.
const LINGER: Duration = Duration::from_millis(100);

/// Something that a process did.
#[derive(Debug)]
pub(super) enum ProcessEvent {
    /// It wrote.
    Output(Stream, Bytes),
    /// It has taken all input before this number.
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
    /// Items with the number behind each.
    waiting: VecDeque<(Seq, Item)>,
    /// The last byte that was written.
    last: u8,
}

/// Whether the process took an input item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Yes,
    NotYet,
    /// It takes nothing more.
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

    /// Takes an input item. Signals and sizes overtake the bytes that the process has not read:
    /// what is to interrupt a process must not wait for it.
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
        // What a process that has ended did not take, nobody takes.
        if self.is_running() {
            self.input.waiting.push_back((item.end(seq), item));
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.exit, Exit::Running)
    }

    /// Whether the process is about to end by itself or by a signal: its pipes are closed before
    /// that can be told by waiting for it.
    pub(super) fn is_exiting(&self) -> bool {
        Stat::read(self.pid.as_raw_nonzero().get()).is_some_and(|stat| stat.is_exiting)
    }

    /// Whether the process reads no more input.
    pub(super) fn has_closed_input(&self) -> bool {
        self.input.fd.is_none()
    }

    fn signal(&self, signal: Signal) {
        if self.is_running() {
            // A number that is no signal here changes nothing.
            let _ = signal_foreground(self.master().map(AsFd::as_fd), self.pid, signal);
        }
    }

    fn master(&self) -> Option<&OwnedFd> {
        self.stdout.fd.as_ref().filter(|_| self.terminal).map(|fd| fd.get_ref())
    }

    /// Waits for the next thing that the process does. It is read from only if there is `room`.
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
            // What it did not read nobody will; input is not acknowledged for it.
            self.input.fd = None;
            self.input.waiting.clear();
        }
    }

    /// How it ended, once, and not before all that it wrote was read.
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
                // A terminal says EIO when nobody has its other side open any more.
                Err(_) => return self.drained(),
            }
        }
    }

    fn try_read(&mut self, fd: std::os::fd::BorrowedFd<'_>, room: usize) -> Result<Bytes, Errno> {
        if self.buffer.len() < SMALLEST_READ {
            self.buffer = BytesMut::zeroed(BUFFER);
        }
        // One item needs no more than its room.
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
    /// Writes the items that wait, in order, as far as they are taken.
    async fn write(&mut self, is_terminal: bool) -> Seq {
        loop {
            let Some((end, item)) = self.waiting.front_mut() else {
                return std::future::pending().await;
            };
            let end = *end;
            let is_taken = match item {
                Item::Input(data) => match &self.fd {
                    Some(fd) => write_some(fd, data, &mut self.last).await,
                    // It has closed its input: nobody takes this.
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

/// Writes what fits; it is cut off from `data`.
async fn write_some(fd: &AsyncFd<OwnedFd>, data: &mut Bytes, last: &mut u8) -> Taken {
    let Ok(mut ready) = fd.writable().await else { return Taken::Closed };
    match rustix::io::write(fd, data) {
        Ok(count) => {
            let written = data.split_to(count);
            *last = written.last().copied().unwrap_or(*last);
        }
        Err(Errno::AGAIN) => ready.clear_ready(),
        Err(Errno::INTR) => {}
        // The reader is gone: what comes now goes where a closed pipe's bytes go.
        Err(_) => return Taken::Closed,
    }
    if data.is_empty() { Taken::Yes } else { Taken::NotYet }
}

/// A terminal has no end of input but the character that says so, and only a program that reads
/// lines takes it for that: behind an unfinished line, only the second one.
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
