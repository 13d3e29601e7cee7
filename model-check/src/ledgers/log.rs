//! The output log as SPEC section 5.3 has it, followed from outside.

use std::collections::VecDeque;

use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Item, Seq};

/// What a process wrote and nobody has acknowledged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Log {
    entries: VecDeque<(Seq, Item)>,
    /// Everything before was acknowledged.
    pub acked: Seq,
    /// The next that the attached link gets.
    pub sent: Seq,
    /// The number behind the last.
    pub written: Seq,
    window: u64,
    overflow: Overflow,
}

impl Log {
    /// Nothing was written yet.
    pub fn new(window: u64, overflow: Overflow) -> Self {
        let (acked, sent, written) = (Seq::ZERO, Seq::ZERO, Seq::ZERO);
        Self { entries: VecDeque::new(), acked, sent, written, window, overflow }
    }

    /// The process wrote this, or ended so.
    pub fn write(&mut self, item: Item) {
        let seq = self.written;
        self.written = item.end(seq);
        self.entries.push_back((seq, item));
        if self.overflow == Overflow::DropOldest {
            while self.cost(self.written) > self.window && self.drop_oldest() {}
        }
    }

    /// Everything before this was acknowledged.
    pub fn acknowledge(&mut self, next: Seq) {
        self.entries.retain(|(seq, item)| item.end(*seq) > next);
        self.acked = self.acked.max(next);
    }

    /// A new attachment starts here.
    pub fn rewind(&mut self, from: Seq) {
        self.sent = from.max(self.acked);
    }

    /// What has to be sent next.
    pub fn next(&self) -> Option<(Seq, &Item)> {
        let (seq, item) = self.entries.get(self.unsent())?;
        Some(((*seq).max(self.sent), item))
    }

    /// It was sent.
    pub fn pass(&mut self) {
        if let Some((seq, item)) = self.next() {
            self.sent = item.end(seq);
        }
    }

    /// Whether the window lets the next item go out.
    pub fn may_send(&self) -> bool {
        let Some((_, item)) = self.next() else { return false };
        let flying = self.cost(self.sent);
        match self.overflow {
            Overflow::Block => matches!(item, Item::Exit(_)) || flying + item.cost() <= self.window,
            Overflow::DropOldest => flying < self.window / 2,
        }
    }

    /// Whether the log is within its bound: the exit status always fits.
    pub fn is_bounded(&self) -> bool {
        let has_exit = self.entries.back().is_some_and(|(_, item)| matches!(item, Item::Exit(_)));
        let spare = if has_exit { Item::OVERHEAD } else { 0 };
        self.overflow == Overflow::DropOldest || self.cost(self.written) <= self.window + spare
    }

    /// How long the payload of the next item may be.
    pub fn room(&self) -> usize {
        match self.overflow {
            Overflow::Block => room(self.window, self.cost(self.written)),
            Overflow::DropOldest => {
                usize::try_from(self.window / 4).unwrap_or(usize::MAX).min(Item::MAX_PAYLOAD)
            }
        }
    }

    /// The cost of what lies before a number.
    fn cost(&self, end: Seq) -> u64 {
        let before = self.entries.iter().filter(|(seq, item)| item.end(*seq) <= end);
        before.map(|(_, item)| item.cost()).sum()
    }

    fn unsent(&self) -> usize {
        self.entries.iter().filter(|(seq, item)| item.end(*seq) <= self.sent).count()
    }

    /// The oldest that was not sent on this link becomes a Gap, or widens one. Whether that was possible.
    fn drop_oldest(&mut self) -> bool {
        let at = self.unsent();
        let Some((seq, first)) = self.entries.get(at).cloned() else { return false };
        let is_gap = matches!(first, Item::Gap { .. });
        let victim = at + usize::from(is_gap);
        let Some((start, item)) = self.entries.get(victim) else { return false };
        if matches!(item, Item::Exit(_)) {
            return false;
        }
        let next = item.end(*start);
        if is_gap {
            self.entries.remove(victim);
        }
        self.entries[at] = (seq, Item::Gap { next });
        at + 1 < self.entries.len()
    }
}

/// How long a payload may be in a window of which so much is used: a sixteenth, at most 2048 bytes,
/// stays free of payload.
pub(super) fn room(window: u64, used: u64) -> usize {
    let kept = Item::OVERHEAD + (window / 16).min(2048);
    let room = window.saturating_sub(used).saturating_sub(kept);
    usize::try_from(room).unwrap_or(usize::MAX).min(Item::MAX_PAYLOAD)
}
