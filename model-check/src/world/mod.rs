//! The world around the machines: clients, links, hosts, and everything that can go wrong.
//!
//! [`World::act`] does one thing to a world. Decisions of the protocol are made by the machines
//! that ship; what is written here is only what surrounds them - queues, a registry, drivers that
//! carry out effects - and the history against which every effect is judged.

// Who is named is there: each place says why.
#![allow(clippy::expect_used)]

mod act;
pub mod ghost;
pub mod host;
mod offer;
pub mod party;
mod process;
pub mod program;
pub mod registry;
mod reliance;
pub mod serve;
mod server_programs;
mod server_rules;
mod task_text;
pub mod wire;

use rejoin_protocol::client::{self, Ending};
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::server::Past;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    Capabilities, ClientInstance, ClientName, Frame, Incarnation, Reason, Tenure, VersionRange,
    server,
};

pub use crate::action::Action;
use ghost::Ghost;
use host::Host;
use party::Party;
use program::Program;
use serve::ServerDriver;
use wire::{HostEnd, Wire};

use crate::budget::{Budget, Chance};
use crate::driver_mutant::DriverMutant;
use crate::ledgers;
use crate::names;
use crate::profile::{Profile, Role};
use crate::properties::{BrokenProperty, PropertyResult};
use crate::rules::Violation;
use crate::shared::{Shared, digest};
use crate::statistics::SettleStatistics;
use crate::witness::{Seen, Witness};

const PARTIES: usize = 3;
const WIRES: usize = 10;
const PROGRAMS: usize = 5;
const SERVERS: usize = 4;
const GENERATIONS: usize = 4;

/// What does not change in a search.
#[derive(Debug)]
pub struct Cx {
    /// The bounds.
    pub profile: Profile,
    /// What is wrong on purpose.
    pub driver_mutant: Option<DriverMutant>,
    /// What was seen.
    pub seen: Seen,
    /// How long states took to settle.
    pub settled: SettleStatistics,
    configs: Vec<client::Config>,
}

/// Everything that there is, between two steps.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The clients.
    pub parties: [Option<Shared<Party>>; PARTIES],
    /// The links.
    pub wires: [Option<Shared<Wire>>; WIRES],
    /// The short-lived programs on the hosts.
    pub programs: [Option<Shared<Program>>; PROGRAMS],
    /// The servers.
    pub servers: [Option<Shared<ServerDriver>>; SERVERS],
    /// The hosts.
    pub hosts: [Option<Shared<Host>>; 2],
    /// What only the checker sees.
    pub ghost: Shared<Ghost>,
    /// A server as it was, to be rolled back to.
    pub snapshot: Option<Shared<ServerDriver>>,
    /// The host that new links lead to.
    pub reached: u8,
    /// What may still happen.
    pub budget: Budget,
    /// The first rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// What a ledger was first to hold against a machine. The run goes on: who looks for the breach of
    /// another rule still finds it.
    pub suspicion: Option<Violation>,
}

impl Cx {
    /// What a search with these bounds needs.
    pub fn new(profile: Profile, driver_mutant: Option<DriverMutant>) -> Self {
        let mut configs = Vec::new();
        for p in 0..PARTIES {
            for generation in 0..GENERATIONS {
                configs.push(config(&profile, p, generation));
            }
        }
        Self {
            profile,
            driver_mutant,
            seen: Seen::default(),
            settled: SettleStatistics::default(),
            configs,
        }
    }

    /// The configuration of a party's generation.
    pub fn config(&self, party: u8, generation: u8) -> &client::Config {
        &self.configs[usize::from(party) * GENERATIONS + usize::from(generation)]
    }

    /// The configuration of the servers of a host.
    pub fn server_config(&self, world: &World, host: u8) -> server::Config {
        let id = world.host(host).map_or(names::host(host, 0), |host| host.id);
        server::Config {
            session: names::SESSION,
            host: id,
            versions: VersionRange::SUPPORTED,
            capabilities: Capabilities(0),
        }
    }

    /// The configuration of the attach programs of a host: they may be of a later version than a
    /// server that still runs.
    fn attach_config(&self, world: &World, host: u8) -> server::Config {
        let is_upgraded = world.host(host).is_some_and(|host| host.is_upgraded);
        let versions = if is_upgraded { names::LATER } else { VersionRange::SUPPORTED };
        server::Config { versions, ..self.server_config(world, host) }
    }

