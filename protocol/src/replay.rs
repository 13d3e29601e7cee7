//! The replay log: the items that the other side has not acknowledged (SPEC section 5.3).

use alloc::collections::VecDeque;

use crate::item::Item;
use crate::seq::Seq;
use crate::spec::Overflow;

/// The sending side of one direction.
///
/// It is trimmed by acknowledgement only, never on sending: what was sent on a link that was cut is sent
/// again on the next link.
///
/// ```text
///   base            sent              next
///    |  in flight    |  not yet sent   |
///    +---------------+-----------------+--> numbers
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct ReplayLog {
    entries: VecDeque<Entry>,
    base: Seq,
    sent: Seq,
    next: Seq,
    cost: u64,
    /// The part before `sent`.
    flying: u64,
    window: u64,
    overflow: Overflow,
    predecessor: Option<Predecessor>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Entry {
    seq: Seq,
    item: Item,
}

/// What an earlier client instance left unacknowledged. It is not held here, but takes its part of the window
/// until the server has delivered it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Predecessor {
    end: Seq,
    cost: u64,
}

/// An acknowledgement of something that was never sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeverSent;

impl ReplayLog {
    /// An empty log, from number 0.
    pub fn new(window: u64, overflow: Overflow) -> Self {
        Self {
            entries: VecDeque::new(),
            base: Seq::ZERO,
            sent: Seq::ZERO,
            next: Seq::ZERO,
            cost: 0,
            flying: 0,
            window,
            overflow,
            predecessor: None,
        }
    }

    /// The first number that is not acknowledged.
    pub fn base(&self) -> Seq {
        self.base
    }

    /// The first number that was not sent on this link.
    pub fn sent(&self) -> Seq {
        self.sent
    }

    /// The number of the next item.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// How many payload bytes the next item may have; 0 if its producer has to wait.
    pub fn room(&self) -> usize {
        let room = match self.overflow {
            Overflow::Block => {
                let kept = Item::OVERHEAD + self.reserve();
                self.window.saturating_sub(self.total_cost()).saturating_sub(kept)
            }
            Overflow::DropOldest => self.window / 4,
        };
        usize::try_from(room).unwrap_or(usize::MAX).min(Item::MAX_PAYLOAD)
    }

    /// What payloads leave free for signals and sizes, which must not wait behind payloads.
    fn reserve(&self) -> u64 {
        (self.window / 16).min(32 * Item::OVERHEAD)
    }

    /// Whether an item of `cost` may be pushed. An item without a payload needs no more than its
    /// overhead, and the exit status always fits.
    pub fn is_open_for(&self, item: &Item) -> bool {
        match (self.overflow, item) {
            (Overflow::DropOldest, _) | (_, Item::Exit(_)) => true,
            (Overflow::Block, _) => self.total_cost().saturating_add(item.cost()) <= self.window,
        }
    }

