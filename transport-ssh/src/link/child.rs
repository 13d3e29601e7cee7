//! A child process whose stdin and stdout are a link.

use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::connect::Attempt;
use super::error::{LinkError, LinkErrorKind, printable};
use super::milestones::Milestones;
use super::stderr::{LineFilter, LineSink, OnStderr, StderrStream, StderrTail, drain};
use super::stream::BoxFuture;
use super::stream::Link;

/// How long a child may take to exit: after its stream has ended, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait for the last output of an ended child. It is already in the pipe, unless a process that
/// the child started keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Says why a child ended.
pub(crate) type ExitClassifier = fn(&ChildExit) -> LinkError;

/// How a child ended, and what it printed.
#[derive(Default)]
pub(crate) struct ChildExit {
    /// `None` if it had to be stopped.
    pub(crate) status: Option<ExitStatus>,
    /// Its last lines on stderr.
    pub(crate) lines: Vec<String>,
    /// The start of its stdout, if that is text, such as a refusal of the host.
    pub(crate) greeting: Vec<String>,
    /// Whether bytes arrived, so the other end had answered.
    pub(crate) was_open: bool,
    /// What the program at the other end is called, where that has a name.
    pub(crate) command: Option<String>,
    /// Whether it was stopped because nothing arrived for too long after its login.
    pub(crate) was_unanswered: bool,
}

/// A link over a child that is about to start.
pub(crate) struct ChildLaunch {
    pub(crate) command: Command,
    pub(crate) attempt: Attempt,
    /// Whether the child leads a process group that ends with the link.
    pub(crate) owns_group: bool,
    pub(crate) on_stderr: Option<OnStderr>,
    /// Sorts its stderr.
    pub(crate) filter: Box<dyn LineFilter>,
    pub(crate) on_open: Option<OnOpen>,
    pub(crate) classify: ExitClassifier,
    /// What the program at the other end is called, where that has a name.
    pub(crate) name: Option<String>,
    /// Completes when the child must be stopped because it waits in vain.
    pub(crate) watch: Option<StallWatch>,
    /// Dropped when the child has ended.
    pub(crate) resources: Option<Box<dyn Any + Send>>,
}

/// Watches the child with this process id and this stdout. Completes when the child must be stopped.
pub(crate) type StallWatch =
    Box<dyn FnOnce(Option<u32>, Arc<StdoutState>) -> BoxFuture<'static, ()> + Send>;

/// What has arrived from a child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Nothing,
    /// Text, as a login shell prints.
    Text,
    /// Bytes that are not text.
    Binary,
}

/// Called once, when the first bytes arrive.
pub(crate) type OnOpen = Box<dyn FnOnce() + Send>;

/// A running child that is not a link yet. Its output is read once it is one. Dropping it kills the child, but
/// not the processes that the child started.
pub(crate) struct PendingChild {
    launch: ChildLaunch,
    child: Child,
    streams: StdioSockets,
    stderr: OwnedReadHalf,
}

/// A running child, as its link sees it. Dropping it stops and reaps the child.
pub(crate) struct ChildHandle {
    abandon: oneshot::Sender<()>,
    ended: oneshot::Receiver<ExitStatus>,
    tail: StderrTail,
    stdout_state: Arc<StdoutState>,
    classify: ExitClassifier,
    name: Option<String>,
}

/// How much of the start of a child's stdout is kept.
const MAX_GREETING: usize = 512;

/// Bytes that never occur in UTF-8.
const NEVER_TEXT: [u8; 4] = [0xc0, 0xc1, 0xfe, 0xff];

/// The state of a child's stdout.
#[derive(Default)]
pub(crate) struct StdoutState {
    was_open: AtomicBool,
    /// Whether bytes have arrived that are no text.
    has_bytes: AtomicBool,
    /// Whether the child was stopped since nothing had come for too long behind its login.
    was_unanswered: AtomicBool,
    start: Mutex<Vec<u8>>,
}

impl StdoutState {
    pub(crate) fn received(&self) -> Received {
        match (self.was_open.load(Ordering::Relaxed), self.has_bytes.load(Ordering::Relaxed)) {
            (false, _) => Received::Nothing,
            (true, false) => Received::Text,
            (true, true) => Received::Binary,
        }
    }

