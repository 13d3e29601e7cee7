//! What the user's configuration says, which ssh is asked once, beside the first connection.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::link::error::LinkError;
use crate::ssh::resolve::{Resolved, Unresolved};

/// How long ssh may take to answer. The ssh that connects meanwhile waits for the same things: a
/// `Match exec`, a name server.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settings that make something other than a link of an ssh, and what overrides them. Older versions of
/// ssh know neither the setting nor its override, so an override is used only where ssh names the setting.
const OVERRIDES: &[(&str, &str)] = &[
    // The link is ssh's stdin.
    ("stdinnull", "StdinNull=no"),
    // The link ends with the process that was started.
    ("forkafterauthentication", "ForkAfterAuthentication=no"),
    // It has to run a command.
    ("sessiontype", "SessionType=default"),
];

/// What ssh is asked, and what it answered. All clones of a connector share it.
#[derive(Default)]
pub(crate) struct Asked {
    /// The user's own options and command, if they are others than those of the link.
    pub(crate) words: Option<(Vec<OsString>, Vec<OsString>)>,
    answer: OnceCell<Result<Resolved, Unresolved>>,
    overridden: OnceLock<Vec<&'static str>>,
    has_been_up: AtomicBool,
}

impl Asked {
    /// One that asks with these options and this command.
    pub(crate) fn with(options: Vec<OsString>, command: Vec<OsString>) -> Self {
        Self { words: Some((options, command)), ..Self::default() }
    }

    /// The same question, asked anew.
    pub(crate) fn anew(&self) -> Self {
        Self { words: self.words.clone(), ..Self::default() }
    }

    /// The answer, which is waited for if there is none yet.
    pub(crate) async fn answer(
        &self,
        program: &OsString,
        arguments: impl FnOnce() -> Vec<OsString>,
        environment: &[(OsString, OsString)],
    ) -> &Result<Resolved, Unresolved> {
        let ask = || async {
            let arguments = arguments();
            let asked = Resolved::ask(program, &arguments, environment, PATIENCE);
            asked.await.inspect_err(|error| tracing::debug!(?error, "ssh has not told"))
        };
        self.answer.get_or_init(ask).await
    }

    /// The configuration, if ssh has told it.
    pub(crate) fn told(&self) -> Option<&Resolved> {
        self.answer.get()?.as_ref().ok()
    }

    /// Whether something may have to be overridden for a link. Where the user has typed it (`-n`, `-s`), the
    /// link is not given it, but the configuration may say the same.
    pub(crate) fn is_to_be_overridden(&self) -> bool {
        self.told().is_some_and(|told| overrides(told).next().is_some())
    }

    /// Whether a link is started with other options than those that ssh has answered for.
    pub(crate) fn is_of_others(&self) -> bool {
        self.words.is_some()
    }

    /// Whether it is known what has to be overridden.
    pub(crate) fn is_settled(&self) -> bool {
        self.overridden.get().is_some()
    }

    /// Notes what has to be overridden for links, of which this is the configuration.
    pub(crate) fn settle(&self, link: Option<&Resolved>) {
        let found = link.or_else(|| self.told()).into_iter().flat_map(overrides);
        let _ = self.overridden.set(found.collect());
    }

    /// What has to be overridden for a link, as far as that is known.
    pub(crate) fn overridden(&self) -> &[&'static str] {
        self.overridden.get().map_or(&[], Vec::as_slice)
    }

    /// Notes that a link was up.
    pub(crate) fn was_up(&self) {
        self.has_been_up.store(true, Ordering::Relaxed);
    }

    /// Whether no link was up yet.
    pub(crate) fn is_first(&self) -> bool {
        !self.has_been_up.load(Ordering::Relaxed)
    }
}

fn overrides(told: &Resolved) -> impl Iterator<Item = &'static str> {
    let is_needed =
        |key: &str| told.get(key).is_some_and(|value| !matches!(value, "no" | "false" | "default"));
    OVERRIDES.iter().filter(move |(key, _)| is_needed(key)).map(|(_, setting)| *setting)
}

/// A text in which ssh has replaced the tokens, with the help of a setting that it expands.
///
/// `%T`, which it knows in `LocalCommand` only, has to be replaced before.
pub(crate) async fn expanded(
    program: &OsString,
    destination: &OsString,
    resolved: &Resolved,
    text: &str,
    environment: &[(OsString, OsString)],
) -> Result<String, Unresolved> {
    // No configuration is read, so that nothing of it is run (`Match exec`) for this.
    let mut arguments: Vec<OsString> = ["-F", "none"].map(OsString::from).into();
    let kept = ["hostname", "port", "user", "hostkeyalias", "proxyjump"];
    let kept = kept.iter().filter_map(|key| Some(format!("{key}={}", resolved.get(key)?)));
    let settings = kept.chain([format!("RemoteCommand={text}")]);
    arguments.extend(settings.flat_map(|setting| ["-o".into(), setting.into()]));
    arguments.extend(["-vvv".into(), "-G".into(), "--".into(), destination.clone()]);
    let told = Resolved::ask(program, &arguments, environment, PATIENCE).await?;
    let unclear = || Unresolved::Unclear(LinkError::unclear("it expands no tokens"));
    told.get("remotecommand").map(str::to_owned).ok_or_else(unclear)
}
