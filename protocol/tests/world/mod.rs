//! A small world in memory: clients, links that can be cut, a host with a registry, and a history
//! that only the test sees, against which every effect is checked.
// The flags of a driver are independent of each other.
#![allow(unreachable_pub, clippy::struct_excessive_bools)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod host;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rejoin_protocol::client::{Config, Effect, Event, Notice, OnLoss};
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Client, Epoch, Frame, Item, Link, Seq, Timer};

pub use host::Host;

use crate::common::{ALICE, BOB, HOST, client_config, greeting};

pub const WINDOW: u64 = 1000;

/// One link, with what is on its way. After a cut, what is on its way may still arrive, and each
/// end learns of the loss separately.
#[derive(Debug, Default)]
pub struct Wire {
    pub client: usize,
    pub to_server: VecDeque<Frame>,
    pub to_client: VecDeque<Frame>,
    pub bound_to: Option<u64>,
    pub is_cut: bool,
    pub has_client: bool,
    pub has_server: bool,
    pub knows_client: bool,
    pub knows_server: bool,
}

/// What a process was really given and really wrote.
#[derive(Debug, Default)]
pub struct History {
    pub outputs: Vec<Item>,
    pub inputs: Vec<(usize, u64)>,
}

/// A client, its application, and what was seen of both.
#[derive(Debug)]
pub struct Party {
    config: Config,
    pub client: Client,
    pub notices: Vec<Notice>,
    pub epoch: Option<Epoch>,
    /// The next output that must be delivered.
    pub expected: Seq,
    untaken: VecDeque<Seq>,
    /// Input is numbered through; what was accepted before `first` went to earlier processes.
    accepted: u64,
    first: u64,
    is_dialing: bool,
    may_reconnect: bool,
}

#[derive(Debug)]
pub struct World {
    pub parties: Vec<Party>,
    pub wires: BTreeMap<u64, Wire>,
    pub host: Host,
    pub history: BTreeMap<Epoch, History>,
    /// The party that was welcomed last.
    pub owner: Option<usize>,
    next_link: u64,
}

impl World {
    pub fn new(overflow: Overflow, on_loss: OnLoss) -> Self {
        let mut world = Self {
            parties: Vec::new(),
            wires: BTreeMap::new(),
            host: Host::new(overflow),
            history: BTreeMap::new(),
            owner: None,
            next_link: 1,
        };
        let config = Config { window: 2 * WINDOW, ..client_config(ALICE, on_loss) };
        let client = Client::open(&config);
        world.join(config, client);
        world
    }

    fn join(&mut self, config: Config, client: Client) {
        self.parties.push(Party {
            config,
            client,
            notices: Vec::new(),
            epoch: None,
            expected: Seq(0),
            untaken: VecDeque::new(),
            accepted: 0,
            first: 0,
            is_dialing: false,
            may_reconnect: true,
        });
    }

    /// Bob comes and takes the session over.
    pub fn bob(&mut self, from: From) {
        if self.parties.len() == 1 {
            let config = Config {
                take_over: true,
                window: 2 * WINDOW,
                ..client_config(BOB, OnLoss::Respawn)
            };
            let client = Client::claim(&config, None, from);
            self.join(config, client);
        }
    }

    pub fn step(&mut self, party: usize, event: Event) {
        let Party { config, client, .. } = &mut self.parties[party];
        let was_ended = client.is_ended();
        let effects = client.step(config, event);
        for effect in effects {
            let is_quiet = matches!(effect, Effect::Close(_) | Effect::Return(_));
            assert!(is_quiet || !was_ended, "a client that has ended does {effect:?}");
            self.carry_out(party, effect);
        }
    }

    fn carry_out(&mut self, party: usize, effect: Effect) {
        match effect {
            Effect::Connect => self.parties[party].is_dialing = true,
            Effect::Send(Link(link), frame) => self.send(party, link, frame),
            Effect::Close(Link(link)) => self.wires.get_mut(&link).unwrap().has_client = false,
            Effect::Deliver(seq, item) => self.deliver(party, seq, &item),
            Effect::Tell(notice) => self.tell(party, notice),
            Effect::Return(_) => self.parties[party].accepted -= 1,
            Effect::Arm(Timer::Reconnect) => self.parties[party].may_reconnect = true,
            Effect::Disarm(Timer::Reconnect) => self.parties[party].may_reconnect = false,
            Effect::Arm(_) | Effect::Disarm(_) => {}
        }
    }

    fn send(&mut self, party: usize, link: u64, frame: Frame) {
        if let Frame::Ack { next } = frame {
            let untaken = self.parties[party].untaken.front();
            let taken = untaken.map_or(self.parties[party].expected, |seq| *seq);
            assert!(next <= taken, "output {next} is acknowledged, {taken} is not taken");
        }
        let wire = self.wires.get_mut(&link).unwrap();
        assert!(wire.has_client, "a frame for a link that the client has closed");
        if !wire.is_cut && wire.has_server {
            wire.to_server.push_back(frame);
        }
    }

