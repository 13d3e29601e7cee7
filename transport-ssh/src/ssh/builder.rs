//! The ssh connector and its settings.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Duration;

use super::configuration::ConfigQuery;
use super::debug_log::{self, DebugLines};
use super::fast_connect::FastConnect;
use super::fd_pass;
use super::forwards::state::ForwardState;
use super::login::LoginWatch;
use super::prepared_state::PreparedSsh;
use crate::link::connect::Attempt;
use crate::link::error::printable;
use crate::link::stderr::OnStderr;

/// Starts links over the exec channel of an `ssh` child process (OpenSSH 7.6 or newer).
///
/// The user's configuration, agents, hardware keys, jump hosts and forwardings apply. Settings that would
/// break a link are overridden on both attempts: terminals, escape characters, `RemoteCommand`,
/// `LocalCommand`, `StdinNull`, `ForkAfterAuthentication`, `SessionType`, X11 forwarding from the
/// configuration (an explicit `-X` counts), failing forwardings from the second link on, and connection
/// sharing. Each link has its own connection, because a new handshake costs less than a stale
/// `ControlMaster` that hangs it. `ServerAliveInterval`, `TCPKeepAlive` and `LogLevel` are the user's; the
/// protocol over the link has its own heartbeat.
///
/// A link that forwards ports has a private control socket. [`Forwards`](crate::Forwards) uses it to make
/// forwards that ssh could not make at the start.
///
/// With [`Attempt::First`] ssh may ask on the terminal. For this its process is in the terminal's
/// foreground process group, so a Ctrl-C in the terminal reaches it, too.
///
/// With [`Attempt::Reconnect`] ssh never asks (`BatchMode`, no `SSH_ASKPASS`), tries once, with a timeout for
/// the connection and the key exchange, and runs in its own process group, which the terminal's signals do
/// not reach and which ends as a whole. Host key checks stay as the user has set them; `BatchMode` turns
/// every question into a refusal. A jump host is reached by another ssh, which does not get these
/// options: if it asks, the timeout ends the attempt.
///
/// With a [`fd_pass_program`](Self::fd_pass_program), a reconnect tries the host's addresses in parallel
/// instead of one after the other, and its ssh can be started in advance
/// ([`Connect::prepare`](crate::Connect::prepare)).
///
/// Do not pass options in [`options`](Self::options) that turn ssh into something other than an exec
/// channel (`-f -G -N -n -O -s -V -W`).
#[derive(Clone)]
pub struct SshConnect {
    pub(super) program: OsString,
    pub(super) destination: OsString,
    pub(super) options: Vec<OsString>,
    pub(super) command: OsString,
    pub(super) command_name: Option<String>,
    pub(super) login: LoginWatch,
    pub(super) connect_timeout: Duration,
    pub(super) on_stderr: Option<OnStderr>,
    pub(super) timeline: fn(Attempt) -> bool,
    /// The `ProxyCommand` that receives a connection from this process.
    pub(super) fd_pass_command: Option<String>,
    pub(super) prepared_ssh: Arc<PreparedSsh>,
    pub(crate) fast_connect: Option<Arc<dyn FastConnect<SshConnect>>>,
    pub(super) config_query: Arc<ConfigQuery>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) forwards: Arc<ForwardState>,
    #[cfg(feature = "testing")]
    pub(crate) fixed: Vec<std::net::SocketAddr>,
}

impl SshConnect {
    /// Links to `destination` (as ssh understands it), over stdin and stdout of `command`, which the user's
    /// login shell runs there.
    pub fn new(destination: impl Into<OsString>, command: impl Into<OsString>) -> Self {
        Self {
            program: "ssh".into(),
            destination: destination.into(),
            options: Vec::new(),
            command: command.into(),
            command_name: None,
            login: LoginWatch { on_slow: None, patience: Duration::from_mins(1) },
            connect_timeout: Duration::from_secs(10),
            on_stderr: None,
            timeline: |_| false,
            fd_pass_command: None,
            prepared_ssh: Arc::default(),
            fast_connect: None,
            config_query: Arc::default(),
            environment: Vec::new(),
            forwards: Arc::default(),
            #[cfg(feature = "testing")]
            fixed: Vec::new(),
        }
    }

    /// Replaces the command.
    pub fn command(mut self, command: impl Into<OsString>) -> Self {
        self.command = command.into();
        self
    }

    /// The name of the command in messages, such as the path of its program. Without a name, messages say
    /// "the remote command".
    pub fn command_name(mut self, name: &str) -> Self {
        self.command_name = Some(printable(name));
        self
    }

    /// Calls the function once if the user is logged in on a first attempt, and nothing but text has
    /// arrived for this time: the command has not started to answer. On Linux the login is detected
    /// within a second, elsewhere with the first output of the host. The function is called on the
    /// runtime's threads and must not block.
    pub fn on_slow_start(
        mut self,
        after: Duration,
        told: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        self.login.on_slow = Some((after, Arc::new(told)));
        self
    }