    fn greeting(&self, world: &World, host: u8) -> Frame {
        let server::Config { host, versions, .. } = self.attach_config(world, host);
        Frame::Greeting(Greeting { versions, host, host_name: String::new() })
    }

    /// Whether this is done wrong.
    pub fn has_mutant(&self, driver_mutant: DriverMutant) -> bool {
        self.driver_mutant == Some(driver_mutant)
    }

    /// Whether producers wait at the window's bound.
    pub fn blocks(&self) -> bool {
        self.profile.overflow == Overflow::Block
    }

    fn mark_reason(&self, reason: &Reason) {
        let witness = match reason {
            Reason::ProcessGone => Witness::ProcessGone,
            Reason::Unknown => Witness::Unknown,
            Reason::EpochMismatch { .. } => Witness::EpochMismatch,
            Reason::DifferentHost { .. } => Witness::DifferentHost,
            Reason::Diverged(_) => Witness::Diverged,
            Reason::Gap { .. } => Witness::Gap,
            Reason::Stale { .. } => Witness::Stale,
            Reason::Held { .. } => Witness::Held,
            Reason::Superseded { .. } => Witness::Superseded,
            Reason::Unresponsive => Witness::Unresponsive,
            Reason::SpawnFailed(_) => Witness::SpawnFailed,
            Reason::Incompatible { .. } => Witness::Incompatible,
            Reason::Forbidden { .. } => Witness::Forbidden,
            Reason::Exhausted(_) => Witness::Exhausted,
        };
        self.seen.mark(witness);
    }

    fn mark_ending(&self, ending: Ending) {
        self.seen.mark(match ending {
            Ending::Exited => Witness::EndedExited,
            Ending::Closed => Witness::EndedClosed,
            Ending::Lost => Witness::EndedLost,
            Ending::Superseded => Witness::EndedSuperseded,
            Ending::Refused => Witness::EndedRefused,
            Ending::GaveUp => Witness::EndedGaveUp,
            Ending::Left => Witness::EndedLeft,
        });
    }
}

fn config(profile: &Profile, party: usize, generation: usize) -> client::Config {
    let role = profile.roles.get(party).copied().unwrap_or(Role::Opener);
    let small = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    // Who only wants to watch has nothing to start.
    let starts = !role.is_closer() && role != Role::Claimant(rejoin_protocol::frame::From::Latest);
    client::Config {
        session: names::SESSION,
        instance: names::instance(small(party), small(generation)),
        name: ClientName::default(),
        versions: VersionRange::SUPPORTED,
        spec: starts.then(|| bytes::Bytes::from_static(b"spec")),
        on_loss: profile.on_loss,
        take_over: matches!(role, Role::Claimant(_)),
        window: profile.window,
    }
}

impl World {
    /// A digest of all that matters once nothing goes wrong any more.
    pub fn settling_digest(&self) -> u64 {
        let Self { parties, wires, programs, servers, hosts, ghost, reached, .. } = self;
        digest(&(parties, wires, programs, servers, hosts, ghost, reached)).get()
    }

    /// How many things there are and were: no hash, which may differ from one machine to another.
    pub fn count(&self) -> usize {
        let frames = |wire: &Shared<Wire>| 1 + wire.to_client.len() + wire.to_server.len();
        let of_wires: usize = self.wires.iter().flatten().map(frames).sum();
        let of_parties = |party: &Shared<Party>| party.past.attach + u64::from(party.past.typed);
        let attaches: u64 = self.parties.iter().flatten().map(of_parties).sum();
        let programs = self.programs.iter().flatten().count();
        let servers = self.servers.iter().flatten().map(|server| 1 + server.todo.len());
        let attaches = usize::try_from(attaches).unwrap_or_default();
        of_wires + attaches + programs + servers.sum::<usize>()
    }

    /// The world at its beginning.
    pub fn new(cx: &Cx) -> Self {
        let mut world = Self {
            parties: [const { None }; PARTIES],
            wires: [const { None }; WIRES],
            programs: [const { None }; PROGRAMS],
            servers: [const { None }; SERVERS],
            // The second one only where it can be reached: what all worlds share is what threads
            // wait for.
            hosts: [0, 1].map(|host| {
                let is_there = host == 0 || cx.profile.budget.has(Chance::OtherHost);
                is_there.then(|| Shared::new(Host::new(names::host(host, 0))))
            }),
            ghost: Shared::new(Ghost::default()),
            snapshot: None,
            reached: 0,
            budget: cx.profile.budget,
            violation: None,
            suspicion: None,
        };
        let first = cx.profile.roles.first().copied().unwrap_or(Role::Opener);
        world.parties[0] = Some(Shared::new(Party::join(cx, 0, first)));
        if let Some((used, tenure)) = cx.profile.remembered {
            world.remember(used, tenure);
        }
        world
    }

