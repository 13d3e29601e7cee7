//! What can happen in a world, and what it does.

use rejoin_protocol::client::{self, Patience};
use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::registry::FailureKind;
use rejoin_protocol::{Frame, Link, Seq, Tenure, Timer, server};

use super::host::INODES;
use super::party::Party;
use super::program::Program;
use super::wire::{HelloFacts, HostEnd, LinkFault};
use super::{Cx, World};
use crate::action::{Action, Action as A};
use crate::budget::Chance;
use crate::names;
use crate::profile::Role;
use crate::shared::Shared;
use crate::witness::Witness;

impl World {
    pub(super) fn is_silent(&self, link: Link) -> bool {
        let at = usize::try_from(link.0).unwrap_or(usize::MAX);
        let wire = self.wires.get(at).and_then(Option::as_ref);
        wire.is_none_or(|wire| wire.fault == LinkFault::Silent)
    }

    /// Does one thing.
    pub fn act(&mut self, cx: &Cx, action: Action) {
        match action {
            A::Join(_)
            | A::Dial(_)
            | A::DialFails(_)
            | A::Type(_)
            | A::Take(_)
            | A::HandshakeTimeout(_)
            | A::ClientSilent(_)
            | A::Heartbeat(_)
            | A::Stable(_)
            | A::GiveUp(_)
            | A::Detach(_)
            | A::Close(_)
            | A::KillClient(_)
            | A::RestartClient(_)
            | A::RestartStale(_) => self.act_of_client(cx, action),
            A::ToClient(w) => self.client_reads(cx, w),
            A::ToHost(w) => self.host_reads(cx, w),
            A::ClientLearns(w) => self.client_learns(cx, w),
            A::HostLearns(w) => self.host_learns(cx, w),
            A::GarbleToClient(w) => self.garble(cx, w, true),
            A::GarbleToHost(w) => self.garble(cx, w, false),
            A::Repeat(w) => {
                cx.seen.mark(Witness::Repeated);
                self.repeat_hello(w);
            }
            A::Cut(w) => {
                self.budget.spend(Chance::Cut);
                self.wire_mut(w).fault = LinkFault::Reset;
            }
            A::Silence(w) => {
                self.budget.spend(Chance::Silence);
                let keeps = cx.profile.has_late_reports;
                let wire = self.wire_mut(w);
                wire.fault = LinkFault::Silent;
                wire.to_server.clear();
                if !keeps {
                    wire.to_client.clear();
                }
            }
            A::Program(a) => {
                self.step_program(cx, a);
                if !cx.profile.is_stepwise && self.programs[usize::from(a)].is_some() {
                    self.run_program(cx, a);
                }
            }
            A::KillProgram(a) => {
                self.budget.spend(Chance::AttachKill);
                self.kill_program(cx, a);
            }
            A::ForbidProgram(a) => {
                self.budget.spend(Chance::NoRegistry);
                self.fail_program(cx, a, FailureKind::Denied);
            }
            A::ProgramFails(a) => {
                self.budget.spend(Chance::Fault);
                self.fail_program(cx, a, FailureKind::Broken);
            }
            A::ProgramIsShort(a) => {
                self.budget.spend(Chance::Fault);
                self.fail_program(cx, a, FailureKind::Busy);
            }
            A::Late(a) => {
                self.budget.spend(Chance::AttachDeadline);
                self.program_mut(a).overdue();
            }
            action => self.act_of_host(cx, action),
        }
        self.seal();
    }

