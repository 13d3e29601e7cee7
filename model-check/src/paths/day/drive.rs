//! A driver of the path machine with the reference durations, and the network that it lives in.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Config, Effect, Event, Need, Path, Paths, Timer, Wake, Why};

use super::host::{GRACE, LoginFailure, LoginLimits, Millis, PenalisingHost, Refusal};
use super::times::Times;
use super::user::{Rng, Trouble};

/// How long the client machine waits for a byte on an attached link.
const LINK_SILENT: Millis = 10_000;
/// How often something comes on a link that works.
const BEAT: Millis = 2000;
/// How long a client tries to reach a host, and to log in before it can be written to.
const CONNECT: Millis = 15_000;

/// What came of a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayOutcome {
    /// How many links were dialled.
    pub dials: u32,
    /// How many logins were given up while the host could still see that.
    pub given_up: u32,
    /// How many dials the host refused.
    pub refused: u32,
    /// How many of those for logins that the machine gave up, while the session had no link, or since it had
    /// tried too often.
    pub own: u32,
    /// How long the session had no link that works although the host could be reached and was not locked.
    pub away: Millis,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Upcoming {
    Trouble(Trouble),
    Timer(u8, u64),
    /// Of the link with this serial number.
    Link(u64, LinkEvent),
    /// The host has waited for long enough for a login.
    Grace(u64),
    Beat,
    /// The session wants a link.
    Wanted,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum LinkEvent {
    Opened,
    Arrived,
    LoggedIn,
    Greeted,
    Attached,
    Progressed,
    Answered,
    Unreachable,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct DialledLink {
    serial: u64,
    path: Path,
    since: Millis,
    /// Whether the host knows of it, and whether it is logged in.
    has_arrived: bool,
    is_logged_in: bool,
    /// Whether nothing will ever arrive on it again.
    is_dead: bool,
}

/// A day as it goes.
pub struct DayDriver {
    now: Millis,
    queue: BinaryHeap<Reverse<(Millis, u64, Upcoming)>>,
    count: u64,
    config: Config,
    machine: Paths,
    armed: BTreeMap<Timer, u64>,
    links: BTreeMap<Link, DialledLink>,
    times: Times,
    host: PenalisingHost,
    rng: Rng,
    /// Until when nothing arrives, and logins are slow, and keys are locked.
    quiet_until: Millis,
    is_reset: bool,
    slow_until: Millis,
    locked_until: Millis,
    heard: Millis,
    outcome: DayOutcome,
}

impl DayDriver {
    /// A day with these troubles.
    pub fn new(config: Config, strictness: LoginLimits, times: Times, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let troubles = super::user::day(&mut rng);
        let mut drive = Self {
            now: 0,
            queue: BinaryHeap::new(),
            count: 0,
            config,
            machine: Paths::new(),
            armed: BTreeMap::new(),
            links: BTreeMap::new(),
            times,
            host: PenalisingHost::new(strictness),
            rng,
            quiet_until: 0,
            is_reset: false,
            slow_until: 0,
            locked_until: 0,
            heard: 0,
            outcome: DayOutcome::default(),
        };
        for (at, trouble) in troubles {
            drive.at(at, Upcoming::Trouble(trouble));
        }
        drive.at(0, Upcoming::Wanted);
        drive.at(BEAT, Upcoming::Beat);
        drive
    }

    fn at(&mut self, at: Millis, coming: Upcoming) {
        self.count += 1;
        self.queue.push(Reverse((at.max(self.now), self.count, coming)));
    }

    fn after(&mut self, delay: Millis, coming: Upcoming) {
        self.at(self.now + delay, coming);
    }

    /// Runs it to its end.
    pub fn run(mut self) -> DayOutcome {
        while let Some(Reverse((at, _, coming))) = self.queue.pop() {
            if at > 24 * 3_600_000 {
                break;
            }
            let at = at.max(self.now);
            self.wait(at - self.now);
            self.now = at;
            self.happen(coming);
        }
        self.outcome
    }

    fn wait(&mut self, time: Millis) {
        let is_healthy = self.now >= self.quiet_until && self.now >= self.locked_until;
        if is_healthy && !self.machine.is_attached() {
            self.outcome.away += time;
        }
    }

    fn happen(&mut self, coming: Upcoming) {
        match coming {
            Upcoming::Trouble(trouble) => self.trouble(trouble),
            Upcoming::Timer(at, armed) => {
                let timer = Timer::ALL[usize::from(at)];
                if self.armed.get(&timer) == Some(&armed) {
                    self.armed.remove(&timer);
                    self.step(Event::Timer(timer));
                }
            }
            Upcoming::Link(serial, stage) => self.link(serial, stage),
            Upcoming::Grace(serial) => self.host.failed(self.now, serial, LoginFailure::Late),
            Upcoming::Beat => self.beat(),
            Upcoming::Wanted => {
                if self.machine.used().is_none() && !self.machine.is_waiting() {
                    self.step(Event::Wanted { may_ask: false });
                }
            }
        }
    }

    fn used(&self) -> Option<DialledLink> {
        let (link, _) = self.machine.used()?;
        self.links.get(&link).copied()
    }

    fn is_quiet(&self) -> bool {
        self.now < self.quiet_until
    }

    /// Something comes on every link that works; and the client machine's own timer.
    fn beat(&mut self) {
        self.after(BEAT, Upcoming::Beat);
        let Some(used) = self.used().filter(|_| self.machine.is_attached()) else { return };
        if !used.is_dead && !self.is_quiet() {
            self.hear();
            self.step(Event::Answered);
        } else if self.now > self.heard + LINK_SILENT {
            self.lose(Event::GivenUp);
        }
    }

    fn hear(&mut self) {
        self.heard = self.now;
        self.step(Event::Heard);
        if self.armed.contains_key(&Timer::Silence) {
            self.arm(
                Timer::Silence,
                self.times.of(Timer::Silence, rejoin_protocol::paths::Class::Usual, 0, 0),
            );
        }
    }

    fn lose(&mut self, event: impl Fn(Link) -> Event) {
        if let Some((link, _)) = self.machine.used() {
            self.close(link);
            self.step(event(link));
            self.after(1, Upcoming::Wanted);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Cut(time) => {
                self.quiet(time);
                self.is_reset = true;
                self.reset();
            }
            Trouble::Silence(time) => self.quiet(time),
            Trouble::Move(time) => {
                self.kill();
                self.quiet(time);
                self.step(Event::Woken(Wake::NetworkChanged));
            }
            Trouble::Sleep(time) => {
                self.kill();
                self.sleep(time);
                self.quiet(2000);
                self.step(Event::Woken(Wake::Slept));
                self.step(Event::Woken(Wake::NetworkChanged));
                self.after(1, Upcoming::Wanted);
            }
            Trouble::Slow(time) => self.slow_until = self.now + time,
            Trouble::Lock(time, _) if self.is_locked() => self.locked_until = self.now + time,
            Trouble::Lock(time, does_ask) => {
                self.locked_until = self.now + time;
                if does_ask {
                    self.at(self.locked_until + 1000, Upcoming::Trouble(Trouble::Lock(0, true)));
                }
                if time == 0 {
                    self.step(Event::Retry { may_ask: false });
                }
            }
        }
    }

    fn is_locked(&self) -> bool {
        self.now < self.locked_until
    }

    fn quiet(&mut self, time: Millis) {
        self.quiet_until = self.quiet_until.max(self.now + time);
        self.is_reset = false;
    }

    /// What was due meanwhile is due when the laptop wakes up.
    fn sleep(&mut self, time: Millis) {
        self.now += time;
        let queue = std::mem::take(&mut self.queue);
        for Reverse((at, count, coming)) in queue {
            let is_of_the_host = matches!(coming, Upcoming::Grace(_));
            let at = if is_of_the_host { at } else { at.max(self.now) };
            self.queue.push(Reverse((at, count, coming)));
        }
    }

    /// Nothing arrives on the links that are there any more.
    fn kill(&mut self) {
        self.links.values_mut().for_each(|live| live.is_dead = true);
    }

    /// They are reset: both ends learn of it.
    fn reset(&mut self) {
        let ended: Vec<(Link, DialledLink)> =
            self.links.iter().map(|(link, live)| (*link, *live)).collect();
        for (link, live) in ended.into_iter().filter(|(_, live)| !live.is_dead) {
            if live.has_arrived && !live.is_logged_in {
                self.host.failed(self.now, live.serial, LoginFailure::Cut);
            }
            self.end(link, Why::Closed);
        }
    }

    fn end(&mut self, link: Link, why: Why) {
        let is_used = self.machine.used().is_some_and(|(used, _)| used == link);
        self.links.remove(&link);
        self.step(Event::Ended(link, why));
        if is_used {
            self.after(1, Upcoming::Wanted);
        }
    }

    fn arm(&mut self, timer: Timer, time: Millis) {
        let Some(at) = Timer::ALL.iter().position(|other| *other == timer) else { return };
        self.count += 1;
        self.armed.insert(timer, self.count);
        let coming = Upcoming::Timer(u8::try_from(at).unwrap_or_default(), self.count);
        self.after(time, coming);
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(&self.config, event) {
            self.carry(effect);
        }
    }

    fn carry(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { path, link, .. } => self.dial(path, link),
            Effect::Use(link) => self.begin(link),
            Effect::Replace { old, new } => {
                self.close(old);
                self.begin(new);
            }
            Effect::Drop(link) => {
                self.close(link);
                self.after(1, Upcoming::Wanted);
            }
            Effect::Arm(timer, class, step) => {
                let jitter = u8::try_from(self.rng.any() % 256).unwrap_or_default();
                self.arm(timer, self.times.of(timer, class, step, jitter));
            }
            Effect::Disarm(timer) => {
                self.armed.remove(&timer);
            }
            Effect::Ask => {
                self.step(Event::Pinged);
                if let Some(used) = self.used() {
                    self.after(50, Upcoming::Link(used.serial, LinkEvent::Answered));
                }
            }
            Effect::Prepare | Effect::Learn | Effect::Tell(_) | Effect::GiveUp(_) => {}
        }
    }

    /// A link is attached a round trip after it is used and greeted.
    fn begin(&mut self, link: Link) {
        if let Some(live) = self.links.get(&link).copied().filter(|live| live.is_logged_in) {
            self.after(60, Upcoming::Link(live.serial, LinkEvent::Attached));
        }
    }

    fn dial(&mut self, path: Path, link: Link) {
        self.outcome.dials += 1;
        self.count += 1;
        let (serial, since) = (self.count, self.now);
        let live = DialledLink {
            serial,
            path,
            since,
            has_arrived: false,
            is_logged_in: false,
            is_dead: false,
        };
        self.links.insert(link, live);
        // What ssh is to send can be written as soon as it runs; the own client knows when it is connected.
        if path == Path::Main {
            self.after(2, Upcoming::Link(serial, LinkEvent::Opened));
        } else {
            self.after(CONNECT, Upcoming::Link(serial, LinkEvent::Unreachable));
        }
        if self.is_quiet() && self.is_reset {
            return self.after(20, Upcoming::Link(serial, LinkEvent::Unreachable));
        }
        // TCP tries again after a second, then after two, four and so on.
        let mut wait = 25;
        while self.now + wait < self.quiet_until && wait < CONNECT {
            wait = wait * 2 + 1000;
        }
        let stage = if wait < CONNECT { LinkEvent::Arrived } else { LinkEvent::Unreachable };
        self.after(wait.min(CONNECT), Upcoming::Link(serial, stage));
    }

    /// A link is closed by us.
    fn close(&mut self, link: Link) {
        let Some(live) = self.links.remove(&link) else { return };
        // Of a connection that is dead already, the host learns nothing.
        if live.has_arrived && !live.is_logged_in && !live.is_dead {
            self.host.abandoned(live.serial);
            self.outcome.given_up += 1;
            let arrives = self.quiet_until.max(self.now) + 25;
            self.at(arrives, Upcoming::Link(live.serial, LinkEvent::Gone));
        }
        if self.config.properties(live.path).is_some_and(|it| it.is_exclusive) {
            self.step(Event::Ended(link, Why::Closed));
        }
    }

    fn link(&mut self, serial: u64, stage: LinkEvent) {
        if stage == LinkEvent::Gone {
            return self.host.failed(self.now, serial, LoginFailure::GivenUp);
        }
        let found = self.links.iter().find(|(_, live)| live.serial == serial);
        let Some((link, live)) = found.map(|(link, live)| (*link, *live)) else { return };
        let is_local = matches!(stage, LinkEvent::Opened | LinkEvent::Unreachable);
        if live.is_dead && !is_local {
            return;
        }
        if self.is_quiet() && !is_local {
            return self.at(self.quiet_until + 300, Upcoming::Link(serial, stage));
        }
        match stage {
            LinkEvent::Opened => self.step(Event::Opened(link)),
            LinkEvent::Arrived => self.arrived(link, live),
            LinkEvent::LoggedIn => self.logged_in(link, live),
            LinkEvent::Greeted => self.greeted(link, live),
            LinkEvent::Attached => self.attached(link, live),
            LinkEvent::Progressed => self.step(Event::Progressed),
            LinkEvent::Answered => {
                self.hear();
                self.step(Event::Answered);
            }
            LinkEvent::Unreachable if live.is_logged_in => {}
            LinkEvent::Unreachable => self.end(link, Why::Unreachable),
            LinkEvent::Gone => {}
        }
    }

    fn arrived(&mut self, link: Link, live: DialledLink) {
        let is_waiting = !self.machine.is_attached();
        let has_other = self.links.len() > 1;
        match self.host.accept(self.now, live.serial) {
            Ok(()) => {
                if let Some(live) = self.links.get_mut(&link) {
                    live.has_arrived = true;
                }
                self.after(GRACE, Upcoming::Grace(live.serial));
                let usual = if self.now < self.slow_until {
                    self.rng.between(2000, 20_000)
                } else {
                    self.rng.between(200, 500)
                };
                let time = if live.path == Path::Fast { usual / 3 } else { usual };
                self.after(time, Upcoming::Link(live.serial, LinkEvent::LoggedIn));
            }
            Err(refusal) => {
                self.outcome.refused += 1;
                let is_own = match refusal {
                    Refusal::Other => false,
                    Refusal::GivenUp => is_waiting && !has_other,
                    Refusal::Banned => true,
                };
                self.outcome.own += u32::from(is_own);
                self.end(link, Why::Closed);
            }
        }
    }

    fn logged_in(&mut self, link: Link, live: DialledLink) {
        if self.is_locked() {
            self.host.failed(self.now, live.serial, LoginFailure::Refused);
            return self.end(link, Why::NeedsPerson(Need::Login));
        }
        self.host.admitted(live.serial);
        if let Some(live) = self.links.get_mut(&link) {
            live.is_logged_in = true;
        }
        if live.path == Path::Fast {
            self.step(Event::Opened(link));
        }
        self.after(50, Upcoming::Link(live.serial, LinkEvent::Greeted));
    }

    fn greeted(&mut self, link: Link, live: DialledLink) {
        if live.path == Path::Main {
            self.times.login = Some(self.now - live.since);
        }
        self.step(Event::Greeted(link));
        if self.machine.used().is_some_and(|(used, _)| used == link) {
            self.step(Event::Asked);
            self.after(60, Upcoming::Link(live.serial, LinkEvent::Attached));
        }
    }

    fn attached(&mut self, link: Link, live: DialledLink) {
        if self.machine.used().is_some_and(|(used, _)| used == link) && !self.machine.is_attached()
        {
            self.heard = self.now;
            self.step(Event::Attached);
            self.after(500, Upcoming::Link(live.serial, LinkEvent::Progressed));
        }
    }
}
