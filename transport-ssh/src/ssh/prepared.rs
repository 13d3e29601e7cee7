//! Starts an ssh in advance, which waits for a connection.
//!
//! ssh starts and reads its configuration while nobody waits for it. The connection is made here, to the
//! first of the host's addresses that answers. If ssh would not clearly connect directly, ssh
//! makes the connection itself.

use std::ffi::OsString;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::builder::SshConnect;
use super::debug_log::DebugLines;
use super::dial::DialTarget;
use super::fd_pass::FdSender;
use super::prepared_state::{ConnectMethod, LONGEST_WAIT, PreparedSsh, WaitingSsh};
use crate::link::child::OnOpen;
use crate::link::connect::Attempt;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::stream::Link;

/// What ssh prints if its helper passes no connection.
const NOT_PASSED: &str = "proxy dialer did not pass back a connection";

/// Updates what is known about how ssh connects, as long as `prepared_ssh` exists.
pub(crate) fn on_open(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>) -> Option<OnOpen> {
    ssh.waiting_arguments()?;
    let (ssh, prepared_ssh) = (ssh.clone(), Arc::downgrade(prepared_ssh));
    Some(Box::new(move || {
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            find_out(&ssh, &prepared_ssh, false);
        }
    }))
}

/// Starts an ssh that waits, if ssh connects directly.
pub(crate) fn prepare(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>) {
    find_out(ssh, prepared_ssh, true);
}

/// Finds out in the background how ssh connects, if that is unknown, and starts an ssh that waits if wanted.
fn find_out(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>, is_wanted: bool) {
    let Some(arguments) = ssh.waiting_arguments() else { return };
    let Ok(runtime) = Handle::try_current() else { return };
    let is_missing = is_wanted && !prepared_ssh.has_waiting_ssh(&arguments);
    let mut known = prepared_ssh.known();
    let is_known = match &known.way {
        ConnectMethod::SshConnects => return,
        ConnectMethod::Direct(direct) => !direct.is_doubtful,
        ConnectMethod::Unknown => false,
    };
    if known.is_finding() || is_known && !is_missing {
        return;
    }
    let (ssh, prepared_ssh) = (ssh.clone(), Arc::downgrade(prepared_ssh));
    let task = async move {
        if !is_known {
            ask(&ssh, &prepared_ssh).await;
        }
        if is_wanted {
            park(&ssh, &prepared_ssh);
        }
    };
    known.finding.spawn_on(task, &runtime);
}

/// Asks ssh where it would connect, and remembers that.
async fn ask(ssh: &SshConnect, prepared_ssh: &Weak<PreparedSsh>) {
    // The configuration read at the first connection is valid until a failure.
    let is_new = prepared_ssh
        .upgrade()
        .is_some_and(|prepared_ssh| matches!(prepared_ssh.known().way, ConnectMethod::Unknown));
    let told = ssh.told().filter(|_| is_new).cloned();
    let resolved = match told {
        Some(resolved) => Ok(resolved),
        None => ssh.resolve().await,
    };
    let route = match resolved {
        Ok(resolved) => DialTarget::of(&resolved),
        Err(error) => {
            tracing::debug!(%error, "ssh connects by itself");
            None
        }
    };
    #[cfg(feature = "testing")]
    let route = route.map(|route| route.fixed(&ssh.fixed));
    let Some(prepared_ssh) = prepared_ssh.upgrade() else { return };
    match route {
        Some(route) => prepared_ssh.learn(route),
        None => prepared_ssh.leave_to_ssh(),
    }
}

/// Starts an ssh that waits, if there is none and it is known where it would connect.
fn park(ssh: &SshConnect, prepared_ssh: &Weak<PreparedSsh>) {
    let (Some(prepared_ssh), Some(arguments)) = (prepared_ssh.upgrade(), ssh.waiting_arguments())
    else {
        return;
    };
    let is_known = matches!(prepared_ssh.known().way, ConnectMethod::Direct(_));
    if is_known && !prepared_ssh.has_waiting_ssh(&arguments) {
        match waiting(ssh, arguments, &prepared_ssh) {
            Some(waiting_ssh) => prepared_ssh.park(waiting_ssh),
            None => prepared_ssh.leave_to_ssh(),
        }
    }
}

/// Starts an ssh that waits.
fn waiting(
    ssh: &SshConnect,
    arguments: Vec<OsString>,
    prepared_ssh: &Arc<PreparedSsh>,
) -> Option<WaitingSsh> {
    let mut launch = ssh.launch(Attempt::Reconnect, arguments.clone());
    // It only runs the helper. The user's shell would read its start-up files first.
    launch.command.env("SHELL", "/bin/sh");
    let proved = Arc::downgrade(prepared_ssh);
    launch.on_open = Some(Box::new(move || {
        if let Some(prepared_ssh) = proved.upgrade() {
            prepared_ssh.set_doubtful(false);
        }
    }));
    let (waiting, socket) = launch.start_pending().ok()?;
    let (mut expiry, prepared_ssh) = (JoinSet::new(), Arc::downgrade(prepared_ssh));
    expiry.spawn(async move {
        sleep(LONGEST_WAIT).await;
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            prepared_ssh.expire();
        }
    });
    let (fd_sender, since) = (FdSender::new(socket), Instant::now());
    Some(WaitingSsh { waiting, fd_sender, arguments, since, _expiry: expiry })
}

/// A link over an ssh that receives its connection. `None` if ssh must make the connection itself.
pub(crate) async fn connect(
    ssh: &SshConnect,
    prepared_ssh: &Arc<PreparedSsh>,
    limit: Duration,
) -> Result<Option<Link>, LinkError> {
    let Some(arguments) = ssh.waiting_arguments() else { return Ok(None) };
    let Some((route, waiting_ssh)) = prepared_ssh.take(&arguments) else { return Ok(None) };
    // If no ssh waits, one starts while the connection is made.
    let Some(waiting_ssh) = waiting_ssh.or_else(|| waiting(ssh, arguments, prepared_ssh)) else {
        return Ok(None);
    };
    // If the user sets the log level, ssh itself reports the steps, as far as it logs them.
    let is_followed = ssh.debug_lines(Attempt::Reconnect) == DebugLines::Hidden;
    let dialled = route.dial(limit, is_followed).await;
    prepared_ssh.set_doubtful(true);
    let connection = match dialled {
        Ok(connection) => connection,
        Err(error) => {
            prepared_ssh.park(waiting_ssh);
            return Err(error);
        }
    };
    match waiting_ssh.give(connection).await {
        Ok(link) => Ok(Some(watched(link, Arc::downgrade(prepared_ssh)))),
        Err(error) => {
            tracing::debug!(%error, "the ssh that waited took no connection");
            prepared_ssh.leave_to_ssh();
            Ok(None)
        }
    }
}

/// The link, whose end may show that passing connections does not work here.
fn watched(link: Link, prepared_ssh: Weak<PreparedSsh>) -> Link {
    tracing::debug!("a connection was passed to ssh");
    let (reader, writer, guard) = link.into_parts();
    Link::with_post_mortem(reader, writer, async move {
        let error = guard.post_mortem().await;
        if !error.detail.iter().any(|line| line.contains(NOT_PASSED)) {
            return error;
        }
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            prepared_ssh.leave_to_ssh();
        }
        let message =
            "the connection could not be passed to ssh; on the next attempt ssh connects itself";
        LinkError::new(LinkErrorKind::Closed, message).with_detail(error.detail)
    })
}
