//! Serves one session: drives the server machine from before the process starts until its tombstone
//! is written.

mod activity;
mod arrivals;
mod effects;
mod links;
mod pacing;
mod programs;
mod queue;
mod running;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rejoin_protocol::registry::Reaped;
use rejoin_protocol::server::{Config, Event, Extent, Server};
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Link, SessionId, Stream, Timer};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::attach::config;
use crate::log::BoundedLog;
use crate::peer::require_own;
use crate::process::{Inherited, become_server, stderr_to};
use crate::registry::{Access, Lock, Record, Registry, RegistryError};
use crate::termination::{Termination, TerminationStep};
use activity::ActivityClock;
use links::{LinkReport, LiveLink};
use pacing::OutputPacer;
use running::{PIECE, ProcessEvent, Running};

/// The server sends a Ping if it has sent nothing on the attached link for this long.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// The attached link counts as lost if nothing arrived for this long.
const LINK_SILENT: Duration = Duration::from_secs(10);
/// How long descendants may take to end after they are asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How often the server checks its entry.
const GUARD: Duration = Duration::from_secs(2);
/// How often the server sweeps the registry.
const SWEEP: Duration = Duration::from_hours(1);
/// The delay until `ls` shows an attach. A record takes milliseconds to write, and a client that
/// reattaches should not wait for that.
const SHOWN_AFTER: Duration = Duration::from_millis(20);
/// How long to wait before accepting again when no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// How long writing the last frames may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Becomes the server of `session` with the inherited lock and first stream, and returns when the
/// session has ended.
///
/// # Errors
/// The inherited descriptors are wrong, or a system call that every server needs fails.
pub(crate) fn run(registry: &Path, session: SessionId) -> io::Result<()> {
    let inherited = become_server()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let registry = Registry::open(Some(registry)).map_err(not_a_registry)?;
    runtime.block_on(async move {
        let opener = UnixStream::from_std(non_blocking(inherited.stream.try_clone()?)?)?;
        let mut server = Serve::new(registry, session, inherited)?;
        server.accept(opener);
        server.serve().await
    })
}

fn not_a_registry(error: RegistryError) -> io::Error {
    io::Error::other(error)
}

fn non_blocking(
    stream: std::os::unix::net::UnixStream,
) -> io::Result<std::os::unix::net::UnixStream> {
    stream.set_nonblocking(true)?;
    Ok(stream)
}

struct Serve {
    config: Config,
    machine: Server,
    #[cfg(feature = "record")]
    recorder: crate::recorder::Recorder,
    /// Events that occurred while effects were carried out.
    events: VecDeque<Event>,
    registry: Registry,
    access: Access,
    record: Option<Record>,
    listener: Option<UnixListener>,
    log: Option<BoundedLog>,
    umask: u32,
    process: Option<Running>,
    activity: ActivityClock,
    /// Of the attached link.
    pacing: OutputPacer,
    /// The process's window: how much may be unacknowledged in each direction.
    window: u64,
    /// Whether the process has to wait when the window is full.
    is_patient: bool,
    termination: Option<Termination>,
    /// Which processes end with the session's process.
    extent: Extent,
    /// Whether the record lacks the process.
    is_record_stale: bool,
    links: BTreeMap<Link, LiveLink>,
    next_link: u64,
    reports: mpsc::Sender<(Link, LinkReport)>,
    reported: mpsc::Receiver<(Link, LinkReport)>,
    timers: BTreeMap<Timer, Instant>,
    retention: Duration,
    /// When to step the termination again.
    ending_due: Option<Instant>,
    /// When to record for `ls` who is attached.
    show_due: Option<Instant>,
    /// When to accept again after a failure.
    accept_after: Option<Instant>,
    children: Signal,
    is_stopped: bool,
}

