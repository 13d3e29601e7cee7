//! A server process: its machine, its driver, the process that it keeps.
//!
//! The driver carries out effects in their order. Those that touch the registry are steps of their
//! own in a stepwise world: the server may be killed before any of them.

use std::collections::VecDeque;

use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Bye, Scope, Wish};
use rejoin_protocol::registry::{Burial, Guard, Next, Operation, Program, Recorded, Start};
use rejoin_protocol::server::{Effect, Event, Extent, Limits, Past, Server};
use rejoin_protocol::{Epoch, Frame, Incarnation, Item, Link, Seq, Tenure, Timer};

use super::host::{Entry, Leftover};
use super::registry::OpenLockFile;
use super::task_text::task_text;
use super::wire::HostEnd;
use super::{Cx, World};
use crate::budget::Chance;
use crate::driver_mutant::DriverMutant;
use crate::ledgers::server::ServerLedger;
use crate::names;
use crate::notes;
use crate::properties::{client, server as properties};
use crate::timers::Timers;

/// A server.
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ServerDriver {
    /// The machine that ships.
    pub machine: Server,
    /// Where it runs.
    pub host: u8,
    /// Its lock.
    pub inode: u8,
    /// Another lock file, which it may adopt.
    pub other: Option<OpenLockFile>,
    /// The timers that run.
    pub timers: Timers,
    /// Whether it accepts connections.
    pub is_listening: bool,
    /// What it has written to its record.
    pub record: Option<Recorded>,
    /// What it is about to start.
    pub starts: Option<Recorded>,
    /// The process.
    pub process: Option<Process>,
    /// What it still has to do, in order.
    pub todo: VecDeque<ServerTask>,
    /// Whether the process and its descendants are being ended.
    pub is_ending: bool,
    /// Whether everything else that carries the session's mark is, too.
    pub ends_all: bool,
    /// History: whether somebody has asked for that, or its retention is over.
    pub may_end_all: bool,
    /// History: the link that was welcomed and not given up since.
    pub current: Option<u64>,
    /// History: why its entry may go.
    pub may_end: bool,
    /// History: whether an operation of it failed.
    pub has_failed: bool,
    /// Whether it could not end its process, which the kernel ends with it.
    pub takes_process_along: bool,
    /// What its machine was given and did, by which that is judged.
    pub ledger: ServerLedger,
}

/// The process that a server keeps, with what really happened to it.
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Process {
    /// The server's number.
    pub epoch: u8,
    /// Which process of the session.
    pub incarnation: Incarnation,
    /// Whether it lives.
    pub is_alive: bool,
    /// Whether its start counts: not if the registry was removed from under it, before it was
    /// served.
    pub is_counted: bool,
    /// Whether the server has made sure, after the start, that the session is still its own.
    pub is_served: bool,
    /// Whether its end was reported.
    pub is_reported: bool,
    /// Whether it waits to write.
    pub is_blocked: bool,
    /// What it has written: the number behind it.
    pub written: Seq,
    /// What was handed over and not taken.
    pub waiting: VecDeque<(Seq, Item)>,
    /// What it was handed: the number behind it.
    pub handed: Seq,
    /// The last input of each party's generation.
    pub last: Vec<(u8, u8, u8)>,
    /// What it has taken.
    pub taken: Seq,
    /// The attach number that was welcomed last, and whose it was.
    pub welcomed: Option<(u8, u8, u64)>,
    /// Its owner's tenure.
    pub tenure: Tenure,
}

/// What a server's driver has to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ServerTask {
    /// Read what is known, and become `Absent`.
    Boot,
    /// Carry out an effect.
    Effect(Effect),
    /// Bring the machine an event.
    Event(Event),
    /// Go on with the start of the process.
    Start(Start),
    /// Write a tenure to the record.
    RecordTenure(Tenure),
    /// Go on with the burial, and what stands behind it.
    Bury(Burial),
    /// Go on looking after the entry.
    Guard(Guard),
    /// End.
    Stop,
}

