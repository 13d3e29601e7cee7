//! One step of the three machines.

use std::collections::VecDeque;

use bytes::Bytes;
use rejoin_protocol::frame::{From, Greeting, Hello, Wish};
use rejoin_protocol::paths::{self, Path, Why};
use rejoin_protocol::server::{self, Extent, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, ClientName, Epoch, Frame, Item, Link, Seq, Server, Stream, Tenure, Timer,
    Version, VersionRange, client,
};

use super::world::{
    BOB, BOBS, DuoProfile, DuoWire, DuoWorld, HOST, LastNotice, SESSION, client_config,
    server_config,
};

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DuoAction {
    /// A link can be written to, and greets.
    Open(Link),
    /// The first frame on its way arrives.
    ToClient(Link),
    /// The same.
    ToServer(Link),
    /// A link is cut; the server learns of it later.
    Cut(Link),
    /// The server learns of it.
    ServerLoses(Link),
    /// A timer of the path machine.
    Path(paths::Timer),
    /// A timer of the client machine.
    Client(Timer),
    /// The server is killed, and its process with it.
    Kill,
    /// Another client takes the session over.
    TakeOver,
    /// The application types something.
    Type,
    /// The process writes something.
    Write,
    /// A link is to stand by.
    StandBy,
}

impl DuoWorld {
    /// Everything that can happen.
    pub fn actions(&self) -> Vec<DuoAction> {
        let mut actions = Vec::new();
        if self.broken.is_some() || self.told == LastNotice::Ended {
            return actions;
        }
        for (name, wire) in &self.wires {
            if wire.at_client && !wire.is_open {
                actions.push(DuoAction::Open(*name));
            }
            if wire.at_client && !wire.to_client.is_empty() && self.reads(*name, wire) {
                actions.push(DuoAction::ToClient(*name));
            }
            if wire.is_open && wire.at_server && !wire.to_server.is_empty() {
                actions.push(DuoAction::ToServer(*name));
            }
            if self.left.cuts > 0 && wire.at_client {
                actions.push(DuoAction::Cut(*name));
            }
            if wire.at_client && !wire.at_server && wire.is_open && wire.to_client.is_empty() {
                actions.push(DuoAction::Cut(*name));
            }
            if wire.at_server && !wire.at_client {
                actions.push(DuoAction::ServerLoses(*name));
            }
        }
        actions.extend(self.armed.all().filter(|it| self.can_fire(*it)).map(DuoAction::Path));
        let early = |timer: &&Timer| self.left.early > 0 || **timer == Timer::Stable;
        actions.extend(self.timers.iter().filter(early).map(|timer| DuoAction::Client(*timer)));
        let is_alive = self.epochs > 0 && self.server.attached().is_some();
        let has = |left: u8, action| (left > 0).then_some(action);
        actions.extend(has(self.left.kills, DuoAction::Kill).filter(|_| is_alive));
        actions.extend(has(self.left.takeovers, DuoAction::TakeOver).filter(|_| is_alive));
        actions.extend(has(self.left.standbys, DuoAction::StandBy));
        actions.extend((self.typed == 0 && self.client.is_attached()).then_some(DuoAction::Type));
        actions.extend((self.written == 0 && is_alive).then_some(DuoAction::Write));
        actions
    }

    /// A link that is not used brings nothing but its Greeting: the rest stays where it is.
    fn reads(&self, name: Link, wire: &DuoWire) -> bool {
        !wire.has_greeted || self.client.link() == Some(name)
    }

    fn can_fire(&self, timer: paths::Timer) -> bool {
        match timer {
            paths::Timer::Silence | paths::Timer::Question | paths::Timer::Answer => {
                self.left.doubts > 0
            }
            paths::Timer::Dial(_) => self.left.early > 0,
            paths::Timer::Learn | paths::Timer::Patience => false,
            _ => true,
        }
    }

