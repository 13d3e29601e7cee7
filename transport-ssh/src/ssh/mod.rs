//! The system's own `ssh` as a link.

pub(crate) mod classify;
pub(crate) mod configuration;
mod connect;
pub(crate) mod details;
pub(crate) mod dial;
pub(crate) mod fd_pass;
pub(crate) mod forwards;
pub(crate) mod launch;
pub(crate) mod login;
pub(crate) mod prepared;
pub(crate) mod private_folder;
pub(crate) mod quick;
pub(crate) mod resolve;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::process::Command;

use crate::link::Link;
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::stderr::OnStderr;
use crate::{Attempt, BoxFuture};
use configuration::Asked;
use details::Details;
use forwards::Shared;
use login::LoginWatch;
use prepared::PreparedSsh;
use quick::QuickLinks;
use resolve::{Resolved, Unresolved};

/// In front of the user's options: of an `-o` option, ssh takes the first value that it sees.
const FORCED: &[&str] = &[
    // A command from the configuration would be another one than the server.
    "RemoteCommand=none",
    // It runs with the link as its stdin and stdout, and would eat and add bytes.
    "PermitLocalCommand=no",
    // A display lives as long as one connection, and xauth can hang. An explicit -X still counts.
    "ForwardX11=no",
];

/// Only for the first link, the user's own setting counts: forwardings are made again on every link, and the
/// port may still be held by the link before.
const ANYWAY: &str = "ExitOnForwardFailure=no";

/// Behind the user's options: of these flags, ssh takes the last, over any `-o` and configuration.
const FORCED_FLAGS: &[&str] = &[
    // A terminal changes bytes, and acts on some.
    "-T", "-e", "none",
    // A stale master hangs whoever joins it, and a shared one has the links die together.
    "-S", "none",
];

/// For a login whose steps are all that is wanted of it.
const LEARNING: &[&str] = &[
    "LogLevel=DEBUG1",
    "FingerprintHash=sha256",
    // Those of the link that is used have their ports.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "Tunnel=no",
    // It tells host keys over again.
    "UpdateHostKeys=no",
];

/// The same against flags of the user's, of which ssh takes the last.
const LEARNING_FLAGS: &[&str] = &["-a", "-x"];

/// Starts links over the exec channel of an `ssh` child process (OpenSSH 7.6 or newer).
///
/// The user's own configuration, agents, hardware keys, jump hosts and forwardings apply. What a link
/// cannot live with is overridden on both attempts: terminals, escape characters, `RemoteCommand`,
/// `LocalCommand`, `StdinNull`, `ForkAfterAuthentication`, `SessionType`, X11 forwarding from the
/// configuration (an explicit `-X` counts), failing forwardings from the second link on, and connection
/// sharing - each link owns its connection, for a fresh handshake costs
/// less than a stale `ControlMaster` that hangs it. `ServerAliveInterval`, `TCPKeepAlive` and
/// `LogLevel` are left to the user; whoever speaks over the link has a heartbeat of its own.
///
/// A link that forwards ports has a control socket that nobody else knows. [`Forwards`](crate::Forwards) makes a
/// forward over it that ssh could not make. The link ends as one without a socket does.
///
/// [`Attempt::First`] lets ssh ask on the terminal. For that its process has to be in the terminal's
/// foreground group, where a Ctrl-C that the terminal turns into a signal reaches it, too.
///
/// [`Attempt::Reconnect`] never asks (`BatchMode`, no `SSH_ASKPASS`), tries once with a bounded time to
/// reach the host and to agree on keys, and runs in a process group of its own, which the terminal's
/// signals do not reach, and which is ended as a whole. Host key checks stay as the user has set them;
/// `BatchMode` turns every question into a refusal. A jump host is reached by an ssh of its own, which
/// these options do not reach: should it want to ask, the time to reach the host ends the attempt.
///
/// With a [`hand_over_program`](Self::hand_over_program), a reconnect goes to the first of the host's
/// addresses that answers instead of trying one after the other, and can have its ssh started before it is
/// wanted ([`Connect::prepare`](crate::Connect::prepare)).
///
/// The options that make something other than an exec channel out of ssh (`-f -G -N -n -O -s -V -W`)
/// do not belong in [`options`](Self::options).
#[derive(Clone)]
pub struct SshConnect {
    program: OsString,
    destination: OsString,
    options: Vec<OsString>,
    command: OsString,
    called: Option<String>,
    login: LoginWatch,
    connect_timeout: Duration,
    on_stderr: Option<OnStderr>,
    timeline: fn(Attempt) -> bool,
    /// What a `ProxyCommand` has to say that gets a connection from here.
    hand_over: Option<String>,
    prepared_ssh: Arc<PreparedSsh>,
    pub(crate) quick: Option<Arc<dyn QuickLinks>>,
    asked: Arc<Asked>,
    environment: Vec<(OsString, OsString)>,
    forwards: Arc<Shared>,
    #[cfg(feature = "testing")]
    pub(crate) fixed: Vec<std::net::SocketAddr>,
}

