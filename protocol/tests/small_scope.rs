//! The replay log and the receiver in every sequence of up to eight operations, against references
//! of a few lines.
//!
//! Both are functions of their state, so it is enough to do each operation once in every state that
//! some sequence reaches.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fmt::Debug;
use std::hash::Hash;

use bytes::Bytes;
use common::exit;
use rejoin_protocol::receive::{Arrival, Receive};
use rejoin_protocol::replay::{NeverSent, ReplayLog};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Item, Seq};

/// The longest sequence of operations.
const LONGEST: usize = 8;

/// Does all sequences of up to `longest` operations, each operation once in every state. `step`
/// asserts what holds. Returns the number of different states.
fn explore<S, O>(start: S, longest: usize, operations: &[O], step: impl Fn(&mut S, &O)) -> usize
where
    S: Clone + Eq + Hash + Debug,
    O: Debug,
{
    // Only its members count, in no order.
    #[allow(clippy::disallowed_types)]
    let mut seen = std::collections::HashSet::from([start.clone()]);
    let mut layer = vec![start];
    for _ in 0..longest {
        let mut reached = Vec::new();
        for state in &layer {
            for operation in operations {
                let mut next = state.clone();
                step(&mut next, operation);
                if seen.insert(next.clone()) {
                    reached.push(next);
                }
            }
        }
        layer = reached;
    }
    seen.len()
}

/// An item that differs from its neighbours, or the exit status.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Empty,
    Bytes(usize),
    Exit,
}

impl Kind {
    fn item(self, number: u64) -> Item {
        match self {
            Self::Empty => Item::InputEnd,
            Self::Bytes(len) => Item::Input(Bytes::from(vec![u8::try_from(number).unwrap(); len])),
            Self::Exit => exit(u8::try_from(number).unwrap()),
        }
    }
}

/// What SPEC section 5.3 says of the replay log: items by number, and where the two sides stand.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Log {
    held: Vec<(u64, Item)>,
    acknowledged: u64,
    sent: u64,
    next: u64,
    window: u64,
    drops: bool,
    /// Where the input of a predecessor ends, and its cost.
    left: Option<(u64, u64)>,
}

fn end(held: &(u64, Item)) -> u64 {
    held.1.end(Seq(held.0)).0
}

impl Log {
    fn new(window: u64, drops: bool) -> Self {
        Self { held: Vec::new(), acknowledged: 0, sent: 0, next: 0, window, drops, left: None }
    }

    fn cost(&self) -> u64 {
        self.held.iter().map(|it| it.1.cost()).sum::<u64>() + self.left.map_or(0, |left| left.1)
    }

    fn in_flight(&self) -> u64 {
        self.held.iter().filter(|it| end(it) <= self.sent).map(|it| it.1.cost()).sum()
    }

    fn push(&mut self, item: Item) -> Result<Seq, Item> {
        let always = self.drops || matches!(item, Item::Exit(_));
        if !always && self.cost() + item.cost() > self.window {
            return Err(item);
        }
        self.held.push((self.next, item));
        self.next += 1;
        while self.drops && self.cost() > self.window && self.widen_gap() {}
        Ok(Seq(self.next - 1))
    }

    /// The oldest item that was not sent goes into the gap before it, or becomes one.
    fn widen_gap(&mut self) -> bool {
        let Some(first) = self.held.iter().position(|it| end(it) > self.sent) else { return false };
        let is_gap = matches!(self.held[first].1, Item::Gap { .. });
        let last = first + usize::from(is_gap);
        match self.held.get(last) {
            None | Some((_, Item::Exit(_))) => return false,
            Some(_) => {}
        }
        let gap = Item::Gap { next: Seq(end(&self.held[last])) };
        let start = self.held[first].0;
        self.held.splice(first..=last, [(start, gap)]);
        true
    }

    fn acknowledge(&mut self, next: u64) -> Result<(), NeverSent> {
        if next > self.sent {
            return Err(NeverSent);
        }
        self.held.retain(|it| end(it) > next);
        self.acknowledged = self.acknowledged.max(next);
        self.left = self.left.filter(|left| left.0 > self.acknowledged);
        Ok(())
    }

    fn rewind(&mut self, from: u64) {
        let first = self.left.map_or(0, |left| left.0).max(self.acknowledged);
        self.sent = from.clamp(first, self.next);
    }

