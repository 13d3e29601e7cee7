//! Drives the client machine: carries out its effects, brings it its events.

#[cfg(test)]
mod deadline_tests;
mod effects;
mod hindrance;
#[cfg(test)]
mod lane_tests;
mod lanes;
#[cfg(test)]
mod order_tests;
mod spare;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rejoin_protocol::client::{Client, Config, Effect, Ending, Event as MachineEvent};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::{Frame, HostId, Item, Link, Timer};
use rejoin_ssh::{BoxFuture, Connect, LinkError, LinkErrorKind};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::event::{Event, link_word};
use crate::link::{LiveLink, Report};
use crate::options::{Options, Timing};
use crate::session::{Command, InputItem, Placed, Taken};
use crate::state::SessionState;
use crate::timers::{Backoff, Timers};
use crate::wake::{self, Wake};
use hindrance::Hindrance;
use lanes::Lanes;
use spare::{Pulse, Spare};

/// How long the items are that input is cut into. Of an item that did not arrive whole nothing
/// counts: on a link that is cut often, long ones would be sent again and again.
const PIECE: usize = 16 * 1024;

/// Where the driver meets the application.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) input: mpsc::Receiver<InputItem>,
    pub(crate) control: mpsc::UnboundedReceiver<Command>,
    pub(crate) output: mpsc::UnboundedSender<Placed>,
    pub(crate) event: mpsc::UnboundedSender<Event>,
    pub(crate) taken: watch::Receiver<Taken>,
    pub(crate) state: watch::Sender<Option<SessionState>>,
}

/// Whom a driver tells of output, events and its state.
type Told = (
    mpsc::UnboundedSender<Placed>,
    mpsc::UnboundedSender<Event>,
    watch::Sender<Option<SessionState>>,
);

// Each of them is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
struct Driver {
    connect: Arc<dyn Connect>,
    config: Config,
    machine: Client,
    #[cfg(feature = "record")]
    recorder: crate::record::Recorder,
    timing: Timing,
    /// Whether a person may be asked by the next attempt.
    may_ask: bool,
    /// Whether the attempt that was made last was allowed to.
    is_asking_allowed: bool,
    timers: Timers,
    backoff: Backoff,
    links: u64,
    link: Option<LiveLink>,
    /// Whether the machine knows of `link`.
    is_link_opened: bool,
    /// Whether the host has begun to speak on `link`.
    is_link_started: bool,
    /// What came on `link` that the server does not begin with.
    noise: Option<String>,
    pulse: Pulse,
    /// Whether a link is to stand by.
    standby: bool,
    spare: Option<Spare>,
    /// The same over the fast lane.
    fast_spare: Option<Spare>,
    lanes: Lanes,
    /// When to look again whether a spare is needed.
    look_due: Option<Instant>,
    /// What a spare had reported that is used now.
    replayed: VecDeque<(Link, Report)>,
    reports: mpsc::Sender<(Link, Report)>,
    /// Input that was taken from the application and waits for room.
    pending: Option<InputItem>,
    /// Sizes and signals that the machine had no room for.
    returned: Vec<Item>,
    output: mpsc::UnboundedSender<Placed>,
    event: mpsc::UnboundedSender<Event>,
    state: watch::Sender<Option<SessionState>>,
    /// Until when a person may be asked for what `ssh` wants.
    asking_until: Option<Instant>,
    host_name: Option<String>,
    /// Why the last link ended, in words.
    last_loss: String,
    /// The same for programs.
    last_kind: &'static str,
    needs_user: bool,
    detached_since: Instant,
    /// Since when the host was out of reach: one that waits for a person is not.
    unreachable_since: Instant,
    /// What keeps the client from its process on a host that can be reached.
    hindrance: Option<Hindrance>,
    /// Whether the host that answers has booted since the process was there.
    has_booted: bool,
    /// The name of the host that the session is on.
    session_host: Option<String>,
    /// When the patience for an Open ends, on the clock that runs while the machine sleeps.
    open_ends: Option<Duration>,
    /// Completes when an attempt that is planned for later is worthwhile now.
    revived: Option<BoxFuture<'static, ()>>,
    /// The last words of the link that was closed last.
    farewell: Option<BoxFuture<'static, ()>>,
}

