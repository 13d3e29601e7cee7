//! New links and their frames: which of them the machine gets.

use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::Bye;
use rejoin_protocol::server::{Event, Server};
use rejoin_protocol::{Frame, Link, Timer};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::links::{HANDSHAKE, LinkReport, LiveLink};
use super::pacing::OutputPacer;
use super::{LINK_SILENT, Serve};

/// How many unattached links may be open (SPEC section 11.7). An attach program passes a link
/// together with its Hello, so that few links are silent for long.
const MAX_UNATTACHED: usize = 16;

impl Serve {
    /// Adds a link. If too many links are unattached, the oldest of them is closed: silent links
    /// never keep new ones out.
    pub(super) fn accept(&mut self, stream: UnixStream) {
        // Frames that arrived count against silence.
        while let Ok((link, report)) = self.reported.try_recv() {
            self.report(link, report);
        }
        let mut unattached = self.unattached();
        if unattached.len() >= MAX_UNATTACHED {
            // `false` sorts first: a link without a Hello.
            unattached.sort_by_key(|link| (self.has_asked(*link), *link));
            self.dismiss(unattached[0], Misbehaviour::Silent);
        }
        self.next_link += 1;
        let link = Link(self.next_link);
        self.links.insert(link, LiveLink::start(link, stream, self.reports.clone()));
    }

    /// Closes unattached links that were silent for too long.
    pub(super) fn dismiss_silent(&mut self) {
        if self.termination.is_some() {
            // These links wait for the end of the process.
            return;
        }
        let is_silent =
            |link: &Link| self.links.get(link).is_some_and(|live| live.heard.elapsed() > HANDSHAKE);
        let silent: Vec<_> = self.unattached().into_iter().filter(is_silent).collect();
        for link in silent {
            self.dismiss(link, Misbehaviour::Silent);
        }
    }

    fn unattached(&self) -> Vec<Link> {
        let attached = self.machine.attached();
        let open = self.links.iter().filter(|(_, live)| !live.is_closed());
        open.map(|(link, _)| *link).filter(|link| Some(*link) != attached).collect()
    }

    fn has_asked(&self, link: Link) -> bool {
        self.links.get(&link).is_some_and(|live| live.has_asked)
    }

    /// Closes a link that the machine does not know.
    fn dismiss(&mut self, link: Link, what: Misbehaviour) {
        self.send(link, Frame::Bye(Bye::Misbehaved(what)));
        self.close(link);
    }

    /// After a link is closed, only its end is reported. A Hello that arrived in the same read
    /// would otherwise attach a link on which nothing can be sent.
    pub(super) fn report(&mut self, link: Link, report: LinkReport) {
        let Some(live) = self.links.get_mut(&link) else { return };
        if live.is_closed() && !matches!(report, LinkReport::Lost) {
            return;
        }
        live.heard = Instant::now();
        if self.machine.attached() == Some(link) {
            self.restart(Timer::LinkSilent, LINK_SILENT);
        }
        match report {
            LinkReport::Frames(frames) => {
                for frame in frames {
                    if self.links.get(&link).is_none_or(LiveLink::is_closed) {
                        return;
                    }
                    self.frame(link, frame);
                }
            }
            LinkReport::Misbehaved(what) => self.misbehaved(link, what),
            LinkReport::Lost => {
                self.links.remove(&link);
                self.step(Event::LinkLost(link));
            }
        }
    }

    fn frame(&mut self, link: Link, frame: Frame) {
        if let (Frame::Hello(_), Some(live)) = (&frame, self.links.get_mut(&link)) {
            live.has_asked = true;
        }
        if !self.has_asked(link) {
            return self.misbehaved(link, Misbehaviour::WrongSide);
        }
        let (attached, in_flight) = (self.machine.attached(), self.machine.output_in_flight());
        self.step(Event::Frame(link, frame));
        if self.machine.attached() != attached {
            self.pacing = OutputPacer::new();
        }
        let acknowledged = in_flight.saturating_sub(self.machine.output_in_flight());
        if acknowledged > 0 {
            self.pacing.acknowledged(acknowledged, Instant::now());
        }
    }

    /// The driver closes a link without a Hello. The machine decides about other links, and sends a
    /// reason only if it has a process.
    fn misbehaved(&mut self, link: Link, what: Misbehaviour) {
        if !self.has_asked(link) {
            return self.dismiss(link, what);
        }
        if !matches!(self.machine, Server::Serving(_)) {
            self.send(link, Frame::Bye(Bye::Misbehaved(what)));
        }
        self.step(Event::LinkMisbehaved(link, what));
    }
}
