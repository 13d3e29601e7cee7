//! Judges a server's effects by the ghost state.

use rejoin_protocol::frame::{How, Welcome};
use rejoin_protocol::{AttachNumber, Incarnation, Item, Link, Reason, Seq, Tenure};

use super::serve::ServerDriver;
use super::{Cx, World};
use crate::names;
use crate::properties::server::{self, Holding, Welcoming};
use crate::witness::Witness;

impl World {
    /// Rule 9: a server that ends takes its entry with it.
    pub(super) fn check_left(&mut self, s: u8) {
        let entry = self.host(self.server(s).host).and_then(|host| host.entry.as_ref());
        let is_left = entry.is_some_and(|entry| entry.socket == Some(s));
        if is_left && self.has_place(s) && !self.server(s).has_failed {
            self.violate(9, "a server ends and leaves its entry behind");
        }
    }

    /// Rule 1, input: gapless and without duplicates, of who is entitled to it, and for this
    /// process.
    pub(super) fn check_input(&mut self, s: u8, seq: Seq, item: &Item) {
        let Some((party, generation, number)) = names::typed(item) else { return };
        let typist = &self.party(party).past;
        let (first, incarnation) = (typist.first, typist.incarnation);
        let is_present = self.party(party).generation == generation;
        let owner = self.ghost.owner[usize::from(self.server(s).host)];
        let Some(process) = &mut self.server_mut(s).process else { return };
        let held = server::handed_over(seq, process.handed);
        let place = process.last.iter_mut().find(|(p, g, _)| (*p, *g) == (party, generation));
        let expected = if let Some((_, _, last)) = place {
            // What was told to be of unknown fate is not sent again.
            let expected = (*last + 1).max(first);
            *last = number;
            expected
        } else {
            process.last.push((party, generation, number));
            if incarnation == process.incarnation { first } else { number }
        };
        // What an earlier process is still handed was meant for it.
        let is_present = is_present && incarnation == process.incarnation;
        self.require(held);
        if is_present && number < first {
            self.violate(16, "input for an earlier process reaches its replacement");
        } else if is_present && number != expected {
            self.violate(1, "input is lost or repeated");
        } else if owner != Some((party, generation)) {
            self.violate(10, "input of one who does not hold the session is handed over");
        }
    }

    pub(super) fn check_welcome_sent(&mut self, cx: &Cx, s: u8, link: u64, welcome: &Welcome) {
        self.check_answered(s, link, welcome.attach.0);
        let Some(wire) = self.wire_at_server(s, link) else { return };
        let (party, heard) = (wire.party, wire.heard);
        let Some(heard) = heard else { return };
        let generation = self.generation_of(party, heard.instance);
        let is_superseded = self.is_superseded(party, generation);
        let host = self.server(s).host;
        let at = usize::from(host);
        let owner = self.ghost.edit().owner[at].replace((party, generation));
        let acked = self.ghost.acknowledged(names::epoch_index(welcome.epoch));
        let Some(process) = &mut self.server_mut(s).process else { return };
        let attach = welcome.attach;
        let before = process.welcomed.replace((party, generation, attach.0));
        let tenure = std::mem::replace(&mut process.tenure, welcome.tenure);
        let taken = process.taken;
        let before = before.map(|(p, g, attach)| {
            let attach = AttachNumber(attach);
            Holding { who: (p, g), attach, tenure }
        });
        let changes = before.is_some_and(|before| before.who != (party, generation));
        let attached = self.server_mut(s).current.replace(link);
        self.require(server::replaces(Link(link), attached.map(Link)));
        let is_taken_silently = before.is_none()
            && self.ghost.last[at].is_some_and(|(p, g, tenure)| {
                // Two that claimed what nobody knew any more are equals; the opener's tenure is 0.
                (p, g) != (party, generation) && tenure == welcome.tenure && tenure == Tenure(0)
            });
        self.ghost.edit().last[at] = Some((party, generation, welcome.tenure));
        if welcome.how == How::Opened && before.is_some() {
            cx.seen.mark(Witness::Joined);
        }
        let by = Welcoming {
            who: (party, generation),
            is_superseded,
            before,
            expected: heard.expected,
            recorded: self.ghost.tenure[at],
        };
        self.require(server::welcomed(welcome, &by));
        if is_taken_silently {
            self.violate(12, "a session is opened by another without taking it over");
        }
        self.require(server::told(welcome, taken, acked, cx.blocks()));
        if changes && let Some((p, g)) = owner {
            self.supersede(p, g);
        }
    }

    /// Who closes another's session has taken it over: its holder does not come back.
    pub(super) fn check_closed(&mut self, s: u8, link: u64) {
        let Some(wire) = self.wire_at_server(s, link) else { return };
        let (party, heard) = (wire.party, wire.heard);
        let Some(heard) = heard.filter(|_| self.has_place(s)) else { return };
        let closer = (party, self.generation_of(party, heard.instance));
        let ServerDriver { host, ends_all, .. } = *self.server(s);
        if let Some(incarnation) = heard.closes {
            self.ghost.edit().close(host, incarnation);
        }
        if ends_all && self.host(host).is_some_and(|host| host.daemon.is_some()) {
            self.violate(7, "a session is closed, and its daemon goes on");
        }
        if let Some((p, g)) = self.ghost.owner[usize::from(host)].filter(|owner| *owner != closer) {
            self.supersede(p, g);
        }
    }

    pub(super) fn check_answered(&mut self, s: u8, link: u64, attach: u64) {
        let heard = self.wire_at_server(s, link).and_then(|wire| wire.heard);
        let Some(heard) = heard else { return };
        self.require(server::answered(Some(heard.attach), AttachNumber(attach)));
    }

    pub(super) fn mark_lost_takeover(&mut self, cx: &Cx, link: u64, reason: &Reason) {
        let heard = self.wire_of(link).and_then(|wire| wire.heard);
        let names_holder = heard.is_some_and(|heard| heard.expected.is_some());
        if names_holder && matches!(reason, Reason::Held { .. }) {
            cx.seen.mark(Witness::LostTakeover);
        }
    }

    pub(super) fn count_start(&mut self, host: u8, incarnation: Incarnation, tenure: Tenure) {
        let ghost = self.ghost.edit();
        let has_fallen = tenure < ghost.tenure[usize::from(host)];
        let is_first = ghost.start(host, incarnation);
        self.require(server::started(incarnation, is_first));
        if has_fallen {
            self.violate(11, "a session is opened by one who had lost it");
        }
    }

    pub(super) fn has_record(&self, host: u8) -> bool {
        let entry = self.host(host).and_then(|host| host.entry.as_ref());
        entry.is_some_and(|entry| entry.record.is_some())
    }

    /// Whether a process of the session lives on the host besides this server's.
    pub(super) fn other_processes(&self, s: u8, host: u8) -> bool {
        let is_left =
            self.host(host).is_some_and(|host| host.leftovers.iter().any(|it| it.is_counted));
        let is_served = self.servers.iter().enumerate().any(|(at, server)| {
            at != usize::from(s) && server.as_ref().is_some_and(|it| it.host == host && it.serves())
        });
        is_left || is_served
    }
}
