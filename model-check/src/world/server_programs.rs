//! A server's registry machines (start, end and guard) and their operations.

use std::collections::VecDeque;

use rejoin_protocol::reason::{SpawnError, SpawnErrorKind};
use rejoin_protocol::registry::{
    Failure, FailureKind, Guard, Kept, Next, Operation, Outcome, Program, Reaped, Recorded, Report,
    Rest, Started,
};
use rejoin_protocol::server::{Effect, Effects, Event};

use super::host::Entry;
use super::registry::{OpenLockFile, RegistryUser};
use super::serve::ServerTask;
use super::{Cx, World};
use crate::ledgers::server::ServerLedger;
use crate::notes;
use crate::witness::Witness;

impl World {
    /// Looks whether the session can still be found under its name, and puts back what was removed.
    pub fn guard(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        let guard = Guard::new(server.record.clone());
        server.todo.push_back(ServerTask::Guard(guard));
        self.advance(cx, s);
    }

    /// Whether a guard would find something to do.
    pub fn needs_guard(&self, s: u8) -> bool {
        let server = self.server(s);
        let is_quiet = server.todo.is_empty() && !server.is_ending && server.process.is_some();
        let entry = self.host(server.host).and_then(|host| host.entry.as_ref());
        let epoch_of = |record: &Option<Recorded>| record.as_ref().map(|record| record.epoch);
        let has_entry = entry.is_some_and(|entry| {
            entry.socket.is_some() && epoch_of(&entry.record) == epoch_of(&server.record)
        });
        is_quiet && !server.machine.is_gone() && !(self.has_place(s) && has_entry)
    }

    /// Carries out an operation of a server, with the lock file that it opened last.
    fn operate(&mut self, cx: &Cx, s: u8, operation: &Operation) -> Outcome {
        match operation {
            Operation::Bind => self.bind(cx, s),
            Operation::Spawn => self.fork_process(s),
            Operation::EndProcess => {
                let server = self.server_mut(s);
                server.process_is_killed();
            }
            Operation::Adopt => self.adopt(s),
            operation => return self.access_of_server(cx, s, operation),
        }
        Outcome::Done
    }

    fn access_of_server(&mut self, cx: &Cx, s: u8, operation: &Operation) -> Outcome {
        let server = self.server(s);
        let is_another = server.other.is_some()
            || matches!(operation, Operation::OpenLock { .. } | Operation::TryLock);
        let own = OpenLockFile { inode: server.inode, has_lock: true };
        let opened = if is_another { server.other } else { Some(own) };
        let mut user = RegistryUser { host: server.host, opened, may_end_all: server.may_end_all };
        let outcome = self.access(cx, &mut user, operation);
        let server = self.server_mut(s);
        if is_another {
            server.other = user.opened;
        }
        if let Operation::WriteRecord(record) = operation {
            server.record = Some(record.clone());
        }
        outcome
    }

    fn bind(&mut self, cx: &Cx, s: u8) {
        let server = self.server_mut(s);
        server.is_listening = true;
        if server.process.is_some() {
            cx.seen.mark(Witness::Mended);
        }
        let host = server.host;
        let entry = self.host_mut(host).entry.get_or_insert_with(Entry::default);
        entry.socket = Some(s);
    }

    fn adopt(&mut self, s: u8) {
        let server = self.server_mut(s);
        let Some(OpenLockFile { inode, .. }) = server.other.take() else { return };
        let (host, old) = (server.host, std::mem::replace(&mut server.inode, inode));
        self.host_mut(host).close_lock(old, true);
    }

    /// The next operation of a server fails.
    pub fn fail_server(&mut self, cx: &Cx, s: u8, kind: FailureKind) {
        cx.seen.mark(Witness::AccessFailed);
        self.server_mut(s).has_failed = true;
        let Some(todo) = self.server_mut(s).todo.pop_front() else { return };
        notes::note(|| (format!("server {s}"), format!("the next operation fails ({kind:?})")));
        if todo.is_end_of_process() {
            self.server_mut(s).takes_process_along = true;
        }
        self.do_operation(cx, s, todo, Some(Err(Failure::new(kind, ""))));
        self.advance(cx, s);
    }