impl ServerDriver {
    /// A server that was just forked, with an inherited lock.
    pub fn new(host: u8, inode: u8) -> Self {
        Self {
            machine: Server::Absent(Past::default()),
            host,
            inode,
            other: None,
            timers: Timers::default(),
            is_listening: false,
            record: None,
            starts: None,
            process: None,
            todo: VecDeque::from([ServerTask::Boot]),
            is_ending: false,
            ends_all: false,
            may_end_all: false,
            current: None,
            may_end: false,
            has_failed: false,
            takes_process_along: false,
            ledger: ServerLedger::new(Past::default()),
        }
    }

    /// Somebody killed the process.
    pub fn process_is_killed(&mut self) {
        if let Some(process) = &mut self.process {
            process.is_alive = false;
            process.is_blocked = false;
            process.waiting.clear();
        }
    }

    /// Whether its process lives, and is served.
    pub(super) fn serves(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_alive && process.is_served)
    }

    /// Whether its process lives.
    pub fn has_living_process(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_alive)
    }
}

impl ServerTask {
    /// Whether it is an operation of a program that may fail.
    pub(super) fn may_fail(&self) -> bool {
        match self {
            Self::Boot => true,
            Self::Start(start) => may_fail(start),
            Self::Bury(burial) => may_fail(burial),
            Self::Guard(guard) => may_fail(guard),
            Self::Effect(_) | Self::Event(_) | Self::RecordTenure(_) | Self::Stop => false,
        }
    }

    /// Whether it is to end the process behind a start that came to nothing.
    pub(super) fn is_end_of_process(&self) -> bool {
        matches!(self, Self::Start(start) if start.next() == Next::Do(Operation::EndProcess))
    }

    /// Whether a killer can come before it, in a stepwise world.
    fn is_access(&self) -> bool {
        !matches!(self, Self::Effect(_) | Self::Event(_))
    }
}

fn may_fail(program: &impl Program) -> bool {
    let next = program.next();
    !matches!(next, Next::Do(Operation::LetGo | Operation::Wait | Operation::Adopt))
}

impl World {
    /// Steps a server's machine, and carries out what does not have to wait.
    pub fn step_server(&mut self, cx: &Cx, s: u8, event: Event) {
        let server = self.server_mut(s);
        server.todo.push_back(ServerTask::Event(event));
        self.advance(cx, s);
    }

    /// Carries out what does not have to wait.
    pub fn advance(&mut self, cx: &Cx, s: u8) {
        while let Some(server) = &self.servers[usize::from(s)] {
            let Some(next) = server.todo.front() else { break };
            if self.waits(cx, next) {
                return;
            }
            self.do_next(cx, s);
        }
        self.check_abandoned(cx, s);
    }

    /// In a world without interruptions only a start that may fail is a step of its own.
    fn waits(&self, cx: &Cx, todo: &ServerTask) -> bool {
        match todo {
            ServerTask::Start(start)
                if start.next() == Next::Do(Operation::Spawn)
                    && self.budget.has(Chance::FailedStart) =>
            {
                true
            }
            ServerTask::RecordTenure(_) if self.budget.has(Chance::TenureFailure) => true,
            todo => cx.profile.is_stepwise && todo.is_access(),
        }
    }

    /// Does the first thing that there is to do, and what follows without waiting.
    pub fn do_step(&mut self, cx: &Cx, s: u8) {
        self.do_next(cx, s);
        self.advance(cx, s);
    }

    /// Does all that there is to do.
    pub fn finish(&mut self, cx: &Cx, s: u8) {
        while self.servers[usize::from(s)].as_ref().is_some_and(|it| !it.todo.is_empty()) {
            self.do_next(cx, s);
        }
        self.seal();
    }

