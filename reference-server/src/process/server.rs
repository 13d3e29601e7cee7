//! Starting a server so that it outlives the connection, and becoming one.

use std::ffi::{CStr, OsStr};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FileType, Mode, fstat};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::Signal;

use super::child::{Setup, close_unowned, ignore, restore_signals};
use super::login;
use super::logout::Launch;
use super::remove_marks;
use crate::registry::Lock;

/// The first descriptor that is not one of the standard ones.
const FIRST_OWN: RawFd = 3;

/// The file of the running program, even if it was moved or replaced.
const OWN_FILE: &str = "/proc/self/exe";

/// The name in `ps` of a server that was started from [`OWN_FILE`].
const NAME: &CStr = c"rejoin-server";

/// A program to start.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    is_own: bool,
}

impl Program {
    /// The running program. The same file is started even if somebody has replaced it under its
    /// name. A launcher (see [`start_server`]) is the exception: it uses the name.
    ///
    /// # Errors
    /// The system does not tell the path of the running program.
    pub fn own() -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, is_own: true })
    }

    /// The program at this path.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_own: false }
    }

    /// Starts it through this launcher, if one is given.
    fn command(&self, prefix: &[&'static str]) -> Command {
        let Some((launcher, words)) = prefix.split_first() else {
            let file = if self.is_own { Path::new(OWN_FILE) } else { &self.path };
            let mut command = Command::new(file);
            command.arg0(&self.path);
            return command;
        };
        let mut command = Command::new(launcher);
        command.args(words).arg(&self.path);
        command
    }
}

/// Starts `program` with `arguments` as a server: with the opener's `stream` as its standard input
/// and the session's `lock` as its standard output ([`become_server`] takes both), in a session of
/// its own, without marks of an outer session. A caller that keeps running has to reap it. Below a
/// login shell, its environment is the one that the SSH server gave to that shell. If the host ends
/// all processes at logout, the server starts in a scope that survives, or the user gets a warning.
///
/// When this returns, the caller still holds the lock, and has to close it: then only the server
/// keeps the session alive.
///
/// Several threads may call this at once. Exec closes the descriptors of other threads in the new
/// server. Between fork and exec, it holds their locks for a moment longer, so that others who try
/// such a lock have to try again.
pub fn start_server<A: AsRef<OsStr>>(
    program: &Program,
    arguments: impl IntoIterator<Item = A>,
    stream: UnixStream,
    lock: &Lock,
) -> io::Result<Child> {
    // A copy of the descriptor shares the open file, so that the child gets the lock itself.
    let copy = lock.as_fd().try_clone_to_owned()?;
    let launch = Launch::look();
    if let Some(warning) = launch.warning {
        // The parent passes standard error to the user, if there is one.
        let _ = writeln!(io::stderr(), "rejoin-server: {warning}");
    }
    let mut command = program.command(&launch.prefix);
    command.args(arguments).stdin(OwnedFd::from(stream)).stdout(copy).stderr(Stdio::null());
    if let Some(environment) = login::environment() {
        let kept = launch.variables().iter();
        let kept = kept.filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.env_clear().envs(kept).envs(environment);
    }
    remove_marks(&mut command);
    Setup::Server.attach_to(&mut command);
    command.spawn()
}

/// What a server was started with.
#[derive(Debug)]
pub struct Inherited {
    /// The opener's stream.
    pub stream: UnixStream,
    /// The session's lock, held. See [`Lock::from_fd`].
    pub lock: OwnedFd,
    /// The user's file mode creation mask: the process's, not the server's.
    pub umask: u32,
}

/// Makes the calling process a server: it leads its own session, becomes the parent of orphaned
/// descendants, ignores hangups, and keeps no folder and no inherited descriptor except the two
/// that it returns. Standard input, output and error lead to `/dev/null` from then on.
///
/// Call it before starting any thread and opening any file: it closes all other descriptors.
pub fn become_server() -> io::Result<Inherited> {
    let stream = take(rustix::stdio::stdin(), FileType::Socket)?;
    let lock = take(rustix::stdio::stdout(), FileType::RegularFile)?;
    close_others(&[stream.as_raw_fd(), lock.as_raw_fd()])?;
    let nowhere = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    rustix::stdio::dup2_stdout(&nowhere)?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    lead_session()?;
    restore_signals();
    ignore(Signal::HUP);
    ignore(Signal::PIPE);
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::chdir("/")?;
    rustix::thread::set_name(NAME)?;
    let umask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    Ok(Inherited { stream: stream.into(), lock, umask: umask.as_raw_mode() })
}

/// Redirects standard error, with panic messages, to `file`.
pub fn stderr_to(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::stdio::dup2_stderr(file)?)
}

fn take(fd: impl AsFd, expected: FileType) -> io::Result<OwnedFd> {
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != expected {
        let message = "a server is started by `rejoin-server attach`, not by hand";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(fcntl_dupfd_cloexec(fd, FIRST_OWN)?)
}

fn lead_session() -> io::Result<()> {
    let own = rustix::process::getpid();
    if rustix::process::getsid(None)? != own {
        rustix::process::setsid()?;
    }
    Ok(())
}

fn close_others(kept: &[RawFd]) -> io::Result<()> {
    let listing: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in listing.into_iter().filter(|fd| *fd >= FIRST_OWN && !kept.contains(fd)) {
        close_unowned(fd);
    }
    Ok(())
}
