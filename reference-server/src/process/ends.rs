//! Both ends of a process's input and output: the process's and the server's.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rejoin_protocol::spec::Terminal;
use rustix::pipe::{PipeFlags, pipe_with};

use super::Io;
use super::terminal::PtyPair;

/// Both ends of a process's input and output, before the process starts.
pub(super) enum Ends {
    Terminal(PtyPair),
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
        PtyPair::open(terminal).map(Self::Terminal)
    }

    pub(super) fn pipes() -> io::Result<Self> {
        Ok(Self::Pipes { stdin: Pipe::new()?, stdout: Pipe::new()?, stderr: Pipe::new()? })
    }

    /// The names of the ends in `/proc`, the same in every process that has one open.
    pub(super) fn names(&self) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::Terminal(pair) => Ok(vec![pair.path.clone()]),
            Self::Pipes { stdin, stdout, stderr } => {
                let all = [stdin, stdout, stderr].map(|pipe| pipe.reader.as_raw_fd());
                all.iter().map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}"))).collect()
            }
        }
    }

    /// Connects the process's ends to `command`, and returns the server's.
    pub(super) fn connect(self, command: &mut Command) -> io::Result<Io> {
        match self {
            Self::Terminal(PtyPair { master, slave, .. }) => {
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
