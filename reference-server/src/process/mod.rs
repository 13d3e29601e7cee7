//! Starting the user's process, and the server that keeps it.

mod child;
mod ends;
mod login;
mod logout;
mod program;
mod server;
mod terminal;
mod watch;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use rejoin_protocol::spec::Terminal;
use rejoin_protocol::{SpawnError, SpawnErrorKind, spec};
use rustix::fs::Mode;
use rustix::process::Pid;

use crate::marks::{self, Mark};
use child::Setup;
use ends::Ends;

pub use logout::Logout;
pub(crate) use logout::Persistence;
pub use server::{Inherited, Program, become_server, start_server, stderr_to};
pub use terminal::{redraw, set_window, signal_foreground};
pub(crate) use watch::watch;

/// Variables that describe other connections and folders, and would mislead the process.
const STALE_VARIABLES: [&str; 3] = ["SSH_TTY", "OLDPWD", "PWD"];

/// What to start, and for which session.
#[derive(Clone, Debug)]
pub struct Start {
    /// What to run.
    pub command: spec::Command,
    /// The folder to start in; the home folder if `None`.
    pub directory: Option<Vec<u8>>,
    /// Variables added to the environment of the server.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// The terminal; three pipes if `None`.
    pub terminal: Option<Terminal>,
    /// The marks that identify the process and its children.
    pub mark: Mark,
    /// The user's own file mode creation mask, from [`Inherited`].
    pub umask: u32,
}

/// A process that runs its program. It leads a session and a process group of its own, and the
/// kernel kills it when the server dies.
///
/// The caller has to reap it ([`crate::termination::reap_children`]).
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub pid: Pid,
    /// The server's ends of its input and output.
    pub io: Io,
}

/// The server's ends of a process's input and output: non-blocking, and closed at exec.
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
/// Call it from the server's main thread: the kernel kills the process when the *thread* that
/// started it ends. No other thread may wait for children meanwhile.
pub fn spawn(start: &Start) -> Result<Started, SpawnError> {
    let directory = program::directory(start.directory.as_deref())?;
    let ends = match &start.terminal {
        Some(terminal) => Ends::terminal(terminal).map_err(|error| no_terminal(&error))?,
        None => Ends::pipes().map_err(|error| no_pipes(&error))?,
    };
    let mut command = program::program(&start.command)?;
    set_environment(&mut command, start, &directory, &ends)?;
    command.current_dir(&directory);
    Setup::Process {
        parent: rustix::process::getpid(),
        has_terminal: start.terminal.is_some(),
        umask: Mode::from_raw_mode(start.umask),
    }
    .attach_to(&mut command);
    let io = ends.connect(&mut command).map_err(|error| no_pipes(&error))?;
    let child = command.spawn();
    let child =
        child.map_err(|error| program::explain(&error, command.get_program(), &directory))?;
    // Dropping the command closes the server's copies of the process's ends. Otherwise no end of
    // file would arrive.
    drop(command);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| no_pipes(&io::ErrorKind::InvalidData.into()))?;
    Ok(Started { pid, io })
}

/// Sets the client's variables, the terminal's, the folder's, and at last the marks, which nothing
/// may replace.
fn set_environment(
    command: &mut Command,
    start: &Start,
    directory: &Path,
    ends: &Ends,
) -> Result<(), SpawnError> {
    for name in STALE_VARIABLES {
        command.env_remove(name);
    }
    command.env("PWD", directory);
    for (name, value) in &start.environment {
        command.env(variable_name(name)?, OsStr::from_bytes(value));
    }
    if let (Some(terminal), Ends::Terminal(pair)) = (&start.terminal, ends) {
        command.env("TERM", &terminal.term).env("SSH_TTY", &pair.path);
    }
    let names = ends.names().map_err(|error| no_pipes(&error))?;
    command.envs(start.mark.variables()).envs([marks::ends_variable(&names)]);
    Ok(())
}

fn variable_name(name: &[u8]) -> Result<&OsStr, SpawnError> {
    if name.is_empty() || name.contains(&b'=') {
        let message = format!("{:?} names no variable", String::from_utf8_lossy(name));
        return Err(SpawnError::new(SpawnErrorKind::Other, &message));
    }
    Ok(OsStr::from_bytes(name))
}

fn no_terminal(error: &io::Error) -> SpawnError {
    let message = format!("this host gives no terminal: {error}");
    SpawnError::new(SpawnErrorKind::Other, &message)
}

fn no_pipes(error: &io::Error) -> SpawnError {
    let message = format!("the process cannot be connected: {error}");
    SpawnError::new(SpawnErrorKind::Other, &message)
}

/// Removes the marks of an outer session from a program's environment.
fn remove_marks(command: &mut Command) {
    for name in marks::VARIABLES {
        command.env_remove(name);
    }
}

/// The words of a command as one readable line.
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

/// The maximum length of a summary, in bytes.
const SUMMARY_MAX: usize = 200;
