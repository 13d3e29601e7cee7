//! Runs of both machines whose events are drawn at random: mostly what comes next in an honest run,
//! and now and then anything else. What two mutants do differently shows in a digest.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin_protocol::client::{Client, Event as C, OnLoss};
use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::frame::{From, Hello, How, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server::{Event as S, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    AttachNumber, ClientName, ExitStatus, Frame, Holder, HostId, Incarnation, Item, Link, Seq,
    SessionId, Signal, SpawnError, SpawnErrorKind, Stream, Tenure, Timer, Version, VersionRange,
};

use crate::common::catalogue::reasons;
use crate::common::drive::{ClientDrive, ServerDrive, past};
use crate::common::{ALICE, BOB, EPOCH, HOST, OTHER_EPOCH, OTHER_HOST, client_config, open};
use crate::common::{greeting, hello, item};

/// How many runs there are of each machine.
const RUNS: u64 = 300;

/// How long a run is.
const STEPS: usize = 60;

const TIMERS: [Timer; 7] = [
    Timer::Handshake,
    Timer::Heartbeat,
    Timer::LinkSilent,
    Timer::Reconnect,
    Timer::GiveUp,
    Timer::Stable,
    Timer::Retention,
];

/// A digest of what both machines do in all runs, and of which of them panic.
pub fn digest() -> u64 {
    let mut all = DefaultHasher::new();
    for seed in 0..RUNS {
        for run in [client, server] {
            let mut own = DefaultHasher::new();
            let ended = catch_unwind(AssertUnwindSafe(|| run(seed, &mut own)));
            (own.finish(), ended.is_ok()).hash(&mut all);
        }
    }
    all.finish()
}

/// Random numbers: xorshift, from a seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }

    /// A number around another one.
    fn near(&mut self, number: u64) -> u64 {
        (number + self.below(5)).saturating_sub(self.below(4))
    }

    fn bytes(&mut self) -> bytes::Bytes {
        let length = self.of(&[0usize, 1, 7, 40, 90]);
        vec![b'x'; length].into()
    }
}

/// What a run of a client knows of its server.
#[derive(Default)]
struct Peer {
    /// The next output.
    next: u64,
    /// How much input it has acknowledged, and how much the client was given.
    acked: u64,
    typed: u64,
}

fn client(seed: u64, seen: &mut DefaultHasher) {
    let mut dice = Dice::new(seed);
    let mut config = client_config(ALICE, dice.of(&[OnLoss::Respawn, OnLoss::Fail]));
    config.window = dice.of(&[144, 640, 70_000]);
    config.take_over = dice.one_in(2);
    if dice.one_in(6) {
        config.spec = None;
    }
    let from = dice.of(&[From::FirstHeld, From::Latest, From::Seq(Seq(2))]);
    let holder = Holder { epoch: EPOCH, incarnation: Incarnation(1), tenure: Tenure(2) };
    let client = match dice.below(4) {
        0 => Client::claim(&config, dice.of(&[None, Some(holder)]), from),
        1 => Client::close(&config, Incarnation(1), Tenure(1)),
        _ => Client::open(&config),
    };
    let mut drive = ClientDrive::new(config, client);
    let mut peer = Peer::default();
    for _ in 0..STEPS {
        let event = client_event(&mut dice, &drive, &mut peer);
        peer.typed += u64::from(matches!(event, C::Input(_)));
        if let C::LinkOpened(link) | C::LinkReplaced(link) = event {
            drive.link = link;
        }
        drive.step(event).hash(seen);
        (drive.client.input_room(), drive.client.name()).hash(seen);
    }
}

