//! What is known about the server program on one host.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::server_file::{Platform, ServerFile};

/// The server programs that this machine has for hosts.
pub trait Servers: Send + Sync + 'static {
    /// All of them, at most one per platform. May block; called once.
    fn all(&self) -> Vec<ServerFile>;

    /// The programs that [`all`](Self::all) found and left out, as [`DeployEvent::Unused`] and
    /// [`DeployEvent::Unsafe`]. Called after `all`. By default none.
    fn left_out(&self) -> Vec<DeployEvent> {
        Vec::new()
    }

    /// What a person can do to get a program for this platform, as the end of a sentence, in one line.
    fn advice(&self, platform: &Platform) -> String;
}

/// What happens during a deployment. Texts about the host's folders come from the host, without control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeployEvent {
    /// The upload starts.
    Installing {
        /// The folder on the host.
        folder: String,
        /// The size of the program, in bytes.
        total: u64,
    },
    /// The progress of the upload, about once a second.
    Progress {
        /// How many bytes of the program the host has written.
        sent: u64,
        /// The size of the program, in bytes.
        total: u64,
    },
    /// The program is installed, and runs.
    Installed,
    /// A server program of this machine is not used.
    Unused {
        /// Its path, and why.
        what: String,
    },
    /// The same, because another user of this machine could have created or changed it.
    Unsafe {
        /// Its path, and why.
        what: String,
    },
    /// A folder of the host is not suitable.
    Refused {
        /// The folder, and why.
        what: String,
    },
    /// The upload failed; the program of the same version in the host's `PATH` is used.
    FromPath,
}

/// Timeouts of a deployment, on the monotonic clock: time asleep does not count.
#[derive(Clone, Copy, Debug)]
pub struct DeployTimeouts {
    /// For the first answer, if a person may be asked for a password meanwhile: 3 minutes.
    pub asking: Duration,
    /// For the first answer otherwise, and after the first output of the login shell: a minute.
    pub login: Duration,
    /// For every further answer, and for progress of an upload: a minute.
    pub quiet: Duration,
}

impl Default for DeployTimeouts {
    fn default() -> Self {
        Self {
            asking: Duration::from_mins(3),
            login: Duration::from_mins(1),
            quiet: Duration::from_mins(1),
        }
    }
}

type OnDeployEvent = Arc<dyn Fn(DeployEvent) + Send + Sync>;

/// What is known about the server program on one host. All connectors to the host share it.
pub struct Deployment {
    pub(super) version: String,
    pub(super) servers: Box<dyn Servers>,
    pub(super) timeouts: DeployTimeouts,
    on_event: Option<OnDeployEvent>,
    known: Mutex<DeploymentState>,
}

#[derive(Default)]
pub(super) struct DeploymentState {
    /// Read once.
    files: Option<Arc<[ServerFile]>>,
    /// Where the server program is.
    pub(super) found: Option<InstalledServer>,
}

/// Where the server program is on the host.
#[derive(Clone)]
pub(super) enum InstalledServer {
    Folder(usize, ServerFile),
    Path,
}

impl Deployment {
    /// A deployment that knows nothing about the host yet. A server from the host's `PATH` must have this version.
    pub fn new(version: &str, servers: impl Servers) -> Self {
        Self {
            version: version.to_owned(),
            servers: Box::new(servers),
            timeouts: DeployTimeouts::default(),
            on_event: None,
            known: Mutex::default(),
        }
    }

    /// Sets other timeouts than the defaults.
    pub fn timeouts(mut self, timeouts: DeployTimeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Calls the function with every event, on the runtime's threads. It must not block.
    pub fn on_event(mut self, told: impl Fn(DeployEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(told));
        self
    }

    pub(super) fn known(&self) -> MutexGuard<'_, DeploymentState> {
        // What it holds is replaced as a whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, news: DeployEvent) {
        tracing::debug!(?news, "deployment");
        if let Some(on_event) = &self.on_event {
            on_event(news);
        }
    }

    /// Makes the next link check the file's content, not only its name.
    pub(super) fn distrust(&self) {
        self.known().found = None;
    }

    pub(super) async fn files(self: &Arc<Self>) -> Arc<[ServerFile]> {
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