    fn do_next(&mut self, cx: &Cx, s: u8) {
        let Some(todo) = self.server_mut(s).todo.pop_front() else { return };
        notes::note(|| (format!("server {s}"), task_text(&todo)));
        match todo {
            ServerTask::Event(event) => self.take_event(cx, s, &event),
            ServerTask::Effect(effect) => self.carry_out_for_server(cx, s, effect),
            ServerTask::RecordTenure(tenure) => self.record_tenure(s, tenure),
            ServerTask::Stop => {
                // The process has asked the kernel for a signal at its server's end.
                if self.server(s).takes_process_along {
                    self.server_mut(s).process_is_killed();
                }
                self.check_left(s);
                self.end_server(s);
            }
            todo => self.do_operation(cx, s, todo, None),
        }
    }

    fn take_event(&mut self, cx: &Cx, s: u8, event: &Event) {
        let config = cx.server_config(self, self.server(s).host);
        let server = self.server_mut(s);
        let current = server.current;
        let current_link = current.map(Link);
        let is_late_loss = matches!(event, Event::LinkLost(link) if current_link != Some(*link));
        if let Event::Frame(Link(link), frame) = event {
            if current == Some(*link) {
                server.may_end_all |= matches!(frame, Frame::Close);
                server.may_end |= matches!(frame, Frame::Close);
                let written = server.process.as_ref().filter(|it| it.is_reported);
                let written = written.map(|process| process.written);
                server.may_end |= matches!(frame, Frame::Ack { next } if Some(*next) == written);
            }
            server.may_end |= matches!(frame, Frame::Hello(hello)
                if matches!(hello.wish, Wish::Close { .. }));
            let is_alive = server.has_living_process();
            server.may_end_all |= matches!(frame, Frame::Hello(hello)
                if matches!(hello.wish, Wish::Close { scope, .. }
                    if scope == Scope::Session || is_alive));
        }
        server.may_end |= matches!(event, Event::Timer(Timer::Retention) | Event::Displaced);
        server.may_end_all |= matches!(event, Event::Timer(Timer::Retention));
        let from = match event {
            Event::Frame(link, _) => Some(*link),
            _ => None,
        };
        let effects = server.machine.step(&config, event.clone());
        let held = server.ledger.step(&config, event, &effects);
        self.hold(held);
        if is_late_loss {
            let begins_retention = effects.contains(&Effect::Arm(Timer::Retention));
            self.require(properties::lost_late(begins_retention));
        }
        let hands_over = effects.iter().any(|effect| matches!(effect, Effect::HandOver(..)));
        if let Some(link) = from.filter(|_| hands_over) {
            self.require(properties::took(link, current_link));
        }
        let server = self.server_mut(s);
        for effect in effects.into_iter().rev() {
            server.todo.push_front(ServerTask::Effect(effect));
        }
    }

    fn carry_out_for_server(&mut self, cx: &Cx, s: u8, effect: Effect) {
        match effect {
            Effect::Send(Link(link), frame) => self.send_to_client(cx, s, link, frame),
            Effect::Close(Link(link)) => {
                let server = self.server_mut(s);
                if server.current == Some(link) {
                    server.current = None;
                }
                if let Some(wire) = self.wire_at_server(s, link) {
                    wire.close_far();
                }
            }
            Effect::Start { incarnation, tenure, .. } => self.start(cx, s, incarnation, tenure),
            Effect::RecordTenure(tenure, _) => {
                self.server_mut(s).todo.push_front(ServerTask::RecordTenure(tenure));
            }
            Effect::HandOver(seq, item) => self.hand_over(cx, s, seq, item),
            Effect::EndProcess(extent) => self.end_process(cx, s, extent),
            Effect::Bury(past) => self.bury_of_server(s, past),
            Effect::Stop => self.server_mut(s).todo.push_front(ServerTask::Stop),
            Effect::Arm(timer) => {
                let server = self.server_mut(s);
                server.timers.arm(timer);
                if timer == Timer::Retention {
                    server.current = None;
                }
            }
            Effect::Disarm(timer) => self.server_mut(s).timers.disarm(timer),
        }
    }

