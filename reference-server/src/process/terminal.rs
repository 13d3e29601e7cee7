//! Terminals: creating, resizing, and sending signals through them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rejoin_protocol::spec::Terminal;
use rejoin_protocol::{Signal, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    OptionalActions, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// Both ends of a new terminal.
#[derive(Debug)]
pub(super) struct PtyPair {
    /// The server's end.
    pub(super) master: OwnedFd,
    /// The process's end.
    pub(super) slave: OwnedFd,
    /// The path of the process's end.
    pub(super) path: PathBuf,
}

impl PtyPair {
    /// Creates a terminal with the client's parameters.
    pub(super) fn open(wanted: &Terminal) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(OsStr::from_bytes(ptsname(&master, Vec::new())?.as_bytes()));
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())?;
        tcsetwinsize(&master, winsize(wanted.size))?;
        let mut modes = tcgetattr(&slave)?;
        wanted.apply_modes(&mut modes);
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        Ok(Self { master, slave, path })
    }
}

fn winsize(size: WindowSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: size.xpixel, ws_ypixel: size.ypixel }
}

/// Resizes the terminal. The foreground group gets a SIGWINCH even if the size is the same, which
/// the kernel would not send: it asks the program to redraw.
///
/// `pid` is the terminal's process, which was not reaped yet.
pub fn set_window(master: impl AsFd, pid: Pid, size: WindowSize) -> io::Result<()> {
    let (old, new) = (tcgetwinsize(&master)?, winsize(size));
    let cells = |size: &Winsize| (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel);
    if cells(&old) == cells(&new) {
        return redraw(master, pid);
    }
    Ok(tcsetwinsize(&master, new)?)
}

/// Asks the terminal's foreground group to redraw.
pub fn redraw(master: impl AsFd, pid: Pid) -> io::Result<()> {
    send(Some(master.as_fd()), pid, rustix::process::Signal::WINCH)
}

/// Sends a signal to the terminal's foreground group, as a user at the terminal would. Without a
/// terminal or a foreground group, it goes to the group that the process leads.
///
/// `pid` is the process, which was not reaped yet, so that its group id is not reused. A group that
/// is gone is not an error; a signal that Linux does not have is one.
pub fn signal_foreground(
    master: Option<BorrowedFd<'_>>,
    pid: Pid,
    signal: Signal,
) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "no such signal");
    let signal = rustix::process::Signal::from_named_raw(signal.0.into()).ok_or_else(unknown)?;
    send(master, pid, signal)
}

fn send(
    master: Option<BorrowedFd<'_>>,
    pid: Pid,
    signal: rustix::process::Signal,
) -> io::Result<()> {
    let group = master.and_then(|master| tcgetpgrp(master).ok()).unwrap_or(pid);
    match kill_process_group(group, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