    /// Something happens.
    pub fn act(&mut self, profile: &DuoProfile, action: DuoAction) {
        match action {
            DuoAction::Open(name) => self.open(profile, name),
            DuoAction::ToClient(name) => self.bring(profile, name),
            DuoAction::ToServer(name) => {
                let frame = self.wire(name).and_then(|wire| wire.to_server.pop_front());
                if let Some(frame) = frame {
                    self.server(server::Event::Frame(name, frame));
                }
            }
            DuoAction::Cut(name) => {
                if self.wire(name).is_some_and(|wire| wire.at_server) {
                    self.left.cuts = self.left.cuts.saturating_sub(1);
                }
                self.lose(profile, name, Why::Closed);
            }
            DuoAction::ServerLoses(name) => {
                if let Some(wire) = self.wire(name) {
                    wire.at_server = false;
                }
                self.sweep();
                self.server(server::Event::LinkLost(name));
            }
            DuoAction::Path(timer) => {
                self.armed.disarm(timer);
                let is_early = matches!(timer, paths::Timer::Dial(_));
                self.left.early -= u8::from(is_early && self.left.early > 0);
                let is_doubt = matches!(
                    timer,
                    paths::Timer::Silence | paths::Timer::Question | paths::Timer::Answer
                );
                self.left.doubts -= u8::from(is_doubt && self.left.doubts > 0);
                self.path(profile, paths::Event::Timer(timer));
            }
            DuoAction::Client(timer) => {
                self.timers.retain(|other| *other != timer);
                if timer != Timer::Stable {
                    self.left.early = self.left.early.saturating_sub(1);
                }
                self.client(profile, client::Event::Timer(timer));
            }
            DuoAction::Kill => self.kill(),
            DuoAction::TakeOver => self.take_over(),
            DuoAction::Type => {
                self.typed = 1;
                let item = Item::Input(Bytes::from_static(b"i"));
                self.client(profile, client::Event::Input(item));
            }
            DuoAction::Write => {
                self.written = 1;
                let bytes = Bytes::from_static(b"o");
                self.server(server::Event::Output(Stream::Stdout, bytes));
            }
            DuoAction::StandBy => {
                self.left.standbys = 0;
                self.path(profile, paths::Event::Standby(true));
            }
        }
        self.judge();
    }

    fn open(&mut self, profile: &DuoProfile, name: Link) {
        let versions = VersionRange::SUPPORTED;
        let greeting = Greeting { versions, host: HOST, host_name: "box".into() };
        let Some(wire) = self.wire(name) else { return };
        wire.is_open = true;
        wire.to_client.push_back(Frame::Greeting(greeting));
        if let Some(slot) = self.slot(name) {
            self.path(profile, paths::Event::Opened(slot));
        }
    }

    fn bring(&mut self, profile: &DuoProfile, name: Link) {
        let is_used = self.client.link() == Some(name);
        let Some(wire) = self.wire(name) else { return };
        let is_greeting = matches!(wire.to_client.front(), Some(Frame::Greeting(_)));
        wire.has_greeted |= is_greeting;
        // Of a link that is not used, it waits until it is.
        let frame = if is_used { wire.to_client.pop_front() } else { None };
        if is_greeting && let Some(slot) = self.slot(name) {
            self.path(profile, paths::Event::Greeted(slot));
        }
        if let Some(frame) = frame {
            self.path(profile, paths::Event::Heard);
            if matches!(frame, Frame::Pong { .. } | Frame::Ack { .. }) {
                self.path(profile, paths::Event::Answered);
            }
            self.client(profile, client::Event::Frame(name, frame));
        }
    }

    fn lose(&mut self, profile: &DuoProfile, name: Link, why: Why) {
        let slot = self.slot(name);
        self.forget(name);
        if let Some(slot) = slot {
            self.path(profile, paths::Event::Ended(slot, why));
        }
        self.client(profile, client::Event::LinkLost(name));
    }

    fn kill(&mut self) {
        self.left.kills = 0;
        self.server = Server::Absent(self.past.clone());
        for (_, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.is_open) {
            // What is on its way to the client still arrives.
            wire.at_server = false;
            wire.to_server.clear();
        }
        self.sweep();
        (self.written, self.given, self.got) = (1, 0, 0);
    }