    /// The start of the process fails.
    pub fn fail_start(&mut self, cx: &Cx, s: u8) {
        let Some(todo) = self.server_mut(s).todo.pop_front() else { return };
        cx.seen.mark(Witness::SpawnFailed);
        let host = self.server(s).host;
        if let ServerTask::Start(start) = &todo
            && self.has_place(s)
            && self.has_record(host)
        {
            self.ghost.edit().fail(host, start.record().incarnation);
        }
        let error = SpawnError::new(SpawnErrorKind::Other, "");
        self.do_operation(cx, s, todo, Some(Ok(Outcome::NotSpawned(error))));
        self.advance(cx, s);
    }

    /// One operation of a program of a server. How it goes is either given, or seen.
    pub(super) fn do_operation(&mut self, cx: &Cx, s: u8, todo: ServerTask, given: Option<Report>) {
        match todo {
            ServerTask::Boot if given.is_some() => {
                self.server_mut(s).todo = VecDeque::from([ServerTask::Stop]);
            }
            ServerTask::Boot => self.boot(s),
            ServerTask::Start(mut start) => match self.step_of(cx, s, &mut start, given) {
                None => self.server_mut(s).todo.push_front(ServerTask::Start(start)),
                Some(end) => self.started(cx, s, end),
            },
            ServerTask::Bury(mut burial) => match self.step_of(cx, s, &mut burial, given) {
                None => self.server_mut(s).todo.push_front(ServerTask::Bury(burial)),
                Some(rest) => self.go_on_with(s, rest),
            },
            ServerTask::Guard(mut guard) => match self.step_of(cx, s, &mut guard, given) {
                None => self.server_mut(s).todo.push_front(ServerTask::Guard(guard)),
                Some(end) => self.guarded(cx, s, &end),
            },
            ServerTask::Effect(_)
            | ServerTask::Event(_)
            | ServerTask::RecordTenure(_)
            | ServerTask::Stop => {}
        }
    }

    /// How the program has ended, if it has.
    fn step_of<P: Program>(
        &mut self,
        cx: &Cx,
        s: u8,
        program: &mut P,
        given: Option<Report>,
    ) -> Option<P::End> {
        if let Next::Do(operation) = program.next() {
            let report = given.unwrap_or_else(|| Ok(self.operate(cx, s, &operation)));
            program.done(report);
        }
        match program.next() {
            Next::Do(_) => None,
            Next::End(end) => Some(end),
        }
    }

    fn boot(&mut self, s: u8) {
        let server = self.server(s);
        let opened = Some(OpenLockFile { inode: server.inode, has_lock: true });
        let user = RegistryUser { host: server.host, opened, may_end_all: false };
        let past = self.known(&user).fold(Reaped::default(), None);
        let server = self.server_mut(s);
        server.ledger = ServerLedger::new(past.clone());
        server.machine = rejoin_protocol::Server::Absent(past);
    }

    fn started(&mut self, cx: &Cx, s: u8, end: Started) {
        match end {
            Started::Serves => self.serve(cx, s),
            Started::Leaves => {
                self.server_mut(s).todo = VecDeque::from([ServerTask::Stop]);
            }
            Started::Fails(error) => {
                let server = self.server_mut(s);
                server.may_end = true;
                server.process = None;
                server.todo.push_back(ServerTask::Event(Event::StartFailed(error)));
            }
        }
    }

    fn guarded(&mut self, cx: &Cx, s: u8, end: &Kept) {
        if *end == Kept::Displaced {
            cx.seen.mark(Witness::Displaced);
            self.server_mut(s).todo.push_back(ServerTask::Event(Event::Displaced));
        }
    }

    /// What else carries the session's mark, once the descendants have ended.
    pub(super) fn end_rest(&mut self, cx: &Cx, s: u8) {
        // How many there were is told, and decides nothing.
        let _ = Rest::new().run(|operation| Ok(self.operate(cx, s, operation)));
    }

    /// What stands behind a burial in its step is the burial's to go on with.
    pub(super) fn rest_of_step(&mut self, s: u8) -> Effects {
        let mut rest = Effects::new();
        let todo = &mut self.server_mut(s).todo;
        while let Some(ServerTask::Effect(_)) = todo.front() {
            if let Some(ServerTask::Effect(effect)) = todo.pop_front() {
                rest.push(effect);
            }
        }
        rest
    }

    fn go_on_with(&mut self, s: u8, rest: Vec<Effect>) {
        let server = self.server_mut(s);
        for effect in rest.into_iter().rev() {
            server.todo.push_front(ServerTask::Effect(effect));
        }
    }
}