impl Serve {
    fn new(registry: Registry, session: SessionId, inherited: Inherited) -> io::Result<Self> {
        let lock = Lock::from_fd(registry.clone(), session, inherited.lock);
        let access = Access::of_server(lock);
        let past = access.known()?.fold(Reaped::default(), None);
        let log = BoundedLog::open(&registry.log_path(session)).ok();
        if let Some(log) = &log {
            let _ = stderr_to(log);
        }
        let (reports, reported) = mpsc::channel(16);
        let config = config(session, crate::host::host_id()?);
        let machine = Server::Absent(past);
        Ok(Self {
            #[cfg(feature = "record")]
            recorder: crate::recorder::Recorder::server(&config, &machine),
            config,
            machine,
            events: VecDeque::new(),
            record: registry.read_record(session)?.whole(),
            registry,
            access,
            listener: None,
            log,
            umask: inherited.umask,
            process: None,
            activity: ActivityClock::default(),
            pacing: OutputPacer::new(),
            window: ProcessSpec::MAX_WINDOW,
            is_patient: false,
            termination: None,
            extent: Extent::HangUp,
            is_record_stale: false,
            links: BTreeMap::new(),
            next_link: 0,
            reports,
            reported,
            timers: BTreeMap::new(),
            retention: Duration::ZERO,
            ending_due: None,
            show_due: None,
            accept_after: None,
            children: signal(SignalKind::child())?,
            is_stopped: false,
        })
    }

    fn session(&self) -> SessionId {
        self.config.session
    }

    async fn serve(&mut self) -> io::Result<()> {
        // Protects the folder from systemd-tmpfiles for as long as the session lives.
        let _guard = self.registry.guard();
        let mut guard = tokio::time::interval(GUARD);
        let mut sweep = tokio::time::interval(SWEEP);
        while !self.is_stopped {
            let room = self.output_room();
            tokio::select! {
                Some((link, report)) = self.reported.recv() => self.report(link, report),
                accepted = accept(self.listener.as_ref(), self.accept_after) => match accepted {
                    Ok(stream) => match require_own(&stream) {
                        Ok(()) => {
                            self.accept(stream);
                            // Let its reader run before the next stream arrives.
                            tokio::task::yield_now().await;
                        }
                        Err(error) => self.note(format_args!("a connection was refused: {error}")),
                    },
                    Err(error) => {
                        self.note(format_args!("cannot accept a connection: {error}"));
                        self.accept_after = Some(Instant::now() + ACCEPT_PAUSE);
                    }
                },
                activity = act(self.process.as_mut(), room) => self.activity(activity),
                _ = self.children.recv() => self.children_changed(),
                timer = next_timer(&self.timers) => {
                    self.timers.remove(&timer);
                    self.step(Event::Timer(timer));
                    self.rearm(timer);
                }
                () = due(self.ending_due) => self.children_changed(),
                () = due(self.show_due) => {
                    self.show_due = None;
                    self.show_attachment();
                }
                _ = guard.tick() => {
                    self.dismiss_silent();
                    self.guard_entry();
                    self.show_activity();
                }
                _ = sweep.tick() => self.sweep(),
            }
            // After the Welcome, so that the client does not wait for the disk.
            self.record_process();
            self.check_abandoned();
        }
        self.farewell().await;
        Ok(())
    }

    /// If the opener leaves before its Hello, the server has nothing to serve.
    fn check_abandoned(&mut self) {
        if matches!(self.machine, Server::Absent(_)) && self.links.is_empty() {
            self.end_unopened();
        }
    }

    /// How much to read from the process, in bytes.
    fn output_room(&mut self) -> usize {
        let room = self.machine.output_room();
        if !self.is_patient || self.machine.attached().is_none() {
            return room;
        }
        let paced = self.pacing.room(self.machine.output_in_flight());
        room.min(usize::try_from(paced).unwrap_or(usize::MAX))
    }

