//! Drives the path machine: opens links as it decides, and hands the one that is used to its owner.
//!
//! A session and a shared [`Host`](crate::Host) each have one. What a link is differs: a session's is one
//! that frames come from, a host's carries streams. Neither decides when to dial, nor what to use.

mod forwards;
mod names;
mod standby;
mod times;

use std::collections::VecDeque;
use std::sync::Arc;

use rejoin_protocol::paths::{
    Config, Effect, Event, Mode, Path, Paths, Properties, Story, Timer, Urgency, Why,
};
use rejoin_protocol::{Link, SessionId};
use rejoin_ssh::{Attempt, BoxFuture, Connect, LinkError};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use forwards::ForwardStory;
pub(crate) use names::why;

use crate::link::Way;
use crate::options::{Lane, Options, Timing};
use crate::timers::Timers;
use crate::wake::{self, Wake, Woken};
use forwards::ForwardDriver;
use standby::Standby;
use times::Times;

/// What a path driver opens, and how it is closed.
pub(crate) trait Carrier {
    /// A link that is open or being opened.
    type Link;

    /// Opens a link of this name. What becomes of it is reported elsewhere, to the path driver's owner.
    fn open(&mut self, name: Link, way: Way) -> Self::Link;

    /// Closes one that is not used. The future completes when it is gone, and need not be awaited.
    fn close(link: Self::Link) -> BoxFuture<'static, ()>;
}

/// What an application decides about the ways to a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathOptions {
    pub(crate) timing: Timing,
    pub(crate) lane: Lane,
    pub(crate) standby: bool,
    /// Spreads what need not be done by all at the same moment.
    pub(crate) spread: u8,
}

impl PathOptions {
    /// Those of a session's own connection. Ids are random, and spread the sessions.
    pub(crate) fn of(options: &Options, session: SessionId) -> Self {
        let [spread, ..] = *session.as_bytes();
        let Options { timing, lane, standby, .. } = *options;
        Self { timing, lane, standby, spread }
    }
}

/// What the owner has to do.
pub(crate) enum News<L> {
    /// A dial has begun for a session that has no link.
    Dialling,
    /// This link is used from now on.
    Use(L),
    /// The same, in the place of the one that is used: close that one.
    Replace(L, Old),
    /// The link that is used counts as lost: close it.
    Lost(Old),
    /// A link that was not used was closed: it took too long, or nobody needs it.
    Dropped,
    /// A Ping is to be sent on the link that is used.
    Ask,
    /// The application is to be told.
    Tell(Story),
    /// The same about a forward.
    TellForward(ForwardStory),
    /// There is no link, and there will be none.
    GiveUp(Urgency),
}

/// A link that was used, and that its owner has to close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Old {
    /// What the machine calls it, if that waits for its end.
    held: Option<Link>,
}

/// A link that the machine knows.
struct Known<L> {
    /// What the machine calls it.
    slot: Link,
    /// What everybody else calls it: no two links have the same name.
    name: Link,
    path: Path,
    /// Not for the one that is used: the owner has it.
    link: Option<L>,
    /// When the host was reached.
    since: Instant,
}

/// The path machine with its timers, its clock and its links.
pub(crate) struct PathDriver<C: Carrier> {
    machine: Paths,
    config: Config,
    carrier: C,
    connect: Arc<dyn Connect>,
    timers: Timers<Timer>,
    times: Times,
    links: Vec<Known<C::Link>>,
    /// How many links there were.
    count: u64,
    /// What happened while effects were carried out.
    happened: VecDeque<Event>,
    news: VecDeque<News<C::Link>>,
    /// Links that hold what the next one needs report here when they are gone.
    gone: (mpsc::UnboundedSender<Link>, mpsc::UnboundedReceiver<Link>),
    standby: Standby,
    forwards: ForwardDriver,
    woken: Woken,
    signals: Signals,
}