    /// Rule 1, output: gapless, without duplicates, of this process.
    fn deliver(&mut self, party: usize, seq: Seq, item: &Item) {
        let Party { epoch, expected, untaken, .. } = &mut self.parties[party];
        assert_eq!(seq, *expected, "delivered out of order");
        let outputs = &self.history[&epoch.expect("attached")].outputs;
        let at = usize::try_from(seq.0).unwrap();
        match item {
            Item::Gap { next } => {
                let lost = &outputs[at..usize::try_from(next.0).unwrap()];
                assert!(!lost.is_empty(), "a gap of nothing");
                assert!(!lost.iter().any(|item| matches!(item, Item::Exit(_))), "exit dropped");
                assert_eq!(self.host.overflow, Overflow::DropOldest);
            }
            item => assert_eq!(item, &outputs[at], "not what the process wrote"),
        }
        untaken.push_back(seq);
        *expected = item.end(seq);
    }

    fn tell(&mut self, party: usize, notice: Notice) {
        let party = &mut self.parties[party];
        match &notice {
            Notice::Attached { epoch, next_output, .. } if party.epoch == Some(*epoch) => {
                assert_eq!(*next_output, party.expected);
            }
            Notice::Attached { epoch, next_output, .. } => {
                party.epoch = Some(*epoch);
                party.expected = *next_output;
            }
            Notice::Replaced { .. } => {
                party.epoch = None;
                party.untaken.clear();
                party.first = party.accepted;
            }
            _ => {}
        }
        party.notices.push(notice);
    }

    /// The application types something.
    pub fn input(&mut self, party: usize, len: usize) {
        let number = self.parties[party].accepted;
        let mut data = vec![u8::try_from(party).unwrap()];
        data.extend_from_slice(&number.to_be_bytes());
        data.resize(data.len() + len, b'.');
        self.parties[party].accepted += 1;
        self.step(party, Event::Input(Item::Input(Bytes::from(data))));
    }

    /// Rule 1, input: each process is given a gapless run of each client's input, and nothing
    /// that was for another process; rules 10 and 11: only of who is entitled to it.
    pub fn check_input(&mut self, epoch: Epoch, item: &Item) {
        let data = item.payload();
        let party = usize::from(data[0]);
        let number = u64::from_be_bytes(data[1..9].try_into().unwrap());
        let inputs = &mut self.history.get_mut(&epoch).unwrap().inputs;
        let before = inputs.iter().rev().find(|(of, _)| *of == party);
        let next = before.map_or(self.parties[party].first, |(_, number)| number + 1);
        assert_eq!(number, next, "input of {party} is handed over out of order");
        assert_eq!(self.owner, Some(party), "input of a client that is not entitled");
        inputs.push((party, number));
    }

    pub fn take(&mut self, party: usize) -> bool {
        let Some(seq) = self.parties[party].untaken.pop_front() else { return false };
        let of = &self.parties[party];
        let next = of.untaken.front().map_or(of.expected, |seq| *seq);
        assert!(next > seq);
        self.step(party, Event::Taken(next));
        true
    }

    pub fn reconnect(&mut self, party: usize) -> bool {
        if std::mem::take(&mut self.parties[party].may_reconnect) {
            self.step(party, Event::Timer(Timer::Reconnect));
            return true;
        }
        false
    }

    /// A link comes up, or does not.
    pub fn connect(&mut self, party: usize, works: bool) -> bool {
        if !std::mem::take(&mut self.parties[party].is_dialing) {
            return false;
        }
        if !works {
            self.step(party, Event::LinkFailed);
            return true;
        }
        let link = self.next_link;
        self.next_link += 1;
        let mut wire =
            Wire { client: party, has_client: true, has_server: true, ..Wire::default() };
        wire.knows_client = true;
        wire.knows_server = true;
        wire.to_client.push_back(greeting(HOST));
        self.wires.insert(link, wire);
        self.step(party, Event::LinkOpened(Link(link)));
        true
    }

    pub fn cut(&mut self, at: usize) {
        if let Some(link) = self.nth_link(at) {
            self.wires.get_mut(&link).unwrap().is_cut = true;
        }
    }

    /// What was on its way on a link that was cut does not arrive after all.
    pub fn drop_rest(&mut self, at: usize, to_server: bool) {
        let Some(link) = self.nth_link(at) else { return };
        let wire = self.wires.get_mut(&link).unwrap();
        if wire.is_cut {
            if to_server { &mut wire.to_server } else { &mut wire.to_client }.clear();
        }
    }

    pub fn nth_link(&self, at: usize) -> Option<u64> {
        let count = self.wires.len();
        (count > 0).then(|| *self.wires.keys().nth(at % count).unwrap())
    }

    /// The next thing that the client's end of a link learns.
    pub fn arrive_at_client(&mut self, link: u64) -> bool {
        let wire = self.wires.get_mut(&link).unwrap();
        if !wire.knows_client {
            return false;
        }
        let party = wire.client;
        if let Some(frame) = wire.to_client.pop_front() {
            self.step(party, Event::Frame(Link(link), frame));
            return true;
        }
        if wire.is_cut || !wire.has_server {
            wire.knows_client = false;
            wire.has_client = false;
            self.step(party, Event::LinkLost(Link(link)));
            return true;
        }
        false
    }

    /// Both directions of a link that neither end knows any more are forgotten.
    pub fn tidy(&mut self) {
        self.wires.retain(|_, wire| wire.knows_client || wire.knows_server);
    }
}
