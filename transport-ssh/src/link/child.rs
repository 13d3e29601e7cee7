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
use tracing::Instrument as _;

use super::Link;
use super::connect::{Attempt, BoxFuture};
use super::error::{LinkError, LinkErrorKind, printable};
use super::stderr::{LineFilter, LineSink, OnStderr, Stderr, Tail, drain};

/// How long a child may take to end: by itself once its stream has ended, and again when asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long the last words of a child that has ended are waited for. They are in the pipe already,
/// unless something that the child left behind keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Says why a child ended.
pub(crate) type Judge = fn(&Evidence) -> LinkError;

/// What is known about a child's end.
#[derive(Default)]
pub(crate) struct Evidence {
    /// None if it had to be stopped.
    pub(crate) status: Option<ExitStatus>,
    /// Its last words.
    pub(crate) lines: Vec<String>,
    /// How its stdout begins, where that is text: what serves nobody says so there.
    pub(crate) greeting: Vec<String>,
    /// Bytes have arrived, so there was somebody at the other end.
    pub(crate) was_open: bool,
    /// What the program at the other end is called, where that has a name.
    pub(crate) command: Option<String>,
    /// It was stopped since nothing had come for too long behind its login.
    pub(crate) was_unanswered: bool,
}

/// A link over a child that is about to start.
pub(crate) struct Launch {
    pub(crate) command: Command,
    pub(crate) attempt: Attempt,
    /// The child leads a process group, and whatever else is in it ends with the link.
    pub(crate) owns_group: bool,
    pub(crate) on_stderr: Option<OnStderr>,
    /// Sorts its stderr.
    pub(crate) filter: Box<dyn LineFilter>,
    pub(crate) on_open: Option<OnOpen>,
    pub(crate) judge: Judge,
    /// What the program at the other end is called, where that has a name.
    pub(crate) called: Option<String>,
    /// Completes when the child is to be stopped since it waits in vain.
    pub(crate) watch: Option<Watch>,
    /// What is dropped when the child has ended.
    pub(crate) belongings: Option<Box<dyn Any + Send>>,
}

/// Watches the child with this process id, of which so much has come. Completes when the child is to be
/// stopped.
pub(crate) type Watch = Box<dyn FnOnce(Option<u32>, Arc<Heard>) -> BoxFuture<'static, ()> + Send>;

/// What has come of a child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Nothing,
    /// What a login shell prints.
    Text,
    /// What no login shell prints.
    Bytes,
}

/// Called once, when the first bytes have come of the child.
pub(crate) type OnOpen = Box<dyn FnOnce() + Send>;

/// A child that runs, and is no link yet. What it says is read once it is one. Dropping it kills the
/// child; what the child has started is to see that by itself.
pub(crate) struct Waiting {
    launch: Launch,
    child: Child,
    streams: Streams,
    stderr: OwnedReadHalf,
}

/// A running child, seen from its link. Dropping it has the child stopped and reaped.
pub(crate) struct Supervised {
    abandon: oneshot::Sender<()>,
    ended: oneshot::Receiver<ExitStatus>,
    tail: Tail,
    heard: Arc<Heard>,
    judge: Judge,
    called: Option<String>,
}

/// How much of the start of a child's stdout is kept.
const MAX_GREETING: usize = 512;

/// Bytes that stand nowhere in UTF-8.
const NEVER_TEXT: [u8; 4] = [0xc0, 0xc1, 0xfe, 0xff];

/// What has arrived on a child's stdout.
#[derive(Default)]
pub(crate) struct Heard {
    was_open: AtomicBool,
    /// Whether bytes have arrived that are no text.
    has_bytes: AtomicBool,
    /// Whether the child was stopped since nothing had come for too long behind its login.
    was_unanswered: AtomicBool,
    start: Mutex<Vec<u8>>,
}

impl Heard {
    pub(crate) fn came(&self) -> Came {
        match (self.was_open.load(Ordering::Relaxed), self.has_bytes.load(Ordering::Relaxed)) {
            (false, _) => Came::Nothing,
            (true, false) => Came::Text,
            (true, true) => Came::Bytes,
        }
    }

    /// The lines that its start holds. None where that is no text, or not all of it.
    fn greeting(&self) -> Vec<String> {
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::str::from_utf8(&start).unwrap_or_default();
        text.lines().map(printable).filter(|line| !line.is_empty()).collect()
    }
}

/// This end of a child's streams. A socket each, not a pipe: unlike a pipe that was full, it is not ready
/// for the next write before most of what was written is read, which spares a flood half of its wake-ups.
struct Streams {
    stdin: UnixStream,
    stdout: UnixStream,
}

/// The child's stdout, which notes what arrives first.
struct NotedStdout {
    stdout: UnixStream,
    heard: Arc<Heard>,
    /// How much of the start is still to be kept.
    wanted: usize,
    /// Whether bytes have come that are no text.
    has_bytes: bool,
    on_open: Option<OnOpen>,
}

impl Launch {
    pub(crate) fn start(mut self) -> Result<Link, LinkError> {
        self.command.stderr(Stdio::piped());
        let (mut child, streams) = self.spawn()?;
        let Some(stderr) = child.stderr.take() else {
            return Err(LinkError::new(LinkErrorKind::Other, "the child has no stderr"));
        };
        Ok(self.link(child, streams, stderr))
    }

    /// Starts a child whose stderr is a socket, over which whatever it starts can be given something.
    pub(crate) fn start_waiting(mut self) -> Result<(Waiting, OwnedWriteHalf), LinkError> {
        let (ours, theirs) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        self.command.stderr(theirs);
        let (child, streams) = self.spawn()?;
        self.command.stderr(Stdio::null());
        let (stderr, writer) = ours.into_split();
        Ok((Waiting { launch: self, child, streams, stderr }, writer))
    }