/// What a connector says by itself.
#[derive(Default)]
struct Signals {
    revived: Option<BoxFuture<'static, ()>>,
    renewed: Option<BoxFuture<'static, ()>>,
}

/// Something that a path driver waited for.
#[derive(Debug)]
pub(crate) enum Happened {
    Event(Event),
    Woken(Wake),
    Standby,
    Forwards(forwards::Happened),
}

impl<C: Carrier> PathDriver<C> {
    /// A driver over what `connect` offers.
    pub(crate) fn new(connect: Arc<dyn Connect>, carrier: C, options: &PathOptions) -> Self {
        Self {
            machine: Paths::new(),
            config: config(&*connect, options),
            forwards: ForwardDriver::new(connect.forwards()),
            carrier,
            connect,
            timers: Timers::default(),
            times: Times::new(options),
            links: Vec::new(),
            count: 0,
            happened: VecDeque::new(),
            news: VecDeque::new(),
            gone: mpsc::unbounded_channel(),
            standby: Standby::new(options.standby),
            woken: wake::watch(),
            signals: Signals::default(),
        }
    }

    /// The session does not want a link any more, for now.
    pub(crate) fn unwanted(&mut self) {
        self.step(Event::Unwanted);
    }

    /// Waits for the next thing that happens by itself.
    pub(crate) async fn next(&mut self) -> Happened {
        tokio::select! {
            timer = self.timers.next() => Happened::Event(Event::Timer(timer)),
            wake = self.woken.recv() => Happened::Woken(wake),
            Some(slot) = self.gone.1.recv() => Happened::Event(Event::Ended(slot, Why::Closed)),
            () = signal(&mut self.signals.revived) => Happened::Event(Event::Available(Path::Main)),
            () = signal(&mut self.signals.renewed) => Happened::Event(Event::Outdated),
            () = self.standby.due() => Happened::Standby,
            happened = self.forwards.next() => Happened::Forwards(happened),
        }
    }

    /// Acts on it.
    pub(crate) fn handle(&mut self, happened: Happened) {
        match happened {
            Happened::Event(event) => self.step(event),
            Happened::Woken(Wake::Slept) => {
                self.step(Event::Woken(rejoin_protocol::paths::Wake::Slept));
            }
            Happened::Woken(Wake::NetworkChanged) => {
                self.step(Event::Woken(rejoin_protocol::paths::Wake::NetworkChanged));
            }
            Happened::Standby => {
                if let Some(is_wanted) = self.standby.change() {
                    self.step(Event::Standby(is_wanted));
                }
            }
            Happened::Forwards(happened) => self.forwards.handle(happened),
        }
    }

    /// What the owner has to do next.
    pub(crate) fn news(&mut self) -> Option<News<C::Link>> {
        let story = || self.forwards.story().map(News::TellForward);
        self.news.pop_front().or_else(story)
    }

    pub(crate) fn machine(&self) -> &Paths {
        &self.machine
    }

    pub(crate) fn wanted(&mut self, may_ask: bool) {
        self.step(Event::Wanted { may_ask });
    }

    pub(crate) fn retry(&mut self, may_ask: bool) {
        self.connect.retry_now();
        self.step(Event::Retry { may_ask });
    }

    pub(crate) fn asked(&mut self) {
        self.step(Event::Asked);
    }

    pub(crate) fn attached(&mut self) {
        self.standby.busy();
        self.step(Event::Attached);
    }

    pub(crate) fn progressed(&mut self) {
        self.step(Event::Progressed);
    }

    /// Something was sent that the host acknowledges.
    pub(crate) fn sent(&mut self) {
        self.standby.busy();
        self.step(Event::Sent);
    }

    pub(crate) fn pinged(&mut self) {
        self.step(Event::Pinged);
    }

    /// Something came on the link that is used.
    pub(crate) fn heard(&mut self) {
        self.timers.restart(Timer::Silence, self.times.silence());
        self.timers.defer(Timer::Answer, self.times.quiet());
        self.step(Event::Heard);
    }

