//! Starting the user's process, and the server that keeps it.

mod child;
mod logout;
mod program;
mod server;
mod terminal;
mod watch;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rejoin_protocol::spec::Terminal;
use rejoin_protocol::{SpawnError, SpawnErrorKind, spec};
use rustix::fs::Mode;
use rustix::process::Pid;

use crate::marks::{self, Mark};
use child::Setup;
use terminal::Pair;

pub use logout::Logout;
pub(crate) use logout::Persistence;
pub use server::{Inherited, NotStarted, Program, become_server, start_server, stderr_to};
pub use terminal::{redraw, set_window, signal_foreground};
pub(crate) use watch::watch;

/// Variables of other connections and other folders, which would lie to the process.
const STALE_VARIABLES: [&str; 3] = ["SSH_TTY", "OLDPWD", "PWD"];

/// What to start, and as whose.
#[derive(Clone, Debug)]
pub struct Start {
    /// What to run.
    pub command: spec::Command,
    /// Where; the home folder if none is given.
    pub directory: Option<Vec<u8>>,
    /// Variables added to the environment of the server.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// A terminal; without one, three pipes.
    pub terminal: Option<Terminal>,
    /// The marks by which the process and its children are found.
    pub mark: Mark,
    /// The user's own file mode creation mask, from [`Inherited`].
    pub umask: u32,
}

/// A process that runs its program. It leads a session and a process group of its own, and the
/// kernel kills it when the server dies.
///
/// The caller waits for it ([`crate::ending::reap_children`]).
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub pid: Pid,
    /// Our ends of its input and output.
    pub io: Io,
}

/// Our ends of a process's input and output: non-blocking, and closed at exec.
#[derive(Debug)]
pub enum Io {
    /// A terminal.
    Terminal {
        /// Its master side: to read, to write, to resize.
        master: OwnedFd,
    },
    /// Three pipes.
    Pipes {
        /// To write to its standard input.
        stdin: OwnedFd,
        /// To read its standard output.
        stdout: OwnedFd,
        /// To read its standard error.
        stderr: OwnedFd,
    },
}

/// Starts a process, and returns once its program runs.
///
/// To be called from the server's main thread: the kernel kills the process when the *thread*
/// that started it ends. No other thread may be waiting for children meanwhile.
pub fn spawn(start: &Start) -> Result<Started, SpawnError> {
    let directory = program::directory(start.directory.as_deref())?;
    let pair = match &start.terminal {
        Some(terminal) => Some(Pair::open(terminal.size).map_err(|error| no_terminal(&error))?),
        None => None,
    };
    let mut command = program::program(&start.command)?;
    set_environment(&mut command, start, &directory, pair.as_ref())?;
    command.current_dir(&directory);
    Setup::Process {
        parent: rustix::process::getpid(),
        has_terminal: pair.is_some(),
        umask: Mode::from_raw_mode(start.umask),
    }
    .attach_to(&mut command);
    let connected = connect(&mut command, pair).map_err(|error| no_pipes(&error))?;
    let child = command.spawn();
    let child =
        child.map_err(|error| program::explain(&error, command.get_program(), &directory))?;
    // With the command go our copies of the process's ends: only then can an end of file come.
    drop(command);
    started(child, connected).map_err(|error| no_pipes(&error))
}

/// Variables that the client named, the terminal's, the folder's, and last - since nobody may
/// replace them - the marks.
fn set_environment(
    command: &mut Command,
    start: &Start,
    directory: &Path,
    pair: Option<&Pair>,
) -> Result<(), SpawnError> {
    for name in STALE_VARIABLES {
        command.env_remove(name);
    }
    command.env("PWD", directory);
    for (name, value) in &start.environment {
        command.env(variable_name(name)?, OsStr::from_bytes(value));
    }
    if let Some((terminal, pair)) = start.terminal.as_ref().zip(pair) {
        command.env("TERM", &terminal.term).env("SSH_TTY", &pair.path);
    }
    command.envs(start.mark.variables());
    Ok(())
}

fn variable_name(name: &[u8]) -> Result<&OsStr, SpawnError> {
    if name.is_empty() || name.contains(&b'=') {
        let message = format!("{:?} names no variable", String::from_utf8_lossy(name));
        return Err(SpawnError::new(SpawnErrorKind::Other, &message));
    }
    Ok(OsStr::from_bytes(name))
}

/// Connects the command to the terminal, whose master side it returns, or to pipes.
fn connect(command: &mut Command, pair: Option<Pair>) -> io::Result<Option<OwnedFd>> {
    let Some(Pair { master, slave, .. }) = pair else {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        return Ok(None);
    };
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    Ok(Some(master))
}

fn started(mut child: Child, master: Option<OwnedFd>) -> io::Result<Started> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidData)?;
    let io = match (master, child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(master), ..) => Io::Terminal { master: non_blocking(master)? },
        (None, Some(stdin), Some(stdout), Some(stderr)) => Io::Pipes {
            stdin: non_blocking(stdin.into())?,
            stdout: non_blocking(stdout.into())?,
            stderr: non_blocking(stderr.into())?,
        },
        _ => return Err(io::ErrorKind::InvalidData.into()),
    };
    Ok(Started { pid, io })
}

fn non_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(fd.as_fd(), true)?;
    Ok(fd)
}

fn no_terminal(error: &io::Error) -> SpawnError {
    let message = format!("this host gives no terminal: {error}");
    SpawnError::new(SpawnErrorKind::Other, &message)
}

fn no_pipes(error: &io::Error) -> SpawnError {
    let message = format!("the process cannot be connected: {error}");
    SpawnError::new(SpawnErrorKind::Other, &message)
}

/// Takes the marks of an outer session away from a program that is to live on its own.
fn remove_marks(command: &mut Command) {
    for name in marks::VARIABLES {
        command.env_remove(name);
    }
}

/// The words of a command in a line that a person can read.
pub fn summary(command: &spec::Command) -> String {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = match command {
        spec::Command::LoginShell => String::from("login shell"),
        spec::Command::Shell(line) => words(line),
        spec::Command::Exec(all) => {
            all.iter().map(|word| words(word)).collect::<Vec<_>>().join(" ")
        }
        spec::Command::Subsystem(name) => format!("subsystem {name}"),
    };
    rejoin_text::printable(&line, SUMMARY_MAX)
}

/// The longest summary, in bytes.
const SUMMARY_MAX: usize = 200;
