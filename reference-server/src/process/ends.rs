//! The ends of a process's input and output: its own, and ours.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rejoin_protocol::spec::Terminal;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Io;
use super::terminal::Pair;

/// Both ends of all that a process reads and writes, before it is started.
pub(super) enum Ends {
    Terminal(Pair),
    Pipes { stdin: Pipe, stdout: Pipe, stderr: Pipe },
}

/// A pipe, closed at exec.
pub(super) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { reader, writer })
    }
}

impl Ends {
    pub(super) fn terminal(terminal: &Terminal) -> io::Result<Self> {
        Pair::open(terminal).map(Self::Terminal)
    }

    pub(super) fn pipes() -> io::Result<Self> {
        Ok(Self::Pipes { stdin: Pipe::new()?, stdout: Pipe::new()?, stderr: Pipe::new()? })
    }

    /// What `/proc` calls them, in every process that has one open.
    pub(super) fn names(&self) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::Terminal(pair) => Ok(vec![pair.path.clone()]),
            Self::Pipes { stdin, stdout, stderr } => {
                let all = [stdin, stdout, stderr].map(|pipe| pipe.reader.as_raw_fd());
                all.iter().map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}"))).collect()
            }
        }
    }

    /// Gives the process its ends, and returns ours.
    pub(super) fn connect(self, command: &mut Command) -> io::Result<Io> {
        match self {
            Self::Terminal(Pair { master, slave, .. }) => {
                command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
                Ok(Io::Terminal { master: non_blocking(master)? })
            }
            Self::Pipes { stdin, stdout, stderr } => {
                command.stdin(Stdio::from(stdin.reader));
                command.stdout(Stdio::from(stdout.writer)).stderr(Stdio::from(stderr.writer));
                Ok(Io::Pipes {
                    stdin: non_blocking(stdin.writer)?,
                    stdout: non_blocking(stdout.reader)?,
                    stderr: non_blocking(stderr.reader)?,
                })
            }
        }
    }
}

fn non_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(fd.as_fd(), true)?;
    Ok(fd)
}