    fn start(&mut self, cx: &Cx, s: u8, incarnation: Incarnation, tenure: Tenure) {
        let ghost = self.ghost.edit();
        let epoch = if cx.has_mutant(DriverMutant::EpochReused) { 0 } else { ghost.epochs };
        ghost.epochs += 1;
        let epoch = Some(names::epoch(epoch));
        let record = Recorded { incarnation, tenure, is_starting: true, epoch };
        self.server_mut(s).starts = Some(record.clone());
        self.server_mut(s).todo.push_front(ServerTask::Start(Start::new(record)));
    }

    /// Whether the path of the lock still names this server's.
    pub fn has_place(&self, s: u8) -> bool {
        let server = self.server(s);
        self.host(server.host).is_some_and(|host| host.path == Some(server.inode))
    }

    pub(super) fn fork_process(&mut self, s: u8) {
        let Some(Recorded { incarnation, tenure, epoch, .. }) = self.server_mut(s).starts.take()
        else {
            return;
        };
        let host = self.server(s).host;
        let has_place = self.has_place(s) && self.has_record(host);
        if has_place {
            self.count_start(host, incarnation, tenure);
        }
        let server = self.server_mut(s);
        server.process = Some(Process {
            epoch: epoch.map_or(0, names::epoch_index),
            incarnation,
            is_alive: true,
            is_counted: has_place,
            is_served: false,
            is_reported: false,
            is_blocked: false,
            written: Seq::ZERO,
            waiting: VecDeque::new(),
            handed: Seq::ZERO,
            last: Vec::new(),
            taken: Seq::ZERO,
            welcomed: None,
            tenure,
        });
    }

    /// The process runs, and the session is this server's.
    pub(super) fn serve(&mut self, cx: &Cx, s: u8) {
        let host = self.server(s).host;
        let process = self.server(s).process.as_ref();
        if let Some((incarnation, tenure)) =
            process.filter(|it| !it.is_counted).map(|it| (it.incarnation, it.tenure))
        {
            self.count_start(host, incarnation, tenure);
        }
        self.ghost.edit().owner[usize::from(host)] = None;
        let others = self.other_processes(s, host);
        let server = self.server_mut(s);
        let Some(process) = &mut server.process else { return };
        process.is_served = true;
        let epoch = names::epoch(process.epoch);
        let limits = Limits { window: cx.profile.window, overflow: cx.profile.overflow };
        server.todo.push_back(ServerTask::Event(Event::Started(epoch, limits)));
        if others {
            self.violate(7, "a process of the session lives when another one is served");
        }
    }

    fn record_tenure(&mut self, s: u8, tenure: Tenure) {
        let has_place = self.has_place(s);
        let server = self.server_mut(s);
        let host = server.host;
        let event = if let (true, Some(record)) = (has_place, &mut server.record) {
            record.tenure = tenure;
            let record = record.clone();
            self.host_mut(host).entry.get_or_insert_with(Entry::default).record = Some(record);
            let known = &mut self.ghost.edit().tenure[usize::from(host)];
            *known = tenure.max(*known);
            Event::TenureRecorded
        } else {
            Event::TenureNotRecorded
        };
        self.server_mut(s).todo.push_back(ServerTask::Event(event));
    }

    /// The disk is full.
    pub fn fail_tenure(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        server.todo.pop_front();
        server.todo.push_back(ServerTask::Event(Event::TenureNotRecorded));
        self.advance(cx, s);
    }

    fn bury_of_server(&mut self, s: u8, past: Past) {
        let server = self.server_mut(s);
        server.is_listening = false;
        let is_exited = server.process.as_ref().is_some_and(|process| process.is_reported);
        let may_end = server.may_end || server.process.is_none();
        let has_children = server.has_living_process();
        let rest = self.rest_of_step(s);
        self.server_mut(s).todo.push_front(ServerTask::Bury(Burial::new(past, rest)));
        self.require(properties::buried(is_exited && !may_end, has_children));
    }

