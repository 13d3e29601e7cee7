//! How an ssh is started.

use std::ffi::OsString;
use std::sync::Arc;

use tokio::process::Command;

use super::builder::SshConnect;
use super::classify;
use super::debug_log::ProgressFilter;
use super::forwards::control::ControlSocket;
use super::forwards::state::ForwardMonitor;
use crate::link::child::ChildLaunch;
use crate::link::connect::Attempt;
use crate::link::stderr::{LineFilter, LineUse};

/// Sorts what an ssh says on its stderr: its steps, its forwards, and the rest.
pub(crate) struct SshStderrFilter {
    steps: ProgressFilter,
    forwards: ForwardMonitor,
}

impl SshStderrFilter {
    pub(crate) fn new(steps: ProgressFilter, forwards: ForwardMonitor) -> Self {
        Self { steps, forwards }
    }
}

impl LineFilter for SshStderrFilter {
    fn sort(&mut self, line: &str, bytes: &[u8]) -> LineUse {
        match self.steps.sort(line, bytes) {
            LineUse::Hidden => LineUse::Hidden,
            _ if self.forwards.keeps(line) => LineUse::Hidden,
            line_use => line_use,
        }
    }

    fn opened(&mut self) {
        self.forwards.opened();
    }
}

impl SshConnect {
    pub(crate) fn launch(&self, attempt: Attempt, arguments: Vec<OsString>) -> ChildLaunch {
        let control = self.control();
        let mut command = self.program_with(Self::controlled(arguments, control.as_deref()));
        let owns_group = attempt == Attempt::Reconnect;
        if owns_group {
            command.process_group(0);
            // Not even to say that a hardware key waits for a touch.
            command.env("SSH_ASKPASS_REQUIRE", "never");
        }
        let steps = ProgressFilter::new(self.debug_lines(attempt));
        let watch = (attempt == Attempt::First).then(|| self.login.clone().into_watch());
        ChildLaunch {
            command,
            attempt,
            owns_group,
            on_stderr: self.on_stderr.clone(),
            filter: Box::new(SshStderrFilter::new(steps, self.watch(control.as_ref()))),
            on_open: None,
            classify: classify::ssh,
            name: self.command_name.clone(),
            watch,
            resources: Some(Box::new(control)),
        }
    }

    pub(super) fn program_with(&self, arguments: Vec<OsString>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A place for the control socket of a link's ssh. None if the link forwards nothing, as far as that is
    /// known, or if there is no place.
    fn control(&self) -> Option<Arc<ControlSocket>> {
        let made = self.forwards_ports().then(ControlSocket::make)?;
        made.map(Arc::new).inspect_err(|error| tracing::debug!(%error, "no control socket")).ok()
    }

    /// The arguments with what has ssh listen on this socket.
    fn controlled(mut arguments: Vec<OsString>, control: Option<&ControlSocket>) -> Vec<OsString> {
        let Some(control) = control else { return arguments };
        let (settings, flags) = control.options();
        // In front of the three words that end them.
        let end = arguments.len().saturating_sub(3);
        arguments.splice(end..end, flags);
        let settings = settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]);
        settings.chain(arguments).collect()
    }

    fn watch(&self, control: Option<&Arc<ControlSocket>>) -> ForwardMonitor {
        ForwardMonitor::new(Arc::clone(&self.forwards), control)
    }

    /// An ssh that asks another one for something, with these arguments in front of the destination.
    pub(crate) fn asking(&self, mut arguments: Vec<OsString>) -> Command {
        arguments.extend(["--".into(), self.destination.clone()]);
        let mut command = self.program_with(arguments);
        command.process_group(0).kill_on_drop(true).env("SSH_ASKPASS_REQUIRE", "never");
        command
    }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
