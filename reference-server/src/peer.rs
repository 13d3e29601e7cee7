//! The user at the other end of a Unix socket.
//!
//! The registry's folder is closed to other users. If somebody changes its mode, the socket still
//! serves only its owner.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

/// Refuses a peer process of another user.
///
/// # Errors
/// `PermissionDenied` with that user's id, or a system error.
pub(crate) fn require_own(socket: impl AsFd) -> io::Result<()> {
    let uid = socket_peercred(socket)?.uid;
    if uid == geteuid() {
        return Ok(());
    }
    let message = format!("the process at the other end is user {}'s", uid.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use super::*;

    const SOCKET: &str = "REJOIN_TEST_SOCKET";
    const NOBODY: u32 = 65534;

    /// Runs a test of this program as another user, with this variable.
    pub(crate) fn as_nobody(test: &str, variable: &str, value: &Path) -> Output {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let program = folder.path().join("tests");
        // A separate process copies it: a child that another thread starts meanwhile would inherit
        // the open copy.
        let copied =
            Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
        assert!(copied.unwrap().success());
        let mut command = Command::new(program);
        command.args(["--exact", test]).env(variable, value).current_dir("/");
        command.uid(NOBODY).gid(NOBODY).output().unwrap()
    }

    #[test]
    fn the_same_user_is_let_in() {
        let (here, _there) = UnixStream::pair().unwrap();
        require_own(&here).unwrap();
    }

    /// Run by [`another_user_is_refused`] as that user.
    #[test]
    fn connects_if_it_is_told_to() {
        let Some(path) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
        drop(UnixStream::connect(path).unwrap());
    }

    #[test]
    fn another_user_is_refused() {
        if !geteuid().is_root() {
            eprintln!("passed over: only root can act as another user");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let anybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(folder.path(), anybody.clone()).unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, anybody).unwrap();
        let connected = as_nobody("peer::tests::connects_if_it_is_told_to", SOCKET, &path);
        assert!(connected.status.success());
        let error = require_own(listener.accept().unwrap().0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("65534"), "{error}");
    }
}