    /// Of what came, something was new.
    pub(crate) fn brought(&mut self) {
        self.standby.busy();
    }

    pub(crate) fn answered(&mut self) {
        self.step(Event::Answered);
    }

    pub(crate) fn expecting(&mut self, is_expecting: bool) {
        self.step(Event::Expecting(is_expecting));
    }

    /// The link that is used was closed by its owner. What it holds is free when `gone` completes.
    pub(crate) fn given_up(&mut self, name: Link, gone: BoxFuture<'static, ()>) {
        let Some(known) = self.slot(name).and_then(|slot| self.forget(slot)) else { return };
        self.step(Event::GivenUp(known.slot));
        self.closing(self.old(&known), gone);
    }

    /// The same after [`News::Replace`] or [`News::Lost`], of which the machine knows.
    pub(crate) fn closing(&self, old: Old, gone: BoxFuture<'static, ()>) {
        let sender = self.gone.0.clone();
        tokio::spawn(async move {
            gone.await;
            if let Some(slot) = old.held {
                // Nobody has to wait for it any more.
                let _ = sender.send(slot);
            }
        });
    }

    fn old(&self, known: &Known<C::Link>) -> Old {
        let properties = self.config.properties(known.path);
        let is_held = properties.is_some_and(|properties| properties.is_exclusive);
        Old { held: is_held.then_some(known.slot) }
    }

    pub(crate) fn opened(&mut self, name: Link) {
        if let Some(known) = self.links.iter_mut().find(|known| known.name == name) {
            known.since = Instant::now();
            let slot = known.slot;
            self.step(Event::Opened(slot));
        }
    }

    pub(crate) fn begun(&mut self, name: Link) {
        if let Some(slot) = self.slot(name) {
            self.step(Event::Begun(slot));
        }
    }

    pub(crate) fn greeted(&mut self, name: Link) {
        let Some(known) = self.links.iter().find(|known| known.name == name) else { return };
        if known.path == Path::Main {
            self.times.login_took(known.since.elapsed());
        }
        let slot = known.slot;
        self.step(Event::Greeted(slot));
    }

    pub(crate) fn ended(&mut self, name: Link, error: &LinkError) {
        if let Some(slot) = self.slot(name) {
            self.forget(slot);
            self.step(Event::Ended(slot, why(error.kind)));
        }
    }

    /// The link that is dialled or ready under this name.
    pub(crate) fn beside(&mut self, name: Link) -> Option<&mut C::Link> {
        self.links.iter_mut().find(|known| known.name == name)?.link.as_mut()
    }

    /// Whether the link that is used goes over the quick path.
    pub(crate) fn is_on_fast_lane(&self) -> bool {
        self.machine.used().is_some_and(|(_, path)| path == Path::Fast)
    }

    /// How long until the next attempt; nothing while one is under way.
    pub(crate) fn pause(&self) -> std::time::Duration {
        if self.machine.is_under_way() {
            return std::time::Duration::ZERO;
        }
        let pauses = Path::ALL.into_iter().filter_map(|path| self.timers.left(Timer::Pause(path)));
        pauses.min().unwrap_or_default()
    }

    pub(crate) fn timing(&self) -> &Timing {
        self.times.timing()
    }

    /// Closes everything, and opens nothing any more.
    pub(crate) fn stop(&mut self) {
        self.step(Event::Stop);
        self.news.clear();
    }