    fn take(&mut self) -> Option<(Seq, Item)> {
        let (start, item) = self.held.iter().find(|it| end(it) > self.sent)?.clone();
        let ahead = self.in_flight() + self.left.map_or(0, |left| left.1);
        let may_fly = if self.drops {
            self.in_flight() < self.window / 2
        } else {
            matches!(item, Item::Exit(_)) || ahead + item.cost() <= self.window
        };
        let seq = start.max(self.sent);
        self.sent = if may_fly { item.end(Seq(seq)).0 } else { self.sent };
        may_fly.then_some((Seq(seq), item))
    }

    fn room(&self) -> u64 {
        let kept = Item::OVERHEAD + (self.window / 16).min(2048);
        if self.drops { self.window / 4 } else { self.window.saturating_sub(self.cost() + kept) }
    }
}

#[derive(Debug)]
enum LogOperation {
    Push(Kind),
    Send,
    /// Acknowledge up to this many behind what was acknowledged.
    Acknowledge(u64),
    /// Acknowledge everything that was sent, and this many more.
    AcknowledgeSent(u64),
    /// A new link, on which the other side has this many behind what it acknowledged.
    Rewind(u64),
    /// The other side has this many more than were sent.
    Skip(u64),
    /// The other side has this many behind what it acknowledged, which may be fewer than were sent.
    SkipFromAcknowledged(u64),
}

const LOG_OPERATIONS: [LogOperation; 12] = [
    LogOperation::Push(Kind::Empty),
    LogOperation::Push(Kind::Bytes(20)),
    LogOperation::Push(Kind::Bytes(70)),
    LogOperation::Push(Kind::Exit),
    LogOperation::Send,
    LogOperation::Acknowledge(1),
    LogOperation::AcknowledgeSent(0),
    LogOperation::AcknowledgeSent(1),
    LogOperation::Rewind(0),
    LogOperation::Rewind(1),
    LogOperation::Skip(1),
    LogOperation::SkipFromAcknowledged(1),
];

fn step_log((log, reference): &mut (ReplayLog, Log), operation: &LogOperation) {
    match *operation {
        LogOperation::Push(kind) => {
            let item = kind.item(reference.next);
            let is_open = log.is_open_for(&item);
            let pushed = log.push(item.clone());
            assert_eq!(is_open, pushed.is_ok(), "{item:?} in {log:?}");
            assert_eq!(pushed, reference.push(item), "{log:?}");
        }
        LogOperation::Send => assert_eq!(log.take_sendable(), reference.take(), "{log:?}"),
        LogOperation::Acknowledge(more) => {
            let next = reference.acknowledged + more;
            assert_eq!(log.acknowledge(Seq(next)), reference.acknowledge(next), "{next} {log:?}");
        }
        LogOperation::AcknowledgeSent(more) => {
            let next = reference.sent + more;
            assert_eq!(log.acknowledge(Seq(next)), reference.acknowledge(next), "{next} {log:?}");
        }
        LogOperation::Rewind(more) => {
            let from = reference.acknowledged + more;
            log.rewind(Seq(from));
            reference.rewind(from);
        }
        LogOperation::Skip(more) => {
            let accepted = reference.sent + more;
            log.skip(Seq(accepted));
            reference.rewind(accepted);
        }
        LogOperation::SkipFromAcknowledged(more) => {
            let accepted = reference.acknowledged + more;
            log.skip(Seq(accepted));
            if accepted > reference.sent {
                reference.rewind(accepted);
            }
        }
    }
    assert_same_log(log, reference);
}

fn assert_same_log(log: &ReplayLog, reference: &Log) {
    let numbers = (log.base().0, log.sent().0, log.next().0);
    let expected = (reference.acknowledged, reference.sent, reference.next);
    assert_eq!(numbers, expected, "{log:?} {reference:?}");
    assert_eq!(log.in_flight(), reference.in_flight(), "{log:?}");
    assert_eq!(log.room() as u64, reference.room(), "{log:?}");
    let held: usize = reference.held.iter().map(|it| it.1.payload().len()).sum();
    assert_eq!(log.unacknowledged_bytes(), held as u64, "{log:?}");
}

#[test]
fn a_log_that_blocks_does_as_its_reference() {
    let mut states = 0;
    for window in [0, 64, 150, 280, 2000] {
        let start = (ReplayLog::new(window, Overflow::Block), Log::new(window, false));
        states += explore(start, LONGEST, &LOG_OPERATIONS, step_log);
    }
    assert!(states > 20_000, "{states} states");
}

#[test]
fn a_log_that_drops_does_as_its_reference() {
    let mut states = 0;
    for window in [64, 280] {
        let start = (ReplayLog::new(window, Overflow::DropOldest), Log::new(window, true));
        states += explore(start, LONGEST, &LOG_OPERATIONS, step_log);
    }
    assert!(states > 100_000, "{states} states");
}

