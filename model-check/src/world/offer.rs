//! What can happen in a world.

use rejoin_protocol::registry::{Next, Operation, Program as _};
use rejoin_protocol::{Frame, Link, Timer};

use super::party::Party;
use super::program::Program;
use super::serve::ServerTask;
use super::wire::{HostEnd, LinkFault};
use super::{Cx, World};
use crate::action::{Action, Action as A};
use crate::budget::Chance;
use crate::names;
use crate::shared::Shared;
use crate::witness::Witness;

/// The places of a list that are taken, by number.
fn taken<T, const N: usize>(places: &[Option<Shared<T>>; N]) -> impl Iterator<Item = (u8, &T)> {
    (0u8..).zip(places.iter()).filter_map(|(at, place)| place.as_deref().map(|it| (at, it)))
}

impl World {
    /// Everything that can happen now, within the bounds of the profile.
    pub fn actions(&self, cx: &Cx, out: &mut Vec<Action>) {
        self.actions_within(cx, cx.profile.attempts, out);
    }

    /// The same, with so many attaches for each client.
    pub fn actions_within(&self, cx: &Cx, attempts: u64, out: &mut Vec<Action>) {
        if self.violation.is_some() {
            return;
        }
        for (p, party) in taken(&self.parties) {
            self.client_actions(cx, attempts, p, party, out);
        }
        for (w, wire) in taken(&self.wires) {
            self.wire_actions(w, wire, out);
            let is_hello = matches!(wire.to_server.front(), Some(Frame::Hello(_)));
            if is_hello && self.budget.has(Chance::Repeat) && self.has_places(cx, attempts) {
                out.push(A::Repeat(w));
            }
        }
        for (a, program) in taken(&self.programs) {
            if !program.is_listening() {
                out.push(A::Program(a));
                self.chance(Chance::AttachDeadline, A::Late(a), out);
            }
            self.chance(Chance::AttachKill, A::KillProgram(a), out);
            self.failures_of_program(a, program, out);
        }
        for (s, server) in taken(&self.servers) {
            self.server_actions(cx, s, server, out);
        }
        self.world_actions(cx, attempts, out);
    }

    /// What a program is about to do, and cannot.
    fn failures_of_program(&self, a: u8, program: &Program, out: &mut Vec<Action>) {
        match program.operation() {
            // A file that is closed is closed, and a server that does not answer is offered anyway.
            None | Some(Operation::LetGo | Operation::Wait | Operation::Connect) => return,
            Some(Operation::OpenRegistry { .. }) => {
                self.chance(Chance::NoRegistry, A::ForbidProgram(a), out);
            }
            Some(_) => {}
        }
        self.chance(Chance::Fault, A::ProgramFails(a), out);
        if !program.is_sweep() {
            self.chance(Chance::Fault, A::ProgramIsShort(a), out);
        }
    }

    fn chance(&self, chance: Chance, action: Action, out: &mut Vec<Action>) {
        if self.budget.has(chance) {
            out.push(action);
        }
    }

