//! The world of the three machines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::paths::{Config, Path, Paths};
use rejoin_protocol::server::{self, Past};
use rejoin_protocol::{
    Capabilities, Client, ClientInstance, ClientName, Frame, HostId, Link, Server, SessionId,
    Timer, VersionRange,
};

use super::super::profile;
use super::super::rules::BrokenPathRule;
use super::super::world::PathTimers;

/// What may happen how often.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct DuoBudget {
    pub(super) cuts: u8,
    pub(super) doubts: u8,
    pub(super) kills: u8,
    pub(super) takeovers: u8,
    pub(super) early: u8,
    pub(super) standbys: u8,
}

/// One world, with its bounds.
#[derive(Clone, Debug)]
pub struct DuoProfile {
    /// Its name on the command line.
    pub name: &'static str,
    /// The paths.
    pub config: Config,
    pub(super) left: DuoBudget,
    /// Whether a session has moved, a process was replaced, and the session was taken over: one of them has to be.
    pub(super) seen: Arc<[AtomicBool; 3]>,
}

impl DuoProfile {
    fn new(name: &'static str, config: Config, left: DuoBudget) -> Self {
        Self { name, config, left, seen: Arc::default() }
    }

    pub(super) fn see(&self, what: usize) {
        self.seen.iter().skip(what).take(1).for_each(|flag| flag.store(true, Ordering::Relaxed));
    }
}

/// All of them.
pub fn profiles() -> Vec<DuoProfile> {
    let config = |name| profile::named(name).map_or(Config::PLAIN, |profile| profile.config);
    let none = DuoBudget::default();
    let plain = Config::PLAIN;
    vec![
        DuoProfile::new("duo-doubt", plain, DuoBudget { cuts: 1, doubts: 1, ..none }),
        DuoProfile::new("duo-kill", plain, DuoBudget { doubts: 1, kills: 1, ..none }),
        DuoProfile::new("duo-takeover", plain, DuoBudget { doubts: 1, takeovers: 1, ..none }),
        DuoProfile::new("duo-standby", plain, DuoBudget { cuts: 1, standbys: 1, ..none }),
        DuoProfile::new("duo-bridge", config("path-bridge"), DuoBudget { cuts: 1, ..none }),
    ]
}

/// A link between a client and a server.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct DuoWire {
    pub(super) path: Path,
    pub(super) is_open: bool,
    pub(super) has_greeted: bool,
    /// Whether each end still has it.
    pub(super) at_client: bool,
    pub(super) at_server: bool,
    pub(super) to_client: VecDeque<Frame>,
    pub(super) to_server: VecDeque<Frame>,
}

/// The last notice to the application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum LastNotice {
    Detached,
    Attached,
    Ended,
}

/// The three machines and what is between them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct DuoWorld {
    pub(super) paths: Paths,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) past: Past,
    pub(super) armed: PathTimers,
    pub(super) timers: Vec<Timer>,
    /// By the number that the path machine gave them: the name at the client.
    pub(super) names: Vec<(Link, Link)>,
    /// By name.
    pub(super) wires: Vec<(Link, DuoWire)>,
    pub(super) next_name: u64,
    /// How many processes there were, and how many items each wrote and was given.
    pub(super) epochs: u8,
    pub(super) written: u8,
    pub(super) given: u8,
    pub(super) typed: u8,
    pub(super) got: u8,
    pub(super) told: LastNotice,
    pub(super) has_claimed: bool,
    pub(super) left: DuoBudget,
    /// The rule that was broken.
    pub broken: Option<BrokenPathRule>,
}

pub(super) const SESSION: SessionId = SessionId::from_bytes([0x5e; 16]);
pub(super) const BOB: ClientInstance = ClientInstance::from_bytes([0xbb; 16]);
pub(super) const HOST: HostId = HostId { machine: [0x11; 16], boot: [0x22; 16] };
/// The link of the other client.
pub(super) const BOBS: Link = Link(1_000_000);

pub(super) fn client_config() -> client::Config {
    client::Config {
        session: SESSION,
        instance: ClientInstance::from_bytes([0xaa; 16]),
        name: ClientName::new("alice"),
        versions: VersionRange::SUPPORTED,
        spec: Some(Bytes::from_static(b"spec")),
        on_loss: OnLoss::Respawn,
        take_over: false,
        window: 4096,
    }
}

pub(super) fn server_config() -> server::Config {
    server::Config {
        session: SESSION,
        host: HOST,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities(0),
    }
}

impl DuoWorld {
    /// The world before anything has happened.
    pub fn new(profile: &DuoProfile) -> Self {
        let mut duo = Self {
            paths: Paths::new(),
            client: Client::open(&client_config()),
            server: Server::Absent(Past::default()),
            past: Past::default(),
            armed: PathTimers::default(),
            timers: Vec::new(),
            names: Vec::new(),
            wires: Vec::new(),
            next_name: 0,
            epochs: 0,
            written: 0,
            given: 0,
            typed: 0,
            got: 0,
            told: LastNotice::Detached,
            has_claimed: false,
            left: profile.left,
            broken: None,
        };
        duo.client(profile, client::Event::Timer(Timer::Reconnect));
        duo
    }

    pub(super) fn breaks(&mut self, rule: u8, what: &'static str) {
        self.broken.get_or_insert(BrokenPathRule { rule, what });
    }

    pub(super) fn wire(&mut self, name: Link) -> Option<&mut DuoWire> {
        self.wires.iter_mut().find(|(other, _)| *other == name).map(|(_, wire)| wire)
    }

    /// The number that a link has at the path machine.
    pub(super) fn slot(&self, name: Link) -> Option<Link> {
        self.names.iter().find(|(_, other)| *other == name).map(|(slot, _)| *slot)
    }

    /// The name that a link has at the client.
    pub(super) fn name(&self, slot: Link) -> Option<Link> {
        self.names.iter().find(|(other, _)| *other == slot).map(|(_, name)| *name)
    }

    /// A link is over at the client's end.
    pub(super) fn forget(&mut self, name: Link) {
        self.names.retain(|(_, other)| *other != name);
        if let Some(wire) = self.wire(name) {
            wire.at_client = false;
            wire.to_client.clear();
        }
        self.sweep();
    }

    pub(super) fn sweep(&mut self) {
        self.wires.retain(|(_, wire)| wire.at_client || (wire.at_server && wire.is_open));
    }
}
