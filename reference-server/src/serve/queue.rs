//! The frames that wait to be written on one link. The queue is bounded: a peer that sends requests
//! but never reads loses its link, so that the server's memory stays bounded (SPEC section 10).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_protocol::codec::encode;
use rejoin_protocol::{Frame, Item};
use tokio::sync::Notify;

/// How many bytes of frames other than items may wait, at [`Item::OVERHEAD`] plus the encoded
/// length for each: about 15,000 Pongs. With a peer that reads, a few frames wait.
const MAX_ANSWERS: u64 = 1024 * 1024;

/// How many windows of items may wait. The machine sends at most one window each time that a link
/// attaches, and a client that reads attaches once.
const MAX_WINDOWS: u64 = 2;

/// A queue's two ends.
pub(super) fn queue() -> (FrameSender, FrameReceiver) {
    let shared = Arc::<Shared>::default();
    (FrameSender(Arc::clone(&shared)), FrameReceiver(shared))
}

/// Takes frames. Dropping it closes the queue.
pub(super) struct FrameSender(Arc<Shared>);

/// Gives frames to the writer.
pub(super) struct FrameReceiver(Arc<Shared>);

/// The queue is full: the peer does not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    /// The slot of an Ack is empty after a later Ack has replaced it.
    slots: VecDeque<Option<Slot>>,
    /// How many slots were removed so far.
    taken: u64,
    /// The slot of an Ack that a later one may replace, counted from the first slot ever.
    ack: Option<u64>,
    items: u64,
    answers: u64,
    is_closed: bool,
}

struct Slot {
    frame: Frame,
    cost: u64,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FrameSender {
    /// Puts a frame at the end, for a session with this window.
    ///
    /// # Errors
    /// [`QueueFull`] if too much waits. Then the frame is lost, and the link must be cut.
    pub(super) fn push(&self, frame: Frame, window: u64) -> Result<(), QueueFull> {
        self.0.waiting().push(frame, window)?;
        self.0.changed.notify_one();
        Ok(())
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        self.0.waiting().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl FrameReceiver {
    /// Waits for frames and moves at most `most` of them into `frames`. Returns their number: 0
    /// only at the end of a closed queue. It is cancel-safe.
    pub(super) async fn recv_many(&mut self, frames: &mut Vec<Frame>, most: usize) -> usize {
        loop {
            let changed = self.0.changed.notified();
            let (count, is_closed) = {
                let mut waiting = self.0.waiting();
                (waiting.take(frames, most), waiting.is_closed)
            };
            if count > 0 || is_closed {
                return count;
            }
            changed.await;
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.waiting().is_closed
    }
}

impl Waiting {
    fn push(&mut self, frame: Frame, window: u64) -> Result<(), QueueFull> {
        let cost = cost(&frame);
        match &frame {
            Frame::Ack { .. } => self.drop_older_ack(),
            Frame::Item { .. } => self.items += cost,
            Frame::Ping { .. } | Frame::Pong { .. } => self.answers += cost,
            // An Ack before other frames may concern another process, so that it stays.
            _ => {
                self.answers += cost;
                self.ack = None;
            }
        }
        if self.items > window.saturating_mul(MAX_WINDOWS) || self.answers > MAX_ANSWERS {
            return Err(QueueFull);
        }
        if let Frame::Ack { .. } = frame {
            self.ack = Some(self.taken + self.slots.len() as u64);
        }
        self.slots.push_back(Some(Slot { frame, cost }));
        Ok(())
    }

    /// A later Ack replaces an earlier one (SPEC section 4.7), so that Acks need no bound: there is
    /// at most one more of them than of other frames.
    fn drop_older_ack(&mut self) {
        let Some(at) = self.ack.take().and_then(|at| at.checked_sub(self.taken)) else { return };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = None;
        }
        while matches!(self.slots.back(), Some(None)) {
            self.slots.pop_back();
        }
    }

    fn take(&mut self, frames: &mut Vec<Frame>, most: usize) -> usize {
        let mut count = 0;
        while count < most {
            let Some(slot) = self.slots.pop_front() else { break };
            self.taken += 1;
            let Some(Slot { frame, cost }) = slot else { continue };
            match &frame {
                Frame::Ack { .. } => {}
                Frame::Item { .. } => self.items -= cost,
                _ => self.answers -= cost,
            }
            frames.push(frame);
            count += 1;
        }
        count
    }
}

fn cost(frame: &Frame) -> u64 {
    match frame {
        Frame::Ack { .. } => 0,
        Frame::Item { item, .. } => item.cost(),
        frame => {
            let length = encode(frame).map_or(0, |bytes| bytes.head.len() + bytes.payload.len());
            Item::OVERHEAD + length as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_protocol::{Seq, Stream};

    use super::*;

    const WINDOW: u64 = 65_600;

    fn ack(next: u64) -> Frame {
        Frame::Ack { next: Seq(next) }
    }

    fn output(seq: u64) -> Frame {
        let item = Item::Output { stream: Stream::Stdout, data: vec![b'x'; 16_384].into() };
        Frame::Item { seq: Seq(seq), item }
    }

    fn taken(outgoing: &FrameReceiver, most: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        outgoing.0.waiting().take(&mut frames, most);
        frames
    }

    /// How many frames fit.
    fn fitting(outbox: &FrameSender, frame: impl Fn(u64) -> Frame) -> u64 {
        (0..1_000_000).find(|number| outbox.push(frame(*number), WINDOW).is_err()).unwrap()
    }

    #[test]
    fn answers_are_bounded_in_bytes() {
        let (outbox, _outgoing) = queue();
        let pongs = fitting(&outbox, |token| Frame::Pong { token });
        assert!((10_000..20_000).contains(&pongs), "{pongs}");
    }

    #[test]
    fn items_are_bounded_by_two_windows() {
        let (outbox, outgoing) = queue();
        assert_eq!(fitting(&outbox, output), 2 * WINDOW / (16_384 + 64));
        assert_eq!(taken(&outgoing, 100).len(), 7);
    }

    #[test]
    fn does_not_count_removed_frames() {
        let (outbox, outgoing) = queue();
        for token in 0..100_000 {
            outbox.push(Frame::Pong { token }, WINDOW).unwrap();
            outbox.push(output(token), WINDOW).unwrap();
            assert_eq!(taken(&outgoing, 100), [Frame::Pong { token }, output(token)]);
        }
    }

    #[test]
    fn acks_never_fill_a_queue() {
        let (outbox, outgoing) = queue();
        outbox.push(Frame::Pong { token: 0 }, WINDOW).unwrap();
        for next in 0..1_000_000 {
            outbox.push(ack(next), WINDOW).unwrap();
        }
        assert_eq!(outgoing.0.waiting().slots.len(), 2);
        outbox.push(output(0), WINDOW).unwrap();
        outbox.push(ack(2_000_000), WINDOW).unwrap();
        let expected = [Frame::Pong { token: 0 }, output(0), ack(2_000_000)];
        assert_eq!(taken(&outgoing, 100), expected);
    }

    #[test]
    fn keeps_an_ack_that_may_concern_another_process() {
        let (outbox, outgoing) = queue();
        outbox.push(ack(1), WINDOW).unwrap();
        assert_eq!(taken(&outgoing, 1), [ack(1)]);
        let bye = Frame::Bye(rejoin_protocol::frame::Bye::Ending);
        for frame in [ack(2), bye.clone(), ack(3)] {
            outbox.push(frame, WINDOW).unwrap();
        }
        assert_eq!(taken(&outgoing, 100), [ack(2), bye, ack(3)]);
    }
}
