//! What happens between fork and exec, and the signal dispositions of this process: the only
//! place with unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

/// One more than the highest signal number on Linux.
const SIGNALS: i32 = 65;

/// The size of the kernel's signal set, in bytes.
const SIGNAL_SET_SIZE: usize = 8;

/// Zeros: the kernel's `struct sigaction` for the default disposition, with room to spare.
static DEFAULT_ACTION: [u64; 16] = [0; 16];

/// What a child does before it executes its program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setup {
    /// Leads a session of its own, and outlives its parent.
    Server,
    /// Leads a session of its own, and is killed with its parent.
    Process {
        /// The parent.
        parent: Pid,
        /// Standard input is a terminal, to become the controlling one.
        has_terminal: bool,
        /// The file mode creation mask.
        umask: Mode,
    },
}

impl Setup {
    /// Makes `command` run this setup.
    pub(super) fn attach_to(self, command: &mut Command) {
        // SAFETY: the closure runs between fork and exec, where only async-signal-safe functions
        // may be called. `run` makes system calls only; it neither allocates nor takes a lock,
        // and it owns no memory that dropping would free.
        unsafe {
            command.pre_exec(move || self.run());
        }
    }

    fn run(self) -> io::Result<()> {
        restore_signals();
        rustix::process::setsid()?;
        let Self::Process { parent, has_terminal, umask } = self else { return Ok(()) };
        if has_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that died before that line sends no signal.
        if rustix::process::getppid() != Some(parent) {
            return Err(Errno::SRCH.into());
        }
        rustix::process::umask(umask);
        close_on_exec();
        Ok(())
    }
}

/// Sets close-on-exec for every descriptor above the standard ones, in case somebody opened one
/// without it. Kernels before 5.11 do not support this; there the flags set at opening must
/// suffice.
fn close_on_exec() {
    // SAFETY: the call only sets flags on this process's descriptors, and takes no pointers.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Sets every signal to its default and unblocks all. An inherited, ignored SIGPIPE or SIGCHLD
/// would stay ignored over exec and surprise programs.
pub(super) fn restore_signals() {
    // Exec removes the stack overflow handlers of Rust's runtime.
    for signal in (1..SIGNALS).filter(|signal| ![libc::SIGSEGV, libc::SIGBUS].contains(signal)) {
        // SAFETY: the kernel reads a `struct sigaction` from the buffer, which is larger than that
        // on any platform; zeros in it are the default disposition, which runs no code of ours.
        // The C library would refuse the two signals that it keeps for itself, and which others
        // may have left ignored.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                DEFAULT_ACTION.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SIGNAL_SET_SIZE,
            );
        }
    }
    // SAFETY: `none` is initialised by sigemptyset before it is read; no old mask is asked for.
    unsafe {
        let mut none = std::mem::MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(super) fn ignore(signal: Signal) {
    // SAFETY: ignoring runs no code of ours.
    unsafe {
        libc::signal(signal.as_raw(), libc::SIG_IGN);
    }
}

/// Closes a descriptor that no value in this program owns. A descriptor that is not open is not an
/// error.
pub(super) fn close_unowned(fd: std::os::fd::RawFd) {
    // SAFETY: the caller runs before anything in this program has opened a descriptor, so that
    // only inherited ones can be closed, which no value owns.
    unsafe {
        libc::close(fd);
    }
}
