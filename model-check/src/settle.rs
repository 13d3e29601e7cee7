//! Rule 15 as a safety property: from every reachable state, once faults stop, a fair schedule
//! settles the session within a bounded number of steps.
//!
//! Stateright's `eventually` is not used: it knows no fairness, and misses runs that end in a
//! cycle or pass a state that another run has been in. Instead every state is continued, on a
//! copy, by one fixed schedule without faults, in which whatever can go on does. The schedule is
//! deterministic, so that what follows from a state follows from every state that leads to it: a
//! state that was seen to settle is not continued again.

use std::cell::RefCell;

use rejoin_protocol::Timer;
use rejoin_protocol::client::MAX_REPLACEMENTS;

use crate::budget::Budget;
use crate::rules::Violation;
use crate::world::wire::{HostEnd, LinkFault};
use crate::world::{Action, Cx, World};

/// The number of steps within which every session settles.
pub const LIMIT: u32 = 400;

/// How often a client may try again before it gives up. On a forgetful host it also has to use up
/// its replacements.
fn patience(cx: &Cx) -> u8 {
    if cx.profile.is_forgetful { MAX_REPLACEMENTS + 2 } else { 4 }
}

/// How many states each thread remembers to settle.
const REMEMBERED: usize = 1 << 19;

thread_local! {
    /// By digest: the state, and after how many steps it settles.
    static SETTLED: RefCell<Vec<(u64, u32)>> = const { RefCell::new(Vec::new()) };
}

/// The order of the actions of a run, if several are possible.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// In turns.
    Turns,
    /// Hosts get on first, as long as they can.
    HostsFirst,
    /// Clients get on first, as long as they can.
    ClientsFirst,
    /// The newest link, program or server first.
    NewestFirst,
    /// In a pseudorandom, reproducible order.
    Shuffled(u64),
}

impl Schedule {
    /// All of them but the first, which every world is continued by.
    pub const OTHERS: [Self; 6] = [
        Self::HostsFirst,
        Self::ClientsFirst,
        Self::NewestFirst,
        Self::Shuffled(1),
        Self::Shuffled(2),
        Self::Shuffled(3),
    ];

    /// What tells digests of one schedule from those of another.
    fn salt(self) -> u64 {
        match self {
            Self::Turns => 0,
            Self::HostsFirst => 1,
            Self::ClientsFirst => 2,
            Self::NewestFirst => 3,
            Self::Shuffled(seed) => 3 + seed,
        }
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn choose(self, actions: &[Action], turn: u8) -> Option<Action> {
        let by_hosts = |action: &&Action| action.is_of_host();
        match self {
            Self::Turns => actions.get(usize::from(turn) % actions.len().max(1)),
            Self::HostsFirst => actions.iter().find(by_hosts).or(actions.first()),
            Self::ClientsFirst => {
                actions.iter().find(|action| !by_hosts(action)).or(actions.first())
            }
            Self::NewestFirst => actions.last(),
            Self::Shuffled(seed) => {
                let mixed = (u64::from(turn) + seed * 256).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let at = usize::try_from(mixed >> 40).unwrap_or_default();
                actions.get(at % actions.len().max(1))
            }
        }
        .copied()
    }
}

/// Continues a world without faults until it settles, taking turns; and every second world by one
/// more schedule, which depends on the number of things in it. Returns the number of steps, or the
/// rule that is broken.
pub fn settle(cx: &Cx, world: &World) -> Result<u32, Violation> {
    if let Some(other) = Schedule::OTHERS.get(world.count() % (2 * Schedule::OTHERS.len())) {
        settle_by(cx, world, *other)?;
    }
    settle_by(cx, world, Schedule::Turns)
}

/// The same, by one schedule.
pub fn settle_by(cx: &Cx, world: &World, schedule: Schedule) -> Result<u32, Violation> {
    let salt = schedule.salt();
    if let Some(left) = remembered(world.settling_digest() ^ salt) {
        cx.settled.note(left);
        return Ok(left);
    }
    let mut run = SettlingRun::by(world, schedule);
    let mut passed = Vec::new();
    let mut steps = 0;
    let mut known = 0;
    loop {
        if run.is_plain() {
            let here = run.world.settling_digest() ^ salt;
            if let Some(left) = remembered(here) {
                known = left;
                break;
            }
            passed.push((here, steps));
        }
        let Some(action) = run.next(cx) else { break };
        steps += 1;
        run.take(cx, action);
        let suspicion = run.world.suspicion.filter(|_| world.suspicion.is_none());
        if let Some(violation) = run.world.violation.or(suspicion) {
            return Err(violation);
        }
        if steps > LIMIT {
            return Err(Violation { rule: 15, what: "the session does not settle" });
        }
    }
    if run.is_over {
        run.check()?;
    }
    let all = steps + known;
    for (digest, at) in passed {
        remember(digest, all - at);
    }
    cx.settled.note(all);
    Ok(all)
}

fn slot(digest: u64) -> usize {
    usize::try_from(digest % REMEMBERED as u64).unwrap_or_default()
}

fn remembered(digest: u64) -> Option<u32> {
    SETTLED.with_borrow(|settled| {
        settled.get(slot(digest)).filter(|(known, _)| *known == digest).map(|(_, left)| *left)
    })
}

fn remember(digest: u64, left: u32) {
    SETTLED.with_borrow_mut(|settled| {
        settled.resize(REMEMBERED, (0, 0));
        settled[slot(digest)] = (digest, left);
    });
}

/// Forgets the settled worlds, before a search with other machines.
pub fn forget() {
    SETTLED.with_borrow_mut(Vec::clear);
}

/// A world that is continued by the fair schedule.
pub struct SettlingRun {
    /// The world.
    pub world: World,
    dials: [u8; 3],
    turn: u8,
    schedule: Schedule,
    is_over: bool,
    actions: Vec<Action>,
}

impl SettlingRun {
    /// Faults stop here, and what can go on does in turns.
    pub fn new(world: &World) -> Self {
        Self::by(world, Schedule::Turns)
    }