/// Runs a session until it is over.
pub(crate) async fn run(
    connect: Arc<dyn Connect>,
    config: Config,
    machine: Client,
    options: Options,
    ports: Ports,
) {
    let Ports { mut input, mut control, output, event, mut taken, state } = ports;
    let (reports, mut reported) = mpsc::channel(16);
    let mut driver =
        Driver::new(connect, config, machine, &options, (output, event, state), reports);
    let mut woken = wake::watch();
    driver.tell(Event::Connecting);
    driver.step(MachineEvent::Timer(Timer::Reconnect));
    let mut has_control = true;
    while !driver.machine.is_ended() {
        let takes_input = driver.pending.is_none() && driver.machine.input_room() > 0;
        tokio::select! {
            Some((link, report)) = reported.recv() => driver.arrived(link, report),
            command = control.recv(), if has_control => match command {
                Some(command) => driver.command(command),
                None => has_control = false,
            },
            Some(item) = input.recv(), if takes_input => driver.input(item),
            changed = taken.changed() => match changed {
                Ok(()) => driver.taken(*taken.borrow_and_update()),
                // Nobody reads the output any more: nobody wants the session.
                Err(_) => driver.step(MachineEvent::Detach),
            },
            timer = driver.timers.next() => driver.timer(timer),
            wake = woken.recv() => driver.woken(wake),
            () = revived(&mut driver.revived) => driver.attempt_now(),
            () = until(driver.asking_until) => driver.nobody_answered(),
            () = until(driver.look_due) => driver.look_at_spare(),
            () = until(driver.lanes.learning_due()) => driver.learn(),
        }
        while let Some((link, report)) = driver.replayed.pop_front() {
            driver.report(link, report);
        }
        driver.push_pending();
        driver.plan_look();
    }
    driver.finish().await;
}

impl Driver {
    fn new(
        connect: Arc<dyn Connect>,
        config: Config,
        machine: Client,
        options: &Options,
        (output, event, state): Told,
        reports: mpsc::Sender<(Link, Report)>,
    ) -> Self {
        Self {
            connect,
            #[cfg(feature = "record")]
            recorder: crate::record::Recorder::begin(&config, &machine),
            config,
            machine,
            timing: options.timing,
            may_ask: options.may_ask,
            is_asking_allowed: false,
            timers: Timers::default(),
            backoff: Backoff::new(),
            links: 0,
            link: None,
            is_link_opened: false,
            is_link_started: false,
            noise: None,
            pulse: Pulse::new(),
            standby: options.standby,
            spare: None,
            fast_spare: None,
            lanes: Lanes::new(options.lane, options.session),
            look_due: None,
            replayed: VecDeque::new(),
            reports,
            pending: None,
            returned: Vec::new(),
            output,
            event,
            state,
            asking_until: None,
            host_name: None,
            last_loss: String::new(),
            last_kind: "other",
            needs_user: false,
            detached_since: Instant::now(),
            unreachable_since: Instant::now(),
            hindrance: None,
            has_booted: false,
            session_host: None,
            open_ends: None,
            revived: None,
            farewell: None,
        }
    }

    fn step(&mut self, event: MachineEvent) {
        let before = self.machine.name();
        let next_input = self.machine.next_input();
        #[cfg(feature = "record")]
        let effects = self.recorder.step(&mut self.machine, &self.config, event);
        #[cfg(not(feature = "record"))]
        let effects = self.machine.step(&self.config, event);
        let is_delivery = effects.iter().any(|effect| matches!(effect, Effect::Deliver(..)));
        for effect in effects {
            self.carry_out(effect);
        }
        // An answer may begin the count anew for another process: only what an attached one took.
        let is_acknowledgement =
            self.machine.is_attached() && self.machine.next_input() > next_input;
        // A process that replaced a lost one has to stay for a while: what it brings before proves nothing.
        let is_stable = self.machine.replacements() == 0;
        if is_stable && (is_delivery || is_acknowledgement) {
            self.backoff.progressed();
        }
        let after = self.machine.name();
        if before != after {
            tracing::debug!(before, after, "client");
        }
    }

    fn arrived(&mut self, link: Link, report: Report) {
        let is_used = self.link.as_ref().is_some_and(|live| live.link == link);
        if is_used && matches!(report, Report::Opened) {
            self.pulse.reached();
        }
        self.report(link, report);
    }

