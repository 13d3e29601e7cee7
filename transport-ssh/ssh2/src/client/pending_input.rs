//! Input that is not sent yet.

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes that wait in a row. There may be passwords among them: wherever they were is overwritten once they
/// are not needed there any more.
#[derive(Default)]
pub(super) struct PendingInput {
    bytes: Zeroizing<Vec<u8>>,
    /// The offset of the first waiting byte.
    start: usize,
}

impl PendingInput {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first ones. There have to be so many.
    pub(super) fn first(&self, count: usize) -> &[u8] {
        &self.bytes[self.start..self.start + count]
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        if self.bytes.len() + more.len() > self.bytes.capacity() {
            // A vector that grows by itself leaves its old place as it was.
            let mut roomy = Zeroizing::new(Vec::with_capacity(2 * (self.len() + more.len())));
            roomy.extend_from_slice(self.first(self.len()));
            (self.bytes, self.start) = (roomy, 0);
        }
        self.bytes.extend_from_slice(more);
    }

    /// The first ones do not wait any more. There have to be so many.
    pub(super) fn advance(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            self.bytes.as_mut_slice().zeroize();
            self.bytes.clear();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PendingInput;

    #[test]
    fn what_comes_first_goes_first_and_takes_no_more_room_than_what_waits() {
        let mut pending = PendingInput::default();
        let mut expected = std::collections::VecDeque::new();
        for round in 0..2000_usize {
            let piece = vec![round.to_le_bytes()[0]; round % 97];
            pending.push(&piece);
            expected.extend(piece);
            let count = expected.len().min(round % 89 + 30);
            assert!(expected.drain(..count).eq(pending.first(count).iter().copied()));
            pending.advance(count);
            assert_eq!((pending.len(), pending.is_empty()), (expected.len(), expected.is_empty()));
        }
        assert!(pending.bytes.capacity() < 16 * 97, "{}", pending.bytes.capacity());
    }
}
