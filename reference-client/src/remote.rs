//! A host, and the sessions on it.

use std::fmt;
use std::sync::Arc;

use rejoin_protocol::frame::From as ClaimFrom;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Holder, SessionId};
use rejoin_ssh::Connect;
#[cfg(feature = "deploy")]
use {
    rejoin_protocol::codec::SERVER_MAGIC,
    rejoin_ssh::{DeployConnect, Deployment, SshConnect},
    std::ffi::OsString,
};

use crate::admin::{self, AdminError, HostReport, KillError, PruneReport, SessionInfo, words};
use crate::host::Host;
use crate::options::{OpenError, Options, new_session_id};
use crate::session::{Session, Target};
use crate::state::SessionState;

/// A host that can be reached over ssh or another transport, and the sessions on it.
///
/// Nothing is connected until the first session is opened or the host is asked for something. Each session
/// has a connection of its own; [`Remote::host`] shares one among many sessions.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use rejoin_client::Remote;
/// use rejoin_client::spec::{Command, ProcessSpec};
///
/// let remote = Remote::ssh("user@host");
/// let session = remote.open(&ProcessSpec::new(Command::Shell(b"make -j".to_vec())))?;
/// println!("session {}", session.id());
/// let output = session.into_streams().wait_with_output().await?;
/// println!("{}: {}", output.status, String::from_utf8_lossy(&output.stdout));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Remote {
    transport: Arc<dyn Transport>,
    options: Options,
}

/// Opens links on which the host runs `rejoin-server`.
pub trait Transport: Send + Sync + 'static {
    /// Links to `rejoin-server` with these arguments, such as `attach` or `ls --json`. They contain only
    /// letters, digits, spaces and `-`: a shell may read them unquoted.
    fn connect(&self, arguments: &str) -> Arc<dyn Connect>;
}

impl<F: Fn(&str) -> Arc<dyn Connect> + Send + Sync + 'static> Transport for F {
    fn connect(&self, arguments: &str) -> Arc<dyn Connect> {
        self(arguments)
    }
}

impl Remote {
    /// The host `destination` as the system's `ssh` understands it, with the user's configuration and agent.
    /// The server program is put on the host if it is missing, from where a
    /// [`ServerStore`](crate::servers::ServerStore) finds it. With the feature `fast`, sessions reconnect over
    /// the [fast lane](crate::Lane) where they can.
    #[cfg(feature = "deploy")]
    pub fn ssh(destination: impl Into<OsString>) -> Self {
        let servers = crate::servers::ServerStore::from_environment();
        let deployment = Deployment::new(crate::servers::VERSION, servers);
        let ssh = SshConnect::new(destination, "");
        #[cfg(feature = "fast")]
        let ssh = ssh.fast_lane();
        Self::deployed(ssh, Arc::new(deployment))
    }

    /// The same with an ssh and a deployment of your own: other options, other server programs, or a
    /// listener for what happens.
    #[cfg(feature = "deploy")]
    pub fn deployed(ssh: SshConnect, deployment: Arc<Deployment>) -> Self {
        Self::new(move |arguments: &str| -> Arc<dyn Connect> {
            let connect = DeployConnect::new(ssh.clone(), Arc::clone(&deployment), arguments);
            let first: &[u8] = if arguments == "attach" { &SERVER_MAGIC } else { b"" };
            Arc::new(connect.first_words(first))
        })
    }

    /// A host behind another transport.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rejoin_client::Remote;
    /// use rejoin_ssh::{CommandConnect, Connect};
    ///
    /// let container = Remote::new(|arguments: &str| -> Arc<dyn Connect> {
    ///     let docker = CommandConnect::new("docker").args(["exec", "-i", "web", "rejoin-server"]);
    ///     Arc::new(docker.args(arguments.split(' ')))
    /// });
    /// ```
    pub fn new(transport: impl Transport) -> Self {
        Self { transport: Arc::new(transport), options: Options::default() }
    }

