//! The short-lived programs on a host: attach, and the sweep. Each step is one operation of their
//! machines; a program may be killed before any of them.

use rejoin_protocol::frame::{Hello, Scope, Wish};
use rejoin_protocol::registry::{
    Attach, Attached, Failure, FailureKind, Next, Operation, Outcome, Program as _, Report, Sweep,
    Swept,
};
use rejoin_protocol::server::Event;
use rejoin_protocol::{Frame, Link};

use super::registry::{OpenLockFile, RegistryUser};
use super::serve::ServerDriver;
use super::wire::{HelloFacts, HostEnd, LinkFault};
use super::{Cx, World};
use crate::budget::Chance;
use crate::notes;
use crate::witness::Witness;

/// A program that runs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Program {
    /// Where it runs.
    pub host: u8,
    /// What for.
    pub task: Task,
    /// The lock file that it has open.
    pub opened: Option<OpenLockFile>,
    /// The server that it has a stream to.
    pub server: Option<u8>,
    /// Whether its own deadline has passed.
    pub is_late: bool,
    /// History: whether what it goes by was removed since it opened the lock file.
    pub is_outdated: bool,
}

/// What a program is there for.
// One exists per program.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    /// It serves a link.
    Attach {
        /// The link.
        wire: u8,
        /// What it does with the Hello that it has read; else it waits for one.
        attach: Option<Attach>,
    },
    /// It removes what nobody came back for.
    Sweep(Sweep),
}

/// How a program ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ProgramEnd {
    Attach(Attached),
    Sweep(Swept),
}

impl Program {
    /// An attach program that serves a link.
    pub fn attach(host: u8, wire: u8) -> Self {
        Self::new(host, Task::Attach { wire, attach: None })
    }

    /// A sweep.
    pub fn sweep(host: u8) -> Self {
        Self::new(host, Task::Sweep(Sweep::new()))
    }

    fn new(host: u8, task: Task) -> Self {
        Self { host, task, opened: None, server: None, is_late: false, is_outdated: false }
    }

    /// Whether it waits for a Hello.
    pub fn is_listening(&self) -> bool {
        matches!(self.task, Task::Attach { attach: None, .. })
    }

    /// Whether it is a sweep.
    pub fn is_sweep(&self) -> bool {
        matches!(self.task, Task::Sweep(_))
    }

    /// Whether it holds a lock.
    pub fn has_lock(&self) -> bool {
        self.opened.is_some_and(|opened| opened.has_lock)
    }

    /// Its link.
    pub fn wire(&self) -> Option<u8> {
        match self.task {
            Task::Attach { wire, .. } => Some(wire),
            Task::Sweep(_) => None,
        }
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        match &self.task {
            Task::Attach { attach, .. } => attach.as_ref().map(Attach::hello),
            Task::Sweep(_) => None,
        }
    }

    /// Its deadline passes.
    pub fn overdue(&mut self) {
        self.is_late = true;
        if let Task::Attach { attach: Some(attach), .. } = &mut self.task {
            attach.overdue();
        }
    }

    fn next(&self) -> Option<Next<ProgramEnd>> {
        Some(match &self.task {
            Task::Attach { attach, .. } => match attach.as_ref()?.next() {
                Next::Do(operation) => Next::Do(operation),
                Next::End(end) => Next::End(ProgramEnd::Attach(end)),
            },
            Task::Sweep(sweep) => match sweep.next() {
                Next::Do(operation) => Next::Do(operation),
                Next::End(end) => Next::End(ProgramEnd::Sweep(end)),
            },
        })
    }

    /// What it does next.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self.next()? {
            Next::Do(operation) => Some(operation),
            Next::End(_) => None,
        }
    }

    pub(super) fn answer(&self) -> Option<Frame> {
        match self.next()? {
            Next::End(ProgramEnd::Attach(Attached::Answers(answer))) => Some(answer),
            _ => None,
        }
    }

    fn done(&mut self, report: Report) {
        match &mut self.task {
            Task::Attach { attach: Some(attach), .. } => attach.done(report),
            Task::Attach { attach: None, .. } => {}
            Task::Sweep(sweep) => sweep.done(report),
        }
    }

    /// Whether it was asked to end what has left its session's process, too.
    fn may_end_all(&self) -> bool {
        let is_whole =
            |hello: &Hello| matches!(hello.wish, Wish::Close { scope: Scope::Session, .. });
        self.hello().is_some_and(is_whole)
    }
}

impl World {
    /// A program reads a frame. Only a Hello means anything to it.
    pub fn program_reads(&mut self, cx: &Cx, a: u8, frame: Frame) {
        let Frame::Hello(hello) = frame else { return };
        let host = self.program(a).host;
        if let Some(wire) = self.program(a).wire() {
            let wire = self.wire_mut(wire);
            if !wire.is_open && matches!(hello.wish, Wish::Open { .. }) {
                cx.seen.mark(Witness::LateOpen);
            }
            wire.heard = Some(HelloFacts::of(&hello));
        }
        let read = Attach::new(cx.attach_config(self, host), hello);
        let program = self.program_mut(a);
        if let Task::Attach { attach, .. } = &mut program.task {
            *attach = Some(read);
        }
        if program.is_late {
            program.overdue();
        }
        self.do_free_steps(cx, a);
        if !cx.profile.is_stepwise {
            self.run_program(cx, a);
        }
    }