fn client_event(dice: &mut Dice, drive: &ClientDrive, peer: &mut Peer) -> C {
    let new = Link(drive.link.0 + 1);
    if dice.one_in(9) {
        let link = if dice.one_in(3) { Link(drive.link.0.saturating_sub(1)) } else { drive.link };
        return match dice.below(9) {
            0 => C::LinkLost(link),
            1 => C::LinkMisbehaved(link, Misbehaviour::Frame(FrameError::Empty)),
            2 => C::LinkReplaced(new),
            3 => C::Frame(link, frame_for_client(dice, drive, peer)),
            4 if dice.one_in(4) => C::Detach,
            4 | 5 => C::Timer(dice.of(&TIMERS)),
            6 if dice.one_in(3) => C::Close,
            6 => C::LinkFailed,
            7 if dice.one_in(5) => C::Unreachable,
            _ => C::Taken(Seq(dice.near(peer.next))),
        };
    }
    if drive.client.is_dialing() {
        return C::LinkOpened(new);
    }
    if drive.client.is_detached() {
        return C::Timer(Timer::Reconnect);
    }
    match dice.below(8) {
        0 | 1 => C::Input(some_item(dice)),
        2 if drive.client.is_attached() && dice.one_in(2) => C::Taken(Seq(dice.near(peer.next))),
        _ => C::Frame(drive.link, frame_for_client(dice, drive, peer)),
    }
}

fn some_item(dice: &mut Dice) -> Item {
    match dice.below(12) {
        0 => Item::InputEnd,
        1 => Item::Signal(Signal(9)),
        2 => Item::Exit(ExitStatus::Code(1)),
        3 => Item::Input(vec![0; Item::MAX_PAYLOAD + 1].into()),
        4 => Item::Input(vec![0; 20_000].into()),
        _ => Item::Input(dice.bytes()),
    }
}

fn frame_for_client(dice: &mut Dice, drive: &ClientDrive, peer: &mut Peer) -> Frame {
    if drive.client.is_attached() || dice.one_in(12) {
        return match dice.below(12) {
            0 => Frame::Ping { token: 7 },
            1 | 2 => {
                peer.acked = dice.below(6);
                Frame::Ack { next: Seq(peer.acked) }
            }
            3 | 4 => last_item(dice, peer.next),
            5 => any_frame(dice, drive),
            _ => {
                let seq = if dice.one_in(5) { dice.near(peer.next) } else { peer.next };
                peer.next = seq + 1;
                item(seq, Item::Output { stream: Stream::Stdout, data: dice.bytes() })
            }
        };
    }
    match dice.below(8) {
        0..=2 => {
            let rebooted = HostId { boot: [9; 16], ..HOST };
            greeting(dice.of(&[HOST, HOST, HOST, HOST, rebooted, OTHER_HOST]))
        }
        3 | 4 => {
            let mut welcome = drive.matching();
            welcome.window = dice.of(&[144, 640, 70_000]);
            if welcome.how == How::Resumed {
                let left = peer.typed.saturating_sub(peer.acked);
                welcome.handed_over = Seq(peer.acked + dice.below(2).min(left));
                welcome.accepted = Seq(welcome.handed_over.0 + dice.below(3).min(left));
            }
            if dice.one_in(3) {
                wrong(dice, &mut welcome);
            }
            (peer.next, peer.acked) = (welcome.next_output.0, welcome.handed_over.0);
            Frame::Welcome(welcome)
        }
        5 | 6 => refusal(dice, drive),
        _ => any_frame(dice, drive),
    }
}

fn last_item(dice: &mut Dice, next: u64) -> Frame {
    if dice.one_in(2) {
        let gap = Item::Gap { next: Seq(dice.near(next) + 1) };
        return item(next, gap);
    }
    let status = dice.of(&[ExitStatus::Code(3), ExitStatus::Signal(Signal(9))]);
    let seq = if dice.one_in(4) { dice.near(next) } else { next };
    item(seq, Item::Exit(status))
}

fn wrong(dice: &mut Dice, welcome: &mut rejoin_protocol::frame::Welcome) {
    match dice.below(12) {
        0 => welcome.accepted = Seq(dice.below(4)),
        1 => welcome.handed_over = Seq(dice.below(4)),
        2 => welcome.first_output = Seq(dice.below(4)),
        3 => welcome.next_output = Seq(dice.below(4)),
        4 => welcome.how = dice.of(&[How::Opened, How::Resumed, How::Claimed]),
        5 => welcome.tenure = Tenure(dice.below(4)),
        6 => welcome.incarnation = Incarnation(dice.below(3)),
        7 => welcome.epoch = OTHER_EPOCH,
        _ => {
            let accepted = dice.of(&[3, 3, 3, 1 << 63, u64::MAX]);
            (welcome.handed_over, welcome.accepted) = (Seq(1), Seq(accepted));
            welcome.buffered = 60;
        }
    }
}