    /// Of a spare that is used now, what it reported before comes here again.
    fn report(&mut self, link: Link, report: Report) {
        if self.link.as_ref().is_none_or(|live| live.link != link) {
            return self.spare_reports(link, report);
        }
        self.pulse.heard();
        self.timers.restart(Timer::LinkSilent, self.timing.silent);
        match report {
            // `ssh` may be asking its user for a password: the deadline for that is a longer one.
            Report::Opened if self.is_asking_allowed => {
                self.asking_until = Some(Instant::now() + self.timing.asking);
            }
            Report::Opened => self.link_opened(link),
            Report::Heard(noise) => {
                self.noise = Some(noise);
                self.end_asking();
            }
            Report::Started(noise) => {
                self.asking_until = None;
                self.noise = None;
                self.is_link_started = true;
                // How long ssh takes says more.
                if !self.is_on_fast_lane() {
                    self.pulse.started();
                }
                self.tell_noise(&noise);
                self.link_opened(link);
                // Counted from the link's opening, however late the host begins.
                self.timers.hasten(Timer::Handshake, self.timing.handshake);
            }
            Report::Frames(frames) => self.frames(link, frames),
            Report::Misbehaved(error, noise) => {
                let what = Misbehaviour::Frame(error);
                self.last_loss = tell::misbehaved(what, &noise);
                self.link_ended(link, MachineEvent::LinkMisbehaved(link, what));
            }
            Report::Lost(error) => self.link_lost(link, &error),
        }
    }

    /// The host's end of the link says something: `ssh` has logged in, and asks its user nothing more.
    fn end_asking(&mut self) {
        let latest = Instant::now() + self.timing.login;
        self.asking_until = self.asking_until.map(|until| until.min(latest));
    }

    fn link_opened(&mut self, link: Link) {
        if !self.is_link_opened {
            self.is_link_opened = true;
            self.step(MachineEvent::LinkOpened(link));
        }
    }

    fn frames(&mut self, link: Link, frames: Vec<Frame>) {
        for frame in frames {
            if matches!(frame, Frame::Item { .. }) {
                self.pulse.busy();
            }
            match &frame {
                Frame::Greeting(greeting) => self.greeted(&greeting.host_name, greeting.host),
                Frame::Pong { .. } | Frame::Ack { .. } => self.pulse.answered(),
                Frame::Bye(bye) => tracing::debug!(?bye, "the server closes the link"),
                _ => {}
            }
            self.step(MachineEvent::Frame(link, frame));
        }
    }

    fn greeted(&mut self, host_name: &str, host: HostId) {
        let known = self.machine.host().filter(|known| known.machine == host.machine);
        self.has_booted = known.is_some_and(|known| known.boot != host.boot);
        self.host_name = Some(rejoin_text::printable(host_name, 255));
    }

    fn link_lost(&mut self, link: Link, error: &LinkError) {
        self.asking_until = None;
        self.last_loss = error.to_string();
        self.last_kind = link_word(error.kind);
        self.needs_user = error.kind == LinkErrorKind::NeedsUser;
        self.tell_diagnosis(error);
        self.lane_failed(error);
        self.link_ended(link, MachineEvent::LinkLost(link));
    }

    fn link_ended(&mut self, link: Link, event: MachineEvent) {
        self.drop_dead(link, event);
        self.end_if_first();
    }

    /// Where nothing was asked of the host yet, a link that ends is the end, as with ssh; later it is
    /// one of many attempts.
    fn end_if_first(&mut self) {
        if !self.machine.has_asked() && !self.machine.is_ended() {
            self.abandon(self.last_kind, &self.last_loss.clone());
        }
    }