    fn act_of_client(&mut self, cx: &Cx, action: Action) {
        let event = match action {
            A::Join(p) => {
                self.budget.spend(Chance::Join);
                let role = cx.profile.roles.get(usize::from(p)).copied();
                let party = Party::join(cx, p, role.unwrap_or(Role::Opener));
                self.parties[usize::from(p)] = Some(Shared::new(party));
                return;
            }
            A::Dial(p) => return self.dial(cx, p, true),
            A::DialFails(p) => {
                self.budget.spend(Chance::NoLink);
                return self.dial(cx, p, false);
            }
            A::Type(p) => {
                self.budget.spend(Chance::Input);
                return self.type_input(cx, p);
            }
            A::Take(p) => {
                let next = self.party_mut(p).untaken.pop_front();
                client::Event::Taken(next.unwrap_or(Seq::ZERO))
            }
            A::HandshakeTimeout(p) => self.timeout(p, Timer::Handshake),
            A::ClientSilent(p) => self.timeout(p, Timer::LinkSilent),
            A::Heartbeat(_) => {
                self.budget.spend(Chance::Ping);
                client::Event::Timer(Timer::Heartbeat)
            }
            A::Stable(p) => {
                cx.seen.mark(Witness::Stable);
                self.timeout(p, Timer::Stable)
            }
            A::GiveUp(_) => {
                self.budget.spend(Chance::GiveUp);
                client::Event::Timer(Timer::GiveUp)
            }
            A::Detach(_) => {
                self.budget.spend(Chance::Detach);
                client::Event::Detach
            }
            A::Close(_) => {
                self.budget.spend(Chance::Close);
                client::Event::Close
            }
            A::KillClient(p) => {
                self.budget.spend(Chance::ClientKill);
                return self.kill_client(p);
            }
            A::RestartClient(p) => {
                self.budget.spend(Chance::ClientRestart);
                return self.restart_client(cx, p, self.party(p).machine.next_output());
            }
            A::RestartStale(p) => {
                self.budget.spend(Chance::StaleState);
                return self.restart_client(cx, p, Seq::ZERO);
            }
            _ => return,
        };
        if let Some(p) = action.party() {
            self.step_client(cx, p, event);
        }
    }

    fn timeout(&mut self, p: u8, timer: Timer) -> client::Event {
        let is_silent = self.party(p).machine.link().is_some_and(|link| self.is_silent(link));
        if !is_silent {
            self.budget.spend(Chance::Timeout);
        }
        self.party_mut(p).timers.disarm(timer);
        client::Event::Timer(timer)
    }

    fn dial(&mut self, cx: &Cx, p: u8, works: bool) {
        self.party_mut(p).timers.disarm(Timer::Reconnect);
        self.step_client(cx, p, client::Event::Timer(Timer::Reconnect));
        if !std::mem::take(&mut self.party_mut(p).is_dialing) {
            return;
        }
        if !works {
            return self.step_client(cx, p, client::Event::LinkFailed);
        }
        let host = self.reached;
        let wire = self.put_wire(p);
        let greeting = cx.greeting(self, host);
        let keeps = cx.profile.has_late_reports;
        self.wire_mut(wire).send_to_client(greeting, keeps);
        self.step_client(cx, p, client::Event::LinkOpened(Link(u64::from(wire))));
    }

    fn type_input(&mut self, cx: &Cx, p: u8) {
        let party = self.party_mut(p);
        let number = party.past.typed;
        let generation = party.generation;
        party.past.typed += 1;
        let item = names::input_of(p, generation, number, cx.profile.inputs);
        self.step_client(cx, p, client::Event::Input(item));
    }

    fn restart_client(&mut self, cx: &Cx, p: u8, next_output: Seq) {
        let party = self.party(p).restart(cx, p, next_output);
        self.kill_client(p);
        self.parties[usize::from(p)] = Some(Shared::new(party));
    }

    fn kill_client(&mut self, p: u8) {
        let party = self.party_mut(p);
        party.is_alive = false;
        party.untaken.clear();
        for wire in self.wires.iter_mut().flatten().filter(|wire| wire.party == p) {
            wire.edit().close_client(false);
        }
    }

    fn client_reads(&mut self, cx: &Cx, w: u8) {
        let wire = self.wire_mut(w);
        let Some(frame) = wire.to_client.pop_front() else { return };
        let p = wire.party;
        if !self.party(p).is_alive {
            return;
        }
        let wire = self.wire_mut(w);
        if !wire.is_open {
            cx.seen.mark(Witness::ZombieAtClient);
        } else if let Frame::Greeting(greeting) = &frame {
            wire.greeted = Some(greeting.host);
        }
        self.mark_duplicate_output(cx, p, &frame);
        self.step_client(cx, p, client::Event::Frame(Link(u64::from(w)), frame));
    }

    fn mark_duplicate_output(&self, cx: &Cx, p: u8, frame: &Frame) {
        if let Frame::Item { seq, .. } = frame
            && *seq < self.party(p).past.expected
        {
            cx.seen.mark(Witness::DuplicateOutput);
        }
    }