/// What an ssh is started for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// A link, for which it connects by itself.
    Link(Attempt),
    /// A link, for which this `ProxyCommand` brings the connection.
    Waiting(&'a str),
    /// To tell the configuration of a link.
    Configuration,
    /// To tell the configuration that counts for what the user has typed.
    Question,
    /// To log in and tell how.
    Learning(&'a Learning),
}

/// How an ssh logs in from which a host is learnt.
pub(crate) struct Learning {
    /// It is told the host's keys.
    pub(crate) known_hosts_command: String,
    /// The kinds of user keys that may be used, as ssh names them.
    pub(crate) key_kinds: String,
    /// Where the agent listens that may sign.
    pub(crate) agent: Option<PathBuf>,
}

/// Stands behind a command that a login shell is to wait for. The shell would execute a lone command
/// in its own place, and the server could no longer see with which environment the shell was started.
/// `exit` means the same to all shells, except that csh forgets the status of what ran before.
pub const AND_WAIT: &str = "; exit";

impl SshConnect {
    /// Links to `destination` (as ssh understands it), over the streams of `command`, which the user's
    /// login shell runs there.
    pub fn new(destination: impl Into<OsString>, command: impl Into<OsString>) -> Self {
        Self {
            program: "ssh".into(),
            destination: destination.into(),
            options: Vec::new(),
            command: command.into(),
            called: None,
            login: LoginWatch { on_slow: None, patience: Duration::from_mins(1) },
            connect_timeout: Duration::from_secs(10),
            on_stderr: None,
            timeline: |_| false,
            hand_over: None,
            prepared_ssh: Arc::default(),
            quick: None,
            asked: Arc::default(),
            environment: Vec::new(),
            forwards: Arc::default(),
            #[cfg(feature = "testing")]
            fixed: Vec::new(),
        }
    }

    /// Another command than the one that it was made with.
    pub fn command(mut self, command: impl Into<OsString>) -> Self {
        self.command = command.into();
        self
    }

    /// What the command is called in messages, such as the path of its program. Without a name, it is the
    /// remote command.
    pub fn called(mut self, name: &str) -> Self {
        self.called = Some(printable(name));
        self
    }

    /// Has it told, once, when a first attempt has let the user in, and nothing but text has come for so long:
    /// whatever is to run there has not begun to speak. That the user is let in is known, on Linux, within a
    /// second, and elsewhere once something comes of the host. The function is called on the runtime's
    /// threads and must not block.
    pub fn on_slow_start(
        mut self,
        after: Duration,
        told: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        self.login.on_slow = Some((after, Arc::new(told)));
        self
    }

    /// How long a first attempt may bring nothing of the host once the user is let in, before it is given up:
    /// a minute unless set. It counts where that is [known](Self::on_slow_start). Until then ssh may be asking its
    /// user something, which takes as long as it takes.
    pub fn login_patience(mut self, patience: Duration) -> Self {
        self.login.patience = patience;
        self
    }

    /// Another program than `ssh`, which takes the same arguments.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self.elsewhere()
    }

    /// Adds options that are handed to ssh as they are, in front of the destination.
    pub fn options(mut self, options: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self.elsewhere()
    }

    /// How long a reconnect may take to reach the host and agree on keys: 10 seconds unless set,
    /// counted in whole seconds. Where the connection is made here, it is so long for each of the two. A
    /// first attempt takes the user's `ConnectTimeout`.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.elsewhere()
    }

    /// Has every line of ssh's stderr told, without control characters: ssh's own messages, the host's
    /// banner, and what the remote command writes to its stderr. The function is called on the
    /// runtime's threads and must not block.
    pub fn on_stderr(mut self, told: impl Fn(Attempt, &str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Some(Arc::new(told));
        self.elsewhere()
    }

    /// Has reconnects connect here, and hand the connection to an ssh that waits for it. This program,
    /// with these arguments, has to call [`hand_over`](crate::hand_over()) and end; ssh has `/bin/sh` run
    /// it with every such link. Without one, ssh connects by itself. One with anything in its name or
    /// arguments that is special to a shell even within quotes counts as none.
    ///
    /// ssh also connects by itself wherever it does so in a way of its own: on a first attempt; until it
    /// has told its configuration, for which it is [asked](Self::resolve) once a link is up, and where it
    /// does not tell; with `ProxyCommand`, `ProxyJump`, `BindAddress`, `BindInterface`,
    /// `CanonicalizeHostname`, `CheckHostIP`, `NoHostAuthenticationForLocalhost` or a log file (`-E`);
    /// where its configuration [may change](Resolved::is_conditional); where the
    /// [`program`](Self::program) has another name than `ssh`; and once a hand-over did not work.
    pub fn hand_over_program(
        mut self,
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        let words: Vec<_> = std::iter::once(program.into()).chain(arguments).collect();
        self.hand_over = fd_pass::proxy_command(&words);
        self.elsewhere()
    }

    /// Takes these for the addresses of the host, whenever it connects here. For tests: no resolver has
    /// to know such a host.
    #[cfg(feature = "testing")]
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = std::net::SocketAddr>) -> Self {
        self.fixed = addresses.into_iter().collect();
        self.elsewhere()
    }

    /// Asks ssh for the configuration that it uses for this destination, with these options. What the
    /// user's own `Match exec` runs, is run.
    ///
    /// # Errors
    /// ssh does not tell it within 5 seconds.
    pub async fn resolve(&self) -> Result<Resolved, LinkError> {
        let arguments = self.arguments(Purpose::Configuration);
        let asked = Resolved::ask(&self.program, &arguments, &self.environment, resolve::PATIENCE);
        Ok(asked.await?)
    }

    /// Asks for the [configuration](Self::configuration) with these options and this command, which are what
    /// the user has typed, instead of with the [options](Self::options) of a link.
    pub fn typed(
        mut self,
        options: impl IntoIterator<Item = impl Into<OsString>>,
        command: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        self.asked = Arc::new(Asked::with(options, command.into_iter().map(Into::into).collect()));
        self
    }

    /// What ssh would do if the user had started it: the settings of a link, such as `RemoteCommand=none`, are
    /// no part of it. ssh is asked once, beside the first connection, which then overrides `StdinNull`,
    /// `ForkAfterAuthentication` and `SessionType` if the configuration sets them; all clones share the answer.
    ///
    /// # Errors
    /// ssh refuses its options or its configuration, or does not tell it within a minute.
    pub async fn configuration(&self) -> Result<Resolved, Unresolved> {
        let arguments = || self.arguments(Purpose::Question);
        let answer = self.asked.answer(&self.program, arguments, &self.environment).await.clone();
        if let Ok(resolved) = &answer {
            let is_configured = resolved.forwards_ports();
            self.forwards.is_configured.store(is_configured, Ordering::Relaxed);
        }
        answer.map_err(|unresolved| match unresolved {
            Unresolved::Refused(lines)
                if lines.first().is_some_and(|it| it.starts_with("usage: ")) =>
            {
                LinkError::bad_address(&self.destination, &lines)
                    .map_or(Unresolved::Refused(lines), Unresolved::BadAddress)
            }
            _ => unresolved,
        })
    }

    /// Replaces the tokens of a setting that ssh does not expand when it tells its configuration, such as
    /// `LocalCommand`: all but `%T`.
    ///
    /// # Errors
    /// ssh does not know a token, or does not tell.
    pub async fn expand(&self, resolved: &Resolved, text: &str) -> Result<String, Unresolved> {
        let Self { program, destination, environment, .. } = self;
        configuration::expanded(program, destination, resolved, text, environment).await
    }

    /// Adds a variable to the environment of every ssh that it starts.
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self.elsewhere()
    }

    /// The configuration, if it was asked for and told, without a question.
    pub(crate) fn told(&self) -> Option<&Resolved> {
        self.asked.told()
    }

    /// What is known about where it leads holds no longer.
    fn elsewhere(mut self) -> Self {
        self.prepared_ssh = Arc::default();
        self.quick = self.quick.map(|quick| quick.anew());
        self.asked = Arc::new(self.asked.anew());
        self
    }

    /// Without what is kept for later, so that what is kept there does not keep itself.
    pub(crate) fn bare(&self) -> Self {
        Self { prepared_ssh: Arc::default(), quick: None, ..self.clone() }
    }

    /// Has the steps of these attempts told as [`tracing`] events, in the span in which a link is opened:
    /// with the target `rejoin::reconnect`, at the level debug, and a field `reached` that says
    /// `resolved` (the host's address is known; or a proxy command is started), `connected` (or, behind a
    /// proxy, the host speaks), `keys_exchanged`, `authenticated` or `command_sent`. None by default.
    ///
    /// ssh tells its steps on its stderr only when it is asked to, by a `LogLevel` that takes the place
    /// of one in a configuration file. What it says more for that is told to nobody, and is no part of
    /// an error. Where [`options`](Self::options) have a word about the log (`-v -q -E -y`, `LogLevel`),
    /// that counts alone: the steps are followed as far as ssh tells them, and lines told as ever.
    pub fn timeline(mut self, of: fn(Attempt) -> bool) -> Self {
        self.timeline = of;
        self.elsewhere()
    }

    pub(crate) fn details(&self, attempt: Attempt) -> Details {
        if !(self.timeline)(attempt) {
            Details::Plain
        } else if details::are_decided(&self.options) {
            Details::Followed
        } else {
            Details::Kept
        }
    }

    pub(crate) async fn start(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let ssh = self.bare();
        if attempt == Attempt::Reconnect
            && let Some(link) =
                prepared::connect(&ssh, &self.prepared_ssh, self.connect_timeout).await?
        {
            return Ok(self.judged(link));
        }
        let is_settled = self.asked.is_settled();
        let link = self.started(attempt)?;
        if !is_settled {
            self.settle().await;
        }
        if is_settled || self.asked.overridden().is_empty() {
            return Ok(self.judged(link));
        }
        drop(link);
        Ok(self.judged(self.started(attempt)?))
    }

    /// Finds out what a link has to override, beside the first one: ssh answers before it has a connection,
    /// since it has to know the same for that.
    async fn settle(&self) {
        let _ = self.configuration().await;
        let asks_again = self.asked.is_to_be_overridden() && self.asked.is_of_others();
        let told = if asks_again { self.resolve().await.ok() } else { None };
        self.asked.settle(told.as_ref());
    }

    fn started(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let mut launch = self.launch(attempt, self.arguments(Purpose::Link(attempt)));
        let mut find_out = prepared::on_open(&self.bare(), &self.prepared_ssh);
        if let Some(quick) = self.quick.as_ref().filter(|_| attempt == Attempt::First) {
            find_out = Some(quick.watch_agent(&self.options, find_out));
        }
        let asked = Arc::clone(&self.asked);
        launch.on_open = Some(Box::new(move || {
            asked.was_up();
            if let Some(find_out) = find_out {
                find_out();
            }
        }));
        launch.start()
    }

    /// The link, whose end may tell that ssh does not trust the host any more, or does not accept the
    /// address.
    fn judged(&self, link: Link) -> Link {
        let quick = self.quick.as_ref().map(Arc::downgrade);
        let destination = self.destination.clone();
        let (reader, writer, guard) = link.into_parts();
        Link::explained(reader, writer, async move {
            let error = guard.post_mortem().await;
            match error.kind {
                LinkErrorKind::HostKey => {
                    if let Some(quick) = quick.and_then(|quick| quick.upgrade()) {
                        quick.distrust();
                    }
                    error
                }
                LinkErrorKind::BadArguments => {
                    LinkError::bad_address(&destination, &error.detail).unwrap_or(error)
                }
                _ => error,
            }
        })
    }

    /// A link over the other way, if there is one now.
    pub(crate) fn quick_link(&self) -> Option<BoxFuture<'static, Result<Link, LinkError>>> {
        Arc::clone(self.quick.as_ref()?).link(self.bare())
    }

    /// How long a connection may take to come about.
    pub(crate) fn patience(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn command_bytes(&self) -> &[u8] {
        self.command.as_bytes()
    }

    pub(crate) fn listener(&self) -> Option<OnStderr> {
        self.on_stderr.clone()
    }

    /// Whether somebody follows the steps of a reconnect.
    pub(crate) fn is_told(&self) -> bool {
        self.details(Attempt::Reconnect) != Details::Plain
    }

    /// An ssh that logs in unasked, and says on its stderr how.
    pub(crate) fn learning(&self, learning: &Learning) -> Command {
        let mut command = self.program_with(self.arguments(Purpose::Learning(learning)));
        command.process_group(0).env("SSH_ASKPASS_REQUIRE", "never");
        command
    }

    /// The arguments of an ssh that waits for its connection. None if none can.
    pub(crate) fn waiting_arguments(&self) -> Option<Vec<OsString>> {
        let proxy_command = self.hand_over.as_deref()?;
        let is_possible = prepared::is_possible(&self.program, &self.options);
        is_possible.then(|| self.arguments(Purpose::Waiting(proxy_command)))
    }

    fn arguments(&self, purpose: Purpose<'_>) -> Vec<OsString> {
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
        settings.extend(self.asked.overridden().iter().copied().map(str::to_owned));
        if !matches!(purpose, Purpose::Link(Attempt::First)) || !self.asked.is_first() {
            settings.push(ANYWAY.to_owned());
        }
        let attempt = match purpose {
            Purpose::Link(attempt) => Some(attempt),
            Purpose::Waiting(_) => Some(Attempt::Reconnect),
            Purpose::Configuration | Purpose::Question | Purpose::Learning(_) => None,
        };
        if attempt.is_some_and(|attempt| self.details(attempt) == Details::Kept) {
            settings.push(details::SETTING.to_owned());
        }
        if let Purpose::Waiting(proxy_command) = purpose {
            settings.push(format!("ProxyCommand={proxy_command}"));
            settings.push("ProxyUseFdpass=yes".to_owned());
        }
        if let Purpose::Learning(Learning { known_hosts_command, key_kinds, agent }) = purpose {
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
}

impl SshConnect {
    fn question(&self) -> Vec<OsString> {
        let (options, command) = match &self.asked.words {
            Some((options, command)) => (options, &command[..]),
            None => (&self.options, &[][..]),
        };
        let asking = ["-vvv", "-G", "--"].map(OsString::from);
        let words = options.iter().cloned().chain(asking).chain([self.destination.clone()]);
        words.chain(command.iter().cloned()).collect()
    }
}
