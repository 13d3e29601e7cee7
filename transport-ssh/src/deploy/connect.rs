//! Links over ssh to a server program that may have to be put on the host first.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::bootstrap::{Bootstrap, BootstrapError, ServerReady};
use super::deployment::{Deployment, InstalledServer};
use super::reply::MAX_NOISE;
use super::script;
use super::verify::{MagicReader, UnverifiedServer};
use crate::link::connect::{Attempt, Connect};
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::exit;
use crate::link::forwards::Forwards;
use crate::link::stream::{BoxFuture, Link};
use crate::ssh::builder::SshConnect;

/// Links to a server program over ssh, and uploads it to the host if it is missing.
///
/// If the program is known to be on the host, [`Connect::connect`] returns like that of ssh. Otherwise it
/// returns when the host has confirmed the program or the upload is complete, which takes minutes on a slow
/// connection. It fails if the host is silent for longer than [`DeployTimeouts`](super::DeployTimeouts)
/// allow. If the upload fails, the error is [`Undeployable`](LinkErrorKind::Undeployable).
#[derive(Clone, Debug)]
pub struct DeployConnect {
    ssh: SshConnect,
    deployment: Arc<Deployment>,
    words: String,
    first_words: Vec<u8>,
}

impl DeployConnect {
    /// Runs the server program with these arguments, such as `attach` or `ls --json`, which reach a shell
    /// unquoted. The command of `ssh` itself is not run.
    pub fn new(ssh: SshConnect, deployment: Arc<Deployment>, words: &str) -> Self {
        Self { ssh, deployment, words: words.to_owned(), first_words: Vec::new() }
    }

    /// The bytes with which the server's output starts. If a link ends without them, the file on the host is
    /// checked again. By default any byte will do.
    pub fn first_words(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.first_words = bytes.into();
        self
    }

    async fn start(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let found = self.deployment.known().found.clone();
        match found {
            Some(found) => self.direct(attempt, &found).await,
            None => self.bootstrap(attempt).await,
        }
    }

    /// An ssh that runs the program where it was seen.
    fn direct_ssh(&self, found: &InstalledServer) -> SshConnect {
        let command = match found {
            InstalledServer::Folder(folder, server) => script::direct(server, *folder, &self.words),
            InstalledServer::Path => script::installed(&self.words),
        };
        self.ssh.clone().command(command)
    }

    async fn direct(&self, attempt: Attempt, found: &InstalledServer) -> Result<Link, LinkError> {
        let link = self.direct_ssh(found).start(attempt).await?;
        Ok(self.on_trial(link))
    }

    /// The link, whose end may show that the program on the host is not the expected one.
    fn on_trial(&self, link: Link) -> Link {
        let (reader, writer, guard) = link.into_parts();
        let is_heard = Arc::new(AtomicBool::new(false));
        let trial = UnverifiedServer::new(Arc::clone(&self.deployment), Arc::clone(&is_heard));
        let reader = MagicReader::new(reader, self.first_words.clone(), is_heard);
        let why = async move { trial.judge(guard.post_mortem().await) };
        Link::with_post_mortem(reader, writer, why)
    }

    async fn bootstrap(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let files = self.deployment.files().await;
        let mark = script::ReplyMarker::new().map_err(|error| {
            LinkError::new(
                LinkErrorKind::Other,
                format!("the system has no random numbers: {error}"),
            )
        })?;
        let command = script::bootstrap(&files, &mark, &self.words);
        let link = self.ssh.clone().command(command).start(attempt).await?;
        let (reader, writer, guard) = link.into_parts();
        let mut bootstrap =
            Bootstrap::new(&self.deployment, &files, reader, writer, &mark, &self.words);
        let fault = match bootstrap.until_ready(attempt).await {
            Ok(ServerReady { found }) => {
                self.deployment.known().found = Some(found);
                let (heard, reader, writer) = bootstrap.into_parts();
                let reader = Cursor::new(heard).chain(reader);
                return Ok(Link::with_post_mortem(reader, writer, guard.post_mortem()));
            }
            Err(fault) => fault,
        };
        let noise = bootstrap.noise();
        // An open pipe can keep the child alive.
        drop(bootstrap);
        Err(match fault {
            BootstrapError::Known(error) => error,
            BootstrapError::Ended => ended(guard.post_mortem().await, &noise),
            BootstrapError::Noisy => noisy(&noise),
            BootstrapError::Silent(waited) => {
                silent("the login shell did not run the command", waited, &noise)
            }
            BootstrapError::Stalled(waited) => {
                silent("the installation on the host made no progress", waited, &noise)
            }
        })
    }
}

/// The script did not finish, and ssh may know why.
fn ended(error: LinkError, noise: &str) -> LinkError {
    if noise.is_empty() || error.message.ends_with(noise) {
        return error;
    }
    let kind = if exit::is_refusal(noise) { LinkErrorKind::Refused } else { error.kind };
    let message = format!("{}; the host printed: {noise}", error.message);
    LinkError::new(kind, message).with_detail(error.detail)
}

fn noisy(noise: &str) -> LinkError {
    let limit = MAX_NOISE / 1024;
    let noise: String = noise.chars().take(80).collect();
    let message = format!(
        "the login shell printed more than {limit} KiB before it ran the command, \
                       which is more than rejoin skips; check its start-up files; it printed: {noise}"
    );
    LinkError::new(LinkErrorKind::Other, message)
}

fn silent(what: &str, waited: Duration, noise: &str) -> LinkError {
    let seconds = waited.as_secs();
    let noise = if noise.is_empty() { String::new() } else { format!("; it printed: {noise}") };
    let message = format!("{what} within {seconds} seconds{noise}");
    LinkError::new(LinkErrorKind::Other, message)
}

impl Connect for DeployConnect {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.start(attempt))
    }

    fn destination(&self) -> String {
        printable(&self.ssh.destination())
    }

    /// A link that looks at the program first says so in its command, which nothing else knows.
    fn prepare(&self) {
        let found = self.deployment.known().found.clone();
        if let Some(found) = found {
            self.direct_ssh(&found).prepare();
        }
    }

    /// `None` until it is known where the program is.
    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        let found = self.deployment.known().found.clone();
        let link = self.direct_ssh(&found?).fast_link()?;
        Some(Box::pin(async move { Ok(self.on_trial(link.await?)) }))
    }

    fn learn(&self) {
        self.ssh.learn();
    }

    fn is_exclusive(&self) -> bool {
        self.ssh.forwards_ports()
    }

    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        self.ssh.forwards()
    }
}
