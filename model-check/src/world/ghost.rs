//! Ghost state, which only the checker sees: what hosts and servers really did.

use rejoin_protocol::registry::Remembered;
use rejoin_protocol::{Incarnation, Seq, Tenure};

/// What has happened so far, in the whole world.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Ghost {
    /// Which incarnations each host has started, as it can know.
    started: [u16; 2],
    /// Which incarnations somebody was told to have closed: no Open may start them, for as long as
    /// the host does not boot.
    pub closed: [u16; 2],
    /// Which incarnations a tombstone has said to have failed.
    failed: [u16; 2],
    /// The highest tenure that a host has granted or recorded.
    pub tenure: [Tenure; 2],
    /// The client that the session belongs to on each host: party and generation.
    pub owner: [Option<(u8, u8)>; 2],
    /// The client that each host has welcomed last, whatever became of the process, and its tenure.
    pub last: [Option<(u8, u8, Tenure)>; 2],
    /// Whether a host was rolled back.
    pub is_rolled_back: bool,
    /// Whether a registry or an entry was removed.
    pub was_wiped: bool,
    /// How many servers have started.
    pub epochs: u8,
    /// The output that was acknowledged, of each of them.
    acked: Vec<Seq>,
}

impl Ghost {
    /// A process is started; whether it is the first time.
    pub fn start(&mut self, host: u8, incarnation: Incarnation) -> bool {
        let bit = bit(incarnation);
        let started = &mut self.started[usize::from(host)];
        let is_first = (*started | self.closed[usize::from(host)]) & bit == 0;
        *started |= bit;
        is_first
    }

    /// Somebody was told that the session is closed: no Open up to this incarnation may start it.
    pub fn close(&mut self, host: u8, incarnation: Incarnation) {
        self.closed[usize::from(host)] |= bit(incarnation) | (bit(incarnation) - 1);
    }

    /// A process could not be started: that uses its number up.
    pub fn fail(&mut self, host: u8, incarnation: Incarnation) {
        self.started[usize::from(host)] |= bit(incarnation);
    }

    /// The tombstone says so.
    pub fn tell_failure(&mut self, host: u8, incarnation: Incarnation) {
        self.failed[usize::from(host)] |= bit(incarnation);
    }

    /// Whether the tombstone has said that its start failed.
    pub fn has_failed(&self, host: u8, incarnation: Incarnation) -> bool {
        self.failed[usize::from(host)] & bit(incarnation) != 0
    }

    /// The host has lost everything that it knew, and nobody expects it to know.
    pub fn forget(&mut self, host: u8) {
        self.started[usize::from(host)] = 0;
        self.closed[usize::from(host)] = 0;
        self.failed[usize::from(host)] = 0;
        self.tenure[usize::from(host)] = Tenure(0);
        self.was_wiped = true;
    }

    /// The host has lost a record, and what its tombstone says is all that it is expected to know.
    pub fn forget_but(&mut self, host: u8, tombstone: &Remembered) {
        let upto = |used: Incarnation| bit(used) | (bit(used) - 1);
        let at = usize::from(host);
        self.started[at] &= tombstone.used.map_or(0, upto);
        self.closed[at] &= tombstone.used.map_or(0, upto);
        self.failed[at] &= tombstone.failed.as_ref().map_or(0, |(failed, _)| bit(*failed));
        self.tenure[at] = self.tenure[at].min(tombstone.tenure);
        self.was_wiped = true;
    }

    /// The host boots, and knows nothing of before. A client that is alone with the session knows.
    pub fn reboot(&mut self, host: u8, is_alone: bool) {
        let at = usize::from(host);
        self.closed[at] = 0;
        self.tenure[at] = Tenure(0);
        if !is_alone {
            self.started[at] = 0;
            self.failed[at] = 0;
        }
    }

    /// A client has acknowledged output.
    pub fn acked(&mut self, epoch: u8, next: Seq) {
        let at = usize::from(epoch);
        if self.acked.len() <= at {
            self.acked.resize(at + 1, Seq::ZERO);
        }
        self.acked[at] = self.acked[at].max(next);
    }

    /// What was acknowledged of a server's output.
    pub fn acknowledged(&self, epoch: u8) -> Seq {
        self.acked.get(usize::from(epoch)).copied().unwrap_or_default()
    }
}

fn bit(incarnation: Incarnation) -> u16 {
    1 << incarnation.0.min(15)
}
