//! Programs that a test makes.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a program of these bytes, which can be run at once.
///
/// A process of its own writes it. Where a thread of the test did, a process that another thread starts at
/// that moment would have the file open for writing, too, and for as long nobody could run it (`ETXTBSY`).
pub fn make_program(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writing = command.spawn()?;
    let written = writing.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(bytes.as_ref()));
    let status = writing.wait()?;
    written?;
    if !status.success() {
        return Err(io::Error::other(format!("{}: {status}", path.display())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_program_runs_at_once_while_other_threads_start_processes() {
        let folder = tempfile::tempdir().unwrap();
        let make_and_run = |number: usize| {
            for round in 0..100 {
                let path = folder.path().join(format!("{number}-{round}"));
                make_program(&path, "#!/bin/sh\nexit 7\n").unwrap();
                let status = Command::new(&path).status();
                assert_eq!(status.unwrap().code(), Some(7));
            }
        };
        thread::scope(|scope| {
            (0..4).for_each(|number| drop(scope.spawn(move || make_and_run(number))));
        });
    }
}
