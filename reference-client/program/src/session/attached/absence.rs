//! While there is no connection: what is said, and what a person can do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use rejoin_client::Event;

use super::AttachedSession;
use crate::messages;
use crate::session::status::{self, Outage};
use crate::session::writer::{Outages, WriterMessage};
use crate::terminal::text;
use crate::terminal::tty;
use crate::volume::Volume;

/// Without a terminal to draw on, an outage is worth a line of its own only after a while.
const PLAIN: Duration = Duration::from_secs(2);

impl AttachedSession {
    /// Takes back what was said about an outage.
    pub(super) fn take_back(&self, outage: &Outage) {
        match self.preferences.style.outages {
            Outages::Title => self.paint(WriterMessage::Title(None)),
            Outages::OnRequest => {}
            Outages::Lines => {
                let length = text::round(outage.length());
                self.say_from(Volume::Normal, &format!("connected again after {length}"));
            }
        }
    }

    pub(super) fn detached(&mut self, reason: &str) {
        let mut outage = Outage::new(&self.preferences.destination, reason);
        // What is told then stands on the screen.
        outage.is_disturbed = self.preferences.volume == Volume::Verbose;
        self.outage = Some(outage);
        self.look_again();
    }

    /// While the session is attached, there is no outage for it to be told with.
    pub(super) fn noticed(&mut self, message: &str) {
        if self.session.is_none() || self.outage.is_some() {
            self.outage(message).advised(message);
        } else if self.preferences.volume == Volume::Normal {
            // More is said at a higher volume, where this was among it.
            self.say(message);
            if self.preferences.has_terminal {
                // The program draws itself anew around it.
                self.control.resize(tty::size());
            }
        }
    }

    /// A connection that is for its forwards only has nothing else to tell of.
    pub(super) fn forward_changed(&mut self, event: &Event) {
        let is_tunnel = self.preferences.is_tunnel();
        let from = if is_tunnel { Volume::Unread } else { Volume::Normal };
        // More is said at a higher volume, where this was among it.
        if self.preferences.volume < from || self.preferences.volume == Volume::Verbose {
            return;
        }
        if let Some(words) = messages::forward(event) {
            self.say(&words);
        }
        match &mut self.outage {
            Some(outage) => outage.is_disturbed = true,
            // The program draws itself anew around it.
            None if self.preferences.has_terminal => self.control.resize(tty::size()),
            None => {}
        }
    }

    /// The outage that there is, or one from now on: a host may not answer at first, either.
    pub(super) fn outage(&mut self, why: &str) -> &mut Outage {
        if self.outage.is_none() {
            self.outage = Some(Outage::new(&self.preferences.destination, why));
            self.look_again();
        }
        self.outage.get_or_insert_with(|| Outage::new("", why))
    }

    /// Reconnects now. If the last attempt failed for want of a person, ssh may ask this one - not one
    /// that runs already: it would not, and what is typed in answer to nobody would be the process's.
    pub(super) fn retry(&mut self) {
        let Some(outage) = &mut self.outage else { return };
        if !outage.needs_user() {
            self.control.retry_now(false);
        } else if outage.is_trying() {
            self.wants_retry = true;
        } else {
            outage.is_disturbed = true;
            self.keyboard.lend();
            self.say("connecting; ^C stops that");
            self.control.retry_now(true);
        }
    }

    pub(super) fn show_outage(&mut self) {
        let Some(outage) = &mut self.outage else { return };
        let outages = match self.session {
            Some(_) => self.preferences.style.outages,
            // There is no screen yet.
            None => Outages::Lines,
        };
        match outages {
            Outages::Title | Outages::OnRequest if outage.is_lasting(status::QUIET) => {
                outage.is_told = true;
                // From here on the keys count that are about outages.
                self.is_away.store(true, Ordering::Relaxed);
                let title = outage.title(self.preferences.escape);
                self.paint(WriterMessage::Title(Some(title)));
            }
            Outages::Lines if !outage.is_told && outage.is_lasting(PLAIN) => {
                outage.is_told = true;
                let words = outage.plain();
                self.say_from(Volume::Normal, &words);
            }
            _ => {}
        }
    }

    /// Every second of an outage that is told, and when leaving has taken long enough.
    pub(super) fn look_again(&mut self) {
        let next = self.outage.as_ref().map(|outage| {
            let wait = if outage.is_told { Duration::from_secs(1) } else { status::QUIET };
            Instant::now() + wait
        });
        self.due = [next, self.leave_by].into_iter().flatten().min();
    }
}
