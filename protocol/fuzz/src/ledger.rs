//! What a machine owes its driver, whatever happens to it.

use std::collections::{BTreeSet, VecDeque};

use rejoin_protocol::{Item, Link, Seq};

/// Items on their way from a machine to whoever takes them: in order, without a gap, and within a window.
#[derive(Debug, Default)]
pub struct Waiting {
    next: Seq,
    taken: Seq,
    items: VecDeque<(Seq, u64)>,
    window: u64,
}

impl Waiting {
    /// Nothing waits, and `next` comes next.
    pub fn starting_at(next: Seq, window: u64) -> Self {
        Self { next, taken: next, items: VecDeque::new(), window }
    }

    /// The machine hands out an item.
    ///
    /// # Panics
    /// It is not the next one, or the window does not allow it.
    pub fn give(&mut self, seq: Seq, item: &Item) {
        assert_eq!(seq, self.next, "an item is missing or comes twice");
        self.next = item.end(seq);
        self.items.push_back((self.next, item.cost()));
        let is_exit = matches!(item, Item::Exit(_));
        let most = self.window.saturating_add(if is_exit { item.cost() } else { 0 });
        assert!(self.cost() <= most, "more waits than the window allows");
    }

    /// Everything before `next` was taken.
    pub fn take(&mut self, next: Seq) {
        self.taken = self.taken.max(next.min(self.next));
        while self.items.front().is_some_and(|(end, _)| *end <= next) {
            self.items.pop_front();
        }
    }

    /// The number that the next item has.
    pub fn next(&self) -> Seq {
        self.next
    }

    fn cost(&self) -> u64 {
        self.items.iter().map(|(_, cost)| cost).sum()
    }
}

/// The links that are open.
#[derive(Debug, Default)]
pub struct Links {
    last: u64,
    open: BTreeSet<Link>,
}

impl Links {
    /// A new one: no name is used twice.
    pub fn open(&mut self) -> Link {
        self.last += 1;
        self.open.insert(Link(self.last));
        Link(self.last)
    }

    /// Whether it is open.
    pub fn is_open(&self, link: Link) -> bool {
        self.open.contains(&link)
    }

    /// The open ones.
    pub fn all(&self) -> impl Iterator<Item = Link> {
        self.open.iter().copied()
    }

    /// It was lost.
    pub fn lose(&mut self, link: Link) {
        self.open.remove(&link);
    }

    /// The machine closes one.
    ///
    /// # Panics
    /// It is not open.
    pub fn close(&mut self, link: Link) {
        assert!(self.open.remove(&link), "{link:?} is closed, and is not open");
    }
}