    /// How long a first attempt waits for output of the host after the login: a minute by default. It
    /// applies where the login is [detected](Self::on_slow_start). There is no timeout before the login,
    /// because ssh may be asking its user something.
    pub fn login_timeout(mut self, patience: Duration) -> Self {
        self.login.patience = patience;
        self
    }

    /// Uses this program, which takes the same arguments, instead of `ssh`.
    pub fn program(mut self, program: impl Into<OsString>) -> Self {
        self.program = program.into();
        self.elsewhere()
    }

    /// Adds options, which are passed to ssh unchanged, before the destination.
    pub fn options(mut self, options: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self.elsewhere()
    }

    /// The timeout of a reconnect for the connection and the key exchange: 10 seconds by default, in whole
    /// seconds. If this crate makes the connection, it is the timeout for each of the two. A first attempt uses
    /// the user's `ConnectTimeout`.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self.elsewhere()
    }

    /// Calls the function with every line of ssh's stderr, without control characters: ssh's messages, the
    /// host's banner, and the remote command's stderr. The function is called on the runtime's threads
    /// and must not block.
    pub fn on_stderr(mut self, told: impl Fn(Attempt, &str) + Send + Sync + 'static) -> Self {
        self.on_stderr = Some(Arc::new(told));
        self.elsewhere()
    }

    /// Makes reconnects connect in this crate, and pass the connection to an ssh that waits for it. This
    /// program, with these arguments, must call [`pass_fd`](crate::pass_fd()) and exit; ssh runs it with
    /// `/bin/sh` for every such link. Without a program, ssh makes all connections. A program whose name or
    /// arguments contain characters that are special to a shell even within quotes is not used.
    ///
    /// ssh still makes the connection on a first attempt; until its configuration is
    /// [known](Self::resolve), which is read once a link is up; with `ProxyCommand`, `ProxyJump`,
    /// `BindAddress`, `BindInterface`, `CanonicalizeHostname`, `CheckHostIP`,
    /// `NoHostAuthenticationForLocalhost` or a log file (`-E`); if its configuration
    /// [may change](crate::SshConfig::is_conditional); if the [`program`](Self::program) is not called `ssh`; and
    /// after passing a connection has failed once.
    pub fn fd_pass_program(
        mut self,
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        let words: Vec<_> = std::iter::once(program.into()).chain(arguments).collect();
        self.fd_pass_command = fd_pass::proxy_command(&words);
        self.elsewhere()
    }

    /// Uses these addresses of the host whenever this crate connects. For tests: no resolver needs to know
    /// such a host.
    #[cfg(feature = "testing")]
    pub fn addresses(mut self, addresses: impl IntoIterator<Item = std::net::SocketAddr>) -> Self {
        self.fixed = addresses.into_iter().collect();
        self.elsewhere()
    }

    /// Reads the [configuration](Self::configuration) with these options and this command, which the user has
    /// typed, instead of with the [options](Self::options) of a link.
    pub fn typed(
        mut self,
        options: impl IntoIterator<Item = impl Into<OsString>>,
        command: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let options = options.into_iter().map(Into::into).collect();
        self.config_query =
            Arc::new(ConfigQuery::with(options, command.into_iter().map(Into::into).collect()));
        self
    }

    /// Adds a variable to the environment of every ssh that this connector starts.
    pub fn environment(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self.elsewhere()
    }

    /// Forgets everything that is known about the host, because a setting has changed.
    fn elsewhere(mut self) -> Self {
        self.prepared_ssh = Arc::default();
        self.fast_connect = self.fast_connect.map(|fast_connect| fast_connect.reset());
        self.config_query = Arc::new(self.config_query.reset());
        self
    }

    /// A copy without the parts that own tasks, so that these tasks can own the copy without a cycle.
    pub(crate) fn bare(&self) -> Self {
        Self { prepared_ssh: Arc::default(), fast_connect: None, ..self.clone() }
    }

    /// Follows the steps of these attempts, and notes their [milestones](crate::Milestones) for a timeline.
    /// Off by default.
    ///
    /// ssh logs its steps to stderr only with a `LogLevel`, which replaces the one in a configuration file.
    /// The additional lines are hidden, and are not part of an error. If [`options`](Self::options) set the
    /// log (`-v -q -E -y`, `LogLevel`), they are not overridden: the steps are followed as far as ssh logs
    /// them, and no line is hidden.
    pub fn timeline(mut self, of: fn(Attempt) -> bool) -> Self {
        self.timeline = of;
        self.elsewhere()
    }

    pub(crate) fn debug_lines(&self, attempt: Attempt) -> DebugLines {
        if !(self.timeline)(attempt) {
            DebugLines::Plain
        } else if debug_log::sets_log_level(&self.options) {
            DebugLines::Followed
        } else {
            DebugLines::Hidden
        }
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
}