    /// The payload bytes that the log holds: input that the process is not known to have taken.
    pub fn unacknowledged_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.item.payload().len() as u64).sum()
    }

    /// Appends an item, or returns it if it has to wait.
    ///
    /// # Errors
    /// The item itself, when the window is full and nothing may be dropped.
    pub fn push(&mut self, item: Item) -> Result<Seq, Item> {
        if !self.is_open_for(&item) {
            return Err(item);
        }
        let seq = self.next;
        self.next = item.end(seq);
        self.cost += item.cost();
        self.entries.push_back(Entry { seq, item });
        if self.overflow == Overflow::DropOldest {
            self.drop_oldest();
        }
        Ok(seq)
    }

    /// Removes everything before `next`. A repeated or lower acknowledgement is not an error.
    ///
    /// # Errors
    /// [`NeverSent`] if `next` is beyond what was sent; then nothing is removed.
    pub fn acknowledge(&mut self, next: Seq) -> Result<(), NeverSent> {
        if next > self.sent {
            return Err(NeverSent);
        }
        while let Some(entry) = self.entries.front() {
            if entry.item.end(entry.seq) > next {
                break;
            }
            // It was sent, because nothing beyond that may be acknowledged.
            self.cost -= entry.item.cost();
            self.flying -= entry.item.cost();
            self.entries.pop_front();
        }
        self.base = self.base.max(next);
        if self.predecessor.as_ref().is_some_and(|left| left.end <= self.base) {
            self.predecessor = None;
        }
        Ok(())
    }

    /// Restarts sending from `from`, as on a new link. If the log does not hold `from`, sending starts at the
    /// nearest number that it holds; a predecessor's input was sent by the predecessor.
    pub fn rewind(&mut self, from: Seq) {
        let first = self.predecessor.as_ref().map_or(self.base, |left| left.end.max(self.base));
        self.sent = from.clamp(first, self.next);
        let sent = self.entries.range(..self.unsent_index());
        self.flying = sent.map(|entry| entry.item.cost()).sum();
    }

    /// Continues after what the other side already has, which this link need not send again.
    pub fn skip(&mut self, accepted: Seq) {
        if accepted > self.sent {
            self.rewind(accepted);
        }
    }

    /// The cost of what was sent on this link and is not acknowledged, in bytes of window.
    pub fn in_flight(&self) -> u64 {
        self.flying
    }

    /// The next item to send on this link, if there is one and the window allows it.
    pub fn take_sendable(&mut self) -> Option<(Seq, Item)> {
        let at = self.unsent_index();
        let entry = self.entries.get(at)?;
        if !self.may_fly(at) {
            return None;
        }
        // A gap may start before the number that the other side wants next.
        let seq = entry.seq.max(self.sent);
        let item = entry.item.clone();
        self.sent = item.end(seq);
        self.flying += item.cost();
        Some((seq, item))
    }

    /// Renumbers what is queued, to follow what the server already has. A claimant needs this: it learns the
    /// numbers with its first Welcome.
    pub fn rebase(&mut self, handed_over: Seq, accepted: Seq, buffered: u64, window: u64) {
        self.base = handed_over;
        self.sent = accepted;
        self.flying = 0;
        self.next = accepted;
        self.window = window;
        for entry in &mut self.entries {
            entry.seq = self.next;
            self.next = self.next.next();
        }
        let is_left = handed_over < accepted;
        self.predecessor = is_left.then_some(Predecessor { end: accepted, cost: buffered });
    }

    fn total_cost(&self) -> u64 {
        self.cost.saturating_add(self.predecessor.as_ref().map_or(0, |left| left.cost))
    }

    fn unsent_index(&self) -> usize {
        self.entries.partition_point(|entry| entry.item.end(entry.seq) <= self.sent)
    }

    /// More may be queued than the window allows, because a claimant learns the window with the Welcome. With
    /// dropping, at most half of the window is in flight, so that there is always something left to drop that
    /// was not sent. Then a link that takes nothing holds back nothing either.
    fn may_fly(&self, at: usize) -> bool {
        match self.overflow {
            Overflow::Block => self.total_cost() <= self.window || self.fits_behind(at),
            Overflow::DropOldest => self.flying < self.window / 2,
        }
    }

    fn fits_behind(&self, at: usize) -> bool {
        let left = self.predecessor.as_ref().map_or(0, |left| left.cost);
        let ahead = self.flying.saturating_add(left);
        self.entries.get(at).is_some_and(|Entry { item, .. }| {
            matches!(item, Item::Exit(_)) || ahead.saturating_add(item.cost()) <= self.window
        })
    }

    fn drop_oldest(&mut self) {
        let at = self.unsent_index();
        while self.cost > self.window && self.drop_one(at) {}
    }

    /// Replaces the entry at `at` by a gap, or widens the gap that is there.
    fn drop_one(&mut self, at: usize) -> bool {
        let Some(Entry { seq, item }) = self.entries.get(at) else { return false };
        let (seq, is_gap) = (*seq, matches!(item, Item::Gap { .. }));
        let victim = at + usize::from(is_gap);
        // The exit status is never dropped: it is the last item, and nothing follows it.
        let Some(dropped) = self.entries.get(victim) else { return false };
        if matches!(dropped.item, Item::Exit(_)) {
            return false;
        }
        let next = dropped.item.end(dropped.seq);
        self.cost -= dropped.item.cost();
        if is_gap {
            self.entries.remove(victim);
        } else {
            self.cost += Item::OVERHEAD;
        }
        self.entries[at] = Entry { seq, item: Item::Gap { next } };
        // A gap that replaces an empty item saves nothing alone; continue with the next item.
        self.entries.len() > at + 1
    }
}
