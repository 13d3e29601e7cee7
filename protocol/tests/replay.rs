//! The replay log and the receiving side against simple references.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::Bytes;
use common::{exit, input};
use proptest::prelude::*;
use rejoin_protocol::receive::{Arrival, Receive};
use rejoin_protocol::replay::{NeverSent, ReplayLog};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Item, Seq, Stream};

const WINDOW: u64 = 2000;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Send,
    /// The receiver hands over one item, and says so; the word may be lost.
    Take {
        is_told: bool,
    },
    /// A new link, for the same receiver.
    Cut,
    /// A new link, for a receiver that starts with what is held.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0usize..600).prop_map(Step::Push),
        4 => Just(Step::Send),
        2 => any::<bool>().prop_map(|is_told| Step::Take { is_told }),
        1 => Just(Step::Cut),
        1 => Just(Step::Restart),
    ]
}

/// A log, who receives from it, and everything that was ever pushed.
struct Pair {
    log: ReplayLog,
    receive: Receive,
    pushed: Vec<Item>,
    untaken: Vec<Seq>,
}

impl Pair {
    fn new(overflow: Overflow) -> Self {
        Self {
            log: ReplayLog::new(WINDOW, overflow),
            receive: Receive::starting_at(Seq(0), WINDOW),
            pushed: Vec::new(),
            untaken: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push(len) => self.push(*len),
            Step::Send => drop(self.send()),
            Step::Take { is_told } => drop(self.take(*is_told)),
            Step::Cut => self.log.rewind(self.receive.accepted()),
            Step::Restart => {
                self.log.rewind(self.log.base());
                self.receive = Receive::starting_at(self.log.sent(), WINDOW);
                self.untaken.clear();
            }
        }
        assert!(self.log.unacknowledged_bytes() <= WINDOW, "more is held than the window");
        assert!(self.receive.buffered() <= WINDOW + Item::OVERHEAD);
        assert_eq!(self.log.next(), Seq(self.pushed.len() as u64));
    }

    fn push(&mut self, len: usize) {
        let data = Bytes::from(vec![u8::try_from(self.pushed.len() % 251).unwrap(); len]);
        let item = Item::Output { stream: Stream::Stdout, data };
        let (room, is_open) = (self.log.room(), self.log.is_open_for(&item));
        match self.log.push(item.clone()) {
            Ok(seq) => {
                assert!(is_open);
                assert_eq!(seq, Seq(self.pushed.len() as u64));
                self.pushed.push(item);
            }
            Err(back) => {
                assert!(!is_open && len >= room, "{len} bytes do not fit into a room of {room}");
                assert_eq!(back, item);
            }
        }
    }

    /// Sends one item; what arrives is what was pushed, or a gap that says exactly what is not.
    fn send(&mut self) -> bool {
        let Some((seq, item)) = self.log.take_sendable() else { return false };
        let wanted = self.receive.accepted();
        let Arrival::New(at, item) = self.receive.accept(seq, item) else {
            panic!("{seq} was sent, {wanted} is wanted")
        };
        assert_eq!(at, wanted);
        match &item {
            Item::Gap { next } => assert!(*next > at && *next <= self.log.next()),
            item => assert_eq!(item, &self.pushed[usize::try_from(at.0).unwrap()]),
        }
        self.untaken.push(item.end(at));
        true
    }

    fn take(&mut self, is_told: bool) -> bool {
        if self.untaken.is_empty() {
            return false;
        }
        assert!(self.receive.hand_over(self.untaken.remove(0)));
        if is_told {
            self.log.acknowledge(self.receive.handed_over()).unwrap();
        }
        true
    }

    /// Everything that is left arrives, on a new link.
    fn drain(&mut self) {
        self.log.rewind(self.receive.accepted());
        self.log.acknowledge(self.receive.handed_over()).unwrap();
        while self.send() || self.take(true) {}
        assert_eq!(self.receive.handed_over(), Seq(self.pushed.len() as u64));
        assert_eq!(self.log.base(), self.log.next());
    }
}

proptest! {
    #[test]
    fn what_blocks_loses_nothing(steps in prop::collection::vec(step(), 0..200)) {
        let mut pair = Pair::new(Overflow::Block);
        for step in &steps {
            pair.step(step);
            prop_assert!(!pair.untaken.iter().any(|_| pair.log.base() > pair.receive.handed_over()));
        }
        pair.drain();
    }

    #[test]
    fn what_drops_says_exactly_what_and_never_waits(
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut pair = Pair::new(Overflow::DropOldest);
        for step in &steps {
            prop_assert!(pair.log.room() > 0);
            pair.step(step);
        }
        pair.pushed.push(exit(0));
        pair.log.push(exit(0)).unwrap();
        for _ in 0..3 {
            prop_assert!(pair.log.push(input("late")).is_ok());
            pair.pushed.push(input("late"));
        }
        pair.drain();
    }

    #[test]
    fn only_acknowledgement_trims(count in 1u64..20, sent in 0u64..20, next in 0u64..30) {
        let mut log = ReplayLog::new(WINDOW, Overflow::Block);
        for _ in 0..count {
            log.push(input("x")).unwrap();
        }
        let sent = sent.min(count);
        for _ in 0..sent {
            log.take_sendable().unwrap();
        }
        prop_assert_eq!(log.base(), Seq(0));
        prop_assert_eq!(log.unacknowledged_bytes(), count);
        let answer = log.acknowledge(Seq(next));
        prop_assert_eq!(answer, if next > sent { Err(NeverSent) } else { Ok(()) });
        let left = if next > sent { count } else { count - next };
        prop_assert_eq!(log.unacknowledged_bytes(), left);
    }
}

