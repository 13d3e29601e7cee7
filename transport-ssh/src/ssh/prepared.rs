//! An ssh that has started, and waits for a connection.
//!
//! Everything that ssh does before it connects - being started, reading its configuration - is done
//! while nobody waits for it; and the connection is made here, to the first of the host's addresses
//! that answers. What is not clearly ssh's plain way to its host is left to ssh as a whole.

use std::ffi::{OsStr, OsString};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Attempt;
use crate::link::Link;
use crate::link::child::{OnOpen, Waiting};
use crate::link::error::{LinkError, LinkErrorKind};
use crate::ssh::SshConnect;
use crate::ssh::details::Details;
use crate::ssh::dial::Route;
use crate::ssh::fd_pass::Giver;

/// How long an ssh waits for a connection. Time asleep does not count.
const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// What ssh says when its helper brings no connection.
const NOT_PASSED: &str = "proxy dialer did not pass back a connection";

/// Where the ssh of a connector waits, and what is known about its way. Whoever drops the last of its
/// owners ends it, and whatever is being found out.
#[derive(Default)]
pub(crate) struct PreparedSsh(Mutex<Known>);

#[derive(Default)]
struct Known {
    way: Way,
    waiting_ssh: Option<WaitingSsh>,
    /// At most one task, which finds out the way and parks.
    finding: JoinSet<()>,
}

#[derive(Default)]
enum Way {
    /// ssh has not been asked yet.
    #[default]
    Unknown,
    /// ssh connects as anybody would.
    Direct(Direct),
    /// ssh connects by itself.
    LeftToSsh,
}

struct Direct {
    route: Route,
    /// Whether ssh is to be asked again: something failed since, and somebody may have mended the
    /// configuration for that.
    is_doubtful: bool,
}

impl PreparedSsh {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What it holds is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hand-overs do not work here, or ssh does not connect as anybody would.
    fn leave_to_ssh(&self) {
        let mut known = self.known();
        known.way = Way::LeftToSsh;
        known.waiting_ssh = None;
    }

    fn set_doubtful(&self, doubtful: bool) {
        if let Way::Direct(direct) = &mut self.known().way {
            direct.is_doubtful = doubtful;
        }
    }

    /// Notes what ssh has told. What waits for another way is of no use.
    fn learn(&self, route: Route) {
        let mut known = self.known();
        if !matches!(&known.way, Way::Direct(direct) if direct.route == route) {
            known.waiting_ssh = None;
        }
        known.way = Way::Direct(Direct { route, is_doubtful: false });
    }

    /// The way, unless that is ssh's own or in doubt, and the ssh that waits with these arguments.
    fn take(&self, arguments: &[OsString]) -> Option<(Route, Option<WaitingSsh>)> {
        let mut known = self.known();
        let Way::Direct(Direct { route, is_doubtful: false }) = &known.way else { return None };
        let route = route.clone();
        let mut waiting_ssh = known.waiting_ssh.take();
        drop(known);
        if waiting_ssh.as_mut().is_some_and(|waiting_ssh| !waiting_ssh.waiting.is_running()) {
            tracing::debug!("the ssh that waited has ended");
            self.leave_to_ssh();
            return None;
        }
        Some((route, waiting_ssh.filter(|waiting_ssh| waiting_ssh.arguments == arguments)))
    }

    fn has_waiting_ssh(&self, arguments: &[OsString]) -> bool {
        self.known()
            .waiting_ssh
            .as_ref()
            .is_some_and(|waiting_ssh| waiting_ssh.arguments == arguments)
    }

    fn park(&self, waiting_ssh: WaitingSsh) {
        if !waiting_ssh.is_expired() {
            self.known().waiting_ssh = Some(waiting_ssh);
        }
    }

    fn expire(&self) {
        self.known().waiting_ssh.take_if(|waiting_ssh| waiting_ssh.is_expired());
    }
}

impl Known {
    fn is_finding(&mut self) -> bool {
        while self.finding.try_join_next().is_some() {}
        !self.finding.is_empty()
    }
}

/// An ssh that waits. Dropping it ends it.
struct WaitingSsh {
    waiting: Waiting,
    giver: Giver,
    arguments: Vec<OsString>,
    since: Instant,
    /// Ends with it.
    _expiry: JoinSet<()>,
}

impl WaitingSsh {
    fn is_expired(&self) -> bool {
        self.since.elapsed() >= LONGEST_WAIT
    }

    async fn give(self, connection: TcpStream) -> std::io::Result<Link> {
        self.giver.give(&connection).await?;
        Ok(self.waiting.link())
    }
}

/// Updates what is known of the way of an ssh, as long as somebody keeps it.
pub(crate) fn on_open(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>) -> Option<OnOpen> {
    ssh.waiting_arguments()?;
    let (ssh, prepared_ssh) = (ssh.clone(), Arc::downgrade(prepared_ssh));
    Some(Box::new(move || {
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            find_out(&ssh, &prepared_ssh, false);
        }
    }))
}

/// Has an ssh wait, if that is where its way leads.
pub(crate) fn prepare(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>) {
    find_out(ssh, prepared_ssh, true);
}

