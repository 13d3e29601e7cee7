//! Executes a server's registry machines (start, guard and end), and handles their results. The
//! machines of [`rejoin_protocol::registry`] decide the order of operations (SPEC sections 11.4 and
//! 11.6).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use rejoin_protocol::registry::{
    Burial, Guard, Kept, Operation, Outcome, Program as _, Recorded, Report, Rest, Start, Started,
};
use rejoin_protocol::server::{Effects, Event, Extent, Limits, Past};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{Epoch, Incarnation, SpawnError, SpawnErrorKind, Tenure};
use tokio::net::UnixListener;

use super::Serve;
use super::running::Running;
use crate::marks::Mark;
use crate::process;
use crate::registry::{Registry, ServerProcess, failure, recorded};
use crate::termination::end_descendants;

impl Serve {
    /// Carries out one operation.
    fn operate(&mut self, operation: &Operation) -> Report {
        let done = match operation {
            Operation::Bind => self.bind(),
            Operation::WriteRecord(record) => self.write_record(record),
            Operation::EndProcess => {
                self.process = None;
                end_descendants(Duration::ZERO, &mut |_, _| {})
            }
            // Its folder may have been removed, too.
            Operation::OpenLock { makes: true } => {
                match Registry::open(Some(self.registry.dir())) {
                    Ok(_) => return self.access.carry_out(operation),
                    Err(error) => Err(io::Error::other(error)),
                }
            }
            operation => return self.access.carry_out(operation),
        };
        done.map(|()| Outcome::Done).map_err(|error| failure(&error))
    }

    fn bind(&mut self) -> io::Result<()> {
        let session = self.session();
        let is_again = self.listener.is_some();
        self.listener = Some(UnixListener::bind(self.registry.socket_path(session))?);
        if is_again {
            self.log = crate::log::BoundedLog::open(&self.registry.log_path(session)).ok();
            self.note(format_args!("the entry was removed; restoring it"));
        }
        Ok(())
    }

    /// The old record with new values in the fields that decide.
    fn write_record(&mut self, wanted: &Recorded) -> io::Result<()> {
        let mut record = self.record.clone().ok_or(io::ErrorKind::NotFound)?;
        if let Some(epoch) = wanted.epoch.filter(|epoch| record.epoch != Some(*epoch)) {
            record = record.starting(epoch);
        }
        self.access.lock()?.write_record(&record)?;
        self.record = Some(record);
        Ok(())
    }

    pub(super) fn start(&mut self, incarnation: Incarnation, tenure: Tenure, spec: &Bytes) {
        let ended = match Starting::new(incarnation, tenure, spec) {
            Ok(starting) => self.run_start(starting),
            Err(error) => Err(error),
        };
        match ended {
            Ok(Some((epoch, limits))) => self.events.push_back(Event::Started(epoch, limits)),
            Ok(None) => {
                self.note(format_args!("the lock file was replaced; nothing is served"));
                self.is_stopped = true;
            }
            Err(error) => {
                self.note(format_args!("{error}"));
                self.events.push_back(Event::StartFailed(error));
            }
        }
    }

    fn run_start(&mut self, starting: Starting) -> Result<Option<(Epoch, Limits)>, SpawnError> {
        let Starting { record, epoch, spec } = starting;
        let limits = Limits { window: spec.window, overflow: spec.overflow };
        self.retention = Duration::from_secs(spec.retention);
        self.window = spec.window;
        self.is_patient = spec.overflow == Overflow::Block;
        if let Some(reserved) = &mut self.record {
            reserved.has_terminal = spec.terminal.is_some();
        }
        let mark = self.mark(record.incarnation, epoch);
        let mut start = Some((spec, mark));
        let end = Start::new(record).run(|operation| match operation {
            Operation::Spawn => match start.take() {
                Some((spec, mark)) => Ok(self.spawn(spec, mark)),
                None => Ok(Outcome::Done),
            },
            operation => self.operate(operation),
        });
        match end {
            Started::Serves => Ok(Some((epoch, limits))),
            Started::Leaves => Ok(None),
            Started::Fails(error) => Err(error),
        }
    }