    fn client_actions(&self, cx: &Cx, attempts: u64, p: u8, party: &Party, out: &mut Vec<Action>) {
        if !party.is_alive || party.machine.is_ended() {
            return;
        }
        if party.timers.has(Timer::Reconnect)
            && party.past.attach < attempts
            && self.has_places(cx, attempts)
        {
            out.push(A::Dial(p));
            self.chance(Chance::NoLink, A::DialFails(p), out);
        }
        if !party.untaken.is_empty() {
            out.push(A::Take(p));
        }
        let role = cx.profile.roles.get(usize::from(p));
        if !role.is_some_and(|role| role.is_closer()) {
            if party.machine.input_room() > 0 || !cx.profile.inputs.is_empty() {
                self.chance(Chance::Input, A::Type(p), out);
            } else if self.budget.has(Chance::Input) {
                cx.seen.mark(Witness::InputWaits);
            }
            self.chance(Chance::Close, A::Close(p), out);
        }
        let is_silent = party.machine.link().is_some_and(|link| self.is_silent(link));
        if party.timers.has(Timer::Handshake) && (is_silent || self.budget.has(Chance::Timeout)) {
            out.push(A::HandshakeTimeout(p));
        }
        if party.timers.has(Timer::LinkSilent) && (is_silent || self.budget.has(Chance::Timeout)) {
            out.push(A::ClientSilent(p));
        }
        if party.timers.has(Timer::Heartbeat) {
            self.chance(Chance::Ping, A::Heartbeat(p), out);
        }
        if party.timers.has(Timer::Stable) {
            self.chance(Chance::Timeout, A::Stable(p), out);
        }
        if party.timers.has(Timer::GiveUp) {
            self.chance(Chance::GiveUp, A::GiveUp(p), out);
        }
        self.chance(Chance::Detach, A::Detach(p), out);
        self.chance(Chance::ClientKill, A::KillClient(p), out);
        if party.machine.holder().is_some() {
            self.chance(Chance::ClientRestart, A::RestartClient(p), out);
            self.chance(Chance::StaleState, A::RestartStale(p), out);
        }
    }

    /// Whether there is room for one more link with its program, and for a server. A search in
    /// which there once was none is not exhaustive, and says so.
    fn has_places(&self, cx: &Cx, attempts: u64) -> bool {
        let has_place = self.wires.iter().any(Option::is_none)
            && self.programs.iter().any(Option::is_none)
            && self.servers.iter().filter(|server| server.is_none()).count() > 1;
        // The fair schedule only waits until there is room again.
        if !has_place && attempts != u64::MAX {
            cx.seen.note_crowded();
        }
        has_place
    }

    fn wire_actions(&self, w: u8, wire: &super::wire::Wire, out: &mut Vec<Action>) {
        let is_silent = wire.fault == LinkFault::Silent;
        if !wire.to_client.is_empty() && !is_silent {
            out.push(A::ToClient(w));
        }
        if !wire.to_server.is_empty() && !is_silent && self.can_read(wire.host_end) {
            out.push(A::ToHost(w));
        }
        if wire.client_can_learn() {
            out.push(A::ClientLearns(w));
        }
        if wire.far_can_learn() && self.can_read(wire.host_end) {
            out.push(A::HostLearns(w));
        }
        if wire.fault == LinkFault::Whole && wire.is_open && wire.host_end != HostEnd::Closed {
            self.chance(Chance::Cut, A::Cut(w), out);
            self.chance(Chance::Garble, A::GarbleToClient(w), out);
            if matches!(wire.host_end, HostEnd::Server(_)) && self.can_read(wire.host_end) {
                self.chance(Chance::Garble, A::GarbleToHost(w), out);
            }
            self.chance(Chance::Silence, A::Silence(w), out);
        }
    }

    /// Whether whoever has the far end of a link looks at it.
    fn can_read(&self, host_end: HostEnd) -> bool {
        match host_end {
            HostEnd::Attach(a) => {
                self.programs[usize::from(a)].as_ref().is_some_and(|it| it.is_listening())
            }
            HostEnd::Server(s) => {
                self.servers[usize::from(s)].as_ref().is_some_and(|it| it.todo.is_empty())
            }
            HostEnd::Closed => false,
        }
    }

