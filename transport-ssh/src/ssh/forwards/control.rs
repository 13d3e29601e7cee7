//! Requests a forward from a running ssh.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::spec::MuxRequest;
use crate::ssh::socket_folder::SocketFolder;

/// How long an answer may take: the host is asked, too.
const PATIENCE: Duration = Duration::from_secs(30);

fn link_socket(first: &Path, last: &Path) -> io::Result<()> {
    UnixListener::bind(first)?;
    fs::hard_link(first, last)
}

/// The control socket of one ssh. It is removed when this is dropped.
pub(crate) struct ControlSocket(SocketFolder);

impl ControlSocket {
    /// Makes a folder for the socket, and tests it.
    ///
    /// # Errors
    /// There is no place where a socket can be made and linked, as ssh does it. That would end ssh.
    pub(crate) fn make() -> io::Result<Self> {
        let folder = SocketFolder::make("fwd")?;
        let first = folder.socket().with_extension("first");
        let tried = link_socket(&first, folder.socket());
        let _ = (fs::remove_file(&first), fs::remove_file(folder.socket()));
        tried.map(|()| Self(folder))
    }

    /// The options that make an ssh listen there, before and after all other options. Nobody else knows the
    /// socket, and the master ends with its own session.
    pub(crate) fn options(&self) -> ([&'static str; 2], [OsString; 2]) {
        let settings = ["ControlMaster=yes", "ControlPersist=no"];
        (settings, ["-S".into(), self.0.socket().into()])
    }

    /// Asks the ssh that listens there, through another one that `ssh` makes with these arguments. Whether it has done what it was asked for.
    pub(crate) async fn ask(
        &self,
        ssh: impl FnOnce(Vec<OsString>) -> Command,
        request: &MuxRequest,
    ) -> bool {
        // Without the user's configuration: nothing in it (`Match exec`) runs a second time.
        let mut arguments: Vec<OsString> = ["-F", "none", "-S"].map(OsString::from).into();
        arguments.push(self.0.socket().into());
        let setting = request.setting.as_str();
        arguments.extend(["-O", request.command, "-o", setting].map(OsString::from));
        let mut command = ssh(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = timeout(PATIENCE, command.status()).await;
        let is_granted = matches!(status, Ok(Ok(status)) if status.success());
        tracing::debug!(command = request.command, setting, is_granted, "asked ssh");
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_tried_out_is_empty() {
        let control = ControlSocket::make().unwrap();
        let folder = control.0.socket().parent().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }

    #[test]
    fn rejects_a_file_system_without_sockets() {
        // No socket can be there, and nothing can be linked to it.
        assert!(link_socket("/proc/self/fwd.first".as_ref(), "/proc/self/fwd".as_ref()).is_err());
    }
}