    /// The first host has a tombstone from before.
    fn remember(&mut self, used: Incarnation, tenure: Tenure) {
        let host = self.host_mut(0);
        if let Some(at) = host.open_lock(true) {
            host.bury(at, &Past { is_known: true, used: Some(used), tenure, ..Past::default() });
            host.close_lock(at, false);
        }
        self.ghost.edit().tenure[0] = tenure;
        self.seal();
    }

    /// A rule is broken. Only the first violation counts: what follows may follow from it.
    pub fn violate(&mut self, rule: u8, what: &'static str) {
        self.violation.get_or_insert(Violation { rule, what });
    }

    /// A property was judged: one that is broken breaks its rule.
    // It is what a property's function returns.
    #[allow(clippy::needless_pass_by_value)]
    fn require(&mut self, held: PropertyResult) {
        if let Err(BrokenProperty { property, .. }) = held {
            // What a driver owes its machine has no rule, and is not judged here.
            self.violate(property.rule().unwrap_or_default(), property.statement());
        }
    }

    /// Takes note of what a ledger has judged.
    fn hold(&mut self, held: ledgers::LedgerResult) {
        self.suspicion = self.suspicion.or(held.err());
    }

    /// Makes the world fit to be compared and hashed.
    pub fn seal(&mut self) {
        self.end_idle_programs();
        self.end_wipe();
        for at in 0..WIRES {
            if self.wires[at].as_ref().is_some_and(|wire| wire.is_forgotten()) {
                self.wires[at] = None;
            }
        }
        self.parties.iter_mut().flatten().for_each(Shared::seal);
        self.wires.iter_mut().flatten().for_each(Shared::seal);
        self.programs.iter_mut().flatten().for_each(Shared::seal);
        self.servers.iter_mut().flatten().for_each(Shared::seal);
        self.hosts.iter_mut().flatten().for_each(Shared::seal);
        self.ghost.seal();
    }

    /// What was removed is an excuse until everybody has looked at the registry again, and until an entry
    /// is swept that somebody made who had not.
    fn end_wipe(&mut self) {
        if !self.ghost.was_wiped {
            return;
        }
        let has_looked = |host: &Host| {
            host.leftovers.is_empty()
                && host.entry.as_ref().is_none_or(|entry| entry.socket.is_some())
                && (0u8..)
                    .zip(&host.inodes)
                    .all(|(at, inode)| inode.is_none() || host.path == Some(at))
        };
        let is_outdated = self.programs.iter().flatten().any(|it| it.is_outdated);
        let all = (0u8..).zip(&self.servers);
        let mut servers = all.filter_map(|(s, server)| server.as_ref().map(|_| s));
        let is_mended = servers.all(|s| {
            let is_busy = !self.server(s).todo.is_empty();
            !is_busy && !self.needs_guard(s) && self.has_place(s)
        });
        if !is_outdated && is_mended && self.hosts.iter().flatten().all(|it| has_looked(it)) {
            self.ghost.edit().was_wiped = false;
        }
    }

    /// A program that waits for a Hello on a link that its client has closed does nothing any
    /// more: when it ends makes no difference to anybody.
    fn end_idle_programs(&mut self) {
        for at in 0..WIRES {
            let Some(wire) = &self.wires[at] else { continue };
            let HostEnd::Attach(a) = wire.host_end else { continue };
            let is_idle =
                self.programs[usize::from(a)].as_ref().is_some_and(|it| it.is_listening());
            if is_idle && !wire.is_open && wire.to_server.is_empty() {
                self.end_program(a);
            }
        }
    }

    /// A party that has joined.
    pub fn party(&self, p: u8) -> &Party {
        // Actions and frames name only parties that have joined.
        self.parties[usize::from(p)].as_ref().expect("a party that has joined")
    }

    fn party_mut(&mut self, p: u8) -> &mut Party {
        // As above.
        self.parties[usize::from(p)].as_mut().expect("a party that has joined").edit()
    }

    fn program(&self, a: u8) -> &Program {
        // Actions and links name only programs that run.
        self.programs[usize::from(a)].as_ref().expect("a program that runs")
    }