    fn host_reads(&mut self, cx: &Cx, w: u8) {
        let wire = self.wire_mut(w);
        let Some(frame) = wire.to_server.pop_front() else { return };
        let is_abandoned = !wire.is_open;
        if is_abandoned {
            cx.seen.mark(Witness::ZombieAtServer);
        }
        let host_end = wire.host_end;
        if let Frame::Hello(hello) = &frame {
            wire.heard = Some(HelloFacts::of(hello));
            if is_abandoned && Self::is_open(&frame) {
                cx.seen.mark(Witness::LateOpen);
            }
        }
        match host_end {
            HostEnd::Attach(a) => self.program_reads(cx, a, frame),
            HostEnd::Server(s) => {
                if let (Frame::Item { seq, .. }, Some(process)) = (&frame, &self.server(s).process)
                    && *seq < process.handed
                {
                    cx.seen.mark(Witness::DuplicateInput);
                }
                if cx.has_mutant(crate::driver_mutant::DriverMutant::AckBehindData)
                    && self.is_stuck(s)
                {
                    self.wire_mut(w).to_server.push_front(frame);
                    return;
                }
                let event = server::Event::Frame(Link(u64::from(w)), frame);
                self.step_server(cx, s, event);
            }
            HostEnd::Closed => {}
        }
    }

    /// A link brings bytes that are no frame, and nothing behind them is read.
    fn garble(&mut self, cx: &Cx, w: u8, is_to_client: bool) {
        self.budget.spend(Chance::Garble);
        cx.seen.mark(Witness::Garbled);
        let what = Misbehaviour::Frame(FrameError::Empty);
        let link = Link(u64::from(w));
        let wire = self.wire_mut(w);
        let (p, host_end) = (wire.party, wire.host_end);
        if is_to_client {
            wire.to_client.clear();
            self.step_client(cx, p, client::Event::LinkMisbehaved(link, what));
        } else if let HostEnd::Server(s) = host_end {
            wire.to_server.clear();
            self.step_server(cx, s, server::Event::LinkMisbehaved(link, what));
        }
    }

    /// A Hello that is on its way reaches the host a second time, over a link whose client is gone.
    fn repeat_hello(&mut self, w: u8) {
        self.budget.spend(Chance::Repeat);
        let wire = self.wire_mut(w);
        let (p, hello) = (wire.party, wire.to_server.front().cloned());
        let copy = self.put_wire(p);
        let copy = self.wire_mut(copy);
        copy.is_open = false;
        copy.to_server.extend(hello);
    }

    /// Whether a server has input that its process does not take.
    fn is_stuck(&self, s: u8) -> bool {
        self.server(s).process.as_ref().is_some_and(|process| !process.waiting.is_empty())
    }

    fn client_learns(&mut self, cx: &Cx, w: u8) {
        let wire = self.wire_mut(w);
        let p = wire.party;
        if wire.fault == LinkFault::Reset && wire.host_end != HostEnd::Closed {
            cx.seen.mark(Witness::ClientLearntFirst);
        }
        if !wire.to_client.is_empty() {
            cx.seen.mark(Witness::RestDropped);
        }
        wire.close_client(false);
        self.step_client(cx, p, client::Event::LinkLost(Link(u64::from(w))));
    }

    fn host_learns(&mut self, cx: &Cx, w: u8) {
        let wire = self.wire_mut(w);
        if wire.fault == LinkFault::Reset && wire.is_open {
            cx.seen.mark(Witness::ServerLearntFirst);
        }
        if !wire.to_server.is_empty() {
            cx.seen.mark(Witness::RestDropped);
        }
        let host_end = wire.host_end;
        wire.close_far();
        match host_end {
            HostEnd::Attach(a) => self.end_program(a),
            HostEnd::Server(s) => {
                self.step_server(cx, s, server::Event::LinkLost(Link(u64::from(w))));
            }
            HostEnd::Closed => {}
        }
    }

