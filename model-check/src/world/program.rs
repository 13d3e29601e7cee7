//! The short-lived programs on a host, step by step: attach, and the sweep.
//!
//! Each step is one access to the registry, in the order in which `rejoin-server` makes them; a
//! program may be killed before any of them. What is decided is decided by the machine that ships.

use rejoin_protocol::frame::{Hello, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server::{Effect, Event, Past, Server};
use rejoin_protocol::{Frame, Incarnation, Link, Reason};

use super::host::{Entry, Record};
use super::serve::Serve;
pub use super::step::{Program, Step, Task, Then};
use super::wire::{Far, Fault, Heard};
use super::{Cx, World};
use crate::twist::Twist;
use crate::witness::Witness;
use crate::{show, trace};

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
            wire.heard = Some(Heard::of(&hello));
        }
        let objection = cx.attach_config(self, host).objection(&hello);
        let step = match objection {
            Some(reason) => Step::Answer(Box::new(refusal(&hello, reason))),
            None => Step::Open,
        };
        let program = self.program_mut(a);
        program.step = step;
        if let Task::Attach { hello: read, .. } = &mut program.task {
            *read = Some(hello);
        }
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

    /// One step of a program; whether it got on.
    pub fn step_program(&mut self, cx: &Cx, a: u8) -> bool {
        let program = self.program(a).clone();
        let step = program.step.clone();
        trace::note(|| (format!("program {a}"), step_text(&step)));
        let next = match step {
            Step::Listen => None,
            Step::Open => self.open_lock(cx, a, &program),
            Step::Try => self.try_lock(cx, a, &program),
            Step::Connect => return self.connect(cx, a, &program),
            Step::Check => self.check_lock(cx, a, &program),
            Step::Reap => Some(self.reap(cx, &program)),
            Step::Read(found) => Some(Step::Decide(self.read(&program, found))),
            Step::Decide(past) => self.decide(cx, a, &program, past),
            Step::Fold(past, then) => Some(self.fold(cx, &program, &past, then)),
            Step::Remove(then) => Some(self.remove_entry(cx, &program, then)),
            Step::LetGo(then) => self.let_go(cx, a, then),
            Step::Answer(frame) => self.answer(cx, a, &program, *frame),
            Step::CheckAgain(past) => Some(self.check_again(cx, a, &program, past)),
            Step::Reserve => Some(self.reserve(&program)),
            Step::Fork => self.fork(&program),
            Step::Join(server) => {
                self.join(cx, a, &program, server);
                return true;
            }
            Step::Forget => self.forget(cx, a, &program),
        };
        match next {
            Some(step) => {
                let has_moved = self.program(a).step != step;
                self.program_mut(a).step = step;
                has_moved
            }
            None => self.programs[usize::from(a)].is_none(),
        }
    }

    /// The registry's folder cannot be used: the Hello is answered with that.
    pub fn forbid_program(&mut self, a: u8) {
        let reason = Reason::Forbidden { message: String::new() };
        if let Some(answer) = self.program(a).hello().map(|hello| refusal(hello, reason)) {
            self.program_mut(a).step = Step::Answer(Box::new(answer));
        }
    }

    fn open_lock(&mut self, cx: &Cx, a: u8, program: &Program) -> Option<Step> {
        let is_making = if let Some(hello) = program.hello() {
            matches!(hello.wish, Wish::Open { .. } | Wish::Close { .. })
        } else {
            let host = self.host(program.host)?;
            host.entry.is_some()
        };
        let opened = self.host_mut(program.host).open_lock(is_making);
        let Some(inode) = opened else {
            let Some(hello) = program.hello() else {
                self.end_program(a);
                return None;
            };
            return Some(Step::Answer(Box::new(self.answer_without_past(
                cx,
                program.host,
                hello,
            )?)));
        };
        let program = self.program_mut(a);
        program.inode = Some(inode);
        program.is_outdated = false;
        if cx.is_twisted(Twist::ReadBeforeLock) && program.hello().is_some() {
            return Some(Step::Decide(self.read(self.program(a), None)));
        }
        Some(Step::Try)
    }

    /// Where nothing is known, nothing is made.
    fn answer_without_past(&self, cx: &Cx, host: u8, hello: &Hello) -> Option<Frame> {
        let config = cx.attach_config(self, host);
        let event = Event::Frame(Link(0), Frame::Hello(hello.clone()));
        let effects = Server::Absent(Past::default()).step(&config, event);
        effects.into_iter().find_map(|effect| match effect {
            Effect::Send(_, answer) => Some(answer),
            _ => None,
        })
    }

    fn try_lock(&mut self, cx: &Cx, a: u8, program: &Program) -> Option<Step> {
        let inode = program.inode?;
        if self.host_mut(program.host).try_lock(inode) {
            self.program_mut(a).has_lock = true;
            return Some(Step::Check);
        }
        cx.seen.mark(Witness::LockHeld);
        if program.task == Task::Sweep {
            self.end_program(a);
            return None;
        }
        Some(Step::Connect)
    }

    /// A socket that refuses while the lock is held means starting, ending or busy.
    fn connect(&mut self, cx: &Cx, a: u8, program: &Program) -> bool {
        let socket = self.host(program.host).and_then(|host| host.entry.as_ref()?.socket);
        let server = socket.filter(|server| {
            self.servers[usize::from(*server)].as_ref().is_some_and(|it| it.is_listening)
        });
        if let Some(server) = server {
            self.join(cx, a, program, server);
            return true;
        }
        cx.seen.mark(Witness::AttachBlocked);
        self.check_wait(program);
        if program.is_late {
            let answer = program.hello().map(|hello| refusal(hello, Reason::Unresponsive));
            self.close_lock_of(a);
            if let Some(answer) = answer {
                self.program_mut(a).step = Step::Answer(Box::new(answer));
            }
            return true;
        }
        if cx.is_twisted(Twist::ConnectWithoutLock) {
            self.program_mut(a).has_waited = true;
            return false;
        }
        if cx.is_twisted(Twist::SocketUnlinked) {
            self.host_mut(program.host).entry = None;
            self.host_mut(program.host).path = None;
        }
        self.close_lock_of(a);
        self.program_mut(a).step = Step::Open;
        // In a world without interruptions, looking again at once would find the same.
        cx.profile.is_stepwise
    }

    /// Rule 15: who waits for a lock waits for somebody who gets on.
    fn check_wait(&mut self, program: &Program) {
        let holders =
            program.inode.and_then(|at| Some(self.host(program.host)?.inode(at)?.holders));
        let is_stuck_holder = |other: &Program| {
            let holds = other.has_lock && other.inode == program.inode;
            holds && matches!(other.step, Step::Answer(_)) && self.is_on_silent_link(other)
        };
        if program.has_waited && holders == Some(0) {
            self.violate(15, "an attach waits for a server that is gone");
        } else if self.programs.iter().flatten().any(|other| is_stuck_holder(other)) {
            self.violate(15, "an attach waits for a lock that waits for a dead link");
        }
    }

    fn is_on_silent_link(&self, program: &Program) -> bool {
        let wire = program.wire().and_then(|wire| self.wires[usize::from(wire)].as_ref());
        wire.is_some_and(|wire| wire.fault == Fault::Silent)
    }

    fn is_current(&self, program: &Program) -> bool {
        program.inode.is_some()
            && self.host(program.host).is_some_and(|it| it.path == program.inode)
    }

    fn check_lock(&mut self, cx: &Cx, a: u8, program: &Program) -> Option<Step> {
        if !self.is_current(program) && !cx.is_twisted(Twist::NoInodeCheck) {
            cx.seen.mark(Witness::LockReplaced);
            self.close_lock_of(a);
            if program.task == Task::Sweep {
                self.end_program(a);
                return None;
            }
            return Some(Step::Open);
        }
        if program.task == Task::Sweep {
            return Some(self.sweeps(program));
        }
        if program.is_late && !cx.is_twisted(Twist::LateStart) {
            cx.seen.mark(Witness::LeftSilently);
            self.withdraw(a);
            self.end_program(a);
            return None;
        }
        Some(if cx.is_twisted(Twist::NoReap) { Step::Read(None) } else { Step::Reap })
    }

    fn sweeps(&self, program: &Program) -> Step {
        let Some(host) = self.host(program.host) else { return Step::LetGo(Then::End) };
        if host.entry.is_some() {
            return Step::Reap;
        }
        let inode = program.inode.and_then(|inode| host.inode(inode));
        let is_old = inode.is_some_and(|inode| inode.is_old || inode.tombstone.is_none());
        if is_old { Step::Forget } else { Step::LetGo(Then::End) }
    }

    fn forget(&mut self, cx: &Cx, a: u8, program: &Program) -> Option<Step> {
        if let Some(inode) = program.inode {
            let host = self.host_mut(program.host);
            let has_tombstone = host.inode(inode).is_some_and(|inode| inode.tombstone.is_some());
            host.remove_lock_file(inode);
            if has_tombstone {
                cx.seen.mark(Witness::Swept);
                self.forget_superseded(program.host);
            }
        }
        self.end_program(a);
        None
    }

    /// Kills what carries the session in its environment, and says what it found.
    fn reap(&mut self, cx: &Cx, program: &Program) -> Step {
        let Some(host) = self.host(program.host) else { return Step::Read(None) };
        let recorded = host.entry.as_ref().and_then(|entry| entry.record.as_ref());
        let recorded = recorded.map(|record| record.incarnation);
        let by_record = cx.is_twisted(Twist::ReapByEpoch);
        let is_ours = |incarnation: &Incarnation| !by_record || recorded == Some(*incarnation);
        let mut found = host.leftovers.iter().map(|it| it.incarnation).filter(is_ours).max();
        if found.is_some() {
            cx.seen.mark(Witness::Reaped);
            self.host_mut(program.host).leftovers.retain(|it| !is_ours(&it.incarnation));
        }
        for s in 0..self.servers.len() {
            let living = self.servers[s].as_ref().filter(|it| it.host == program.host);
            let Some(process) = living.and_then(|it| it.process.as_ref()) else { continue };
            if process.is_alive && is_ours(&process.incarnation) {
                found = found.max(Some(process.incarnation));
                cx.seen.mark(Witness::Reaped);
                if let Some(server) = &mut self.servers[s] {
                    server.edit().process_is_killed();
                }
                if !self.ghost.was_wiped {
                    self.violate(7, "the process of a living server is reaped");
                }
            }
        }
        found = found.max(self.host(program.host).and_then(|host| host.daemon));
        self.reap_daemon(cx, program);
        Step::Read(found)
    }

    /// What has left its process is ended by who closes the session, and by nobody else.
    fn reap_daemon(&mut self, cx: &Cx, program: &Program) {
        let is_close = program
            .hello()
            .is_some_and(|hello| matches!(hello.wish, Wish::Close { scope: Scope::Session, .. }));
        let spares = cx.is_twisted(Twist::CloseSparesDaemons);
        let takes = cx.is_twisted(Twist::DaemonsReaped);
        if (is_close && !spares || takes) && self.host_mut(program.host).daemon.take().is_some() {
            cx.seen.mark(Witness::DaemonEnded);
            if !is_close {
                self.violate(9, "a daemon is reaped though nobody has closed its session");
            }
        }
    }

    fn read(&self, program: &Program, found: Option<Incarnation>) -> Past {
        let host = self.host(program.host);
        let asked = program.hello().and_then(named_by);
        host.zip(program.inode)
            .map_or_else(Past::default, |(host, at)| host.read_past(at, found, asked))
    }

    fn decide(&mut self, cx: &Cx, a: u8, program: &Program, past: Past) -> Option<Step> {
        let Some(hello) = program.hello() else {
            return Some(Step::Fold(past, Then::End));
        };
        if !program.has_lock {
            // Only a program that read before it had the lock comes here without it.
            let has_lock = self.host_mut(program.host).try_lock(program.inode?);
            self.program_mut(a).has_lock = has_lock;
            return Some(if has_lock { Step::Decide(past) } else { Step::Connect });
        }
        let past = if cx.profile.is_forgetful { used_up(past, hello) } else { past };
        let config = cx.attach_config(self, program.host);
        let event = Event::Frame(Link(0), Frame::Hello(hello.clone()));
        let mut buried = None;
        for effect in Server::Absent(past.clone()).step(&config, event) {
            match effect {
                Effect::Bury(past) => buried = Some(past),
                Effect::Start { .. } => {
                    let is_unchecked = cx.is_twisted(Twist::LockNotCheckedAgain);
                    return Some(if is_unchecked {
                        start_step(past)
                    } else {
                        Step::CheckAgain(past)
                    });
                }
                Effect::Send(_, answer) => {
                    self.check_answer(cx, program.host, hello, &past, &answer);
                    let then = Then::Answer(Box::new(answer));
                    return Some(Self::bury_or_answer(cx, buried, then));
                }
                _ => {}
            }
        }
        Some(Step::LetGo(Then::End))
    }

    fn bury_or_answer(cx: &Cx, buried: Option<Past>, then: Then) -> Step {
        let Some(past) = buried else { return Step::LetGo(then) };
        if let (true, Then::Answer(frame)) = (cx.is_twisted(Twist::AnswerBeforeTombstone), &then) {
            return Step::Answer(frame.clone());
        }
        if cx.is_twisted(Twist::TombstoneAfterRemoval) {
            return Step::Remove(then);
        }
        Step::Fold(past, then)
    }

    fn fold(&mut self, cx: &Cx, program: &Program, past: &Past, then: Then) -> Step {
        if let Some(inode) = program.inode {
            let host = self.host_mut(program.host);
            if host.entry.is_some() {
                cx.seen.mark(Witness::Folded);
            }
            if !cx.is_twisted(Twist::NoTombstone) {
                host.fold(inode, past);
                if let Some(inode) = host.inode_mut(inode) {
                    inode.is_old = false;
                }
            }
        }
        if cx.is_twisted(Twist::TombstoneAfterRemoval) {
            return after_burial(then);
        }
        Step::Remove(then)
    }

    fn remove_entry(&mut self, cx: &Cx, program: &Program, then: Then) -> Step {
        let past = self.read(program, None);
        self.host_mut(program.host).entry = None;
        if cx.is_twisted(Twist::TombstoneAfterRemoval) {
            return Step::Fold(past, then);
        }
        after_burial(then)
    }

    /// An answer may block on a dead link: the lock is let go of before.
    fn let_go(&mut self, cx: &Cx, a: u8, then: Then) -> Option<Step> {
        match then {
            Then::Answer(frame) => {
                if !cx.is_twisted(Twist::AnswerUnderLock) {
                    let is_current = self.is_current(self.program(a));
                    self.withdraw(a);
                    self.check_refused(a, is_current);
                }
                Some(Step::Answer(frame))
            }
            Then::Start => Some(Step::Reserve),
            Then::End => {
                self.withdraw(a);
                self.end_program(a);
                None
            }
        }
    }

    fn answer(&mut self, cx: &Cx, a: u8, program: &Program, frame: Frame) -> Option<Step> {
        let wire = program.wire()?;
        if self.is_on_silent_link(program) {
            // The system's buffers are full: the program waits until the system gives the link up.
            return None;
        }
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
        Some(Step::Listen)
    }

    fn check_again(&mut self, cx: &Cx, a: u8, program: &Program, past: Past) -> Step {
        if !self.is_current(program) {
            cx.seen.mark(Witness::LockReplaced);
            self.close_lock_of(a);
            return Step::Open;
        }
        start_step(past)
    }

    fn reserve(&mut self, program: &Program) -> Step {
        if let Some(hello) = program.hello() {
            let incarnation = match hello.wish {
                Wish::Open { incarnation, .. } => incarnation,
                _ => Incarnation(0),
            };
            let record =
                Record { is_starting: false, incarnation, epoch: None, tenure: hello.tenure };
            let host = self.host_mut(program.host);
            let entry = host.entry.get_or_insert_with(Entry::default);
            entry.record = Some(record);
        }
        Step::Fork
    }

    fn fork(&mut self, program: &Program) -> Option<Step> {
        let inode = program.inode?;
        if let Some(inode) = self.host_mut(program.host).inode_mut(inode) {
            inode.opens += 1;
            inode.holders += 1;
        }
        let server = self.put_server(Serve::new(program.host, inode));
        Some(Step::Join(server))
    }

    /// The stream is handed over, with what was read of it, and never joined to another server.
    fn join(&mut self, cx: &Cx, a: u8, program: &Program, server: u8) {
        if !(program.has_lock && cx.is_twisted(Twist::LockKeptByAttach)) {
            self.close_lock_of(a);
        }
        let (wire, hello) = match &program.task {
            Task::Attach { wire, hello } => (*wire, hello.clone()),
            Task::Sweep => return,
        };
        let is_there = self.servers[usize::from(server)].is_some();
        self.wire_mut(wire).far = if is_there { Far::Server(server) } else { Far::Closed };
        self.programs[usize::from(a)] = None;
        // What was read of the stream goes ahead of it, over a socket of the host.
        if let Some(hello) = hello.filter(|_| is_there) {
            let event = Event::Frame(Link(u64::from(wire)), Frame::Hello(hello));
            self.step_server(cx, server, event);
        }
    }

    /// Rule 9: what is left of a dead server is buried before anybody is told that it is gone. Who
    /// goes by a registry that was removed meanwhile may still write an entry: that one is swept.
    fn check_refused(&mut self, a: u8, is_current: bool) {
        let host = self.host(self.program(a).host);
        let has_entry = host.is_some_and(|host| host.entry.is_some());
        if is_current && has_entry && !self.ghost.was_wiped {
            self.violate(9, "an attach is refused, and the entry stays");
        }
    }

    fn withdraw(&mut self, a: u8) {
        let program = self.program_mut(a);
        let host = program.host;
        let has_lock = std::mem::take(&mut program.has_lock);
        if let Some(inode) = program.inode.take() {
            let host = self.host_mut(host);
            if has_lock { host.withdraw(inode) } else { host.close_lock(inode, false) }
        }
    }

    fn close_lock_of(&mut self, a: u8) {
        let program = self.program_mut(a);
        let (host, has_lock) = (program.host, std::mem::take(&mut program.has_lock));
        if let Some(inode) = program.inode.take() {
            self.host_mut(host).close_lock(inode, has_lock);
        }
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
        let step = self.program(a).step.clone();
        self.end_program(a);
        if let Step::Join(server) = step {
            self.advance(cx, server);
        }
    }

    /// Rules 5 and 6 by what is known: authority first, and a failed start burns its number.
    fn check_answer(&mut self, cx: &Cx, host: u8, hello: &Hello, past: &Past, answer: &Frame) {
        let Frame::Refused(Refused { reason, .. }) = answer else { return };
        let Wish::Open { incarnation, .. } = hello.wish else { return };
        let is_superseded = matches!(reason, Reason::Superseded { .. });
        if hello.tenure < past.tenure && !is_superseded {
            self.violate(6, "the process is judged before the authority");
        } else if !is_superseded && self.ghost.has_failed(host, incarnation) {
            if matches!(reason, Reason::SpawnFailed(_)) {
                cx.seen.mark(Witness::SpawnFailedAgain);
            } else if past.failed.as_ref().is_none_or(|(last, _)| *last <= incarnation) {
                self.violate(5, "a failed start is not answered the same way again");
            }
        }
    }
}