#[test]
fn a_claimants_log_does_as_its_reference() {
    const WINDOW: u64 = 280;
    let mut states = 0;
    for (queued, handed_over, accepted, buffered) in
        [(0, 0, 0, 0), (2, 3, 3, 0), (0, 3, 5, 140), (2, 3, 5, 140), (3, 3, 4, 84), (1, 3, 5, 300)]
    {
        let mut log = ReplayLog::new(4 * WINDOW, Overflow::Block);
        let mut reference = Log::new(WINDOW, false);
        for number in 0..queued {
            let item = Kind::Bytes(20).item(accepted + number);
            log.push(item.clone()).unwrap();
            reference.held.push((accepted + number, item));
        }
        log.rebase(Seq(handed_over), Seq(accepted), buffered, WINDOW);
        reference.acknowledged = handed_over;
        reference.sent = accepted;
        reference.next = accepted + queued;
        reference.left = (handed_over < accepted).then_some((accepted, buffered));
        assert_same_log(&log, &reference);
        states += explore((log, reference), LONGEST, &LOG_OPERATIONS, step_log);
    }
    assert!(states > 5_000, "{states} states");
}

/// What SPEC section 5.2 says of the receiver: the items that it accepted and did not hand over, by
/// the number behind them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Accepted {
    /// The next number, where no item waits.
    first: u64,
    /// The number behind each item, and its cost.
    items: Vec<(u64, u64)>,
    handed_over: u64,
    window: u64,
}

impl Accepted {
    fn next(&self) -> u64 {
        self.items.last().map_or(self.first, |item| item.0)
    }

    fn buffered(&self) -> u64 {
        self.items.iter().filter(|item| item.0 > self.handed_over).map(|item| item.1).sum()
    }

    fn accept(&mut self, seq: u64, item: Item) -> Arrival {
        let (next, end) = (self.next(), item.end(Seq(seq)).0);
        let needed = if matches!(item, Item::Exit(_)) { 0 } else { item.cost() };
        if end <= next {
            Arrival::Duplicate
        } else if seq > next {
            Arrival::Ahead
        } else if self.buffered() + needed > self.window {
            Arrival::Excess
        } else {
            self.items.push((end, item.cost()));
            Arrival::New(Seq(next), item)
        }
    }

    fn hand_over(&mut self, next: u64) -> bool {
        let before = self.handed_over;
        self.handed_over = before.max(next.min(self.next()));
        self.first = self.next();
        self.items.retain(|item| item.0 > self.handed_over);
        self.handed_over > before
    }
}

#[derive(Debug)]
enum ReceiveOperation {
    /// An item comes whose number is this far from the next one.
    Accept(i64, Kind),
    /// A gap comes: its number and its end, from the next one.
    Gap(i64, u64),
    /// Handed over is this many more.
    HandOver(u64),
    /// Handed over is one less than before: late news.
    HandOverLate,
    /// Handed over is everything that was accepted, and this many more.
    HandOverAll(u64),
}

#[test]
fn a_receiver_does_as_its_reference() {
    use ReceiveOperation::{Accept, Gap, HandOver, HandOverAll, HandOverLate};
    let operations = [
        Accept(0, Kind::Empty),
        Accept(0, Kind::Bytes(20)),
        Accept(0, Kind::Bytes(70)),
        Accept(0, Kind::Exit),
        Accept(-1, Kind::Bytes(20)),
        Accept(1, Kind::Bytes(20)),
        Gap(0, 2),
        Gap(-1, 2),
        Gap(-1, 0),
        Gap(1, 3),
        HandOver(0),
        HandOver(1),
        HandOverLate,
        HandOverAll(0),
        HandOverAll(1),
    ];
    let mut states = 0;
    for (first, window) in [(0, 0), (3, 64), (3, 150), (3, 280)] {
        let receive = Receive::starting_at(Seq(first), window);
        let accepted = Accepted { first, items: Vec::new(), handed_over: first, window };
        states += explore((receive, accepted), LONGEST, &operations, step_receive);
    }
    assert!(states > 5_000, "{states} states");
}