    /// The lines at its start. Empty if the start is not text.
    fn greeting(&self) -> Vec<String> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::str::from_utf8(&start).unwrap_or_default();
        text.lines().map(printable).filter(|line| !line.is_empty()).collect()
    }
}

/// This end of a child's streams. A socket each, not a pipe: unlike a pipe that was full, it is not ready
/// for the next write before most of what was written is read, which spares a flood half of its wake-ups.
struct StdioSockets {
    stdin: UnixStream,
    stdout: UnixStream,
}

/// The child's stdout, which notes what arrives first.
struct ObservedStdout {
    stdout: UnixStream,
    stdout_state: Arc<StdoutState>,
    /// How much of the start is still to be kept.
    wanted: usize,
    /// Whether bytes have come that are no text.
    has_bytes: bool,
    on_open: Option<OnOpen>,
}

impl ChildLaunch {
    pub(crate) fn start(mut self) -> Result<Link, LinkError> {
        self.command.stderr(Stdio::piped());
        let (mut child, streams) = self.spawn()?;
        let Some(stderr) = child.stderr.take() else {
            return Err(LinkError::new(LinkErrorKind::Other, "the child has no stderr"));
        };
        Ok(self.link(child, streams, stderr))
    }

    /// Starts a child whose stderr is a socket, over which whatever it starts can be given something.
    pub(crate) fn start_pending(mut self) -> Result<(PendingChild, OwnedWriteHalf), LinkError> {
        let (ours, theirs) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        self.command.stderr(theirs);
        let (child, streams) = self.spawn()?;
        self.command.stderr(Stdio::null());
        let (stderr, writer) = ours.into_split();
        Ok((PendingChild { launch: self, child, streams, stderr }, writer))
    }

    /// The child, and this end of its stdin and stdout.
    fn spawn(&mut self) -> Result<(Child, StdioSockets), LinkError> {
        let (stdin, child_stdin) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        let (stdout, child_stdout) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        self.command.stdin(child_stdin).stdout(child_stdout);
        // For a runtime that shuts down: nobody is left to end the child in an orderly way.
        self.command.kill_on_drop(true);
        let child = self.command.spawn().map_err(|error| self.cannot_start(&error))?;
        // Their other ends are open in the child only, so that its end is theirs.
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        tracing::debug!(pid = child.id(), attempt = ?self.attempt, "link started");
        Ok((child, StdioSockets { stdin, stdout }))
    }

    fn link(mut self, child: Child, streams: StdioSockets, stderr: impl StderrStream) -> Link {
        let StdioSockets { stdin, stdout } = streams;
        let (stdout_state, on_open) = (Arc::default(), self.on_open.take());
        let (open, opened) = oneshot::channel();
        let on_open: OnOpen = Box::new(move || {
            // The receiver is gone if the child's stderr has ended.
            let _ = open.send(());
            if let Some(on_open) = on_open {
                on_open();
            }
        });
        let stdout = ObservedStdout {
            stdout,
            stdout_state: Arc::clone(&stdout_state),
            wanted: MAX_GREETING,
            has_bytes: false,
            on_open: Some(on_open),
        };
        let child = self.supervise(child, (stderr, opened), stdout_state);
        Link::with_post_mortem(stdout, stdin, child.post_mortem())
    }

    fn supervise(
        self,
        child: Child,
        (stderr, opened): (impl StderrStream, oneshot::Receiver<()>),
        stdout_state: Arc<StdoutState>,
    ) -> ChildHandle {
        let tail = StderrTail::default();
        let sink = LineSink::new(self.attempt, tail.clone(), self.on_stderr, self.filter);
        let resources = self.resources;
        let milestones = Milestones::current();
        let drained = drain(stderr, sink, opened);
        let drained = tokio::spawn(async move { milestones.note(drained).await });
        let (abandon, abandoned) = oneshot::channel();
        let (report, ended) = oneshot::channel();
        let silence = silence(self.watch, child.id(), Arc::clone(&stdout_state));
        let ends = (abandoned, silence);
        let supervised = supervise(child, self.owns_group, drained, ends, report);
        tokio::spawn(async move {
            supervised.await;
            drop(resources);
        });
        ChildHandle { abandon, ended, tail, stdout_state, classify: self.classify, name: self.name }
    }

