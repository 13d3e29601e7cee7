//! Going to the background once the process runs, as `ssh -f` does.
//!
//! ssh forks for it. rejoin has threads by then, so it starts itself again beforehand: the second one does
//! everything, in the foreground as long as it may have to ask something, and the first one waits for it to say
//! that the process runs, and ends.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use crate::ending::Ending;

/// The word by which this program is the second one.
pub(crate) const WORD: &str = "__background";

/// The second one's way to tell the first.
#[derive(Debug)]
pub(crate) struct Background(UnixStream);

impl Background {
    /// Takes the way from stdin, which is empty from then on.
    pub(crate) fn of_stdin() -> std::io::Result<Self> {
        let way = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let nothing = OpenOptions::new().read(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nothing)?;
        Ok(Self(way.into()))
    }

    /// The process runs: the first one ends, and this one leaves its terminal.
    pub(crate) fn go(&self) {
        // Not of who leads a group, as a user may have started it; nor is the first one always still there.
        let _ = rustix::process::setsid();
        let _ = (&self.0).write_all(b"!");
    }
}

/// Runs `rejoin` with the words that this one was started with, until its process runs or it ends.
pub(crate) fn start(words: impl IntoIterator<Item = OsString>) -> Ending {
    let ran = spawn(words).and_then(|(mut way, mut child)| {
        let runs = way.read(&mut [0])? > 0;
        if runs { Ok(0) } else { child.wait().map(ExitStatusExt::into_raw) }
    });
    match ran.map(std::process::ExitStatus::from_raw) {
        Ok(status) => {
            let code = status.code().or_else(|| Some(128 + status.signal()?));
            Ending::silent(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
        }
        Err(error) => Ending::failed(format!("cannot start for the background: {error}")),
    }
}

fn spawn(words: impl IntoIterator<Item = OsString>) -> std::io::Result<(UnixStream, Child)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORD).args(words).stdin(Stdio::from(OwnedFd::from(theirs)));
    Ok((ours, command.spawn()?))
}