    fn server_actions(
        &self,
        cx: &Cx,
        s: u8,
        server: &super::serve::ServerDriver,
        out: &mut Vec<Action>,
    ) {
        self.chance(Chance::ServerKill, A::KillServer(s), out);
        if server.has_living_process() {
            self.chance(Chance::Leftover, A::LeaveProcess(s), out);
        }
        if let Some(todo) = server.todo.front() {
            out.push(A::Server(s));
            match todo {
                ServerTask::Start(start) if start.next() == Next::Do(Operation::Spawn) => {
                    self.chance(Chance::FailedStart, A::StartFails(s), out);
                }
                ServerTask::RecordTenure(_) => {
                    self.chance(Chance::TenureFailure, A::TenureFails(s), out);
                }
                _ => {}
            }
            if todo.may_fail() {
                self.chance(Chance::Fault, A::ServerFails(s), out);
            }
            return;
        }
        if server.is_ending {
            out.push(A::Ended(s));
        }
        let is_silent = server.current.is_some_and(|link| self.is_silent(Link(link)));
        if server.timers.has(Timer::LinkSilent) && (is_silent || self.budget.has(Chance::Timeout)) {
            out.push(A::ServerSilent(s));
        }
        if server.timers.has(Timer::Heartbeat) {
            self.chance(Chance::ServerPing, A::ServerHeartbeat(s), out);
        }
        if server.timers.has(Timer::Retention) {
            self.chance(Chance::Retention, A::Retention(s), out);
        }
        if self.can_take(s) {
            out.push(A::Read(s));
        }
        self.process_actions(cx, s, server, out);
        if self.needs_guard(s) {
            out.push(A::Guard(s));
        }
    }

    fn process_actions(
        &self,
        cx: &Cx,
        s: u8,
        server: &super::serve::ServerDriver,
        out: &mut Vec<Action>,
    ) {
        let Some(process) = &server.process else { return };
        if server.is_ending || process.is_reported {
            return;
        }
        if !process.is_alive {
            out.push(A::Exit(s));
        } else if process.is_blocked {
            let length = names::output_length(process.written, cx.profile.outputs);
            if server.machine.output_room() >= usize::from(length) {
                out.push(A::Write(s));
            }
        } else {
            self.chance(Chance::Output, A::Write(s), out);
            self.chance(Chance::Exit, A::Exit(s), out);
            if self.host(server.host).is_some_and(|host| host.daemon.is_none()) {
                self.chance(Chance::Daemon, A::Daemon(s), out);
            }
        }
    }

    fn world_actions(&self, cx: &Cx, attempts: u64, out: &mut Vec<Action>) {
        if self.budget.has(Chance::Join) {
            let next = self.parties.iter().position(Option::is_none);
            if let Some(next) = next.filter(|next| *next < cx.profile.roles.len()) {
                out.push(A::Join(u8::try_from(next).unwrap_or(u8::MAX)));
            }
        }
        let may_sweep = self.budget.has(Chance::Sweep) && self.has_places(cx, attempts);
        if may_sweep && self.has_something_to_sweep(0) {
            out.push(A::Sweep(0));
        }
        let has_files = |host: u8| {
            self.host(host).is_some_and(|host| host.path.is_some() || host.entry.is_some())
        };
        if has_files(0) {
            self.chance(Chance::Wipe, A::Wipe(0), out);
            self.chance(Chance::Day, A::Day, out);
        }
        if self.host(0).is_some_and(|host| host.entry.is_some()) {
            self.chance(Chance::EntryWipe, A::WipeEntry(0), out);
        }
        self.chance(Chance::Reboot, A::Reboot(0), out);
        self.chance(Chance::Upgrade, A::Upgrade(0), out);
        self.chance(Chance::OtherHost, A::OtherHost, out);
        for (s, server) in taken(&self.servers) {
            if self.snapshot.is_none() {
                if server.todo.is_empty() && server.process.is_some() {
                    self.chance(Chance::Snapshot, A::Snapshot(s), out);
                }
            } else if server.todo.is_empty() && self.epoch_of(s) == self.snapshot_epoch() {
                out.push(A::RollBack(s));
            }
        }
    }

    fn snapshot_epoch(&self) -> Option<rejoin_protocol::Epoch> {
        let process = self.snapshot.as_ref()?.process.as_ref()?;
        Some(names::epoch(process.epoch))
    }

    /// Whether a sweep would find something.
    pub fn has_something_to_sweep(&self, host: u8) -> bool {
        let Some(host) = self.host(host) else { return false };
        let is_held = host.path.and_then(|at| host.inode(at)).is_some_and(|it| it.holders > 0);
        let is_old = host
            .path
            .and_then(|at| host.inode(at))
            .is_some_and(|it| it.is_old || it.tombstone.is_none());
        !is_held && (host.entry.is_some() || is_old)
    }
}
