//! Which acknowledgements are worth sending (SPEC section 4.7).

use alloc::vec::Vec;
use core::time::Duration;

use crate::frame::Frame;
use crate::seq::Seq;

/// So many items may be handed over before the sender of them is told at once. It waits for none of
/// them, unless its window holds no more than that.
const FEW: u64 = 4;

/// Keeps acknowledgements from costing more than what they acknowledge: a typed key and its echo are
/// one item each, and a frame of its own for each is a packet of its own to encrypt.
///
/// Acks are cumulative, so that one may come later than it could, and a later one stands for it.
#[derive(Debug, Default)]
pub struct Acks {
    sent: Seq,
}

impl Acks {
    /// How long an acknowledgement may wait for company.
    pub const DELAY: Duration = Duration::from_millis(10);

    /// Whether `frames` are nothing but acknowledgements of a few items.
    pub fn can_wait(&self, frames: &[Frame]) -> bool {
        frames.iter().all(|frame| match frame {
            Frame::Ack { next } => *next >= self.sent && next.since(self.sent) < FEW,
            _ => false,
        })
    }

    /// Leaves out of `frames`, which are about to be sent, every Ack that a later one stands for.
    pub fn thin(&mut self, frames: &mut Vec<Frame>) {
        let acks = frames.iter().filter(|frame| is_ack(frame)).count();
        let mut seen = 0;
        frames.retain(|frame| {
            seen += usize::from(is_ack(frame));
            !is_ack(frame) || seen == acks
        });
        let last = frames.iter().find_map(|frame| match frame {
            Frame::Ack { next } => Some(*next),
            _ => None,
        });
        self.sent = last.unwrap_or(self.sent);
    }
}

fn is_ack(frame: &Frame) -> bool {
    matches!(frame, Frame::Ack { .. })
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