fn refusal(dice: &mut Dice, drive: &ClientDrive) -> Frame {
    let (_, reason) = dice.of(&reasons());
    let held = || reasons().into_iter().map(|(_, reason)| reason).find(is_held);
    let reason = match dice.below(4) {
        0 => rejoin_protocol::Reason::ProcessGone,
        1 => held().unwrap(),
        _ => reason,
    };
    let used = dice.of(&[None, Some(Incarnation(4)), Some(Incarnation(u64::MAX))]);
    let tenure = Tenure(dice.of(&[0, 5, u64::MAX]));
    let late = u64::from(dice.one_in(4));
    let attach = AttachNumber(drive.attach_number().saturating_sub(late));
    Frame::Refused(Refused { attach, reason, counters: Counters { used, tenure, epoch: None } })
}

fn is_held(reason: &rejoin_protocol::Reason) -> bool {
    matches!(reason, rejoin_protocol::Reason::Held { .. })
}

fn any_frame(dice: &mut Dice, drive: &ClientDrive) -> Frame {
    let late = u64::from(dice.one_in(3));
    let attach = AttachNumber(drive.attach_number().saturating_sub(late));
    match dice.below(6) {
        0 => Frame::Closed { attach, ended: 2 },
        1 => Frame::Superseded { by: Tenure(4), name: ClientName::new("bob") },
        2 => Frame::Detach,
        3 => greeting(HOST),
        4 => refusal(dice, drive),
        _ => Frame::Refused(Refused {
            attach,
            reason: rejoin_protocol::Reason::Incompatible { supported: VersionRange::SUPPORTED },
            counters: Counters::default(),
        }),
    }
}

/// What a run of a server knows of it.
struct Host {
    drive: ServerDrive,
    /// The link that a Hello was sent on last.
    link: u64,
    attach: u64,
    sent: u64,
    written: u64,
}

fn server(seed: u64, seen: &mut DefaultHasher) {
    let mut dice = Dice::new(!seed);
    let failed = SpawnError::new(SpawnErrorKind::NotFound, "gone");
    let failed = dice.one_in(3).then_some((Incarnation(1), failed));
    let known = Past { failed, ended: 3, ..past(1, 2) };
    let past = dice.of(&[Past::default(), Past::default(), known]);
    let (used, drive) = (past.used, ServerDrive::absent(past));
    let mut host = Host { drive, link: 1, attach: 1, sent: 0, written: 0 };
    let incarnation = used.map_or(0, |_| 1 + dice.below(2));
    if dice.one_in(4) {
        let hello = some_hello(&mut dice, &mut host);
        host.drive.frame(1, hello).hash(seen);
    }
    host.drive.frame(1, hello(ALICE, 1, 2, open(incarnation))).hash(seen);
    for _ in 0..STEPS {
        let event = server_event(&mut dice, &mut host);
        host.drive.step(event).hash(seen);
        (host.drive.server.output_room(), host.drive.server.name()).hash(seen);
    }
}

