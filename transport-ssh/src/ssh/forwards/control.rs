//! How an ssh that runs is asked for a forward.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use super::Request;
use crate::ssh::SshConnect;
use crate::ssh::private_folder::Folder;

/// How long an answer may take: the host is asked, too.
const PATIENCE: Duration = Duration::from_secs(30);

fn link_socket(first: &Path, last: &Path) -> io::Result<()> {
    UnixListener::bind(first)?;
    fs::hard_link(first, last)
}

/// The control socket of one ssh. It is removed when this is dropped.
pub(crate) struct Control(Folder);

impl Control {
    /// Makes a place for the socket, and tries it out.
    ///
    /// # Errors
    /// There is no place where a socket can be made and linked, as ssh does it. That would end ssh.
    pub(crate) fn make() -> io::Result<Self> {
        let folder = Folder::make("fwd")?;
        let first = folder.socket().with_extension("first");
        let tried = link_socket(&first, folder.socket());
        let _ = (fs::remove_file(&first), fs::remove_file(folder.socket()));
        tried.map(|()| Self(folder))
    }

    /// What has an ssh listen there, in front of all other options and behind them. Nobody else knows the
    /// socket, and the master ends with its own session.
    pub(crate) fn options(&self) -> ([&'static str; 2], [OsString; 2]) {
        let settings = ["ControlMaster=yes", "ControlPersist=no"];
        (settings, ["-S".into(), self.0.socket().into()])
    }

    /// Asks the ssh that listens there. Whether it has done what it was asked for.
    pub(super) async fn ask(&self, ssh: &SshConnect, request: &Request) -> bool {
        // Nothing of the user's configuration is asked for a second time, or run (`Match exec`).
        let mut arguments: Vec<OsString> = ["-F", "none", "-S"].map(OsString::from).into();
        arguments.push(self.0.socket().into());
        let setting = request.setting.as_str();
        arguments.extend(["-O", request.command, "-o", setting].map(OsString::from));
        let mut command = ssh.asking(arguments);
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
        let control = Control::make().unwrap();
        let folder = control.0.socket().parent().unwrap();
        assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    }

    #[test]
    fn a_place_for_files_only_is_none() {
        // No socket can be there, and nothing can be linked to it.
        assert!(link_socket("/proc/self/fwd.first".as_ref(), "/proc/self/fwd".as_ref()).is_err());
    }
}
