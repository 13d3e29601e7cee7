//! Carries out what the machine decides.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use rejoin_protocol::server::{Effect, Event, Extent, Limits, Past};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{
    ClientName, Epoch, Frame, Incarnation, Link, SpawnError, SpawnErrorKind, Tenure, Timer,
};
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::running::Running;
use super::{GRACE, HEARTBEAT, REAP_TIME, Serve};
use crate::ending::{Ending, end_descendants};
use crate::marks::Mark;
use crate::past::from_machine;
use crate::process::{self, Start};
use crate::reap::{Reach, reap};
use crate::registry::ServerProcess;

impl Serve {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, frame) => self.send(link, frame),
            Effect::Close(link) => self.close(link),
            Effect::Start { incarnation, spec, .. } => self.start(incarnation, &spec),
            Effect::RecordTenure(tenure, name) => self.record_tenure(tenure, &name),
            Effect::HandOver(seq, item) => {
                if let Some(process) = &mut self.process {
                    process.hand_over(seq, item);
                }
            }
            Effect::EndProcess(extent) => self.end_process(extent),
            Effect::Bury(past) => self.bury(&past),
            Effect::Stop => self.is_stopped = true,
            Effect::Arm(timer) => self.arm(timer),
            Effect::Disarm(timer) => {
                self.timers.remove(&timer);
            }
        }
    }

    pub(super) fn send(&mut self, link: Link, frame: Frame) {
        let Some(live) = self.links.get(&link) else { return };
        if live.send(frame, self.window).is_err() {
            return self.cut(link);
        }
        if self.machine.attached() == Some(link) {
            self.restart(Timer::Heartbeat, HEARTBEAT);
        }
    }

    /// Ends a link whose peer asks and does not read. Nothing can be said to it any more.
    fn cut(&mut self, link: Link) {
        if let Some(live) = self.links.remove(&link) {
            live.cut();
            self.note(format_args!("{link:?} asks and does not read the answers: it is closed"));
            self.events.push_back(Event::LinkLost(link));
        }
    }

    /// The link's own tasks see to it that what is queued goes out first.
    pub(super) fn close(&mut self, link: Link) {
        if let Some(live) = self.links.get_mut(&link) {
            live.close();
        }
    }

    fn start(&mut self, incarnation: Incarnation, spec: &Bytes) {
        let started = self.try_start(incarnation, spec);
        match started {
            Ok(Some((epoch, limits))) => self.events.push_back(Event::Started(epoch, limits)),
            Ok(None) => {
                self.note(format_args!("the lock file was replaced; nothing was started"));
                self.is_stopped = true;
            }
            Err(error) => {
                self.note(format_args!("{error}"));
                self.events.push_back(Event::StartFailed(error));
            }
        }
    }

    /// Listens first, then makes sure that the lock is still the session's, then records that the
    /// incarnation is used, then starts it: in any other order a crash in between leaves a
    /// process that nobody knows of, or a number that is used twice. Where somebody removed the
    /// registry meanwhile, the session gets its place back, or the process is ended unserved.
    fn try_start(
        &mut self,
        incarnation: Incarnation,
        spec: &Bytes,
    ) -> Result<Option<(Epoch, Limits)>, SpawnError> {
        let spec = ProcessSpec::decode(spec).map_err(|error| other(&error))?;
        let listener = self.listen().map_err(|error| other(&error))?;
        if !self.lock.is_current().map_err(|error| other(&error))? {
            return Ok(None);
        }
        let epoch = fresh_epoch().map_err(|error| other(&error))?;
        self.record_start(epoch, spec.terminal.is_some()).map_err(|error| other(&error))?;
        let start = Start {
            command: spec.command,
            directory: spec.directory,
            environment: spec.environment,
            terminal: spec.terminal,
            mark: Mark {
                session: self.session(),
                incarnation,
                epoch,
                registry: self.registry.dir().into(),
            },
            umask: self.umask,
        };
        let started = process::spawn(&start)?;
        if let Some(record) = &mut self.record {
            record.process = Some(ServerProcess::of(started.pid));
            self.is_record_stale = true;
        }
        self.process = Some(Running::new(started).map_err(|error| other(&error))?);
        self.listener = Some(listener);
        self.retention = Duration::from_secs(spec.retention);
        self.window = spec.window;
        self.is_patient = spec.overflow == Overflow::Block;
        // Whoever took the name in between has looked for leftovers before this one was there.
        if !self.keeps_place().map_err(|error| other(&error))? {
            self.process = None;
            end_descendants(Duration::ZERO, &mut |_, _| {}).map_err(|error| other(&error))?;
            return Ok(None);
        }
        Ok(Some((epoch, Limits { window: spec.window, overflow: spec.overflow })))
    }

    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(self.registry.socket_path(self.session()))
    }

    fn record_start(&mut self, epoch: Epoch, has_terminal: bool) -> io::Result<()> {
        let reserved = self.record.take().ok_or(io::ErrorKind::NotFound)?;
        let record = reserved.starting(epoch).with_terminal(has_terminal);
        self.lock.write_record(&record)?;
        self.record = Some(record);
        Ok(())
    }

    fn record_tenure(&mut self, tenure: Tenure, name: &ClientName) {
        let written = self.rewrite_record(|record| {
            record.tenure = tenure;
            record.client = name.to_printable();
        });
        let event = match written {
            Ok(()) => Event::TenureRecorded,
            Err(error) => {
                self.note(format_args!("a takeover could not be recorded: {error}"));
                Event::TenureNotRecorded
            }
        };
        self.events.push_back(event);
    }

    fn rewrite_record(
        &mut self,
        change: impl FnOnce(&mut crate::registry::Record),
    ) -> io::Result<()> {
        let mut record = self.record.clone().ok_or(io::ErrorKind::NotFound)?;
        if !self.lock.is_current()? {
            return Err(io::Error::other("the lock file is not the session's any more"));
        }
        change(&mut record);
        self.lock.write_record(&record)?;
        self.record = Some(record);
        Ok(())
    }

    /// Writes down which process was started: until then, whoever finds this server dead ends everything that
    /// carries its incarnation's mark.
    pub(super) fn record_process(&mut self) {
        if std::mem::take(&mut self.is_record_stale)
            && let Err(error) = self.rewrite_record(|_| {})
        {
            self.note(format_args!("the process could not be recorded: {error}"));
        }
    }

    /// For `ls` only: nothing is decided from it.
    pub(super) fn show_attachment(&mut self) {
        let is_attached = self.machine.attached().is_some();
        if self.record.as_ref().is_some_and(|record| record.is_attached != is_attached)
            && self.is_shown()
        {
            let now = crate::host::boottime().as_secs();
            self.pulse.written(now);
            let _ = self.rewrite_record(|record| {
                record.is_attached = is_attached;
                record.active = now;
            });
        }
    }

    /// For `ls` only, as well.
    pub(super) fn show_activity(&mut self) {
        let now = crate::host::boottime().as_secs();
        if let Some(active) = self.pulse.look(now).filter(|_| self.is_shown()) {
            let _ = self.rewrite_record(|record| record.active = active);
        }
    }

    /// Whether the entry is still this server's to write in.
    fn is_shown(&self) -> bool {
        self.ending.is_none() && !self.machine.is_gone()
    }

    fn end_process(&mut self, extent: Extent) {
        self.listener = None;
        if extent == Extent::HangUp {
            self.process = None;
            return self.events.push_back(Event::Ended(0));
        }
        self.extent = extent;
        self.ending = Some(Ending::begin(GRACE));
        self.ending_due = Some(Instant::now());
    }

    /// All descendants have ended, so many of them because they were asked to. What else carries the
    /// session's mark was kept by an earlier server.
    pub(super) fn descendants_ended(&mut self, ended: usize) {
        let mut ended = ended;
        if self.extent == Extent::Session
            && self.lock.is_current().is_ok_and(|is_current| is_current)
        {
            match reap(self.session(), &Reach::Session, REAP_TIME) {
                Ok(reaped) => ended += reaped.killed,
                Err(error) => self.note(format_args!("not all of the session has ended: {error}")),
            }
        }
        self.step(Event::Ended(u32::try_from(ended).unwrap_or(u32::MAX)));
    }

    fn bury(&mut self, past: &Past) {
        self.listener = None;
        self.bury_past(&from_machine(past));
    }

    /// Nothing is touched where the name is another server's by now.
    pub(super) fn bury_past(&mut self, past: &crate::registry::Past) {
        let buried = match self.lock.is_current() {
            Ok(true) => self.lock.bury(past),
            other => other.map(drop),
        };
        if let Err(error) = buried {
            self.note(format_args!("the tombstone could not be written: {error}"));
        }
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
