//! Carries out the machine's effects.

use std::collections::VecDeque;
use std::io;

use rejoin_protocol::server::{Effect, Effects, Event, Extent};
use rejoin_protocol::{ClientName, Frame, Link, Tenure, Timer};
use tokio::time::Instant;

use super::{GRACE, HEARTBEAT, Serve};
use crate::termination::Termination;

impl Serve {
    /// Carries out the effects of a step, in order.
    pub(super) fn carry_out_all(&mut self, effects: Effects) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                // The effects after a burial rely on it.
                Effect::Bury(past) => effects = self.bury(past, effects.into()).into(),
                effect => self.carry_out(effect),
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, frame) => self.send(link, frame),
            Effect::Close(link) => self.close(link),
            Effect::Start { incarnation, tenure, spec, .. } => {
                self.start(incarnation, tenure, &spec);
            }
            Effect::RecordTenure(tenure, name) => self.record_tenure(tenure, &name),
            Effect::HandOver(seq, item) => {
                if let Some(process) = &mut self.process {
                    process.hand_over(seq, item);
                }
            }
            Effect::EndProcess(extent) => self.end_process(extent),
            Effect::Bury(_) => {}
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

    /// Closes a link whose peer sends requests but does not read. No reason can be sent on it.
    fn cut(&mut self, link: Link) {
        if let Some(live) = self.links.remove(&link) {
            live.cut();
            self.note(format_args!("{link:?} does not read its answers; closing it"));
            self.events.push_back(Event::LinkLost(link));
        }
    }

    /// The link's tasks write the queued frames first.
    pub(super) fn close(&mut self, link: Link) {
        if let Some(live) = self.links.get_mut(&link) {
            live.close();
        }
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
        if !self.access.lock()?.is_current()? {
            return Err(io::Error::other("the lock file is not the session's any more"));
        }
        change(&mut record);
        self.access.lock()?.write_record(&record)?;
        self.record = Some(record);
        Ok(())
    }

    /// Records which process was started. Until then, a program that finds this server dead ends
    /// every process with its incarnation's mark.
    pub(super) fn record_process(&mut self) {
        if std::mem::take(&mut self.is_record_stale)
            && let Err(error) = self.rewrite_record(|_| {})
        {
            self.note(format_args!("the process could not be recorded: {error}"));
        }
    }

    /// For `ls` only.
    pub(super) fn show_attachment(&mut self) {
        let is_attached = self.machine.attached().is_some();
        if self.record.as_ref().is_some_and(|record| record.is_attached != is_attached)
            && self.is_shown()
        {
            let now = crate::host::boottime().as_secs();
            self.activity.written(now);
            let _ = self.rewrite_record(|record| {
                record.is_attached = is_attached;
                record.active = now;
            });
        }
    }

    /// For `ls` only.
    pub(super) fn show_activity(&mut self) {
        let now = crate::host::boottime().as_secs();
        if let Some(active) = self.activity.look(now).filter(|_| self.is_shown()) {
            let _ = self.rewrite_record(|record| record.active = active);
        }
    }

    /// Whether this server may still write to the entry.
    fn is_shown(&self) -> bool {
        self.termination.is_none() && !self.machine.is_gone()
    }

    fn end_process(&mut self, extent: Extent) {
        self.listener = None;
        if extent == Extent::HangUp {
            self.process = None;
            return self.events.push_back(Event::Ended(0));
        }
        self.extent = extent;
        self.termination = Some(Termination::begin(GRACE));
        self.ending_due = Some(Instant::now());
    }
}