    fn program_mut(&mut self, a: u8) -> &mut Program {
        // As above.
        self.programs[usize::from(a)].as_mut().expect("a program that runs").edit()
    }

    /// A server that runs.
    pub fn server(&self, s: u8) -> &ServerDriver {
        // Actions and links name only servers that run.
        self.servers[usize::from(s)].as_ref().expect("a server that runs")
    }

    fn server_mut(&mut self, s: u8) -> &mut ServerDriver {
        // As above.
        self.servers[usize::from(s)].as_mut().expect("a server that runs").edit()
    }

    fn wire_mut(&mut self, w: u8) -> &mut Wire {
        // A link is forgotten only once neither end has it.
        self.wires[usize::from(w)].as_mut().expect("a link that an end has").edit()
    }

    /// The link that a machine names, if it is still there.
    fn wire_of(&mut self, link: u64) -> Option<&mut Wire> {
        let at = usize::try_from(link).ok()?;
        self.wires.get_mut(at)?.as_mut().map(Shared::edit)
    }

    /// The same, if this server has its far end.
    fn wire_at_server(&mut self, s: u8, link: u64) -> Option<&mut Wire> {
        self.wire_of(link).filter(|wire| wire.host_end == HostEnd::Server(s))
    }

    /// A host.
    pub fn host(&self, host: u8) -> Option<&Host> {
        self.hosts.get(usize::from(host))?.as_deref()
    }

    fn host_mut(&mut self, host: u8) -> &mut Host {
        // A link leads to a host that is there from beginning to end.
        self.hosts[usize::from(host)].as_mut().expect("a host that is there").edit()
    }

    fn put_server(&mut self, server: ServerDriver) -> u8 {
        put(&mut self.servers, server)
    }

    fn put_program(&mut self, program: Program) -> u8 {
        put(&mut self.programs, program)
    }

    /// A link to the host that is reached now, with an attach program at its far end.
    fn put_wire(&mut self, p: u8) -> u8 {
        let host = self.reached;
        let wire = put(&mut self.wires, Wire::new(p, host, HostEnd::Closed));
        let program = self.put_program(Program::attach(host, wire));
        self.wire_mut(wire).host_end = HostEnd::Attach(program);
        wire
    }

    fn generation_of(&self, party: u8, instance: ClientInstance) -> u8 {
        let present = self.party(party).generation;
        (0..=present).find(|it| names::instance(party, *it) == instance).unwrap_or(present)
    }

    /// Whether a party's generation lost the session to another client.
    fn is_superseded(&self, party: u8, generation: u8) -> bool {
        let party = self.party(party);
        party.generation == generation && party.past.is_superseded
    }

    fn supersede(&mut self, party: u8, generation: u8) {
        if self.party(party).generation == generation {
            self.party_mut(party).past.is_superseded = true;
        }
    }

    /// Whether a program is about to join its stream to this server.
    fn is_being_joined(&self, s: u8) -> bool {
        self.programs.iter().flatten().any(|program| program.server == Some(s))
    }

    /// Whether an attach program would find again and again that a server does not listen.
    pub fn is_blocked(&self, a: u8) -> bool {
        use rejoin_protocol::registry::Operation;
        let Some(program) = &self.programs[usize::from(a)] else { return false };
        let looks = matches!(
            program.operation(),
            Some(Operation::OpenLock { .. } | Operation::TryLock | Operation::Connect)
        );
        let Some(host) = self.host(program.host).filter(|_| looks && !program.is_late) else {
            return false;
        };
        let is_held =
            host.path.and_then(|at| host.inode(at)).is_some_and(|inode| inode.holders > 0);
        let socket = host.entry.as_ref().and_then(|entry| entry.socket);
        let listens = socket
            .and_then(|s| self.servers[usize::from(s)].as_ref())
            .is_some_and(|server| server.is_listening);
        is_held && !listens
    }

    /// Whether a frame is an Open.
    fn is_open(frame: &Frame) -> bool {
        matches!(frame, Frame::Hello(hello)
            if matches!(hello.wish, rejoin_protocol::frame::Wish::Open { .. }))
    }
}

fn put<T: Clone + std::hash::Hash, const N: usize>(
    places: &mut [Option<Shared<T>>; N],
    value: T,
) -> u8 {
    let free = places.iter().position(Option::is_none);
    // Nothing that needs a place is offered where there is none.
    let free = free.expect("a free place");
    places[free] = Some(Shared::new(value));
    u8::try_from(free).unwrap_or(u8::MAX)
}
