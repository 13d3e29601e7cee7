//! Judges the answers that rely on a tombstone or a record, which must be written before (SPEC
//! section 11.1), and the answers of attach programs.

use rejoin_protocol::frame::{Hello, Refused, Welcome, Wish};
use rejoin_protocol::server::{Effect, Event, Past, Server};
use rejoin_protocol::{Frame, Incarnation, Link, Reason};

use super::registry::OpenLockFile;
use super::{Cx, World};
use crate::ledgers::absent;
use crate::properties::registry;
use crate::witness::Witness;

impl World {
    /// Whether the tombstone that has the name says at least this.
    fn is_remembered(&self, host: u8, used: Option<Incarnation>) -> bool {
        let tombstone = self.host(host).and_then(|host| host.inode(host.path?)?.tombstone.as_ref());
        tombstone.is_some_and(|tombstone| tombstone.used >= used)
    }

    /// What an attach program is about to answer, judged by what there is as it lets go of the lock: nobody
    /// else can have written then. Rule 9: what is left of a dead server is buried before anybody is told that it is gone.
    pub(super) fn check_relied(&mut self, a: u8, opened: Option<OpenLockFile>) {
        let program = self.program(a);
        let host = program.host;
        let (Some(answer), Some(hello)) = (program.answer(), program.hello()) else { return };
        if !self.is_in_place(host, opened) || self.ghost.was_wiped {
            return;
        }
        let closes = match (&answer, &hello.wish) {
            (Frame::Closed { .. }, Wish::Close { incarnation, .. }) => Some(*incarnation),
            (Frame::Refused(Refused { reason, .. }), _) if relies(reason) => None,
            _ => return,
        };
        let is_refused = closes.is_none();
        let is_recorded = is_refused && self.has_record(host);
        self.require(registry::relied(is_recorded || self.is_remembered(host, closes)));
        if is_refused && self.host(host).is_some_and(|host| host.entry.is_some()) {
            self.violate(9, "an attach is refused, and the entry stays");
        }
    }

    /// Who says under the lock that the process is gone has seen to it.
    pub(super) fn check_gone(&mut self, a: u8, opened: Option<OpenLockFile>) {
        let program = self.program(a);
        let host = program.host;
        let Some(answer) = program.answer().filter(|_| self.is_in_place(host, opened)) else {
            return;
        };
        let is_closed = matches!(answer, Frame::Closed { .. });
        let is_gone = matches!(answer, Frame::Refused(refused)
            if matches!(refused.reason, Reason::ProcessGone | Reason::Unknown));
        let lives = (0u8..).zip(&self.servers).any(|(s, server)| {
            let serves = server.as_ref().is_some_and(|it| it.host == host && it.serves());
            serves && self.has_place(s)
        });
        let is_left =
            self.host(host).is_some_and(|host| host.leftovers.iter().any(|it| it.is_counted));
        if is_closed && (lives || is_left) {
            self.violate(7, "Closed is said while the process lives");
        } else if is_gone && lives {
            self.violate(6, "a living process is said to be gone");
        }
    }

    fn is_in_place(&self, host: u8, opened: Option<OpenLockFile>) -> bool {
        let inode = opened.filter(|opened| opened.has_lock).map(|opened| opened.inode);
        inode.is_some() && self.host(host).is_some_and(|host| host.path == inode)
    }

    /// What a server sends.
    pub(super) fn check_relied_by_server(&mut self, s: u8, link: u64, frame: &Frame) {
        if !self.has_place(s) || self.ghost.was_wiped {
            return;
        }
        let host = self.server(s).host;
        let closes = self.wire_of(link).and_then(|wire| wire.heard).and_then(|it| it.closes);
        match frame {
            Frame::Closed { .. } => {
                self.require(registry::relied(self.is_remembered(host, closes)));
            }
            Frame::Refused(Refused { reason: Reason::SpawnFailed(_), .. }) => {
                self.require(registry::relied(self.is_remembered(host, None)));
            }
            Frame::Welcome(welcome) if !self.is_recorded(host, welcome) => {
                self.violate(5, "a Welcome relies on a record that is not written");
            }
            _ => {}
        }
    }

    /// Whether the record says that the process was started; its tenure is judged by rule 11.
    fn is_recorded(&self, host: u8, welcome: &Welcome) -> bool {
        let entry = self.host(host).and_then(|host| host.entry.as_ref());
        entry
            .and_then(|entry| entry.record.as_ref())
            .is_some_and(|record| record.is_starting && record.incarnation == welcome.incarnation)
    }

    /// Rules 5 and 6 by what is known: authority first, and a failed start burns its number.
    pub(super) fn check_judged(&mut self, cx: &Cx, host: u8, hello: &Hello, past: &Past) {
        let config = cx.attach_config(self, host);
        let event = Event::Frame(Link(0), Frame::Hello(hello.clone()));
        let effects = Server::Absent(past.clone()).step(&config, event);
        self.hold(absent::judge(&config, past, hello, &effects));
        let Wish::Open { incarnation, .. } = hello.wish else { return };
        let refused = effects.into_iter().find_map(|effect| match effect {
            Effect::Send(_, Frame::Refused(Refused { reason, .. })) => Some(reason),
            _ => None,
        });
        let Some(reason) = refused else { return };
        let is_superseded = matches!(reason, Reason::Superseded { .. });
        // Version and host are judged before everything that is known of the session.
        if matches!(reason, Reason::Incompatible { .. } | Reason::DifferentHost { .. }) {
            return;
        }
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

/// Whether a refusal says what only a tombstone keeps true.
fn relies(reason: &Reason) -> bool {
    matches!(reason, Reason::ProcessGone | Reason::SpawnFailed(_) | Reason::Superseded { .. })
}