    fn step(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let before = self.machine.name();
            #[cfg(feature = "record")]
            let effects = self.recorder.step(&mut self.machine, &self.config, event);
            #[cfg(not(feature = "record"))]
            let effects = self.machine.step(&self.config, event);
            self.carry_out_all(effects);
            let after = self.machine.name();
            if before != after {
                self.note(format_args!("{before} -> {after}"));
                self.show_due.get_or_insert_with(|| Instant::now() + SHOWN_AFTER);
            }
        }
    }

    /// Splits output into several items: an incomplete item does not count, so that a link that
    /// breaks often would carry long items again and again.
    fn output(&mut self, stream: Stream, mut data: Bytes) {
        while !data.is_empty() {
            let item = data.split_to(data.len().min(PIECE));
            self.step(Event::Output(stream, item));
        }
        if self.machine.attached().is_some() {
            self.pacing.sent(self.machine.output_in_flight(), Instant::now());
        }
    }

    fn activity(&mut self, activity: ProcessEvent) {
        self.activity.beat();
        match activity {
            ProcessEvent::Output(stream, data) => self.output(stream, data),
            ProcessEvent::InputTaken(next) => self.input_taken(next),
            ProcessEvent::Drained => {}
        }
        self.check_exited();
    }

    /// Input to a closed pipe counts as taken while the process could have read it.
    fn input_taken(&mut self, next: rejoin_protocol::Seq) {
        if self.process.as_ref().is_some_and(Running::has_closed_input) {
            if self.process.as_ref().is_some_and(Running::is_exiting) {
                return;
            }
            self.children_changed();
        }
        if self.process.as_ref().is_some_and(Running::is_running) {
            self.step(Event::InputTaken(next));
        }
    }

    /// Reports the exit after all output.
    fn check_exited(&mut self) {
        if let Some(status) = self.process.as_mut().and_then(Running::take_exit) {
            self.step(Event::Exited(status));
        }
    }

    /// Reaps children, and steps the termination.
    fn children_changed(&mut self) {
        let process = &mut self.process;
        let mut on_reaped = |pid, status| {
            if let Some(process) = process {
                process.reaped(pid, status);
            }
        };
        let stepped = match &mut self.termination {
            Some(termination) => termination.step(&mut on_reaped),
            None => crate::termination::reap_children(&mut on_reaped)
                .map(|_| TerminationStep::Again(GRACE)),
        };
        match stepped {
            Ok(TerminationStep::Done) => {
                self.ending_due = None;
                let ended = self.termination.take().map_or(0, |termination| termination.count());
                self.descendants_ended(ended);
            }
            Ok(TerminationStep::Again(pause)) => {
                self.ending_due = self.termination.is_some().then(|| Instant::now() + pause);
            }
            Err(error) => {
                self.note(format_args!("cannot wait for the process: {error}"));
                self.ending_due = self.termination.is_some().then(|| Instant::now() + GRACE);
            }
        }
        self.check_exited();
    }

    fn arm(&mut self, timer: Timer) {
        let after = match timer {
            Timer::Heartbeat => HEARTBEAT,
            Timer::LinkSilent => LINK_SILENT,
            Timer::Retention => self.retention,
            Timer::Handshake | Timer::Reconnect | Timer::GiveUp | Timer::Stable => return,
        };
        self.timers.insert(timer, Instant::now() + after);
    }

    fn restart(&mut self, timer: Timer, after: Duration) {
        if let Some(due) = self.timers.get_mut(&timer) {
            *due = Instant::now() + after;
        }
    }

    fn rearm(&mut self, timer: Timer) {
        if timer == Timer::Heartbeat && self.machine.attached().is_some() {
            self.arm(timer);
        }
    }

    fn sweep(&self) {
        let registry = self.registry.clone();
        // The sweep runs in the background, and nothing depends on it.
        drop(tokio::task::spawn_blocking(move || crate::registry::sweep(&registry)));
    }

    /// Waits a moment for the last frames to be written.
    async fn farewell(&mut self) {
        let links = std::mem::take(&mut self.links);
        let all = async {
            for (_, link) in links {
                link.farewell().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }

    fn note(&mut self, message: std::fmt::Arguments<'_>) {
        if let Some(log) = &mut self.log {
            log.line(message);
        }
    }
}

async fn accept(listener: Option<&UnixListener>, after: Option<Instant>) -> io::Result<UnixStream> {
    if let Some(after) = after {
        sleep_until(after).await;
    }
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn act(process: Option<&mut Running>, room: usize) -> ProcessEvent {
    match process {
        Some(process) => process.act(room).await,
        None => std::future::pending().await,
    }
}

async fn next_timer(timers: &BTreeMap<Timer, Instant>) -> Timer {
    match timers.iter().min_by_key(|(_, due)| **due) {
        Some((timer, due)) => {
            let timer = *timer;
            sleep_until(*due).await;
            timer
        }
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