fn step_receive((receive, reference): &mut (Receive, Accepted), operation: &ReceiveOperation) {
    let next = reference.next();
    let near = |offset| next.saturating_add_signed(offset);
    let (seq, item) = match *operation {
        ReceiveOperation::Accept(offset, kind) => (near(offset), kind.item(near(offset))),
        ReceiveOperation::Gap(offset, end) => (near(offset), Item::Gap { next: Seq(next + end) }),
        ReceiveOperation::HandOver(more) => {
            return hand_over(receive, reference, reference.handed_over + more);
        }
        ReceiveOperation::HandOverLate => {
            return hand_over(receive, reference, reference.handed_over.saturating_sub(1));
        }
        ReceiveOperation::HandOverAll(more) => return hand_over(receive, reference, next + more),
    };
    let arrival = receive.accept(Seq(seq), item.clone());
    assert_eq!(arrival, reference.accept(seq, item), "{receive:?}");
    assert_same_receive(receive, reference);
}

fn hand_over(receive: &mut Receive, reference: &mut Accepted, to: u64) {
    let is_news = receive.hand_over(Seq(to));
    assert_eq!(is_news, reference.hand_over(to), "{to} {receive:?}");
    assert_same_receive(receive, reference);
}

fn assert_same_receive(receive: &Receive, reference: &Accepted) {
    let counters = (receive.accepted().0, receive.handed_over().0, receive.buffered());
    let expected = (reference.next(), reference.handed_over, reference.buffered());
    assert_eq!(counters, expected, "{receive:?} {reference:?}");
}

/// A log and its receiver, with what is on its way between them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pair {
    log: ReplayLog,
    receive: Receive,
    pushed: u64,
    link: Vec<(Seq, Item)>,
    /// The numbers behind what was accepted and not handed over.
    waiting: Vec<Seq>,
}

#[derive(Debug)]
enum PairOperation {
    Push(usize),
    Send,
    Arrive,
    HandOver,
    Acknowledge,
    /// A new link for the same two: what was on its way is lost.
    Cut,
}

const PAIR_WINDOW: u64 = 300;

fn step_pair(pair: &mut Pair, operation: &PairOperation, drops: bool) {
    match *operation {
        PairOperation::Push(len) => {
            let item = Kind::Bytes(len).item(pair.pushed);
            pair.pushed += u64::from(pair.log.push(item).is_ok());
        }
        PairOperation::Send => pair.link.extend(pair.log.take_sendable()),
        PairOperation::Arrive if pair.link.is_empty() => {}
        PairOperation::Arrive => pair.arrive(drops),
        PairOperation::HandOver if pair.waiting.is_empty() => {}
        PairOperation::HandOver => assert!(pair.receive.hand_over(pair.waiting.remove(0))),
        PairOperation::Acknowledge => pair.log.acknowledge(pair.receive.handed_over()).unwrap(),
        PairOperation::Cut => {
            pair.link.clear();
            pair.log.rewind(pair.receive.accepted());
        }
    }
    assert!(pair.log.base() <= pair.receive.handed_over(), "{pair:?}");
    assert!(pair.receive.accepted() <= pair.log.sent(), "{pair:?}");
    assert!(pair.receive.buffered() <= PAIR_WINDOW, "{pair:?}");
}

impl Pair {
    /// What arrives is the next item, as it was pushed; a gap only where items may be dropped.
    fn arrive(&mut self, drops: bool) {
        let wanted = self.receive.accepted();
        let (seq, item) = self.link.remove(0);
        let arrival = self.receive.accept(seq, item);
        let Arrival::New(at, item) = arrival else { panic!("{arrival:?} at {wanted}: {self:?}") };
        assert_eq!(at, wanted, "{self:?}");
        match &item {
            Item::Gap { next } => assert!(drops && *next > at && next.0 <= self.pushed, "{self:?}"),
            item => {
                let kind = Kind::Bytes(item.payload().len());
                assert_eq!(*item, kind.item(at.0), "{self:?}");
            }
        }
        self.waiting.push(item.end(at));
    }
}

#[test]
fn what_a_log_sends_arrives_once_and_in_order_over_any_cuts() {
    let operations = [
        PairOperation::Push(10),
        PairOperation::Push(60),
        PairOperation::Send,
        PairOperation::Arrive,
        PairOperation::HandOver,
        PairOperation::Acknowledge,
        PairOperation::Cut,
    ];
    for (overflow, drops) in [(Overflow::Block, false), (Overflow::DropOldest, true)] {
        let start = Pair {
            log: ReplayLog::new(PAIR_WINDOW, overflow),
            receive: Receive::starting_at(Seq(0), PAIR_WINDOW),
            pushed: 0,
            link: Vec::new(),
            waiting: Vec::new(),
        };
        let states = explore(start, 2 * LONGEST, &operations, |pair, operation| {
            step_pair(pair, operation, drops);
        });
        assert!(states > 400, "{states} states");
    }
}
