//! Translates a client's request into a program with arguments, and system errors into messages.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_protocol::{SpawnError, SpawnErrorKind, spec};
use rustix::fs::{Access, access};

const FALLBACK_SHELL: &str = "/bin/sh";

/// The usual paths of the sftp server.
const SFTP_SERVERS: [&str; 8] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/lib64/ssh/sftp-server",
    "/usr/lib/misc/sftp-server",
    "/usr/lib/sftp-server",
    "/run/current-system/sw/libexec/sftp-server",
];

/// The program that `wanted` means, with its arguments.
pub(super) fn program(wanted: &spec::Command) -> Result<Command, SpawnError> {
    match wanted {
        spec::Command::LoginShell => Ok(login_shell()),
        spec::Command::Shell(words) => Ok(shell_with(words)),
        spec::Command::Exec(words) => exec(words),
        spec::Command::Subsystem(name) => subsystem(name),
    }
}

/// The user's shell, from the login's environment. The user database is not read: a statically
/// linked program cannot read it if users come from a network service.
fn shell() -> OsString {
    std::env::var_os("SHELL")
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| FALLBACK_SHELL.into())
}

fn file_name(program: &OsStr) -> &OsStr {
    Path::new(program).file_name().unwrap_or(program)
}

/// A dash in front of its name makes a shell a login shell.
fn login_shell() -> Command {
    let shell = shell();
    let mut name = OsString::from("-");
    name.push(file_name(&shell));
    let mut command = Command::new(&shell);
    command.arg0(name);
    command
}

fn shell_with(words: &[u8]) -> Command {
    let shell = shell();
    let mut command = Command::new(&shell);
    command.arg0(file_name(&shell)).arg("-c").arg(OsStr::from_bytes(words));
    command
}

fn exec(words: &[Vec<u8>]) -> Result<Command, SpawnError> {
    let Some((program, arguments)) = words.split_first().filter(|(name, _)| !name.is_empty())
    else {
        return Err(SpawnError::new(SpawnErrorKind::NotFound, "no program is named"));
    };
    let mut command = Command::new(OsStr::from_bytes(program));
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    Ok(command)
}

fn subsystem(name: &str) -> Result<Command, SpawnError> {
    let missing = |message: String| SpawnError::new(SpawnErrorKind::NotFound, &message);
    if name != "sftp" {
        return Err(missing(format!("this host knows no subsystem {name}, only sftp")));
    }
    let found = SFTP_SERVERS.iter().find(|path| access(**path, Access::EXEC_OK).is_ok());
    let path = found.ok_or_else(|| missing("this host has no sftp-server program".into()))?;
    Ok(Command::new(path))
}

/// The folder to start in: `wanted`, relative to the home folder; otherwise the home folder if it
/// exists; otherwise the root.
pub(super) fn directory(wanted: Option<&[u8]>) -> Result<PathBuf, SpawnError> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| can_enter(home).is_ok());
    let home = home.unwrap_or_else(|| PathBuf::from("/"));
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else { return Ok(home) };
    let directory = home.join(OsString::from_vec(wanted.to_vec()));
    can_enter(&directory).map(|()| directory.clone()).map_err(|error| {
        let message = format!("cannot start in the folder {}: {error}", directory.display());
        SpawnError::new(SpawnErrorKind::BadDirectory, &message)
    })
}

/// Checked before the start, because the error of a failed start does not say whether the folder or
/// the program is missing.
fn can_enter(directory: &Path) -> io::Result<()> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(directory, Access::EXEC_OK)?)
}

/// Why `program` did not start in `directory`.
pub(super) fn explain(error: &io::Error, program: &OsStr, directory: &Path) -> SpawnError {
    let name = Path::new(program).display();
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound if is_path_to_file(program, directory) => {
            (SpawnErrorKind::NotFound, format!("{name} needs an interpreter that is not there"))
        }
        io::ErrorKind::NotFound => (SpawnErrorKind::NotFound, format!("{name}: no such program")),
        io::ErrorKind::PermissionDenied => {
            (SpawnErrorKind::PermissionDenied, format!("{name} may not be executed"))
        }
        io::ErrorKind::ArgumentListTooLong => (
            SpawnErrorKind::Other,
            "the command line is too long for this host (one argument may have 128 KiB)".into(),
        ),
        _ if error.raw_os_error() == Some(libc::ENOEXEC) => {
            (SpawnErrorKind::Other, format!("{name} is no program for this machine"))
        }
        _ => (SpawnErrorKind::Other, format!("{name} cannot be started: {error}")),
    };
    SpawnError::new(kind, &message)
}

fn is_path_to_file(program: &OsStr, directory: &Path) -> bool {
    program.as_bytes().contains(&b'/') && directory.join(program).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let program = std::iter::once(command.get_program());
        program.chain(command.get_args()).map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn passes_the_words_of_a_program_unchanged() {
        let wanted = spec::Command::Exec(vec![b"echo".to_vec(), b"a b".to_vec()]);
        assert_eq!(words(&program(&wanted).unwrap()), ["echo", "a b"]);
    }

    #[test]
    fn no_program_and_an_unknown_subsystem_are_not_found() {
        let nameless = spec::Command::Exec(vec![Vec::new()]);
        for wanted in [spec::Command::Exec(vec![]), nameless, spec::Command::Subsystem("x".into())]
        {
            assert_eq!(program(&wanted).unwrap_err().kind, SpawnErrorKind::NotFound);
        }
    }

    #[test]
    fn passes_a_shell_command_as_one_argument() {
        let wanted = spec::Command::Shell(b"echo $((1 + 1)) | cat".to_vec());
        assert_eq!(words(&program(&wanted).unwrap())[1..], ["-c", "echo $((1 + 1)) | cat"]);
    }

    #[test]
    fn refuses_to_start_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/does/not/exist")] {
            let error = directory(Some(path.as_os_str().as_bytes())).unwrap_err();
            assert_eq!(error.kind, SpawnErrorKind::BadDirectory, "{error}");
        }
        assert_eq!(directory(Some(b"/tmp")).unwrap(), Path::new("/tmp"));
    }
}