    fn mark(&self, incarnation: Incarnation, epoch: Epoch) -> Mark {
        let registry = self.registry.dir().into();
        Mark { session: self.session(), incarnation, epoch, registry }
    }

    fn spawn(&mut self, spec: ProcessSpec, mark: Mark) -> Outcome {
        let start = process::Start {
            command: spec.command,
            directory: spec.directory,
            environment: spec.environment,
            terminal: spec.terminal,
            mark,
            umask: self.umask,
        };
        let started = match process::spawn(&start) {
            Ok(started) => started,
            Err(error) => return Outcome::NotSpawned(error),
        };
        if let Some(record) = &mut self.record {
            record.process = Some(ServerProcess::of(started.pid));
            self.is_record_stale = true;
        }
        match Running::new(started) {
            Ok(process) => self.process = Some(process),
            Err(error) => {
                let _ = end_descendants(Duration::ZERO, &mut |_, _| {});
                return Outcome::NotSpawned(other(&error));
            }
        }
        Outcome::Done
    }

    /// Checks that the session can still be found by its name, and restores what was removed.
    pub(super) fn guard_entry(&mut self) {
        if self.process.is_none() || self.termination.is_some() || self.machine.is_gone() {
            return;
        }
        let record = self.record.as_ref().map(recorded);
        let kept = Guard::new(record).run(|operation| self.operate(operation));
        match kept {
            Kept::Whole | Kept::Mended | Kept::Waits => {}
            Kept::Displaced => self.step(Event::Displaced),
            Kept::Failed(failure) => {
                self.note(format_args!("the session cannot be found by its name: {failure}"));
            }
        }
    }

    /// All descendants have ended, this many of them on request. Other processes with the session's
    /// mark belonged to an earlier server.
    pub(super) fn descendants_ended(&mut self, ended: usize) {
        let mut ended = u32::try_from(ended).unwrap_or(u32::MAX);
        if self.extent == Extent::Session {
            match Rest::new().run(|operation| self.operate(operation)) {
                Ok(rest) => ended = ended.saturating_add(rest),
                Err(failure) => {
                    self.note(format_args!(
                        "some processes of the session could not be ended: {failure}"
                    ));
                }
            }
        }
        self.step(Event::Ended(ended));
    }

    /// Writes the tombstone, removes the entry, and returns the step's remaining effects.
    pub(super) fn bury(&mut self, past: Past, rest: Effects) -> Effects {
        self.listener = None;
        self.run_burial(Burial::new(past, rest))
    }

    /// A server whose opener has gone before it said what to start has nothing to serve.
    pub(super) fn end_unopened(&mut self) {
        let rest = self.run_burial(Burial::unopened());
        self.carry_out_all(rest);
    }

    fn run_burial(&mut self, burial: Burial) -> Effects {
        burial.run(|operation| {
            let report = self.operate(operation);
            if let Err(failure) = &report {
                self.note(format_args!("the session could not be buried: {failure}"));
            }
            report
        })
    }
}

/// A process that is about to start.
struct Starting {
    record: Recorded,
    epoch: Epoch,
    spec: ProcessSpec,
}

impl Starting {
    fn new(incarnation: Incarnation, tenure: Tenure, spec: &Bytes) -> Result<Self, SpawnError> {
        let spec = ProcessSpec::decode(spec).map_err(|error| other(&error))?;
        let epoch = fresh_epoch().map_err(|error| other(&error))?;
        let record = Recorded { incarnation, tenure, is_starting: true, epoch: Some(epoch) };
        Ok(Self { record, epoch, spec })
    }
}

fn fresh_epoch() -> Result<Epoch, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Epoch::from_bytes(bytes))
}

fn other(error: &dyn std::fmt::Display) -> SpawnError {
    SpawnError::new(SpawnErrorKind::Other, &error.to_string())
}
