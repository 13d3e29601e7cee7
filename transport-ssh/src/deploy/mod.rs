//! Puts the server program on a host that lacks it, over the very connection that then runs it.
//!
//! A host needs `/bin/sh`, `/proc`, the usual small programs (`ls`, `id`, `uname`, `dd`, `head`, `find`)
//! and one of `sha256sum`, `shasum` and `openssl`; what its login shell is, or prints, does not matter.
//!
//! - **Bootstrap**: the first link of a [`Deployment`], and the one after a link on which no server
//!   spoke. The command looks for the program under its name, `rejoin-server-VERSION-DIGITS`, and
//!   compares all of its SHA-256; if it is there, it is run at once. If not, the same command takes it
//!   over its stdin, checks what arrived, tries whether it runs, gives it its name, and runs it.
//! - **Direct**: every other link. The command runs the file that has the name, if nobody but the user
//!   can have put it there. It costs no round trip.
//!
//! Nothing but the user's own folders (mode 0700 or at least writable by nobody else, no symbolic
//! links) is used: `~/.local/share/rejoin`, `~/.cache/rejoin` (or what `XDG_DATA_HOME` and
//! `XDG_CACHE_HOME` say), `~/.rejoin`, `$XDG_RUNTIME_DIR/rejoin`, `/var/tmp/rejoin-UID` and
//! `/tmp/rejoin-UID-bin`; of these the first that can be written to, has room, and lets programs run.
//! The scripts enter a folder once by its name, and look at the folder that they are in. From then on
//! they use only names within it, so nobody can exchange the folder between the look and the use. The
//! program therefore starts in the folder that it lies in.
//!
//! A file gets its name by one rename once it is whole, so that any number of clients may do this at
//! once, and one that is cut off leaves nothing with that name. A deployment removes other versions
//! that no process runs and no client has looked for during the last day - on local file systems, where
//! it can tell - and what killed ones left.

mod answer;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod script;
mod server;
mod talk;
mod watch;

use std::fmt;
use std::io::Cursor;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use answer::MAX_NOISE;
pub use server::{Platform, ServerFile};
use talk::{Fault, Ready, Talk};
use watch::{Trial, Watched};

use crate::link::Link;
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::exit;
use crate::link::forwards::Forwards;
use crate::{Attempt, BoxFuture, Connect, SshConnect};

/// The server programs that this machine has for hosts.
pub trait Servers: Send + Sync + 'static {
    /// All of them, at most one for each platform. May block; asked once.
    fn all(&self) -> Vec<ServerFile>;

    /// Those that [`all`](Self::all) has found and left out, in [`DeployNews::Unused`] and
    /// [`DeployNews::Unsafe`]; it is asked after `all`. None, unless this is implemented.
    fn left_out(&self) -> Vec<DeployNews> {
        Vec::new()
    }

    /// What a person can do to get one for this platform, in one line that ends a sentence.
    fn advice(&self, platform: &Platform) -> String;
}

/// What happens while a server program is put on a host. What is said of the host's folders are the host's
/// words, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeployNews {
    /// The program is about to be sent.
    Installing {
        /// The folder on the host.
        folder: String,
        /// How long the program is, in bytes.
        total: u64,
    },
    /// About once a second: so much of it has been written there.
    Progress {
        /// In bytes of the program.
        sent: u64,
        /// How long the program is, in bytes.
        total: u64,
    },
    /// It is there, and runs.
    Installed,
    /// A server program of this machine is not used.
    Unused {
        /// Its path, and why.
        what: String,
    },
    /// The same, because another user of this machine can have put it there or changed it.
    Unsafe {
        /// Its path, and why.
        what: String,
    },
    /// A folder will not do.
    Refused {
        /// The folder, and why.
        what: String,
    },
    /// Nothing could be put on the host; the program of the same version in its `PATH` is run.
    FromPath,
}

/// How long to wait for the host. On the monotonic clock: time asleep does not count.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first word, where a person may be asked for a password meanwhile: 3 minutes.
    pub asking: Duration,
    /// For the first word otherwise, and from the first noise of the login shell on: a minute.
    pub login: Duration,
    /// For every further word, and for any progress of an upload: a minute.
    pub quiet: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            asking: Duration::from_mins(3),
            login: Duration::from_mins(1),
            quiet: Duration::from_mins(1),
        }
    }
}

type OnNews = Arc<dyn Fn(DeployNews) + Send + Sync>;

/// What is known about the server program on one host. All connectors to the host share it.
pub struct Deployment {
    version: String,
    servers: Box<dyn Servers>,
    patience: Patience,
    on_news: Option<OnNews>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Read once.
    files: Option<Arc<[ServerFile]>>,
    /// Where a server was seen to be.
    found: Option<Found>,
}

/// Where a server was seen to be, and which one.
#[derive(Clone)]
enum Found {
    Folder(usize, ServerFile),
    Path,
}

impl Deployment {
    /// Nothing is known yet. `version` is what a server from the host's `PATH` has to call itself.
    pub fn new(version: &str, servers: impl Servers) -> Self {
        Self {
            version: version.to_owned(),
            servers: Box::new(servers),
            patience: Patience::default(),
            on_news: None,
            known: Mutex::default(),
        }
    }

