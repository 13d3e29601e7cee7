//! The arguments with which an ssh is started.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio::process::Command;

use super::builder::SshConnect;
use super::debug_log::{self, DebugLines};
use super::fd_pass;
use crate::link::connect::Attempt;

/// Before the user's options, because ssh uses the first value of an `-o` option.
const FORCED: &[&str] = &[
    // A command from the configuration would replace the server.
    "RemoteCommand=none",
    // It would read from and write to the link.
    "PermitLocalCommand=no",
    // A display lives as long as one connection, and xauth can hang. An explicit -X still counts.
    "ForwardX11=no",
];

/// The user's setting applies only to the first link: every link makes the forwards again, and the previous
/// link may still hold the port.
const ANYWAY: &str = "ExitOnForwardFailure=no";

/// After the user's options, because ssh uses the last of these flags, before any `-o` and configuration.
const FORCED_FLAGS: &[&str] = &[
    // A terminal changes bytes, and acts on some.
    "-T", "-e", "none",
    // A stale master would hang the link, and a shared one would end all links together.
    "-S", "none",
];

/// For a login of which only the steps matter.
const LEARNING: &[&str] = &[
    "LogLevel=DEBUG1",
    "FingerprintHash=sha256",
    // The current link holds the ports.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "Tunnel=no",
    // It would report host keys again.
    "UpdateHostKeys=no",
];

/// The same against flags of the user, because ssh uses the last flag.
const LEARNING_FLAGS: &[&str] = &["-a", "-x"];

/// The purpose of an ssh.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// A link, for which ssh makes the connection.
    Link(Attempt),
    /// A link, for which this `ProxyCommand` passes the connection.
    Waiting(&'a str),
    /// To print the configuration of a link.
    Configuration,
    /// To print the configuration for what the user has typed.
    Question,
    /// To log in and log the steps.
    Learning(&'a LearningLogin),
}

/// The settings of an ssh that logs in to learn a host.
pub(crate) struct LearningLogin {
    /// The command that gets the host's keys.
    pub(crate) known_hosts_command: &'static str,
    /// The types of user keys that may be used, as ssh names them.
    pub(crate) key_kinds: String,
    /// The socket of the agent that may sign.
    pub(crate) agent: Option<PathBuf>,
}

/// Append this to a command to keep its login shell running. A shell replaces itself with a lone command, and
/// then the server cannot see with which environment the shell was started. `exit` means the same to all
/// shells, except that csh loses the status of the command.
pub const THEN_EXIT: &str = "; exit";

impl SshConnect {
    /// An ssh that logs in without asking, and logs its steps to stderr.
    pub(crate) fn learning(&self, learning: &LearningLogin) -> Command {
        let mut command = self.program_with(self.arguments(Purpose::Learning(learning)));
        command.process_group(0).env("SSH_ASKPASS_REQUIRE", "never");
        command
    }

    /// The arguments of an ssh that waits for its connection. `None` if that is not possible.
    pub(crate) fn waiting_arguments(&self) -> Option<Vec<OsString>> {
        let proxy_command = self.fd_pass_command.as_deref()?;
        let is_possible = fd_pass::is_possible(&self.program, &self.options);
        is_possible.then(|| self.arguments(Purpose::Waiting(proxy_command)))
    }

    pub(super) fn arguments(&self, purpose: Purpose<'_>) -> Vec<OsString> {
        if let Purpose::Question = purpose {
            return self.question();
        }
        let mut settings: Vec<String> = FORCED.iter().copied().map(str::to_owned).collect();
        if !matches!(purpose, Purpose::Link(Attempt::First)) {
            let seconds = self.connect_timeout.as_secs().max(1);
            settings.push("BatchMode=yes".to_owned());
            settings.push(format!("ConnectTimeout={seconds}"));
            settings.push("ConnectionAttempts=1".to_owned());
        }
        settings.extend(self.config_query.overridden().iter().copied().map(str::to_owned));
        if !matches!(purpose, Purpose::Link(Attempt::First)) || !self.config_query.is_first() {
            settings.push(ANYWAY.to_owned());
        }
        let attempt = match purpose {
            Purpose::Link(attempt) => Some(attempt),
            Purpose::Waiting(_) => Some(Attempt::Reconnect),
            Purpose::Configuration | Purpose::Question | Purpose::Learning(_) => None,
        };
        if attempt.is_some_and(|attempt| self.debug_lines(attempt) == DebugLines::Hidden) {
            settings.push(debug_log::SETTING.to_owned());
        }
        if let Purpose::Waiting(proxy_command) = purpose {
            settings.push(format!("ProxyCommand={proxy_command}"));
            settings.push("ProxyUseFdpass=yes".to_owned());
        }
        if let Purpose::Learning(LearningLogin { known_hosts_command, key_kinds, agent }) = purpose
        {
            settings.push(format!("KnownHostsCommand={known_hosts_command}"));
            settings.push(format!("PubkeyAcceptedAlgorithms={key_kinds}"));
            let agent = agent.as_ref().map_or("none".into(), |agent| agent.to_string_lossy());
            settings.push(format!("IdentityAgent={agent}"));
            settings.extend(LEARNING.iter().copied().map(str::to_owned));
        }
        let telling: &[_] =
            if matches!(purpose, Purpose::Configuration) { &["-vvv", "-G"] } else { &[] };
        let is_learning = matches!(purpose, Purpose::Learning(_));
        let run = if is_learning { "true".into() } else { self.command.clone() };
        let more = if is_learning { LEARNING_FLAGS } else { &[] };
        let settings = settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]);
        settings
            .chain(self.options.iter().cloned())
            .chain(FORCED_FLAGS.iter().chain(more).map(OsString::from))
            .chain(telling.iter().map(OsString::from))
            // From here on ssh looks for no options, whatever the command begins with.
            .chain(["--".into(), self.destination.clone(), run])
            .collect()
    }

    fn question(&self) -> Vec<OsString> {
        let (options, command) = match &self.config_query.words {
            Some((options, command)) => (options, &command[..]),
            None => (&self.options, &[][..]),
        };
        let asking = ["-vvv", "-G", "--"].map(OsString::from);
        let words = options.iter().cloned().chain(asking).chain([self.destination.clone()]);
        words.chain(command.iter().cloned()).collect()
    }
}
