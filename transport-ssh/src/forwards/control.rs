//! How an ssh that runs is asked for a forward.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use super::Request;
use crate::folder::Folder;
use crate::ssh::SshConnect;

/// How long an answer may take: the host is asked, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// The control socket of one ssh. It is removed when this is dropped.
pub(crate) struct Control(Folder);

impl Control {
    /// Makes a place for the socket.
    pub(crate) fn make() -> io::Result<Self> {
        Folder::make("fwd").map(Self)
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