    /// Waits for other times than the usual ones.
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Has it told what happens. The function is called on the runtime's threads and must not block.
    pub fn on_news(mut self, told: impl Fn(DeployNews) + Send + Sync + 'static) -> Self {
        self.on_news = Some(Arc::new(told));
        self
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What it holds is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, news: DeployNews) {
        tracing::debug!(?news, "deployment");
        if let Some(on_news) = &self.on_news {
            on_news(news);
        }
    }

    /// The next link looks at the file, not only at its name.
    fn distrust(&self) {
        self.known().found = None;
    }

    async fn files(self: &Arc<Self>) -> Arc<[ServerFile]> {
        if let Some(files) = self.known().files.clone() {
            return files;
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let files: Arc<[ServerFile]> = this.servers.all().into();
            this.servers.left_out().into_iter().for_each(|news| this.tell(news));
            files
        });
        // It panics only if that did; then there is none.
        let files = read.await.unwrap_or_default();
        self.known().files.get_or_insert(files).clone()
    }
}

impl fmt::Debug for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployment").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Links to a server program over ssh, and puts it on the host where it is missing.
///
/// [`Connect::connect`] returns as ssh's does as long as the program is taken to be there, and otherwise
/// when the host has said that it is, or was put there: with a slow connection after minutes. It ends
/// by itself when the host is silent for longer than [`Patience`] says. Where the program cannot be put
/// on the host, the error is [`Undeployable`](LinkErrorKind::Undeployable).
#[derive(Clone, Debug)]
pub struct DeployConnect {
    ssh: SshConnect,
    deployment: Arc<Deployment>,
    words: String,
    first_words: Vec<u8>,
}

impl DeployConnect {
    /// Links to what the server program does with these words, such as `attach` or `ls --json`; they
    /// reach a shell unquoted. The command of `ssh` itself is not run.
    pub fn new(ssh: SshConnect, deployment: Arc<Deployment>, words: &str) -> Self {
        Self { ssh, deployment, words: words.to_owned(), first_words: Vec::new() }
    }

    /// What the server's own bytes begin with. A link that ends without them says that the program on
    /// the host is not what its name says; unless this is set, any byte will do.
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
    fn direct_ssh(&self, found: &Found) -> SshConnect {
        let command = match found {
            Found::Folder(folder, server) => script::direct(server, *folder, &self.words),
            Found::Path => script::installed(&self.words),
        };
        self.ssh.clone().command(command)
    }

    async fn direct(&self, attempt: Attempt, found: &Found) -> Result<Link, LinkError> {
        let link = self.direct_ssh(found).start(attempt).await?;
        Ok(self.on_trial(link))
    }

    /// The link, whose end may tell that the program is not what it is taken for.
    fn on_trial(&self, link: Link) -> Link {
        let (reader, writer, guard) = link.into_parts();
        let is_heard = Arc::new(AtomicBool::new(false));
        let trial = Trial::new(Arc::clone(&self.deployment), Arc::clone(&is_heard));
        let reader = Watched::new(reader, self.first_words.clone(), is_heard);
        let why = async move { trial.judge(guard.post_mortem().await) };
        Link::explained(reader, writer, why)
    }

    async fn bootstrap(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let files = self.deployment.files().await;
        let mark = script::Mark::new().map_err(|error| {
            LinkError::new(LinkErrorKind::Other, format!("the system has no randomness: {error}"))
        })?;
        let command = script::bootstrap(&files, &mark, &self.words);
        let link = self.ssh.clone().command(command).start(attempt).await?;
        let (reader, writer, guard) = link.into_parts();
        let mut talk = Talk::new(&self.deployment, &files, reader, writer, &mark, &self.words);
        let fault = match talk.until_ready(attempt).await {
            Ok(Ready { found }) => {
                self.deployment.known().found = Some(found);
                let (heard, reader, writer) = talk.into_parts();
                let reader = Cursor::new(heard).chain(reader);
                return Ok(Link::explained(reader, writer, guard.post_mortem()));
            }
            Err(fault) => fault,
        };
        let noise = talk.noise();
        // An open pipe can keep the child alive.
        drop(talk);
        Err(match fault {
            Fault::Told(error) => error,
            Fault::Ended => ended(guard.post_mortem().await, &noise),
            Fault::Noisy => noisy(&noise),
            Fault::Silent(waited) => {
                silent("the host's login shell did not run the command", waited, &noise)
            }
            Fault::Stalled(waited) => {
                silent("the installation on the host did not get on", waited, &noise)
            }
        })
    }
}

/// The script did not run to its end, and ssh may know why.
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
        "the host's login shell printed more than {limit} KiB before it ran the command, and rejoin skips no \
         more: look at its start-up files; it printed: {noise}"
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

    /// None before it is known where the program is.
    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        let found = self.deployment.known().found.clone();
        let link = self.direct_ssh(&found?).quick_link()?;
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