    /// The same, by another schedule.
    pub fn by(world: &World, schedule: Schedule) -> Self {
        let mut world = world.clone();
        world.budget = Budget::of(&[]);
        world.snapshot = None;
        Self { world, dials: [0; 3], turn: 0, schedule, is_over: false, actions: Vec::new() }
    }

    /// Whether what follows depends on nothing but the world.
    fn is_plain(&self) -> bool {
        self.dials == [0; 3]
    }

    /// What the schedule does next; nothing once the world has settled.
    pub fn next(&mut self, cx: &Cx) -> Option<Action> {
        let next = self.go_on(cx).or_else(|| self.hurry(cx)).or_else(|| self.clean_up());
        self.is_over = next.is_none();
        next
    }

    /// Does it.
    pub fn take(&mut self, cx: &Cx, action: Action) {
        if let Action::Dial(p) = action {
            self.dials[usize::from(p)] += 1;
        }
        self.world.act(cx, action);
    }

    /// What can go on without a timer, in turns.
    fn go_on(&mut self, cx: &Cx) -> Option<Action> {
        let mut actions = std::mem::take(&mut self.actions);
        actions.clear();
        self.world.actions_within(cx, u64::MAX, &mut actions);
        actions.retain(|action| self.is_progress(cx, *action));
        self.turn = self.turn.wrapping_add(1);
        // Servers first: they make everybody else wait.
        let first = actions.iter().find(|it| matches!(it, Action::Server(_)));
        let next = first.copied().or_else(|| self.schedule.choose(&actions, self.turn));
        self.actions = actions;
        next
    }

    fn is_progress(&self, cx: &Cx, action: Action) -> bool {
        match action {
            Action::HandshakeTimeout(_) | Action::ClientSilent(_) | Action::ServerSilent(_) => {
                false
            }
            Action::Dial(p) => self.dials[usize::from(p)] < patience(cx),
            Action::Program(a) => !self.world.is_blocked(a) && self.changes(cx, action),
            Action::Guard(_) => self.changes(cx, action),
            _ => true,
        }
    }

    /// A program that waits for another changes nothing by trying again.
    fn changes(&self, cx: &Cx, action: Action) -> bool {
        let mut next = self.world.clone();
        next.act(cx, action);
        if let Action::Guard(s) = action {
            next.finish(cx, s);
        }
        next != self.world
    }

    /// Timers, once nothing goes on without them.
    fn hurry(&mut self, cx: &Cx) -> Option<Action> {
        let silent = |wire: &crate::world::wire::Wire| wire.fault == LinkFault::Silent;
        for (a, program) in (0u8..).zip(&self.world.programs) {
            let Some(program) = program else { continue };
            if !program.is_late && !program.is_listening() {
                return Some(Action::Late(a));
            }
            let is_stuck = program.wire().is_some_and(|wire| {
                self.world.wires[usize::from(wire)].as_deref().is_some_and(silent)
            });
            // The system gives the link up some day. A lock must not have to wait for that.
            if !program.has_lock() && is_stuck {
                return Some(Action::KillProgram(a));
            }
        }
        for (s, server) in (0u8..).zip(&self.world.servers) {
            let Some(server) = server else { continue };
            let on_silent = server.current.is_some_and(|link| {
                let at = usize::try_from(link).unwrap_or(usize::MAX);
                self.world.wires.get(at).and_then(Option::as_deref).is_none_or(silent)
            });
            if server.timers.has(Timer::LinkSilent) && on_silent {
                return Some(Action::ServerSilent(s));
            }
        }
        for (p, party) in (0u8..).zip(&self.world.parties) {
            let Some(party) = party.as_deref().filter(|party| party.is_alive) else { continue };
            if party.machine.is_ended() {
                continue;
            }
            if self.dials[usize::from(p)] >= patience(cx) && party.timers.has(Timer::GiveUp) {
                return Some(Action::GiveUp(p));
            }
            if party.timers.has(Timer::Handshake) {
                return Some(Action::HandshakeTimeout(p));
            }
            if party.timers.has(Timer::LinkSilent) && !self.is_served(p) {
                return Some(Action::ClientSilent(p));
            }
        }
        None
    }