/// What a host says that has used every incarnation that it is asked for.
fn used_up(past: Past, hello: &Hello) -> Past {
    match hello.wish {
        Wish::Open { incarnation, .. } => {
            Past { is_known: true, used: past.used.max(Some(incarnation)), ..past }
        }
        _ => past,
    }
}

/// The incarnation that a Hello is about.
fn named_by(hello: &Hello) -> Option<Incarnation> {
    match &hello.wish {
        Wish::Open { incarnation, .. }
        | Wish::Resume { incarnation, .. }
        | Wish::Close { incarnation, .. } => Some(*incarnation),
        Wish::Claim { expected, .. } => expected.map(|holder| holder.incarnation),
        Wish::Unreadable => None,
    }
}

fn after_burial(then: Then) -> Step {
    match then {
        Then::Start => Step::Reserve,
        then => Step::LetGo(then),
    }
}

fn start_step(past: Past) -> Step {
    if past.is_known { Step::Fold(past, Then::Start) } else { Step::Reserve }
}

fn refusal(hello: &Hello, reason: Reason) -> Frame {
    let counters = Counters::default();
    Frame::Refused(Refused { attach: hello.attach, reason, counters })
}

fn step_text(step: &Step) -> String {
    match step {
        Step::Answer(frame) => format!("answers {}", show::frame(frame)),
        Step::LetGo(_) => "lets go of the lock".to_owned(),
        step => format!("{step:?}"),
    }
}
