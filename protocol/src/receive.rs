//! The receiving side of one direction (SPEC section 5.2).

use alloc::collections::VecDeque;

use crate::item::Item;
use crate::seq::Seq;

/// Which items were accepted, and which were delivered. These are two counters: an accepted item is not
/// acknowledged before the process or the application has taken it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Receive {
    accepted: Seq,
    handed_over: Seq,
    waiting: VecDeque<Waiting>,
    buffered: u64,
    window: u64,
}

/// An item that was accepted and not delivered: the number after it, and its cost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Waiting {
    end: Seq,
    cost: u64,
}

/// How an arriving item is judged.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Arrival {
    /// The next item: to be delivered, with this number.
    New(Seq, Item),
    /// A duplicate.
    Duplicate,
    /// A later item: items are missing in between.
    Ahead,
    /// The next item, but the window does not allow it.
    Excess,
}

impl Receive {
    /// Starts at `first`.
    pub fn starting_at(first: Seq, window: u64) -> Self {
        Self { accepted: first, handed_over: first, waiting: VecDeque::new(), buffered: 0, window }
    }

    /// The next number wanted.
    pub fn accepted(&self) -> Seq {
        self.accepted
    }

    /// The first number that is not delivered.
    pub fn handed_over(&self) -> Seq {
        self.handed_over
    }

    /// The cost of what was accepted and not delivered, in bytes of window.
    pub fn buffered(&self) -> u64 {
        self.buffered
    }

    /// Judges an arriving item.
    pub fn accept(&mut self, seq: Seq, item: Item) -> Arrival {
        let end = item.end(seq);
        if end <= self.accepted {
            return Arrival::Duplicate;
        }
        if seq > self.accepted {
            return Arrival::Ahead;
        }
        let cost = item.cost();
        // An Exit always fits, but not a second one after it.
        let needed = if matches!(item, Item::Exit(_)) { 0 } else { cost };
        if self.buffered.saturating_add(needed) > self.window {
            return Arrival::Excess;
        }
        let seq = self.accepted;
        self.accepted = end;
        self.buffered += cost;
        self.waiting.push_back(Waiting { end, cost });
        Arrival::New(seq, item)
    }

    /// Records that everything before `next` was delivered; returns whether that is new. What was never
    /// accepted cannot have been delivered.
    pub fn hand_over(&mut self, next: Seq) -> bool {
        let next = next.min(self.accepted);
        while let Some(waiting) = self.waiting.front().copied().filter(|front| front.end <= next) {
            self.buffered -= waiting.cost;
            self.waiting.pop_front();
        }
        let is_news = next > self.handed_over;
        self.handed_over = self.handed_over.max(next);
        is_news
    }
}