/// Asks ssh for its way where that is not known, in the background, and has one wait if wanted.
fn find_out(ssh: &SshConnect, prepared_ssh: &Arc<PreparedSsh>, is_wanted: bool) {
    let Some(arguments) = ssh.waiting_arguments() else { return };
    let Ok(runtime) = Handle::try_current() else { return };
    let is_missing = is_wanted && !prepared_ssh.has_waiting_ssh(&arguments);
    let mut known = prepared_ssh.known();
    let is_known = match &known.way {
        Way::LeftToSsh => return,
        Way::Direct(direct) => !direct.is_doubtful,
        Way::Unknown => false,
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

/// Asks ssh where it would connect, and notes that.
async fn ask(ssh: &SshConnect, prepared_ssh: &Weak<PreparedSsh>) {
    // What ssh has told beside the first connection counts until something has failed since.
    let is_new = prepared_ssh
        .upgrade()
        .is_some_and(|prepared_ssh| matches!(prepared_ssh.known().way, Way::Unknown));
    let told = ssh.told().filter(|_| is_new).cloned();
    let resolved = match told {
        Some(resolved) => Ok(resolved),
        None => ssh.resolve().await,
    };
    let route = match resolved {
        Ok(resolved) => Route::of(&resolved),
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

/// Has an ssh wait, if none does and it is known where it would connect.
fn park(ssh: &SshConnect, prepared_ssh: &Weak<PreparedSsh>) {
    let (Some(prepared_ssh), Some(arguments)) = (prepared_ssh.upgrade(), ssh.waiting_arguments())
    else {
        return;
    };
    let is_known = matches!(prepared_ssh.known().way, Way::Direct(_));
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
    // It runs the helper, and nothing else: what the user's own shell reads first would be waited for.
    launch.command.env("SHELL", "/bin/sh");
    let proved = Arc::downgrade(prepared_ssh);
    launch.on_open = Some(Box::new(move || {
        if let Some(prepared_ssh) = proved.upgrade() {
            prepared_ssh.set_doubtful(false);
        }
    }));
    let (waiting, socket) = launch.start_waiting().ok()?;
    let (mut expiry, prepared_ssh) = (JoinSet::new(), Arc::downgrade(prepared_ssh));
    expiry.spawn(async move {
        sleep(LONGEST_WAIT).await;
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            prepared_ssh.expire();
        }
    });
    let (giver, since) = (Giver::new(socket), Instant::now());
    Some(WaitingSsh { waiting, giver, arguments, since, _expiry: expiry })
}

/// A link over an ssh that was given its connection. None where it has to connect by itself.
pub(crate) async fn connect(
    ssh: &SshConnect,
    prepared_ssh: &Arc<PreparedSsh>,
    limit: Duration,
) -> Result<Option<Link>, LinkError> {
    let Some(arguments) = ssh.waiting_arguments() else { return Ok(None) };
    let Some((route, waiting_ssh)) = prepared_ssh.take(&arguments) else { return Ok(None) };
    // Where none waits, one starts while the connection is made.
    let Some(waiting_ssh) = waiting_ssh.or_else(|| waiting(ssh, arguments, prepared_ssh)) else {
        return Ok(None);
    };
    // Where a user decides how much ssh tells, its steps are told as far as ssh tells them.
    let is_told = ssh.details(Attempt::Reconnect) == Details::Kept;
    let dialled = route.dial(limit, is_told).await;
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

/// The link, whose end may tell that hand-overs do not work here.
fn watched(link: Link, prepared_ssh: Weak<PreparedSsh>) -> Link {
    tracing::debug!("a connection was handed over");
    let (reader, writer, guard) = link.into_parts();
    Link::explained(reader, writer, async move {
        let error = guard.post_mortem().await;
        if !error.detail.iter().any(|line| line.contains(NOT_PASSED)) {
            return error;
        }
        if let Some(prepared_ssh) = prepared_ssh.upgrade() {
            prepared_ssh.leave_to_ssh();
        }
        let message = "the connection did not get to ssh; the next attempt leaves it to ssh";
        LinkError::new(LinkErrorKind::Closed, message).with_detail(error.detail)
    })
}

/// Whether ssh can be given a connection at all: it is one, and its stderr stays what it was started
/// with, which a log file (`-E`) would take the place of.
pub(crate) fn is_possible(program: &OsStr, options: &[OsString]) -> bool {
    let is_ssh = Path::new(program).file_name() == Some("ssh".as_ref());
    is_ssh && !options.iter().any(|option| has_log_file(option))
}

/// Whether `-E` stands in this word, by itself or behind flags without values.
fn has_log_file(option: &OsStr) -> bool {
    const FLAGS: &[u8] = b"1246AaCfGgKkMNnqsTtVvXxYy";
    let letters = option.as_encoded_bytes().strip_prefix(b"-").unwrap_or_default();
    letters.iter().find(|letter| !FLAGS.contains(letter)) == Some(&b'E')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ssh_that_keeps_its_stderr_is_given_a_connection() {
        let is_possible = |program: &str, options: &[&str]| {
            let options: Vec<_> = options.iter().map(OsString::from).collect();
            is_possible(program.as_ref(), &options)
        };
        assert!(is_possible("ssh", &["-o", "EscapeChar=none", "-vvv", "-F", "/etc/E", "-oX=E"]));
        assert!(is_possible("/usr/bin/ssh", &[]));
        assert!(!is_possible("kubectl", &[]));
        for log in [&["-E", "log"][..], &["-Elog"], &["-v", "-4vE", "log"]] {
            assert!(!is_possible("ssh", log), "{log:?}");
        }
    }
}