    fn end_process(&mut self, cx: &Cx, s: u8, extent: Extent) {
        let server = self.server_mut(s);
        server.is_listening = false;
        server.is_ending = true;
        server.ends_all = extent == Extent::Session;
        if cx.has_mutant(DriverMutant::RemovedBeforeEnded) {
            server.is_ending = false;
            server.todo.push_back(ServerTask::Event(Event::Ended(0)));
        }
    }

    fn send_to_client(&mut self, cx: &Cx, s: u8, link: u64, frame: Frame) {
        self.check_relied_by_server(s, link, &frame);
        match &frame {
            Frame::Welcome(welcome) => self.check_welcome_sent(cx, s, link, welcome),
            Frame::Refused(refused) => {
                cx.mark_reason(&refused.reason);
                self.check_answered(s, link, refused.attach.0);
                self.mark_lost_takeover(cx, link, &refused.reason);
                let is_alive = self.server(s).has_living_process();
                self.require(properties::refused(&refused.reason, is_alive));
            }
            Frame::Closed { .. } => self.check_closed(s, link),
            Frame::Ack { next } => {
                let taken = self.server(s).process.as_ref().map(|process| process.taken);
                self.require(client::acknowledged(*next, taken));
            }
            Frame::Item { seq, item } => {
                let ServerDriver { current, process, .. } = self.server(s);
                let attached = current.map(Link);
                let written = process.as_ref().map_or(Seq::ZERO, |it| it.written);
                self.require(properties::served(Link(link), attached));
                self.require(properties::sent(item.end(*seq), written));
            }
            _ => {}
        }
        let excess = Frame::Bye(Bye::Misbehaved(Misbehaviour::WindowExceeded));
        if frame == excess && !self.ghost.is_rolled_back {
            self.violate(3, "more input comes than the window allows");
        }
        if let Some(wire) = self.wire_at_server(s, link) {
            wire.send_to_client(frame, cx.profile.has_late_reports);
        }
    }

    /// A server ends, or is killed: the system closes what it had open.
    pub fn end_server(&mut self, s: u8) {
        let server = self.server(s);
        let (host, inode, mut other) = (server.host, server.inode, server.other);
        let has_process = server.has_living_process();
        self.close(host, &mut other);
        self.host_mut(host).close_lock(inode, true);
        self.servers[usize::from(s)] = None;
        for wire in self.wires.iter_mut().flatten() {
            if wire.host_end == HostEnd::Server(s) {
                wire.edit().close_far();
            }
        }
        if let Some(entry) = self.hosts[usize::from(host)].as_mut()
            && entry.entry.as_ref().is_some_and(|entry| entry.socket == Some(s))
            && let Some(entry) = &mut entry.edit().entry
        {
            entry.socket = None;
        }
        self.require(properties::stopped(has_process));
    }

    /// A server is killed; its process dies with it, or stays.
    pub fn kill_server(&mut self, s: u8, leaves_process: bool) {
        let server = self.server_mut(s);
        let host = server.host;
        let living = server.process.take().filter(|process| process.is_alive);
        if let Some(process) = living.filter(|_| leaves_process) {
            let Process { incarnation, is_counted, .. } = process;
            self.host_mut(host).leftovers.push(Leftover { incarnation, is_counted });
        }
        self.end_server(s);
    }

    /// A server whose opener is gone before it said what to start has nothing to serve.
    fn check_abandoned(&mut self, cx: &Cx, s: u8) {
        let Some(server) = &self.servers[usize::from(s)] else { return };
        let is_absent = matches!(server.machine, Server::Absent(_)) && server.todo.is_empty();
        let is_alone = !self.wires.iter().flatten().any(|wire| wire.host_end == HostEnd::Server(s));
        if is_absent && is_alone && !self.is_being_joined(s) {
            self.server_mut(s).todo.push_back(ServerTask::Bury(Burial::unopened()));
            self.advance(cx, s);
        }
    }

    /// The epoch that a server's process has.
    pub fn epoch_of(&self, s: u8) -> Option<Epoch> {
        self.server(s).process.as_ref().map(|process| names::epoch(process.epoch))
    }
}