    /// Whether a party is attached, as its server sees it too.
    fn is_served(&self, p: u8) -> bool {
        let party = self.world.party(p);
        let Some(link) = party.machine.link() else { return false };
        let at = usize::try_from(link.0).unwrap_or(usize::MAX);
        let Some(wire) = self.world.wires.get(at).and_then(Option::as_deref) else { return false };
        let HostEnd::Server(s) = wire.host_end else { return false };
        wire.fault == LinkFault::Whole && self.world.server(s).current == Some(link.0)
    }

    /// No client comes back: retention passes, and a sweep runs.
    fn clean_up(&self) -> Option<Action> {
        for (s, server) in (0u8..).zip(&self.world.servers) {
            let Some(server) = server else { continue };
            if server.timers.has(Timer::Retention) {
                return Some(Action::Retention(s));
            }
        }
        (0..2).find(|host| self.world.has_something_to_sweep(*host)).map(Action::Sweep)
    }

    /// Checks the settled world.
    fn check(&self) -> Result<(), Violation> {
        for (p, party) in (0u8..).zip(&self.world.parties) {
            let Some(party) = party.as_deref().filter(|party| party.is_alive) else { continue };
            if party.machine.is_ended() {
                continue;
            }
            if !self.is_served(p) {
                return Err(violation(15, "a client waits for ever"));
            }
            self.check_served(p)?;
        }
        self.check_residue()
    }

    fn check_served(&self, p: u8) -> Result<(), Violation> {
        let party = self.world.party(p);
        let link = party.machine.link().map_or(u64::MAX, |link| link.0);
        let served = self.world.servers.iter().flatten().find(|it| it.current == Some(link));
        let Some(process) = served.and_then(|server| server.process.as_ref()) else {
            return Err(violation(15, "a client is attached to nothing"));
        };
        if process.is_blocked {
            Err(violation(3, "the process waits for ever"))
        } else if party.past.expected != process.written && process.is_reported {
            Err(violation(4, "the exit is never delivered"))
        } else if party.past.expected != process.written {
            Err(violation(15, "output is never delivered"))
        } else if party.machine.unacknowledged_input() > 0 && process.is_alive {
            Err(violation(15, "input is never acknowledged"))
        } else {
            Ok(())
        }
    }

    fn servers(&self) -> impl Iterator<Item = u8> {
        (0u8..).zip(&self.world.servers).filter(|(_, server)| server.is_some()).map(|(s, _)| s)
    }

    fn check_residue(&self) -> Result<(), Violation> {
        if self.world.programs.iter().flatten().any(|program| program.has_lock()) {
            return Err(violation(15, "a program holds the lock for ever"));
        }
        for host in 0..2 {
            let Some(host) = self.world.host(host) else { continue };
            let is_served =
                self.world.servers.iter().flatten().any(|server| host.path == Some(server.inode));
            // Of what was removed with the registry, nobody knows.
            let is_known = !self.world.ghost.was_wiped;
            if is_known && host.leftovers.iter().any(|it| it.is_counted || !is_served) {
                return Err(violation(7, "a process without a server is left behind"));
            }
            if host.entry.is_some() && !is_served {
                return Err(violation(9, "an entry without a server is left behind"));
            }
        }
        let is_served = |server: &crate::world::serve::ServerDriver| {
            (0u8..).zip(&self.world.parties).any(|(p, party)| {
                party.as_ref().is_some_and(|party| {
                    party.is_alive && party.machine.link().map(|it| it.0) == server.current
                }) && self.is_served(p)
            })
        };
        if self.world.servers.iter().flatten().any(|it| it.current.is_some() && !is_served(it)) {
            return Err(violation(15, "a server keeps a link that nobody has any more"));
        }
        if self.servers().any(|s| self.world.needs_guard(s)) {
            return Err(violation(15, "what was removed of a session's entry is never put back"));
        }
        let is_idle = |server: &&crate::world::serve::ServerDriver| server.current.is_none();
        match self.world.servers.iter().flatten().map(|it| &**it).find(is_idle) {
            Some(server) if server.process.is_some() => {
                Err(violation(7, "a process that nobody is attached to is kept for ever"))
            }
            Some(_) => Err(violation(9, "a server without a process is left behind")),
            None => Ok(()),
        }
    }
}

fn violation(rule: u8, what: &'static str) -> Violation {
    Violation { rule, what }
}
