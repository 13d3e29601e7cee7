//! How an ssh is started.

use std::ffi::OsString;
use std::sync::Arc;

use tokio::process::Command;

use super::SshConnect;
use crate::child::Launch;
use crate::forwards::{Control, Watch};
use crate::{Attempt, classify};

impl SshConnect {
    pub(crate) fn launch(&self, attempt: Attempt, arguments: Vec<OsString>) -> Launch {
        let control = self.control();
        let mut command = self.program_with(Self::controlled(arguments, control.as_deref()));
        let owns_group = attempt == Attempt::Reconnect;
        if owns_group {
            command.process_group(0);
            // Not even to say that a hardware key waits for a touch.
            command.env("SSH_ASKPASS_REQUIRE", "never");
        }
        let (on_stderr, details) = (self.on_stderr.clone(), self.details(attempt));
        let (on_open, judge) = (None, classify::ssh);
        let called = self.called.clone();
        let login = (attempt == Attempt::First).then(|| self.login.clone());
        let forwards = Some((self.watch(control.as_ref()), control));
        Launch {
            command,
            attempt,
            owns_group,
            on_stderr,
            details,
            on_open,
            judge,
            called,
            login,
            forwards,
        }
    }

    pub(super) fn program_with(&self, arguments: Vec<OsString>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A place for the control socket of a link's ssh. None if the link forwards nothing, as far as that is
    /// known, or if there is no place.
    fn control(&self) -> Option<Arc<Control>> {
        let made = self.forwards_ports().then(Control::make)?;
        made.map(Arc::new).inspect_err(|error| tracing::debug!(%error, "no control socket")).ok()
    }

    /// The arguments with what has ssh listen on this socket.
    fn controlled(mut arguments: Vec<OsString>, control: Option<&Control>) -> Vec<OsString> {
        let Some(control) = control else { return arguments };
        let (settings, flags) = control.options();
        // In front of the three words that end them.
        let end = arguments.len().saturating_sub(3);
        arguments.splice(end..end, flags);
        let settings = settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]);
        settings.chain(arguments).collect()
    }

    fn watch(&self, control: Option<&Arc<Control>>) -> Watch {
        Watch::new(Arc::clone(&self.forwards), control)
    }

    /// An ssh that asks another one for something, with these arguments in front of the destination.
    pub(crate) fn asking(&self, mut arguments: Vec<OsString>) -> Command {
        arguments.extend(["--".into(), self.destination.clone()]);
        let mut command = self.program_with(arguments);
        command.process_group(0).kill_on_drop(true).env("SSH_ASKPASS_REQUIRE", "never");
        command
    }
}