    /// A link that the machine never heard of could not be opened.
    fn drop_dead(&mut self, link: Link, event: MachineEvent) {
        if self.is_link_opened {
            self.step(event);
        } else {
            self.step(MachineEvent::LinkFailed);
        }
        self.close(link);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Item(item) => self.step(MachineEvent::Input(item)),
            Command::Retry { may_ask } => {
                self.may_ask = may_ask;
                self.connect.hurry();
                self.lanes.hurry();
                self.attempt_now();
                // A question belongs to the attempt that a person asked for, or to none.
                self.may_ask = false;
            }
            Command::Detach => self.step(MachineEvent::Detach),
            Command::Close => self.step(MachineEvent::Close),
        }
    }

    fn input(&mut self, item: InputItem) {
        self.pending = Some(item);
    }

    /// Gives the machine as much of the waiting input as it has room for.
    fn push_pending(&mut self) {
        for item in std::mem::take(&mut self.returned) {
            self.step(MachineEvent::Input(item));
        }
        while let Some(item) = self.pending.take() {
            let room = self.machine.input_room();
            if room == 0 && !self.machine.is_ended() {
                self.pending = Some(item);
                return;
            }
            match item {
                InputItem::End => self.step(MachineEvent::Input(Item::InputEnd)),
                InputItem::Data(mut data) => {
                    let now = data.split_to(room.min(data.len()).min(PIECE));
                    self.pending = rest(data);
                    if !now.is_empty() {
                        self.step(MachineEvent::Input(Item::Input(now)));
                    }
                }
            }
            if self.machine.is_ended() {
                self.pending = None;
            }
        }
    }

    fn taken(&mut self, taken: Taken) {
        if taken.incarnation == self.machine.incarnation() {
            self.step(MachineEvent::Taken(taken.next));
            self.publish_state();
        }
    }

    fn timer(&mut self, timer: Timer) {
        if timer == Timer::Handshake {
            self.last_kind = "timeout";
            self.last_loss = tell::unanswered(self.noise.as_deref());
        }
        self.step(MachineEvent::Timer(timer));
        if timer == Timer::Handshake {
            self.end_if_first();
        }
        let is_repeated = matches!(timer, Timer::Heartbeat) && self.machine.is_attached();
        if is_repeated && !self.timers.is_armed(timer) {
            self.timers.arm(timer, self.timing.heartbeat);
        }
    }

    /// The machine was asleep, or its network changed: what failed before may work now, and what
    /// worked before may be dead without a word.
    fn woken(&mut self, wake: Wake) {
        if self.open_ends.is_some_and(|end| wake::boottime() >= end) {
            self.open_ends = None;
            self.step(MachineEvent::Timer(Timer::GiveUp));
            return;
        }
        self.backoff.reset();
        if self.machine.is_attached() {
            self.step(MachineEvent::Timer(Timer::Heartbeat));
            self.timers.restart(Timer::LinkSilent, self.timing.suspicious);
            self.suspect();
        } else {
            self.drop_attempt(wake);
            self.attempt_now();
        }
    }

    /// An attempt from before a sleep leads nowhere. One from before a change of the network may
    /// still, and changes come in bursts. Not even the very first one says anything about the host
    /// then: it is made again as it was.
    fn drop_attempt(&mut self, wake: Wake) {
        let link = self.link.as_ref().map(|live| live.link);
        let is_asking = self.is_asking_allowed && !self.is_link_opened;
        if let Some(link) = link.filter(|_| wake == Wake::Slept && !is_asking) {
            self.last_loss = String::from("the machine was asleep");
            self.may_ask = self.is_asking_allowed;
            self.drop_dead(link, MachineEvent::LinkLost(link));
        }
    }

    /// Whoever was asked for a password is not there, or the host accepts and says nothing.
    fn nobody_answered(&mut self) {
        self.asking_until = None;
        if let Some(link) = self.link.as_ref().map(|live| live.link) {
            self.last_kind = "timeout";
            self.last_loss = tell::unanswered(self.noise.as_deref());
            self.link_ended(link, MachineEvent::LinkLost(link));
        }
    }

    fn attempt_now(&mut self) {
        self.needs_user = false;
        self.revived = None;
        if self.timers.is_armed(Timer::Reconnect) {
            self.timers.disarm(Timer::Reconnect);
            self.step(MachineEvent::Timer(Timer::Reconnect));
        }
    }

    fn abandon(&mut self, reason: &str, message: &str) {
        self.tell(Event::GaveUp { reason: reason.to_owned(), message: message.to_owned() });
        self.step(MachineEvent::Detach);
    }

    fn publish_state(&self) {
        let state = SessionState {
            session: self.config.session,
            host: self.machine.host(),
            epoch: self.machine.holder().map(|holder| holder.epoch),
            incarnation: self.machine.incarnation(),
            tenure: self.machine.tenure(),
            next_output: self.machine.next_output(),
        };
        self.state.send_replace(Some(state));
    }

    /// Where the process stays, the link says its last words before everything is dropped; where
    /// it has ended, they were answered.
    async fn finish(mut self) {
        self.publish_state();
        self.drop_spare();
        self.drop_fast_spare();
        self.drop_link();
        let is_answered =
            matches!(self.machine.ending(), Some(Ending::Exited | Ending::Closed | Ending::Lost));
        if let Some(farewell) = self.farewell.filter(|_| !is_answered) {
            farewell.await;
        }
    }
}

async fn revived(revived: &mut Option<BoxFuture<'static, ()>>) {
    match revived {
        Some(revived) => revived.await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn rest(data: Bytes) -> Option<InputItem> {
    (!data.is_empty()).then_some(InputItem::Data(data))
}
