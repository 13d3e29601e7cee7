//! The user's configuration, which is read once, while the first connection starts.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::link::error::LinkError;
use crate::ssh::resolve::{SshConfig, SshConfigError};

/// How long ssh may take to answer. The ssh that connects at the same time also waits for a `Match exec` or a
/// name server.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settings that break a link, and their overrides. Older versions of ssh know neither, so an override is used
/// only if ssh prints the setting.
const OVERRIDES: &[(&str, &str)] = &[
    // The link is ssh's stdin.
    ("stdinnull", "StdinNull=no"),
    // The link ends with the process that was started.
    ("forkafterauthentication", "ForkAfterAuthentication=no"),
    // It has to run a command.
    ("sessiontype", "SessionType=default"),
];

/// The query and its answer. All clones of a connector share it.
#[derive(Default)]
pub(crate) struct ConfigQuery {
    /// The user's options and command, if they differ from those of the link.
    pub(crate) words: Option<(Vec<OsString>, Vec<OsString>)>,
    answer: OnceCell<Result<SshConfig, SshConfigError>>,
    overridden: OnceLock<Vec<&'static str>>,
    has_been_up: AtomicBool,
}

impl ConfigQuery {
    /// A query with these options and this command.
    pub(crate) fn with(options: Vec<OsString>, command: Vec<OsString>) -> Self {
        Self { words: Some((options, command)), ..Self::default() }
    }

    /// The same query without an answer.
    pub(crate) fn reset(&self) -> Self {
        Self { words: self.words.clone(), ..Self::default() }
    }

    /// Waits for the answer.
    pub(crate) async fn answer(
        &self,
        program: &OsString,
        arguments: impl FnOnce() -> Vec<OsString>,
        environment: &[(OsString, OsString)],
    ) -> &Result<SshConfig, SshConfigError> {
        let ask = || async {
            let arguments = arguments();
            let asked = SshConfig::ask(program, &arguments, environment, PATIENCE);
            asked.await.inspect_err(|error| tracing::debug!(?error, "ssh has not told"))
        };
        self.answer.get_or_init(ask).await
    }

    /// The configuration, if it is known.
    pub(crate) fn told(&self) -> Option<&SshConfig> {
        self.answer.get()?.as_ref().ok()
    }

    /// Whether a link may need an override. Options that the user has typed (`-n`, `-s`) are not passed to the
    /// link, but the configuration may contain the same.
    pub(crate) fn is_to_be_overridden(&self) -> bool {
        self.told().is_some_and(|told| overrides(told).next().is_some())
    }

    /// Whether links use other options than the query.
    pub(crate) fn is_of_others(&self) -> bool {
        self.words.is_some()
    }

    /// Whether the overrides are known.
    pub(crate) fn is_settled(&self) -> bool {
        self.overridden.get().is_some()
    }

    /// Sets the overrides for links with this configuration.
    pub(crate) fn settle(&self, link: Option<&SshConfig>) {
        let found = link.or_else(|| self.told()).into_iter().flat_map(overrides);
        let _ = self.overridden.set(found.collect());
    }

    /// The overrides for a link, as far as they are known.
    pub(crate) fn overridden(&self) -> &[&'static str] {
        self.overridden.get().map_or(&[], Vec::as_slice)
    }

    /// Notes that a link has been up.
    pub(crate) fn was_up(&self) {
        self.has_been_up.store(true, Ordering::Relaxed);
    }

    /// Whether no link has been up yet.
    pub(crate) fn is_first(&self) -> bool {
        !self.has_been_up.load(Ordering::Relaxed)
    }
}

fn overrides(told: &SshConfig) -> impl Iterator<Item = &'static str> {
    let is_needed =
        |key: &str| told.get(key).is_some_and(|value| !matches!(value, "no" | "false" | "default"));
    OVERRIDES.iter().filter(move |(key, _)| is_needed(key)).map(|(_, setting)| *setting)
}

/// Expands the tokens of a text, with a setting that ssh prints expanded.
///
/// `%T`, which ssh knows only in `LocalCommand`, must be replaced before.
pub(crate) async fn expanded(
    program: &OsString,
    destination: &OsString,
    resolved: &SshConfig,
    text: &str,
    environment: &[(OsString, OsString)],
) -> Result<String, SshConfigError> {
    // No configuration is read, so that nothing of it is run (`Match exec`) for this.
    let mut arguments: Vec<OsString> = ["-F", "none"].map(OsString::from).into();
    let kept = ["hostname", "port", "user", "hostkeyalias", "proxyjump"];
    let kept = kept.iter().filter_map(|key| Some(format!("{key}={}", resolved.get(key)?)));
    let settings = kept.chain([format!("RemoteCommand={text}")]);
    arguments.extend(settings.flat_map(|setting| ["-o".into(), setting.into()]));
    arguments.extend(["-vvv".into(), "-G".into(), "--".into(), destination.clone()]);
    let told = SshConfig::ask(program, &arguments, environment, PATIENCE).await?;
    let unclear = || SshConfigError::Unclear(LinkError::unclear("ssh expands no tokens"));
    told.get("remotecommand").map(str::to_owned).ok_or_else(unclear)
}
