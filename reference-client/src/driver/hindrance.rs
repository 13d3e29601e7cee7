//! What keeps a client from its process on a host that can be reached: it is told each time, and
//! with what it amounted to when the patience for it ends.

use rejoin_protocol::{HostId, Reason};

use super::Driver;
use crate::event::{Event, word};

/// The same hindrance, however often.
#[derive(Debug)]
pub(super) struct Hindrance {
    /// Its name for programs.
    reason: &'static str,
    /// One line for people.
    message: String,
    /// How many attempts in a row met it.
    attempts: u32,
}

impl Driver {
    pub(super) fn greeted(&mut self, host_name: &str, host: HostId) {
        self.words.greeted(host_name, host, self.machine.host());
    }

    pub(super) fn hindered(&mut self, reason: &Reason) {
        let message = match reason {
            Reason::DifferentHost { host } => self.stranger(*host),
            reason => reason.to_string(),
        };
        let reason = word(reason);
        let before = self.words.hindrance.take().filter(|before| before.reason == reason);
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        self.words.hindrance = Some(Hindrance { reason, message: message.clone(), attempts });
        self.words.last_loss.clone_from(&message);
        self.tell(Event::Notice { message });
    }

    /// Both hosts by name, and by id where machines were cloned or named alike.
    fn stranger(&self, host: HostId) -> String {
        let destination = &self.words.destination;
        let answered = named(self.words.host_name.as_deref(), Some(host));
        let wanted = named(self.words.session_host.as_deref(), self.machine.host());
        format!(
            "{destination} leads to a different host: {answered}, while the session is on {wanted}"
        )
    }

    pub(super) fn hindered_for_good(&mut self) {
        let Some(Hindrance { reason, message, attempts }) = self.words.hindrance.take() else {
            return;
        };
        let seconds = self.paths.timing().hindrance.as_secs();
        self.tell(Event::GaveUp {
            reason: reason.to_owned(),
            message: format!("{message} (so it was in {attempts} attempts within {seconds} s)"),
        });
    }
}

fn named(name: Option<&str>, host: Option<HostId>) -> String {
    let name = name.filter(|name| !name.is_empty()).unwrap_or("a host without a name");
    match host {
        Some(host) => {
            let [a, b, c, d, ..] = host.machine;
            format!("{name} (machine {:08x})", u32::from_be_bytes([a, b, c, d]))
        }
        None => name.to_owned(),
    }
}
