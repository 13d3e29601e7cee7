//! The environment that the SSH server gave to this login, before the login shell read any file.
//!
//! The command that clients send ends with [`END`]. So the login shell waits for this program, and
//! does not become it. The kernel still shows the environment that the shell was started with. It
//! lacks what the shell's start-up files export. That is intended: a session's shell reads these
//! files itself, and exported variables could make it skip parts of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use rustix::process::{geteuid, getppid};

use crate::procfs::Reading;

/// The end of a command that makes the login shell wait for it. Every shell supports it, and all
/// but csh then exit with the status of the program.
const END: &[u8] = b"; exit";

/// The prefix of rejoin's own variables. They may be set anywhere.
const OWN: &[u8] = b"REJOIN_";

type Environment = Vec<(OsString, OsString)>;

/// The environment of the login, if this program's parent is a login shell that runs a client's
/// command. rejoin's own variables are taken from this program's environment.
pub(super) fn environment() -> Option<Environment> {
    let given = of_shell()?.into_iter().filter(|(name, _)| !is_own(name));
    let own = std::env::vars_os().filter(|(name, _)| is_own(name));
    Some(given.chain(own).collect())
}

fn is_own(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OWN)
}

fn of_shell() -> Option<Environment> {
    let parent = getppid()?;
    let pid = parent.as_raw_nonzero().get();
    let folder = format!("/proc/{pid}");
    if fs::metadata(&folder).ok()?.uid() != geteuid().as_raw() {
        return None;
    }
    if !waits_for_command(&fs::read(format!("{folder}/cmdline")).ok()?) {
        return None;
    }
    let Reading::Whole(environment) = Reading::of(pid) else { return None };
    // If the parent has ended meanwhile, its pid may belong to another process.
    (getppid() == Some(parent)).then(|| parse(&environment))
}

/// Whether this is the command line of a shell with a client's command: `bash -c 'COMMAND; exit'`.
/// A forced command that evaluates the client's command has another command line; its environment
/// is not used.
fn waits_for_command(command_line: &[u8]) -> bool {
    let Some(command_line) = command_line.strip_suffix(b"\0") else { return false };
    let mut words = command_line.rsplit(|byte| *byte == 0);
    let (command, option) = (words.next(), words.next());
    option == Some(b"-c") && command.is_some_and(|command| command.ends_with(END))
}

fn parse(environment: &[u8]) -> Environment {
    let variables = environment.split(|byte| *byte == 0).filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
        let [name, value] = [&variable[..at], &variable[at + 1..]].map(OsStr::from_bytes);
        Some((name.to_owned(), value.to_owned()))
    });
    variables.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_a_shell_that_waits_for_a_clients_command() {
        for waits in [
            &b"bash\0-c\0rejoin-server attach; exit\0"[..],
            b"busybox\0sh\0-c\0/bin/sh -c 'exec x'; exit\0",
        ] {
            assert!(waits_for_command(waits), "{}", String::from_utf8_lossy(waits));
        }
        for other in [
            &b""[..],
            b"sshd: u@notty\0",
            b"bash\0-c\0rejoin-server attach\0",
            b"bash\0-c\0rejoin-server attach; exit",
            b"bash\0script\0rejoin-server attach; exit\0",
            b"bash\0-c\0eval $SSH_ORIGINAL_COMMAND\0",
            b"-c\0",
        ] {
            assert!(!waits_for_command(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn parses_the_kernels_environment_block() {
        let read = parse(b"A=1\0B=x=\ny\0EMPTY=\0no variable\0=odd\0\xff=\xfe\0");
        let expected: [(&[u8], &[u8]); 4] =
            [(b"A", b"1"), (b"B", b"x=\ny"), (b"EMPTY", b""), (b"\xff", b"\xfe")];
        let expected = expected.map(|(name, value)| {
            (OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned())
        });
        assert_eq!(read, expected);
    }
}