#[test]
fn the_exit_status_always_fits_and_is_never_dropped() {
    // In a window of 100 not even a gap and the exit fit beside each other.
    for (overflow, window) in
        [(Overflow::Block, 200), (Overflow::DropOldest, 200), (Overflow::DropOldest, 100)]
    {
        let mut log = ReplayLog::new(window, overflow);
        while log.room() > 0 && log.next() < Seq(9) {
            log.push(input("0123456789")).unwrap();
        }
        log.push(exit(1)).unwrap();
        let mut last = None;
        while let Some((seq, item)) = log.take_sendable() {
            let end = item.end(seq);
            log.acknowledge(end).unwrap();
            last = Some(item);
        }
        assert_eq!(last, Some(exit(1)), "{overflow:?}");
    }
}

#[test]
fn a_claimants_log_begins_behind_what_its_predecessor_left() {
    let mut log = ReplayLog::new(4 * WINDOW, Overflow::Block);
    for _ in 0..3 {
        log.push(Item::Input(Bytes::from(vec![0; 400]))).unwrap();
    }
    log.rebase(Seq(5), Seq(7), 1000, WINDOW);
    // 1000 bytes are the predecessor's, 464 the first item's: a third one has to wait.
    assert_eq!(log.take_sendable().map(|(seq, _)| seq), Some(Seq(7)));
    assert_eq!(log.take_sendable().map(|(seq, _)| seq), Some(Seq(8)));
    assert_eq!(log.take_sendable(), None);
    // On a new link what the predecessor left is not sent, and its taking is no news.
    log.rewind(log.base());
    assert_eq!(log.sent(), Seq(7));
    assert_eq!(log.acknowledge(Seq(7)), Ok(()));
    assert_eq!(log.take_sendable().map(|(seq, _)| seq), Some(Seq(7)));
}

#[test]
fn numbers_at_the_end_of_the_range_do_not_panic() {
    let mut log = ReplayLog::new(u64::MAX, Overflow::Block);
    log.push(input("x")).unwrap();
    log.rebase(Seq(0), Seq(u64::MAX), u64::MAX, WINDOW);
    assert_eq!(log.room(), 0);
    assert_eq!(log.push(input("x")), Err(input("x")));
    let mut receive = Receive::starting_at(Seq(u64::MAX), u64::MAX);
    assert_eq!(receive.accept(Seq(u64::MAX), input("x")), Arrival::Duplicate);
    assert_eq!(receive.accept(Seq(0), Item::Gap { next: Seq(u64::MAX) }), Arrival::Duplicate);
}

#[test]
fn accepted_and_handed_over_are_two_counters() {
    let mut receive = Receive::starting_at(Seq(3), WINDOW);
    assert_eq!(receive.accept(Seq(3), input("ab")), Arrival::New(Seq(3), input("ab")));
    assert_eq!((receive.accepted(), receive.handed_over()), (Seq(4), Seq(3)));
    assert_eq!(receive.buffered(), 66);
    assert_eq!(receive.accept(Seq(3), input("ab")), Arrival::Duplicate);
    assert_eq!(receive.accept(Seq(5), input("ab")), Arrival::Ahead);
    let large = Item::Input(Bytes::from(vec![0; 2000]));
    assert_eq!(receive.accept(Seq(4), large), Arrival::Excess);
    // What was never accepted cannot have been handed over.
    assert!(receive.hand_over(Seq(100)));
    assert_eq!((receive.handed_over(), receive.buffered()), (Seq(4), 0));
    assert!(!receive.hand_over(Seq(4)));
}

#[test]
fn a_gap_that_begins_before_what_is_wanted_is_taken_from_there() {
    let mut receive = Receive::starting_at(Seq(3), WINDOW);
    let gap = Item::Gap { next: Seq(9) };
    assert_eq!(receive.accept(Seq(1), gap.clone()), Arrival::New(Seq(3), gap));
    assert_eq!(receive.accepted(), Seq(9));
}

#[test]
fn a_flood_that_drops_the_oldest_costs_each_item_the_same() {
    const FLOOD: u64 = 600_000;
    const LARGE: u64 = 16 * 1024 * 1024;
    let mut log = ReplayLog::new(LARGE, Overflow::DropOldest);
    // A push that looked at everything held would look at a quarter of a million items, half a
    // million times over: very long, where this takes a moment.
    for _ in 0..FLOOD {
        log.push(Item::Output { stream: Stream::Stdout, data: Bytes::from_static(b"x") }).unwrap();
    }
    let first = log.take_sendable();
    let Some((Seq(0), Item::Gap { next })) = first else { panic!("no gap: {first:?}") };
    // The gap has a cost, too, which is that of an item without its byte.
    let held = FLOOD - next.0;
    assert_eq!(held, (LARGE - Item::OVERHEAD) / (Item::OVERHEAD + 1));
}
