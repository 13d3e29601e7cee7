//! Which acknowledgements are worth sending (SPEC section 4.7).

use alloc::vec::Vec;
use core::time::Duration;

use crate::frame::Frame;
use crate::seq::Seq;

/// How many items may be delivered before the sender must get an Ack at once. A sender does not wait for
/// fewer, unless its window holds no more than that.
const FEW: u64 = 4;

/// Keeps acknowledgements from costing more than what they acknowledge. A typed key and its echo are one item
/// each. A frame of its own for each Ack would be one more packet to encrypt.
///
/// Acks are cumulative, so an Ack may be delayed, and a later Ack replaces it.
#[derive(Debug, Default)]
pub struct Acks {
    sent: Seq,
}

impl Acks {
    /// How long an Ack may wait for other frames.
    pub const DELAY: Duration = Duration::from_millis(10);

    /// Whether `frames` are nothing but acknowledgements of a few items.
    pub fn can_wait(&self, frames: &[Frame]) -> bool {
        frames.iter().all(|frame| match frame {
            Frame::Ack { next } => *next >= self.sent && next.since(self.sent) < FEW,
            _ => false,
        })
    }

    /// Removes from `frames`, which are about to be sent, every Ack that a later Ack replaces, with only
    /// items and heartbeats in between. After any other frame, the later Ack may be of another process, or
    /// void.
    pub fn thin(&mut self, frames: &mut Vec<Frame>) {
        let mut waiting: Option<usize> = None;
        let mut covered = Vec::new();
        for (place, frame) in frames.iter().enumerate() {
            match frame {
                Frame::Ack { next } => {
                    covered.extend(waiting.replace(place));
                    self.sent = *next;
                }
                Frame::Item { .. } | Frame::Ping { .. } | Frame::Pong { .. } => {}
                _ => waiting = None,
            }
        }
        for place in covered.into_iter().rev() {
            frames.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn ack(next: u64) -> Frame {
        Frame::Ack { next: Seq(next) }
    }

    #[test]
    fn of_many_acks_the_last_is_sent_in_its_place() {
        let mut frames = vec![ack(1), Frame::Ping { token: 7 }, ack(3), Frame::Pong { token: 7 }];
        Acks::default().thin(&mut frames);
        assert_eq!(frames, [Frame::Ping { token: 7 }, ack(3), Frame::Pong { token: 7 }]);
    }

    #[test]
    fn an_ack_in_front_of_what_changes_its_meaning_is_sent() {
        let mut frames = vec![ack(1), ack(2), Frame::Detach, ack(3)];
        Acks::default().thin(&mut frames);
        assert_eq!(frames, [ack(2), Frame::Detach, ack(3)]);
    }

    #[test]
    fn a_few_items_can_wait_to_be_acknowledged_and_many_cannot() {
        let mut acks = Acks::default();
        assert!(acks.can_wait(&[ack(2), ack(3)]));
        assert!(!acks.can_wait(&[ack(4)]));
        acks.thin(&mut vec![ack(4)]);
        assert!(acks.can_wait(&[ack(7)]));
        assert!(!acks.can_wait(&[ack(8)]));
    }

    #[test]
    fn what_is_said_beside_an_ack_waits_for_nothing() {
        assert!(!Acks::default().can_wait(&[ack(1), Frame::Ping { token: 0 }]));
    }

    #[test]
    fn the_first_ack_of_another_process_does_not_wait() {
        let mut acks = Acks::default();
        acks.thin(&mut vec![ack(100)]);
        assert!(!acks.can_wait(&[ack(1)]));
    }
}