    fn cannot_start(&self, error: &io::Error) -> LinkError {
        let program = self.command.as_std().get_program().to_string_lossy();
        match error.kind() {
            io::ErrorKind::NotFound => LinkError::new(
                LinkErrorKind::ProgramMissing,
                format!("{program}: not found on this machine; install it or give its path"),
            ),
            io::ErrorKind::PermissionDenied => LinkError::new(
                LinkErrorKind::ProgramMissing,
                format!("{program}: you have no permission to run it"),
            ),
            _ => LinkError::new(LinkErrorKind::Other, format!("cannot start {program}: {error}")),
        }
    }
}

impl PendingChild {
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The link that it becomes.
    pub(crate) fn link(self) -> Link {
        self.launch.link(self.child, self.streams, self.stderr)
    }
}

impl ChildHandle {
    pub(crate) async fn post_mortem(self) -> LinkError {
        let Self { abandon, mut ended, tail, stdout_state, classify, name } = self;
        let mut status = timeout(GRACE, &mut ended).await.ok();
        if status.is_none() {
            drop(abandon);
            // Reaped before this returns, so nothing is left behind; but the signal that stopped it is not
            // why the link ended.
            let _ = timeout(GRACE * 2, ended).await;
        }
        let status = status.take().and_then(Result::ok);
        let was_open = stdout_state.was_open.load(Ordering::Relaxed);
        let greeting = stdout_state.greeting();
        let was_unanswered = stdout_state.was_unanswered.load(Ordering::Relaxed);
        let (lines, command) = (tail.lines(), name);
        let evidence = ChildExit { status, lines, greeting, was_open, command, was_unanswered };
        let error = classify(&evidence);
        tracing::debug!(?status, kind = ?error.kind, "link ended");
        error
    }
}

impl AsyncRead for ObservedStdout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stdout).poll_read(cx, buf);
        let arrived = &buf.filled()[before..];
        if !self.has_bytes && arrived.iter().any(|byte| NEVER_TEXT.contains(byte)) {
            self.has_bytes = true;
            self.stdout_state.has_bytes.store(true, Ordering::Relaxed);
        }
        if !arrived.is_empty() && self.wanted > 0 {
            let kept = &arrived[..arrived.len().min(self.wanted)];
            self.stdout_state.was_open.store(true, Ordering::Relaxed);
            let mut start = self.stdout_state.start.lock().unwrap_or_else(PoisonError::into_inner);
            start.extend_from_slice(kept);
            drop(start);
            self.wanted -= kept.len();
            if let Some(on_open) = self.on_open.take() {
                on_open();
            }
        }
        polled
    }
}

/// Completes when the child is to be stopped since it waits in vain.
async fn silence(watch: Option<StallWatch>, pid: Option<u32>, stdout_state: Arc<StdoutState>) {
    let Some(watch) = watch else { return std::future::pending().await };
    watch(pid, Arc::clone(&stdout_state)).await;
    stdout_state.was_unanswered.store(true, Ordering::Relaxed);
}

/// Owns the child from its start until it is reaped.
async fn supervise(
    mut child: Child,
    owns_group: bool,
    mut drained: JoinHandle<()>,
    (abandoned, silence): (oneshot::Receiver<()>, impl Future<Output = ()>),
    report: oneshot::Sender<ExitStatus>,
) {
    let ended = tokio::select! {
        status = child.wait() => status,
        _ = abandoned => stop(&mut child, owns_group).await,
        () = silence => stop(&mut child, owns_group).await,
    };
    if timeout(LAST_WORDS, &mut drained).await.is_err() {
        drained.abort();
    }
    match ended {
        // The receiver is gone if the link was dropped.
        Ok(status) => drop(report.send(status)),
        Err(error) => tracing::warn!(%error, "cannot wait for a child"),
    }
}

/// Sends SIGTERM, so `ssh` can end its helpers, and SIGKILL if the child does not exit.
async fn stop(child: &mut Child, owns_group: bool) -> io::Result<ExitStatus> {
    let deadline = Instant::now() + GRACE;
    signal(child, owns_group, Signal::TERM);
    if let Ok(ended) = timeout_at(deadline, child.wait()).await {
        return ended;
    }
    signal(child, owns_group, Signal::KILL);
    child.wait().await
}

fn signal(child: &Child, owns_group: bool, signal: Signal) {
    // The number is still the child's: it has not been reaped, or `id` would be `None`.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(pid) = pid else { return };
    // A failure means that it has just exited.
    let _ = if owns_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
}

/// Our end, and one that a child can use like any file.
fn unix_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