    /// The child, and this end of its stdin and stdout.
    fn spawn(&mut self) -> Result<(Child, Streams), LinkError> {
        let (stdin, child_stdin) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        let (stdout, child_stdout) = unix_pair().map_err(|error| self.cannot_start(&error))?;
        self.command.stdin(child_stdin).stdout(child_stdout);
        // For a runtime that shuts down: nobody is left to end the child in an orderly way.
        self.command.kill_on_drop(true);
        let child = self.command.spawn().map_err(|error| self.cannot_start(&error))?;
        // Their other ends are open in the child only, so that its end is theirs.
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        tracing::debug!(pid = child.id(), attempt = ?self.attempt, "link started");
        Ok((child, Streams { stdin, stdout }))
    }

    fn link(mut self, child: Child, streams: Streams, stderr: impl Stderr) -> Link {
        let Streams { stdin, stdout } = streams;
        let (heard, on_open) = (Arc::default(), self.on_open.take());
        let (open, opened) = oneshot::channel();
        let on_open: OnOpen = Box::new(move || {
            // Nobody listens if its stderr has ended.
            let _ = open.send(());
            if let Some(on_open) = on_open {
                on_open();
            }
        });
        let stdout = NotedStdout {
            stdout,
            heard: Arc::clone(&heard),
            wanted: MAX_GREETING,
            has_bytes: false,
            on_open: Some(on_open),
        };
        let child = self.supervise(child, (stderr, opened), heard);
        Link::explained(stdout, stdin, child.post_mortem())
    }

    fn supervise(
        self,
        child: Child,
        (stderr, opened): (impl Stderr, oneshot::Receiver<()>),
        heard: Arc<Heard>,
    ) -> Supervised {
        let tail = Tail::default();
        let sink = LineSink::new(self.attempt, tail.clone(), self.on_stderr, self.filter);
        let belongings = self.belongings;
        // What it tells of its steps belongs to whatever the link is opened for.
        let drained = drain(stderr, sink, opened).in_current_span();
        let drained = tokio::spawn(drained);
        let (abandon, abandoned) = oneshot::channel();
        let (report, ended) = oneshot::channel();
        let silence = silence(self.watch, child.id(), Arc::clone(&heard));
        let ends = (abandoned, silence);
        let supervised = supervise(child, self.owns_group, drained, ends, report);
        tokio::spawn(async move {
            supervised.await;
            drop(belongings);
        });
        Supervised { abandon, ended, tail, heard, judge: self.judge, called: self.called }
    }

    fn cannot_start(&self, error: &io::Error) -> LinkError {
        let program = self.command.as_std().get_program().to_string_lossy();
        match error.kind() {
            io::ErrorKind::NotFound => LinkError::new(
                LinkErrorKind::ProgramMissing,
                format!("{program}: not found on this machine; install it or name its path"),
            ),
            io::ErrorKind::PermissionDenied => LinkError::new(
                LinkErrorKind::ProgramMissing,
                format!("{program}: this user may not run it"),
            ),
            _ => LinkError::new(LinkErrorKind::Other, format!("cannot start {program}: {error}")),
        }
    }
}

impl Waiting {
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The link that it becomes.
    pub(crate) fn link(self) -> Link {
        self.launch.link(self.child, self.streams, self.stderr)
    }
}

impl Supervised {
    pub(crate) async fn post_mortem(self) -> LinkError {
        let Self { abandon, mut ended, tail, heard, judge, called } = self;
        let mut status = timeout(GRACE, &mut ended).await.ok();
        if status.is_none() {
            drop(abandon);
            // Reaped before the answer, so that an ending that was told left nothing behind; but what
            // it was stopped with is not why the link ended.
            let _ = timeout(GRACE * 2, ended).await;
        }
        let status = status.take().and_then(Result::ok);
        let was_open = heard.was_open.load(Ordering::Relaxed);
        let greeting = heard.greeting();
        let was_unanswered = heard.was_unanswered.load(Ordering::Relaxed);
        let (lines, command) = (tail.lines(), called);
        let evidence = Evidence { status, lines, greeting, was_open, command, was_unanswered };
        let error = judge(&evidence);
        tracing::debug!(?status, kind = ?error.kind, "link ended");
        error
    }
}

impl AsyncRead for NotedStdout {
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
            self.heard.has_bytes.store(true, Ordering::Relaxed);
        }
        if !arrived.is_empty() && self.wanted > 0 {
            let kept = &arrived[..arrived.len().min(self.wanted)];
            self.heard.was_open.store(true, Ordering::Relaxed);
            let mut start = self.heard.start.lock().unwrap_or_else(PoisonError::into_inner);
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
async fn silence(watch: Option<Watch>, pid: Option<u32>, heard: Arc<Heard>) {
    let Some(watch) = watch else { return std::future::pending().await };
    watch(pid, Arc::clone(&heard)).await;
    heard.was_unanswered.store(true, Ordering::Relaxed);
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
        // Nobody listens when the link was dropped.
        Ok(status) => drop(report.send(status)),
        Err(error) => tracing::warn!(%error, "cannot wait for a child"),
    }
}

/// Asks the child to end, which lets `ssh` take its own helpers along, and kills it if it does not.
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
    // A failure means that it has just ended by itself, which is as good.
    let _ = if owns_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
}

/// Our end, and one that a child can use like any file.
fn unix_pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}