    fn act_of_host(&mut self, cx: &Cx, action: Action) {
        match action {
            A::Server(s) => self.do_step(cx, s),
            A::StartFails(s) => {
                self.budget.spend(Chance::FailedStart);
                self.fail_start(cx, s);
            }
            A::TenureFails(s) => {
                self.budget.spend(Chance::TenureFailure);
                self.fail_tenure(cx, s);
            }
            A::ServerFails(s) => {
                self.budget.spend(Chance::Fault);
                self.fail_server(cx, s, FailureKind::Broken);
            }
            A::KillServer(s) => {
                self.budget.spend(Chance::ServerKill);
                self.kill_server(s, false);
            }
            A::LeaveProcess(s) => {
                self.budget.spend(Chance::Leftover);
                self.kill_server(s, true);
            }
            A::ServerSilent(s) => {
                let is_silent = self.server(s).current.is_some_and(|it| self.is_silent(Link(it)));
                if !is_silent {
                    self.budget.spend(Chance::Timeout);
                }
                self.server_mut(s).timers.disarm(Timer::LinkSilent);
                self.step_server(cx, s, server::Event::Timer(Timer::LinkSilent));
            }
            A::ServerHeartbeat(s) => {
                self.budget.spend(Chance::ServerPing);
                self.step_server(cx, s, server::Event::Timer(Timer::Heartbeat));
            }
            A::Retention(s) => {
                self.budget.spend(Chance::Retention);
                self.retain_no_longer(cx, s);
            }
            A::Write(s) => {
                if !self.server(s).process.as_ref().is_some_and(|it| it.is_blocked) {
                    self.budget.spend(Chance::Output);
                }
                self.process_writes(cx, s);
            }
            A::Read(s) => self.process_takes(cx, s),
            A::Daemon(s) => {
                self.budget.spend(Chance::Daemon);
                let server = self.server(s);
                let incarnation = server.process.as_ref().map(|process| process.incarnation);
                let host = server.host;
                self.host_mut(host).daemon = incarnation;
            }
            A::Exit(s) => {
                if self.server(s).has_living_process() {
                    self.budget.spend(Chance::Exit);
                }
                self.process_exits(cx, s);
            }
            A::Ended(s) => self.process_ended(cx, s),
            A::Guard(s) => self.guard(cx, s),
            action => self.act_of_fate(cx, action),
        }
    }

    /// A detached process was kept for long enough.
    pub fn retain_no_longer(&mut self, cx: &Cx, s: u8) {
        cx.seen.mark(Witness::RetentionEnds);
        self.server_mut(s).timers.disarm(Timer::Retention);
        self.step_server(cx, s, server::Event::Timer(Timer::Retention));
        let is_ended = self.servers[usize::from(s)].as_ref().is_none_or(|server| {
            !server.has_living_process() || server.is_ending || server.machine.is_gone()
        });
        if !is_ended {
            self.violate(7, "retention does not end the process");
        }
    }

    fn act_of_fate(&mut self, cx: &Cx, action: Action) {
        match action {
            A::Sweep(host) => {
                self.budget.spend(Chance::Sweep);
                self.sweep(cx, host);
            }
            A::Wipe(host) => {
                self.budget.spend(Chance::Wipe);
                self.wipe(host);
            }
            A::WipeEntry(host) => {
                self.budget.spend(Chance::EntryWipe);
                self.host_mut(host).entry = None;
                self.forget_record(host);
            }
            A::Day => {
                self.budget.spend(Chance::Day);
                self.pass_a_day(cx);
            }
            A::Reboot(host) => {
                self.budget.spend(Chance::Reboot);
                self.reboot(cx, host);
            }
            A::Upgrade(host) => {
                self.budget.spend(Chance::Upgrade);
                self.host_mut(host).is_upgraded = true;
            }
            A::OtherHost => {
                self.budget.spend(Chance::OtherHost);
                self.reached = 1 - self.reached;
            }
            A::Snapshot(s) => {
                self.budget.spend(Chance::Snapshot);
                self.snapshot = self.servers[usize::from(s)].clone();
            }
            A::RollBack(s) => self.roll_back(cx, s),
            _ => {}
        }
    }

    /// Starts a sweep, and finishes it in a world without interruptions.
    pub fn sweep(&mut self, cx: &Cx, host: u8) {
        let program = self.put_program(Program::sweep(host));
        self.do_free_steps(cx, program);
        if self.programs[usize::from(program)].is_none() {
            return;
        }
        if !cx.profile.is_stepwise {
            self.run_program(cx, program);
        }
    }