    /// Runs a program until it waits for something.
    pub fn run_program(&mut self, cx: &Cx, a: u8) {
        // A program that neither ends nor waits would be a mistake of the model.
        for _ in 0..40 {
            let waits = self.programs[usize::from(a)].as_ref().is_none_or(|it| it.is_listening());
            if waits || !self.step_program(cx, a) {
                return;
            }
        }
        self.violate(15, "a program runs in circles");
    }

    /// One step of a program, and what nobody else can notice of the next ones; whether it got on.
    pub fn step_program(&mut self, cx: &Cx, a: u8) -> bool {
        self.do_one(cx, a) && self.do_free_steps(cx, a)
    }

    pub(super) fn do_free_steps(&mut self, cx: &Cx, a: u8) -> bool {
        while self.is_free(a) {
            if !self.do_one(cx, a) {
                return false;
            }
        }
        true
    }

    /// Whether what a program does next touches nothing that others see.
    fn is_free(&self, a: u8) -> bool {
        let Some(program) = &self.programs[usize::from(a)] else { return false };
        match program.next() {
            // Only a sweep that begins looks without a lock file.
            Some(Next::Do(Operation::ReadEntry)) => program.opened.is_none(),
            Some(Next::Do(Operation::OpenRegistry { .. })) => {
                !self.budget.has(Chance::NoRegistry) && !self.budget.has(Chance::Fault)
            }
            Some(Next::Do(Operation::Wait)) => true,
            Some(Next::End(end)) => !matches!(end, ProgramEnd::Attach(Attached::Answers(_))),
            _ => false,
        }
    }

    fn do_one(&mut self, cx: &Cx, a: u8) -> bool {
        match self.program(a).next() {
            Some(Next::Do(operation)) => {
                notes::note(|| (format!("program {a}"), format!("{operation:?}")));
                let opened = self.program(a).opened;
                let report = self.execute(cx, a, &operation);
                self.report(cx, a, report);
                self.check_gone(a, opened);
                self.check_relied(a, opened);
                // In a world without interruptions, looking again at once would find the same.
                operation != Operation::Wait
            }
            Some(Next::End(end)) => self.end(cx, a, end),
            None => false,
        }
    }

    /// The next operation of a program fails.
    pub fn fail_program(&mut self, cx: &Cx, a: u8, kind: FailureKind) {
        let Some(operation) = self.program(a).operation() else { return };
        cx.seen.mark(Witness::AccessFailed);
        notes::note(|| (format!("program {a}"), format!("{operation:?} fails ({kind:?})")));
        self.report(cx, a, Err(Failure::new(kind, "")));
        self.do_free_steps(cx, a);
    }

    fn report(&mut self, cx: &Cx, a: u8, report: Report) {
        if let (Task::Attach { attach: Some(attach), .. }, Ok(outcome)) =
            (&self.program(a).task, &report)
            && let Some(past) = attach.judges(outcome)
        {
            let (host, hello) = (self.program(a).host, attach.hello().clone());
            self.check_judged(cx, host, &hello, &past);
        }
        self.program_mut(a).done(report);
    }

    fn execute(&mut self, cx: &Cx, a: u8, operation: &Operation) -> Report {
        match operation {
            Operation::Connect => return self.connect(cx, a),
            Operation::Fork => return Ok(self.fork(a)),
            Operation::OpenLock { .. } => self.program_mut(a).is_outdated = false,
            _ => {}
        }
        let program = self.program(a);
        let (host, opened, may_end_all) = (program.host, program.opened, program.may_end_all());
        let mut user = RegistryUser { host, opened, may_end_all };
        let outcome = self.access(cx, &mut user, operation);
        self.program_mut(a).opened = user.opened;
        Ok(if cx.profile.is_forgetful { self.used_up(a, outcome) } else { outcome })
    }

    /// What a host says that has used every incarnation that it is asked for.
    fn used_up(&self, a: u8, outcome: Outcome) -> Outcome {
        let Some(Wish::Open { incarnation, .. }) = self.program(a).hello().map(|it| &it.wish)
        else {
            return outcome;
        };
        match outcome {
            Outcome::Known(mut known) => {
                let tombstone = known.tombstone.get_or_insert_default();
                tombstone.used = tombstone.used.max(Some(*incarnation));
                Outcome::Known(known)
            }
            outcome => outcome,
        }
    }

    fn connect(&mut self, cx: &Cx, a: u8) -> Report {
        let host = self.host(self.program(a).host);
        let socket = host.and_then(|host| host.entry.as_ref()?.socket);
        let server = socket.filter(|server| {
            self.servers[usize::from(*server)].as_ref().is_some_and(|it| it.is_listening)
        });
        if server.is_some() {
            self.program_mut(a).server = server;
            return Ok(Outcome::Done);
        }
        cx.seen.mark(Witness::AttachBlocked);
        self.check_wait(a);
        Err(Failure::new(FailureKind::Missing, ""))
    }

