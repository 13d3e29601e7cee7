//! Drives the client machine: carries out its effects, brings it its events.
//!
//! Which link there is, and when another is opened, is the [path driver](crate::paths)'s part.

#[cfg(test)]
mod deadline_tests;
mod effects;
mod hindrance;
#[cfg(test)]
mod lane_tests;
mod links;
#[cfg(test)]
mod order_tests;
mod tell;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rejoin_protocol::client::{Client, Config, Effect, Ending, Event as MachineEvent};
use rejoin_protocol::{Item, Timer};
use rejoin_ssh::{BoxFuture, Connect};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::event::Event;
use crate::link::LiveLink;
use crate::options::Options;
use crate::os;
use crate::output::{Placed, Taken};
use crate::paths::{Happened, News, PathDriver, PathOptions};
use crate::ports::{Command, InputItem, Ports};
use crate::state::SessionState;
use crate::timeline::Timeline;
use crate::timers::Timers;
use crate::wake::Wake;
use links::Links;
use words::Words;

/// How long the items are that input is cut into. Of an item that did not arrive whole nothing
/// counts: on a link that is cut often, long ones would be sent again and again.
const PIECE: usize = 16 * 1024;

/// Whom a driver tells of output, events and its state.
struct Told {
    output: mpsc::UnboundedSender<Placed>,
    event: mpsc::UnboundedSender<Event>,
    state: watch::Sender<Option<SessionState>>,
    end: watch::Sender<Option<Event>>,
}

struct Driver {
    config: Config,
    machine: Client,
    #[cfg(feature = "record")]
    recorder: crate::record::Recorder,
    timers: Timers<Timer>,
    paths: PathDriver<Links>,
    /// The link that is used.
    link: Option<LiveLink>,
    /// Input that was taken from the application and waits for room.
    pending: Option<InputItem>,
    /// Sizes and signals that the machine had no room for.
    returned: Vec<Item>,
    told: Told,
    words: Words,
    /// When the patience for an Open ends, on the clock that runs while the machine sleeps.
    open_ends: Option<Duration>,
    /// The timeline of the link that is used, until its first output or until this time.
    timeline: Option<(Timeline, Instant)>,
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
    let Ports { mut input, mut control, output, event, mut taken, state, end } = ports;
    let (links, mut reported) = Links::new(Arc::clone(&connect));
    let told = Told { output, event, state, end };
    let mut driver = Driver::new(connect, links, config, machine, &options, told);
    driver.begin(options.may_ask);
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
            happened = driver.paths.next() => driver.happened(happened),
            () = until(driver.timeline.as_ref().map(|(_, due)| *due)) => driver.tell_timeline(),
        }
        driver.push_pending();
    }
    driver.finish().await;
}

/// Waits until then, if ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Driver {
    fn new(
        connect: Arc<dyn Connect>,
        links: Links,
        config: Config,
        machine: Client,
        options: &Options,
        told: Told,
    ) -> Self {
        Self {
            #[cfg(feature = "record")]
            recorder: crate::record::Recorder::begin(&config, &machine),
            timers: Timers::default(),
            words: Words::new(connect.destination()),
            paths: PathDriver::new(connect, links, &PathOptions::of(options, config.session)),
            config,
            machine,
            link: None,
            pending: None,
            returned: Vec::new(),
            told,
            open_ends: None,
            timeline: None,
            farewell: None,
        }
    }

    fn begin(&mut self, may_ask: bool) {
        self.tell(Event::Connecting);
        self.words.is_beginning = true;
        self.paths.wanted(may_ask);
        self.act();
    }

    fn step(&mut self, event: MachineEvent) {
        self.step_machine(event);
        self.act();
    }

    fn step_machine(&mut self, event: MachineEvent) {
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
            self.paths.progressed();
        }
        let after = self.machine.name();
        if before != after {
            tracing::debug!(before, after, "client");
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Item(item) => self.step(MachineEvent::Input(item)),
            Command::Retry { may_ask } => {
                self.paths.retry(may_ask);
                self.act();
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
            self.words.no_answer();
        }
        self.step(MachineEvent::Timer(timer));
        let is_repeated = matches!(timer, Timer::Heartbeat) && self.machine.is_attached();
        if is_repeated && !self.timers.is_armed(timer) {
            self.timers.arm(timer, self.paths.timing().heartbeat);
        }
    }

    fn happened(&mut self, happened: Happened) {
        if let Happened::Woken(wake) = happened {
            self.woken(wake);
        }
        self.paths.handle(happened);
        self.act();
    }

    /// A clock that stood still has not measured what was waited for.
    fn woken(&mut self, wake: Wake) {
        if self.open_ends.is_some_and(|end| os::boottime() >= end) {
            self.open_ends = None;
            return self.step(MachineEvent::Timer(Timer::GiveUp));
        }
        if self.machine.is_attached() {
            self.timers.restart(Timer::LinkSilent, self.paths.timing().suspicious);
        } else if wake == Wake::Slept {
            self.words.slept();
        }
    }

    /// Carries out what the path machine has decided.
    fn act(&mut self) {
        loop {
            while let Some(news) = self.paths.news() {
                self.news(news);
            }
            // Every wish for a link is answered: this one by its failure.
            let paths = self.paths.machine();
            let is_dialing = self.machine.is_dialing();
            if !is_dialing || !paths.is_waiting() || paths.is_under_way() {
                return;
            }
            self.step_machine(MachineEvent::LinkFailed);
        }
    }

    fn news(&mut self, news: News<links::Beside>) {
        match news {
            News::Dialling => self.want_link(),
            News::Use(beside) => self.use_link(beside),
            News::Replace(beside, old) => self.replace_link(beside, old),
            News::Lost(old) => self.lose_link(old),
            News::Dropped if self.machine.is_attached() => {}
            News::Dropped => self.words.no_answer(),
            News::Ask => self.step_machine(MachineEvent::Timer(Timer::Heartbeat)),
            News::Tell(story) => self.tell_story(story),
            News::TellForward(story) => self.tell_forward(story),
            News::GiveUp(urgency) => {
                self.words.given_up = Some(urgency);
                self.step_machine(MachineEvent::Unreachable);
            }
        }
    }

    fn want_link(&mut self) {
        if self.machine.is_detached() {
            self.step_machine(MachineEvent::Timer(Timer::Reconnect));
        }
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
        self.told.state.send_replace(Some(state));
    }

    /// Where the process stays, the link says its last words before everything is dropped; where
    /// it has ended, they were answered.
    async fn finish(mut self) {
        self.publish_state();
        self.paths.stop();
        if let Some(live) = self.link.take() {
            self.farewell = Some(Box::pin(live.end()));
        }
        let is_answered =
            matches!(self.machine.ending(), Some(Ending::Exited | Ending::Closed | Ending::Lost));
        if let Some(farewell) = self.farewell.filter(|_| !is_answered) {
            farewell.await;
        }
    }
}

fn rest(data: Bytes) -> Option<InputItem> {
    (!data.is_empty()).then_some(InputItem::Data(data))
}