    /// Sets the options of all sessions that this opens, attaches to and resumes.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Starts a process in a new session, whose id [`Session::id`] tells. Must be called within a tokio
    /// runtime; the [events](Session::events) say how it goes.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn open(&self, spec: &ProcessSpec) -> Result<Session, OpenError> {
        self.open_as(new_session_id()?, spec)
    }

    /// The same in the session with this id. The host starts one process for each id: an application that
    /// does not know whether an earlier call got through repeats it with the same id.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn open_as(&self, id: SessionId, spec: &ProcessSpec) -> Result<Session, OpenError> {
        Session::open(self.links(), id, spec, self.options.clone())
    }

    /// Attaches to a session on the host, and receives its output from the oldest that the host still has.
    /// If another client holds the session, this one takes it over, and the other one gets
    /// [`Event::Superseded`](crate::Event::Superseded). Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn attach(&self, id: SessionId) -> Result<Session, OpenError> {
        let options = Options { take_over: true, ..self.options.clone() };
        self.claim(id, None, options)
    }

    /// The same for a session as it was [listed](Self::list). If another client took it over since, that
    /// client keeps it, unless [`Options::take_over`] is set: the session ends with
    /// [`Event::Refused`](crate::Event::Refused).
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn attach_listed(&self, listed: &SessionInfo) -> Result<Session, OpenError> {
        self.claim(listed.session, listed.holder(), self.options.clone())
    }

    fn claim(
        &self,
        id: SessionId,
        expected: Option<Holder>,
        options: Options,
    ) -> Result<Session, OpenError> {
        let target = Target { expected, from: ClaimFrom::FirstHeld };
        Session::claim(self.links(), id, target, None, options)
    }

    /// Continues after a restart of the application, from the position in `state`. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn resume(&self, state: &SessionState) -> Result<Session, OpenError> {
        Session::resume(self.links(), state, None, self.options.clone())
    }

    /// The sessions on the host, the oldest first.
    ///
    /// # Errors
    /// The host did not answer, or not in a way that this version understands.
    pub async fn list(&self) -> Result<Vec<SessionInfo>, AdminError> {
        admin::list(&*self.transport.connect(words::LIST)).await
    }

    /// Ends a session with all its processes, whoever holds it, and has the host forget it. Returns how
    /// many processes were ended.
    ///
    /// # Errors
    /// The session was not ended, or that is unknown.
    pub async fn kill(&self, id: SessionId) -> Result<u32, KillError> {
        let connect = self.transport.connect(&words::kill([id]));
        let report = admin::kill(&*connect).await.map_err(KillError::NoAnswer)?;
        let ended = report.ended.iter().find(|ended| ended.session == id);
        match (ended, report.problems.into_iter().next()) {
            (Some(ended), _) => Ok(ended.processes),
            (None, Some(problem)) => Err(KillError::Failed(problem.error)),
            (None, None) => Err(KillError::Unknown),
        }
    }

    /// Removes what dead servers left on the host.
    ///
    /// # Errors
    /// The host did not answer, or not in a way that this version understands. Something may have been
    /// removed nevertheless.
    pub async fn prune(&self) -> Result<PruneReport, AdminError> {
        admin::prune(&*self.transport.connect(words::PRUNE)).await
    }

    /// Looks at the host; [`admin::findings`] says what follows.
    ///
    /// # Errors
    /// The host did not answer, or not in a way that this version understands.
    pub async fn report(&self) -> Result<HostReport, AdminError> {
        admin::host_report(&*self.transport.connect(words::REPORT)).await
    }

    /// This host with one connection that all sessions share. Must be called within a tokio runtime.
    pub fn host(&self) -> Host {
        Host::new(self.transport.connect("mux"))
    }

    fn links(&self) -> Arc<dyn Connect> {
        self.transport.connect("attach")
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let destination = self.links().destination();
        f.debug_struct("Remote").field("destination", &destination).finish_non_exhaustive()
    }
}