    fn step(&mut self, event: Event) {
        self.happened.push_back(event);
        while let Some(event) = self.happened.pop_front() {
            if !matches!(event, Event::Heard | Event::Sent | Event::Progressed) {
                tracing::trace!(?event, "paths");
            }
            for effect in self.machine.step(&self.config, event) {
                self.carry_out(effect);
            }
        }
        self.listen();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { path, link, mode } => self.dial(path, link, mode),
            Effect::Use(slot) => {
                if let Some(link) = self.take(slot) {
                    self.signals.renewed = Some(self.connect.renewed());
                    self.news.push_back(News::Use(link));
                }
            }
            Effect::Replace { old, new } => {
                let old = self.forget(old).map_or(Old { held: None }, |known| self.old(&known));
                if let Some(link) = self.take(new) {
                    self.signals.renewed = Some(self.connect.renewed());
                    self.news.push_back(News::Replace(link, old));
                }
            }
            Effect::Drop(slot) => self.drop_link(slot),
            Effect::Prepare => self.connect.prepare(),
            Effect::Ask => self.news.push_back(News::Ask),
            Effect::Learn => self.connect.learn(),
            Effect::Arm(timer, class, step) => {
                self.timers.arm(timer, self.times.of(timer, class, step));
            }
            Effect::Disarm(timer) => self.timers.disarm(timer),
            Effect::Tell(story) => self.news.push_back(News::Tell(story)),
            Effect::GiveUp(urgency) => self.news.push_back(News::GiveUp(urgency)),
        }
    }

    fn dial(&mut self, path: Path, slot: Link, mode: Mode) {
        if path == Path::Fast && self.connect.fast().is_none() {
            return self.happened.push_back(Event::Ended(slot, Why::Unavailable));
        }
        if self.machine.used().is_none() {
            self.news.push_back(News::Dialling);
        }
        let way = match (path, mode) {
            (Path::Fast, _) => Way::Fast,
            (Path::Main, Mode::Asking) => Way::Usual(Attempt::First),
            (Path::Main, Mode::Alone) => Way::Usual(Attempt::Reconnect),
        };
        self.count += 1;
        let name = Link(self.count);
        let link = Some(self.carrier.open(name, way));
        self.forget(slot);
        self.links.push(Known { slot, name, path, link, since: Instant::now() });
    }

    fn drop_link(&mut self, slot: Link) {
        let Some(known) = self.forget(slot) else { return };
        let old = self.old(&known);
        match known.link {
            Some(link) => {
                self.closing(old, C::close(link));
                self.news.push_back(News::Dropped);
            }
            None => self.news.push_back(News::Lost(old)),
        }
    }

    fn slot(&self, name: Link) -> Option<Link> {
        self.links.iter().find(|known| known.name == name).map(|known| known.slot)
    }

    fn take(&mut self, slot: Link) -> Option<C::Link> {
        self.links.iter_mut().find(|known| known.slot == slot)?.link.take()
    }

    fn forget(&mut self, slot: Link) -> Option<Known<C::Link>> {
        let place = self.links.iter().position(|known| known.slot == slot)?;
        let known = self.links.swap_remove(place);
        if known.path == Path::Main {
            self.forwards.closed();
        }
        Some(known)
    }

    /// Listens to what makes a wait shorter, while there is one.
    fn listen(&mut self) {
        let is_pausing = self.machine.is_waiting() && !self.machine.is_under_way();
        if !is_pausing {
            self.signals.revived = None;
        } else if self.signals.revived.is_none() {
            self.signals.revived = Some(self.connect.revived());
        }
    }
}

async fn signal(signal: &mut Option<BoxFuture<'static, ()>>) {
    match signal {
        Some(waited) => waited.await,
        None => return std::future::pending().await,
    }
    *signal = None;
}

fn config(connect: &dyn Connect, options: &PathOptions) -> Config {
    let main = Properties {
        rank: 0,
        is_quick: false,
        is_exclusive: connect.is_exclusive(),
        is_shared: connect.is_shared(),
        judges_keys: true,
    };
    let fast = |rank| Properties { rank, is_quick: true, ..Properties::default() };
    Config {
        main,
        fast: match options.lane {
            _ if connect.is_shared() => None,
            Lane::Auto => Some(fast(1)),
            Lane::Fast => Some(fast(0)),
            Lane::Ssh => None,
        },
        has_patience: options.timing.give_up.is_some(),
        learns: options.lane != Lane::Ssh,
        learns_anywhere: options.lane == Lane::Fast,
    }
}