    fn fork(&mut self, a: u8) -> Outcome {
        let Program { host, opened: Some(OpenLockFile { inode, .. }), .. } = *self.program(a)
        else {
            return Outcome::Missing;
        };
        if let Some(inode) = self.host_mut(host).inode_mut(inode) {
            inode.opens += 1;
            inode.holders += 1;
        }
        let server = self.put_server(ServerDriver::new(host, inode));
        self.program_mut(a).server = Some(server);
        Outcome::Done
    }

    fn end(&mut self, cx: &Cx, a: u8, end: ProgramEnd) -> bool {
        match end {
            ProgramEnd::Attach(Attached::Answers(answer)) => return self.answer(cx, a, answer),
            ProgramEnd::Attach(Attached::Joins) => self.join(cx, a),
            ProgramEnd::Attach(Attached::Leaves) => {
                cx.seen.mark(Witness::LeftSilently);
                self.end_program(a);
            }
            ProgramEnd::Sweep(_) => self.end_program(a),
        }
        true
    }

    fn answer(&mut self, cx: &Cx, a: u8, frame: Frame) -> bool {
        let program = self.program(a).clone();
        let Some(wire) = program.wire() else { return false };
        if self.is_on_silent_link(&program) {
            // The system's buffers are full: the program waits until the system gives the link up.
            return false;
        }
        self.check_gone(a, program.opened);
        self.check_relied(a, program.opened);
        self.close_lock_of(a);
        if let Frame::Refused(refused) = &frame {
            cx.mark_reason(&refused.reason);
        }
        let wish = program.hello().map(|hello| &hello.wish);
        if let (Frame::Closed { .. }, Some(Wish::Close { incarnation, scope })) = (&frame, wish)
            && !program.is_outdated
        {
            self.ghost.edit().close(program.host, *incarnation);
            let is_whole = *scope == Scope::Session;
            if is_whole && self.host(program.host).is_some_and(|host| host.daemon.is_some()) {
                self.violate(7, "a session is closed, and its daemon goes on");
            }
        }
        let keeps = cx.profile.has_late_reports;
        self.wire_mut(wire).send_to_client(frame, keeps);
        if let Task::Attach { attach, .. } = &mut self.program_mut(a).task {
            *attach = None;
        }
        true
    }

    /// The stream is handed over, with what was read of it, and never joined to another server. The
    /// program stays until the stream ends, with what it has open.
    fn join(&mut self, cx: &Cx, a: u8) {
        let program = self.program(a).clone();
        let (Some(wire), Some(server)) = (program.wire(), program.server) else { return };
        if !program.has_lock() {
            self.close_lock_of(a);
        }
        let is_there = self.servers[usize::from(server)].is_some();
        self.wire_mut(wire).host_end =
            if is_there { HostEnd::Server(server) } else { HostEnd::Closed };
        self.programs[usize::from(a)] = None;
        // What was read of the stream goes ahead of it, over a socket of the host.
        if let Some(hello) = program.hello().filter(|_| is_there) {
            let event = Event::Frame(Link(u64::from(wire)), Frame::Hello(hello.clone()));
            self.step_server(cx, server, event);
        }
    }

    fn close_lock_of(&mut self, a: u8) {
        let program = self.program_mut(a);
        let (host, mut opened) = (program.host, program.opened.take());
        self.close(host, &mut opened);
    }

    /// A program ends, or is killed: the system closes what it had open.
    pub fn end_program(&mut self, a: u8) {
        self.close_lock_of(a);
        if let Some(wire) = self.program(a).wire() {
            self.wire_mut(wire).close_far();
        }
        self.programs[usize::from(a)] = None;
    }

    /// A program is killed. A server that it has just forked learns that its stream is gone.
    pub fn kill_program(&mut self, cx: &Cx, a: u8) {
        let server = self.program(a).server;
        self.end_program(a);
        if let Some(server) = server {
            self.advance(cx, server);
        }
    }

    /// Rule 15: who waits for a lock waits for somebody who gets on.
    fn check_wait(&mut self, a: u8) {
        let program = self.program(a);
        let host = self.host(program.host);
        let inode = program.opened.map(|opened| opened.inode);
        let named = host.and_then(|host| host.inode(host.path?));
        let is_stuck_holder = |other: &Program| {
            let holds = other.has_lock() && other.opened.map(|it| it.inode) == inode;
            holds && other.answer().is_some() && self.is_on_silent_link(other)
        };
        if inode.is_none() && named.is_none_or(|inode| inode.holders == 0) {
            self.violate(15, "an attach waits for a server that is gone");
        } else if self.programs.iter().flatten().any(|other| is_stuck_holder(other)) {
            self.violate(15, "an attach waits for a lock that waits for a dead link");
        }
    }

    fn is_on_silent_link(&self, program: &Program) -> bool {
        let wire = program.wire().and_then(|wire| self.wires[usize::from(wire)].as_ref());
        wire.is_some_and(|wire| wire.fault == LinkFault::Silent)
    }
}
