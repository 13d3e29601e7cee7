//! The first connection, which is made while it is still being found out what for.

use std::io::Cursor;
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_ssh::{Attempt, BoxFuture, Connect, Forwards, Link, LinkError, LinkErrorKind};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::task::JoinSet;

type Connected = Result<Link, LinkError>;

/// Starts a first link at once, which whoever asks for one first gets. All others are as ever.
pub(crate) struct FirstConnection {
    connect: Arc<dyn Connect>,
    first: Mutex<First>,
    /// To be run here when the host has answered, before the first session begins.
    local_command: Mutex<Option<String>>,
}

enum First {
    /// Dropping it ends it.
    Started(JoinSet<Connected>),
    Come(Connected),
    Gone,
}

impl FirstConnection {
    pub(crate) fn start(connect: Arc<dyn Connect>) -> Self {
        let mut started = JoinSet::new();
        let first = Arc::clone(&connect);
        started.spawn(async move { first.connect(Attempt::First).await });
        let first = Mutex::new(First::Started(started));
        Self { connect, first, local_command: Mutex::new(None) }
    }

    /// Has this command run here once connected, as ssh runs a `LocalCommand`: with the streams of this
    /// program, by the user's shell. It is waited for.
    pub(crate) fn run_once_connected(&self, command: String) {
        *self.local_command.lock().unwrap_or_else(PoisonError::into_inner) = Some(command);
    }

    /// Waits for the first link, and says why there is none.
    pub(crate) async fn wait(&self) -> Result<(), LinkError> {
        let first = match self.take() {
            First::Started(started) => First::Come(come(started).await),
            first => first,
        };
        let failure = match &first {
            First::Come(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        };
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = first;
        failure
    }

    fn take(&self) -> First {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *first, First::Gone)
    }

    async fn link(&self, attempt: Attempt) -> Connected {
        let link = match self.take() {
            First::Started(started) => come(started).await?,
            First::Come(connected) => connected?,
            First::Gone => self.connect.connect(attempt).await?,
        };
        let is_wanted =
            || self.local_command.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_wanted() { Ok(self.after_local_command(link).await) } else { Ok(link) }
    }

    /// The host speaks first. A link on which it never does is none for the command.
    async fn after_local_command(&self, link: Link) -> Link {
        let (mut reader, writer, guard) = link.into_parts();
        let mut heard = vec![0; 4096];
        let length = reader.read(&mut heard).await.unwrap_or(0);
        heard.truncate(length);
        let command = (length > 0)
            .then(|| self.local_command.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(command) = command.flatten() {
            let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
            let shell = shell.unwrap_or_else(|| "/bin/sh".into());
            // What became of it is nothing to ssh, either.
            let _ = Command::new(shell).arg("-c").arg(command).kill_on_drop(true).status().await;
        }
        Link::with_post_mortem(Cursor::new(heard).chain(reader), writer, guard.post_mortem())
    }
}

async fn come(mut started: JoinSet<Connected>) -> Connected {
    match started.join_next().await {
        Some(Ok(connected)) => connected,
        _ => Err(LinkError::new(LinkErrorKind::Other, "the first connection was given up")),
    }
}

impl Connect for FirstConnection {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Connected> {
        Box::pin(self.link(attempt))
    }

    fn destination(&self) -> String {
        self.connect.destination()
    }

    fn retry_now(&self) {
        self.connect.retry_now();
    }

    fn prepare(&self) {
        self.connect.prepare();
    }

    fn fast(&self) -> Option<BoxFuture<'_, Connected>> {
        self.connect.fast()
    }

    fn learn(&self) {
        self.connect.learn();
    }

    fn is_exclusive(&self) -> bool {
        self.connect.is_exclusive()
    }

    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        self.connect.forwards()
    }

    fn is_shared(&self) -> bool {
        self.connect.is_shared()
    }

    fn revived(&self) -> BoxFuture<'static, ()> {
        self.connect.revived()
    }
}