    fn take_over(&mut self) {
        self.left.takeovers = 0;
        self.has_claimed = true;
        let hello = Hello {
            version: Version(1),
            session: SESSION,
            instance: BOB,
            name: ClientName::new("bob"),
            attach: AttachNumber(1),
            tenure: Tenure(0),
            wish: Wish::Claim { expected: None, from: From::FirstHeld },
        };
        self.server(server::Event::Frame(BOBS, Frame::Hello(hello.clone())));
        if let Some((holder, _)) = self.server.holder() {
            let wish = Wish::Claim { expected: Some(holder), from: From::FirstHeld };
            let hello = Hello { attach: AttachNumber(2), tenure: holder.tenure, wish, ..hello };
            self.server(server::Event::Frame(BOBS, Frame::Hello(hello)));
        }
    }

    pub(super) fn client(&mut self, profile: &DuoProfile, event: client::Event) {
        for effect in self.client.step(&client_config(), event) {
            self.carry_client(profile, effect);
        }
    }

    fn carry_client(&mut self, profile: &DuoProfile, effect: client::Effect) {
        match effect {
            client::Effect::Connect => self.path(profile, paths::Event::Wanted { may_ask: false }),
            client::Effect::Send(name, frame) => self.send(profile, name, frame),
            client::Effect::Close(name) => {
                let slot = self.slot(name);
                let is_used = slot.is_some() && self.paths.used().map(|(slot, _)| slot) == slot;
                self.forget(name);
                if let Some(slot) = slot.filter(|_| is_used) {
                    self.path(profile, paths::Event::GivenUp(slot));
                }
            }
            client::Effect::Deliver(seq, _) => {
                if self.got > 0 {
                    self.breaks(1, "output is handed over twice");
                }
                self.got += 1;
                self.client(profile, client::Event::Taken(Seq(seq.0 + 1)));
                self.path(profile, paths::Event::Progressed);
            }
            client::Effect::Tell(notice) => self.tell(profile, &notice),
            client::Effect::Return(_) => {}
            client::Effect::Arm(Timer::Reconnect) => {
                self.client(profile, client::Event::Timer(Timer::Reconnect));
            }
            client::Effect::Arm(timer) => {
                if !self.timers.contains(&timer) {
                    self.timers.push(timer);
                    self.timers.sort();
                }
            }
            client::Effect::Disarm(timer) => self.timers.retain(|other| *other != timer),
        }
    }

    fn send(&mut self, profile: &DuoProfile, name: Link, frame: Frame) {
        let event = match &frame {
            Frame::Hello(_) => Some(paths::Event::Asked),
            Frame::Ping { .. } => Some(paths::Event::Pinged),
            Frame::Item { .. } => Some(paths::Event::Sent),
            _ => None,
        };
        match self.wire(name) {
            Some(wire) if wire.at_client => {
                if wire.at_server {
                    wire.to_server.push_back(frame);
                }
            }
            _ => self.breaks(10, "something is sent on a link that is closed"),
        }
        if let Some(event) = event {
            self.path(profile, event);
        }
    }

    fn tell(&mut self, profile: &DuoProfile, notice: &client::Notice) {
        match notice {
            client::Notice::Attached { .. } => {
                self.told = LastNotice::Attached;
                self.path(profile, paths::Event::Attached);
            }
            client::Notice::Detached(_) => {
                if self.told == LastNotice::Detached {
                    self.breaks(16, "a loss is told that is none");
                }
                self.told = LastNotice::Detached;
            }
            client::Notice::Superseded { .. } | client::Notice::GaveUp(_) => {
                profile.see(2);
                self.told = LastNotice::Ended;
                self.path(profile, paths::Event::Stop);
            }
            client::Notice::Replaced { .. } => {
                profile.see(1);
                self.got = 0;
            }
            _ => {}
        }
    }

    pub(super) fn path(&mut self, profile: &DuoProfile, event: paths::Event) {
        for effect in self.paths.step(&profile.config, event) {
            self.carry_path(profile, effect);
        }
    }

