//! What an application put in, under the numbers that it got.

use std::collections::BTreeMap;

use rejoin_protocol::{Epoch, Item, Seq};

/// The input of a client instance, for each process that it was attached to.
#[derive(Debug, Default)]
pub(super) struct TypedInput<'a> {
    /// Before the first Welcome of an incarnation, input has no numbers.
    waiting: Vec<&'a Item>,
    current: Option<(Epoch, Seq)>,
    numbered: BTreeMap<Epoch, BTreeMap<Seq, &'a Item>>,
}

impl<'a> TypedInput<'a> {
    pub(super) fn push(&mut self, item: &'a Item) {
        match &mut self.current {
            None => self.waiting.push(item),
            Some((epoch, next)) => {
                self.numbered.entry(*epoch).or_default().insert(*next, item);
                *next = next.next();
            }
        }
    }

    /// The process is gone; what was for it is for nobody else.
    pub(super) fn replaced(&mut self) {
        self.waiting.clear();
        self.current = None;
    }

    /// A link is attached, and the next input gets this number; whether that can be.
    pub(super) fn attached(&mut self, epoch: Epoch, next: Seq) -> bool {
        if let Some((current, expected)) = self.current {
            return current == epoch && expected == next;
        }
        let Some(first) = next.0.checked_sub(self.waiting.len() as u64) else { return false };
        self.current = Some((epoch, Seq(first)));
        for item in std::mem::take(&mut self.waiting) {
            self.push(item);
        }
        true
    }

    /// Payload bytes of what the current process is not known to have taken, everything before
    /// `acked` being known.
    pub(super) fn bytes_from(&self, acked: Seq) -> u64 {
        let numbered = self.current.and_then(|(epoch, _)| self.numbered.get(&epoch));
        let numbered = numbered.into_iter().flat_map(|items| items.range(acked..));
        let items = numbered.map(|(_, item)| *item).chain(self.waiting.iter().copied());
        items.map(|item| item.payload().len() as u64).sum()
    }

    /// Whether it is this that has this number at the current process.
    pub(super) fn is_current(&self, seq: Seq, item: &Item) -> bool {
        self.current.is_some_and(|(epoch, _)| self.find(epoch, seq) == Some(item))
    }

    /// What has this number at a process.
    pub(super) fn find(&self, epoch: Epoch, seq: Seq) -> Option<&'a Item> {
        self.numbered.get(&epoch)?.get(&seq).copied()
    }
}