    /// Nobody can be expected to remember what was removed.
    fn wipe(&mut self, host: u8) {
        let at = self.host_mut(host);
        at.path = None;
        at.entry = None;
        at.tidy();
        self.forget_all(host);
    }

    /// Who was superseded and never told is as good as before where nobody remembers it.
    fn forget_all(&mut self, host: u8) {
        self.ghost.edit().forget(host);
        self.forget_superseded(host);
    }

    /// What was in the record only is forgotten; what the tombstone knows is not.
    fn forget_record(&mut self, host: u8) {
        let tombstone = self.host(host).and_then(|it| it.inode(it.path?)?.tombstone.clone());
        let tombstone = tombstone.unwrap_or_default();
        self.ghost.edit().forget_but(host, &tombstone);
        self.forget_superseded_below(host, tombstone.tenure);
    }

    /// Nobody remembers any more who was superseded.
    pub(super) fn forget_superseded(&mut self, host: u8) {
        self.forget_superseded_below(host, Tenure(0));
    }

    /// The same, but for who has a lower tenure than this one, which is remembered.
    fn forget_superseded_below(&mut self, host: u8, tenure: Tenure) {
        self.ghost.edit().last[usize::from(host)] = None;
        for program in self.programs.iter_mut().flatten() {
            if program.host == host && !program.is_listening() {
                program.edit().is_outdated = true;
            }
        }
        for party in self.parties.iter_mut().flatten() {
            if party.past.is_superseded && party.past.tenure >= tenure {
                party.edit().past.is_superseded = false;
            }
        }
    }

    /// Everything that has a deadline of less than a day is past it.
    fn pass_a_day(&mut self, cx: &Cx) {
        for at in 0..INODES {
            let host = self.host_mut(0);
            if let Some(inode) = &mut host.inodes[at] {
                inode.is_old = true;
            }
        }
        for program in self.programs.iter_mut().flatten() {
            program.edit().overdue();
        }
        for p in 0..self.parties.len() {
            let is_patient = self.parties[p].as_ref().is_some_and(|party| {
                party.is_alive && party.machine.patience() == Some(Patience::Open)
            });
            if is_patient {
                let p = u8::try_from(p).unwrap_or(u8::MAX);
                self.step_client(cx, p, client::Event::Timer(Timer::GiveUp));
            }
        }
    }

    /// Everything that ran is gone, and so is the registry, in a folder that no boot outlives. A
    /// client that is alone with its session is expected to know: a start is counted on.
    fn reboot(&mut self, cx: &Cx, host: u8) {
        for s in 0..self.servers.len() {
            if self.servers[s].as_ref().is_some_and(|server| server.host == host) {
                self.kill_server(u8::try_from(s).unwrap_or(u8::MAX), false);
            }
        }
        for a in 0..self.programs.len() {
            if self.programs[a].as_ref().is_some_and(|program| program.host == host) {
                self.end_program(u8::try_from(a).unwrap_or(u8::MAX));
            }
        }
        let at = self.host_mut(host);
        at.leftovers.clear();
        at.daemon = None;
        at.path = None;
        at.entry = None;
        at.tidy();
        at.id.boot[0] += 1;
        self.ghost.edit().reboot(host, cx.profile.roles.len() == 1);
        self.forget_superseded(host);
    }

    /// The server is as it was, and its links are dead.
    fn roll_back(&mut self, cx: &Cx, s: u8) {
        let Some(old) = self.snapshot.take() else { return };
        cx.seen.mark(Witness::RolledBack);
        let holder = old.process.as_ref().and_then(|process| process.welcomed);
        let ghost = self.ghost.edit();
        ghost.is_rolled_back = true;
        ghost.owner[usize::from(old.host)] =
            holder.map(|(party, generation, _)| (party, generation));
        self.forget_superseded(old.host);
        for wire in self.wires.iter_mut().flatten() {
            if wire.host_end == HostEnd::Server(s) {
                wire.edit().close_far();
            }
        }
        self.servers[usize::from(s)] = Some(old);
        for link in 0..self.wires.len() as u64 {
            if self.servers[usize::from(s)].is_some() {
                self.step_server(cx, s, server::Event::LinkLost(Link(link)));
            }
        }
    }
}
