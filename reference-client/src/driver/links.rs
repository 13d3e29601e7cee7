//! The links of a session: what is heard on the one that is used, and on those beside it.
//!
//! The client machine knows of one link at a time, and hears of another only when that has taken its
//! place: what it has reported until then is reported again. Nothing is sent on it before, so that the host
//! keeps an attach program that waits for its first word, and counts no attachment.

use std::sync::Arc;

use rejoin_protocol::client::Event as MachineEvent;
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::{Frame, Link, Timer};
use rejoin_ssh::{BoxFuture, Connect, LinkError, LinkErrorKind};
use tokio::sync::mpsc;

use super::{Driver, tell};
use crate::link::{LiveLink, Report, Reports, Way};
use crate::paths::{Carrier, Old};

/// What a link may report before it is used: it is open, it has begun to speak, it greets.
const MOST_REPORTS: usize = 4;

/// Opens links for a session.
pub(super) struct Links {
    connect: Arc<dyn Connect>,
    reports: Reports,
}

/// A link that is not used.
pub(super) struct Beside {
    live: LiveLink,
    /// What it has reported.
    reports: Vec<Report>,
}

impl Links {
    pub(super) fn new(connect: Arc<dyn Connect>) -> (Self, mpsc::Receiver<(Link, Report)>) {
        let (reports, reported) = mpsc::channel(16);
        (Self { connect, reports }, reported)
    }
}

impl Carrier for Links {
    type Link = Beside;

    fn open(&mut self, name: Link, way: Way) -> Beside {
        let (connect, reports) = (Arc::clone(&self.connect), self.reports.clone());
        Beside { live: LiveLink::open(name, connect, way, reports), reports: Vec::new() }
    }

    fn close(link: Beside) -> BoxFuture<'static, ()> {
        Box::pin(link.live.end())
    }
}

impl Driver {
    pub(super) fn arrived(&mut self, link: Link, report: Report) {
        let is_used = self.link.as_ref().is_some_and(|live| live.link == link);
        if is_used {
            self.reported(link, report);
        } else {
            self.reported_beside(link, report);
        }
        self.act();
    }

    /// What the link reports that is used.
    fn reported(&mut self, link: Link, report: Report) {
        self.timers.restart(Timer::LinkSilent, self.paths.timing().silent);
        match report {
            Report::Opened => {}
            Report::Heard(noise) => self.words.noise = Some(noise),
            Report::Started(noise) => {
                self.words.noise = None;
                self.tell_noise(&noise);
                // Counted from the link's opening, however late the host begins.
                let handshake = self.paths.timing().handshake;
                self.timers.hasten(Timer::Handshake, handshake);
            }
            Report::Frames(frames) => self.frames(link, frames),
            Report::Misbehaved(error, noise) => {
                let what = Misbehaviour::Frame(error);
                self.words.lost("other", tell::misbehaved(what, &noise));
                self.step_machine(MachineEvent::LinkMisbehaved(link, what));
            }
            Report::Lost(error) => return self.ended(link, &error),
        }
        self.paths.heard();
    }

    fn frames(&mut self, link: Link, frames: Vec<Frame>) {
        for frame in frames {
            match &frame {
                Frame::Greeting(greeting) => {
                    self.greeted(&greeting.host_name, greeting.host);
                    self.paths.greeted(link);
                }
                Frame::Item { .. } => self.paths.brought(),
                Frame::Pong { .. } | Frame::Ack { .. } => self.paths.answered(),
                Frame::Bye(bye) => tracing::debug!(?bye, "the server closes the link"),
                _ => {}
            }
            self.step_machine(MachineEvent::Frame(link, frame));
        }
    }

    fn ended(&mut self, link: Link, error: &LinkError) {
        self.words.failed(error);
        let live = self.link.take();
        self.paths.ended(link, error);
        self.step_machine(MachineEvent::LinkLost(link));
        drop(live.map(LiveLink::end));
    }

    /// What a link reports that is not used: a word that does not belong there ends it.
    fn reported_beside(&mut self, link: Link, report: Report) {
        let Some(beside) = self.paths.beside(link) else { return };
        let is_full = beside.reports.len() >= MOST_REPORTS;
        match &report {
            Report::Heard(noise) => {
                self.words.noise = Some(noise.clone());
                self.paths.begun(link);
            }
            Report::Opened if !is_full => {
                beside.reports.push(report);
                self.paths.opened(link);
            }
            Report::Started(_) if !is_full => {
                beside.reports.push(report);
                self.paths.begun(link);
            }
            Report::Frames(frames) if !is_full && is_greeting(frames) => {
                beside.reports.push(report);
                self.paths.greeted(link);
            }
            Report::Lost(error) => {
                self.words.failed(error);
                self.paths.ended(link, &error.clone());
            }
            Report::Misbehaved(error, noise) => {
                let what = tell::misbehaved(Misbehaviour::Frame(*error), noise);
                self.fail(link, &what);
            }
            Report::Opened | Report::Started(_) | Report::Frames(_) => {
                self.fail(link, "the host sent what nobody had asked for");
            }
        }
    }

    fn fail(&mut self, link: Link, what: &str) {
        let error = LinkError::new(LinkErrorKind::Other, what);
        self.words.failed(&error);
        self.paths.ended(link, &error);
    }

    pub(super) fn use_link(&mut self, beside: Beside) {
        // It may have been dialled before it was wanted.
        self.want_link();
        self.take_up(beside, MachineEvent::LinkOpened);
    }

    /// The session moves: the machine closes the old link only when it knows of the new one.
    pub(super) fn replace_link(&mut self, beside: Beside, old: Old) {
        if let Some(live) = self.link.take() {
            self.paths.closing(old, Box::pin(live.end()));
        }
        self.words.moves();
        self.take_up(beside, MachineEvent::LinkReplaced);
    }

    fn take_up(&mut self, beside: Beside, event: fn(Link) -> MachineEvent) {
        let Beside { mut live, reports } = beside;
        let link = live.link;
        live.progress().used(self.words.away());
        self.link = Some(live);
        self.step_machine(event(link));
        for report in reports {
            if self.link.as_ref().is_some_and(|live| live.link == link) {
                self.reported(link, report);
            }
        }
    }

    /// It was not attached in time, or is not to be used any more.
    pub(super) fn lose_link(&mut self, old: Old) {
        let Some(live) = self.link.take() else { return };
        let link = live.link;
        self.paths.closing(old, Box::pin(live.end()));
        self.words.no_answer();
        self.step_machine(MachineEvent::LinkLost(link));
    }
}

fn is_greeting(frames: &[Frame]) -> bool {
    matches!(frames, [Frame::Greeting(_)])
}