fn server_event(dice: &mut Dice, host: &mut Host) -> S {
    let attached = host.drive.server.attached().unwrap_or(Link(host.link));
    let link = if dice.one_in(6) { Link(dice.below(host.link + 1)) } else { attached };
    if host.drive.server.name() == "Ending" && dice.one_in(4) {
        return S::Ended(2);
    }
    match dice.below(26) {
        0..=3 => {
            let hello = some_hello(dice, host);
            host.link += u64::from(!dice.one_in(5));
            S::Frame(Link(host.link), hello)
        }
        4 => report(dice),
        5 if dice.one_in(2) => S::Timer(dice.of(&TIMERS)),
        5 => S::LinkLost(link),
        6 if dice.one_in(3) => S::LinkMisbehaved(link, Misbehaviour::Frame(FrameError::Empty)),
        6 if dice.one_in(3) => S::Ended(2),
        6..=8 => S::TenureRecorded,
        9 => S::TenureNotRecorded,
        10 | 11 => S::InputTaken(Seq(dice.near(host.sent))),
        12..=14 => S::Frame(link, Frame::Ack { next: Seq(dice.near(host.written / 2)) }),
        15 if dice.one_in(3) => S::Frame(Link(host.link), Frame::Detach),
        15 => S::Frame(link, frame_for_server(dice)),
        16..=18 => {
            let seq = if dice.one_in(4) { dice.near(host.sent) } else { host.sent };
            host.sent = seq + 1;
            S::Frame(link, item(seq, some_item(dice)))
        }
        19 if dice.one_in(3) => {
            host.written += 1;
            S::Exited(dice.of(&[ExitStatus::Code(3), ExitStatus::Signal(Signal(9))]))
        }
        _ if matches!(host.drive.server.name(), "Starting") => {
            let overflow = dice.of(&[Overflow::Block, Overflow::DropOldest]);
            S::Started(EPOCH, Limits { window: dice.of(&[144, 640, 70_000]), overflow })
        }
        _ => {
            host.written += 1;
            S::Output(dice.of(&[Stream::Stdout, Stream::Stderr]), dice.bytes())
        }
    }
}

fn report(dice: &mut Dice) -> S {
    match dice.below(9) {
        0 => S::Displaced,
        1 => S::StartFailed(SpawnError::new(SpawnErrorKind::NotFound, "no")),
        2 => S::Ended(2),
        3 => S::Exited(ExitStatus::Code(5)),
        4 => S::InputTaken(Seq(99)),
        _ => S::TenureRecorded,
    }
}

fn frame_for_server(dice: &mut Dice) -> Frame {
    match dice.below(7) {
        0 => Frame::Detach,
        1 if dice.one_in(3) => Frame::Close,
        2 => Frame::Bye(rejoin_protocol::frame::Bye::Ending),
        3 => greeting(HOST),
        4 => Frame::Superseded { by: Tenure(4), name: ClientName::new("bob") },
        _ => Frame::Ping { token: 9 },
    }
}

fn some_hello(dice: &mut Dice, host: &mut Host) -> Frame {
    host.attach += u64::from(!dice.one_in(5));
    let who = dice.of(&[ALICE, ALICE, BOB]);
    let tenure = Tenure(dice.of(&[2, 2, 0, 3, u64::MAX]));
    let of_process = dice.one_in(8);
    let incarnation = Incarnation(if of_process { dice.below(3) } else { 0 });
    let epoch = if dice.one_in(6) { OTHER_EPOCH } else { EPOCH };
    let seq = Seq(dice.near(host.written / 2));
    let from = dice.of(&[From::FirstHeld, From::Latest, From::Seq(seq)]);
    let claimed = Tenure(dice.of(&[2, 2, 2, 0, 3]));
    let held = Holder { epoch, incarnation, tenure: claimed };
    let host_id = if dice.one_in(8) { OTHER_HOST } else { HOST };
    let spec = bytes::Bytes::from_static(b"spec");
    let wish = match dice.below(12) {
        0..=2 => Wish::Resume { incarnation, epoch, next_output: seq },
        3..=7 => Wish::Claim { expected: (!dice.one_in(5)).then_some(held), from },
        8 if dice.one_in(2) => {
            Wish::Close { incarnation, scope: dice.of(&[Scope::Session, Scope::Process]) }
        }
        8 => Wish::Unreadable,
        _ => Wish::Open { incarnation, host: host_id, spec },
    };
    let Frame::Hello(plain) = hello(who, host.attach, tenure.0, wish) else { unreachable!() };
    let strange = Hello { session: SessionId::from_bytes([7; 16]), ..plain.clone() };
    let later = Hello { version: Version(60), ..plain.clone() };
    Frame::Hello(match dice.below(14) {
        0 => strange,
        1 => later,
        _ => plain,
    })
}