    fn carry_path(&mut self, profile: &DuoProfile, effect: paths::Effect) {
        match effect {
            paths::Effect::Dial { path, link, .. } => self.dial(path, link),
            paths::Effect::Use(slot) => self.begin(profile, slot, client::Event::LinkOpened),
            paths::Effect::Replace { new, .. } => {
                profile.see(0);
                let was_told = self.told;
                self.begin(profile, new, client::Event::LinkReplaced);
                if was_told != self.told {
                    self.breaks(16, "a move is told as a loss");
                }
            }
            paths::Effect::Drop(slot) => {
                if let Some(name) = self.name(slot) {
                    self.forget(name);
                    self.client(profile, client::Event::LinkLost(name));
                }
            }
            paths::Effect::Ask => self.client(profile, client::Event::Timer(Timer::Heartbeat)),
            paths::Effect::Arm(timer, ..) => self.armed.arm(timer),
            paths::Effect::Disarm(timer) => self.armed.disarm(timer),
            paths::Effect::GiveUp(_) => self.client(profile, client::Event::Unreachable),
            paths::Effect::Prepare | paths::Effect::Learn | paths::Effect::Tell(_) => {}
        }
    }

    fn dial(&mut self, path: Path, slot: Link) {
        let name = Link(self.next_name);
        self.next_name += 1;
        self.names.push((slot, name));
        let wire = DuoWire {
            path,
            is_open: false,
            has_greeted: false,
            at_client: true,
            at_server: true,
            to_client: VecDeque::new(),
            to_server: VecDeque::new(),
        };
        self.wires.push((name, wire));
    }

    /// The link is the client's; what came on it before comes now.
    fn begin(&mut self, profile: &DuoProfile, slot: Link, event: fn(Link) -> client::Event) {
        let Some(name) = self.name(slot) else { return };
        self.client(profile, event(name));
        let greeted = self.wire(name).filter(|wire| wire.has_greeted);
        let frame = greeted.and_then(|wire| wire.to_client.pop_front());
        if let Some(frame) = frame {
            self.client(profile, client::Event::Frame(name, frame));
        }
    }

    pub(super) fn server(&mut self, event: server::Event) {
        for effect in self.server.step(&server_config(), event) {
            self.carry_server(effect);
        }
    }

    fn carry_server(&mut self, effect: server::Effect) {
        match effect {
            server::Effect::Send(BOBS, _)
            | server::Effect::Close(BOBS)
            | server::Effect::Arm(_)
            | server::Effect::Disarm(_) => {}
            server::Effect::Send(name, frame) => {
                if let Some(wire) = self.wire(name).filter(|wire| wire.at_client) {
                    wire.to_client.push_back(frame);
                }
            }
            server::Effect::Close(name) => {
                if let Some(wire) = self.wire(name) {
                    wire.at_server = false;
                    wire.to_server.clear();
                }
                self.sweep();
            }
            server::Effect::Start { incarnation, tenure, .. } => {
                self.past =
                    Past { is_known: true, used: Some(incarnation), tenure, ..Past::default() };
                self.epochs += 1;
                (self.written, self.given) = (0, 0);
                let limits = Limits { window: 4096, overflow: Overflow::Block };
                self.server(server::Event::Started(Epoch::from_bytes([self.epochs; 16]), limits));
            }
            server::Effect::RecordTenure(tenure, _) => {
                self.past.tenure = tenure;
                self.server(server::Event::TenureRecorded);
            }
            server::Effect::HandOver(seq, _) => {
                self.given += 1;
                if self.given > 1 {
                    self.breaks(1, "input is handed over twice");
                }
                self.server(server::Event::InputTaken(Seq(seq.0 + 1)));
            }
            server::Effect::EndProcess(Extent::HangUp | Extent::Descendants | Extent::Session) => {
                self.server(server::Event::Ended(0));
            }
            server::Effect::Bury(past) => self.past = past,
            server::Effect::Stop => self.server = Server::Absent(self.past.clone()),
        }
    }

    fn judge(&mut self) {
        let used = self.paths.used().and_then(|(slot, _)| self.name(slot));
        if self.told != LastNotice::Ended && self.client.link() != used {
            self.breaks(10, "the client and the path machine use different links");
        }
        let is_told = self.told == LastNotice::Attached;
        // While a session moves, it stays attached for the application.
        if self.client.is_attached() && !is_told && self.told != LastNotice::Ended {
            self.breaks(16, "an attachment is not told");
        }
        if self.client.link().is_none() && is_told {
            self.breaks(16, "a loss is not told");
        }
        if self.told != LastNotice::Ended && self.paths.is_attached() != self.client.is_attached() {
            self.breaks(16, "the path machine takes the session for attached, or not");
        }
    }
}
