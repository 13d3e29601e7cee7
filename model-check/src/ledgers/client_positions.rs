//! The positions of a client's ledger in its output and its input.

use std::collections::VecDeque;

use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::{Item, Seq};

/// The position in the output.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct OutputPosition {
    pub(super) wanted: Seq,
    pub(super) taken: Seq,
    /// Output that was offered and not taken: the number of the next item, and its cost.
    pub(super) buffer: VecDeque<(Seq, u64)>,
    pub(super) window: u64,
}

/// Input that the process may not have taken yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct InputPosition {
    /// Everything before it was acknowledged.
    pub(super) acked: Seq,
    /// The number of the first that is kept.
    pub(super) first: Seq,
    pub(super) kept: VecDeque<Item>,
    /// The next that goes out on this link.
    pub(super) sent: Seq,
    pub(super) window: u64,
    /// What an earlier client left in the window: the number behind it, and its cost.
    pub(super) left: Option<(Seq, u64)>,
}

impl InputPosition {
    pub(super) fn new(window: u64) -> Self {
        let (acked, first, sent) = (Seq::ZERO, Seq::ZERO, Seq::ZERO);
        Self { acked, first, kept: VecDeque::new(), sent, window, left: None }
    }

    pub(super) fn next(&self) -> Seq {
        Seq(self.first.0 + self.kept.len() as u64)
    }

    pub(super) fn item(&self, seq: Seq) -> Option<&Item> {
        let at = seq.0.checked_sub(self.first.0)?;
        self.kept.get(usize::try_from(at).ok()?)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|item| item.payload().len() as u64).sum()
    }

    pub(super) fn acknowledge(&mut self, next: Seq) {
        while self.first < next && self.kept.pop_front().is_some() {
            self.first = self.first.next();
        }
        self.acked = self.acked.max(next);
        self.left = self.left.filter(|(end, _)| *end > self.acked);
    }

    pub(super) fn left(&self) -> u64 {
        self.left.map_or(0, |(_, cost)| cost)
    }

    /// The cost of what was sent and is kept.
    pub(super) fn flying(&self) -> u64 {
        let sent = usize::try_from(self.sent.since(self.first)).unwrap_or(usize::MAX);
        self.kept.iter().take(sent).map(Item::cost).sum()
    }

    /// Whether the window lets the next one go out.
    pub(super) fn may_send(&self) -> bool {
        let cost = self.item(self.sent).map(Item::cost);
        cost.is_some_and(|cost| self.flying() + self.left() + cost <= self.window)
    }

    pub(super) fn fits(&self, item: &Item) -> bool {
        let kept: u64 = self.kept.iter().map(Item::cost).sum();
        kept + self.left() + item.cost() <= self.window
    }
}

impl OutputPosition {
    pub(super) fn new(from: Seq, window: u64) -> Self {
        Self { wanted: from, taken: from, buffer: VecDeque::new(), window }
    }

    /// What an item that comes breaks; none if it may come.
    pub(super) fn fault(&self, seq: Seq, item: &Item) -> Option<Misbehaviour> {
        let buffered: u64 = self.buffer.iter().map(|(_, cost)| cost).sum();
        let cost = if matches!(item, Item::Exit(_)) { 0 } else { item.cost() };
        if item.is_input() {
            Some(Misbehaviour::WrongSide)
        } else if self.is_known(seq, item) {
            None
        } else if seq > self.wanted {
            Some(Misbehaviour::SkippedItems)
        } else {
            (buffered + cost > self.window).then_some(Misbehaviour::WindowExceeded)
        }
    }

    pub(super) fn is_known(&self, seq: Seq, item: &Item) -> bool {
        item.end(seq) <= self.wanted
    }
}
