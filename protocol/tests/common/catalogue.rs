//! One frame of every kind and variant, by name.

use bytes::Bytes;
use rejoin_protocol::error::{Divergence, FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, How, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, ClientName, Counter, ExitStatus, Frame, Holder, Incarnation, Item, Reason, Seq,
    Signal, SpawnError, SpawnErrorKind, Stream, Tenure, VersionRange, WindowSize,
};

use super::{ALICE, EPOCH, HOST, OTHER_EPOCH, OTHER_HOST};

type Named = (&'static str, Frame);

/// Every frame of the golden vectors.
pub fn frames() -> Vec<Named> {
    [greetings(), hellos(), welcomes(), refusals(), items(), others(), byes()].concat()
}

fn greetings() -> Vec<Named> {
    vec![("greeting", super::greeting(HOST))]
}

fn hellos() -> Vec<Named> {
    let hello = |attach, tenure, wish| super::hello(ALICE, attach, tenure, wish);
    let expected = Holder { epoch: EPOCH, incarnation: Incarnation(1), tenure: Tenure(2) };
    let closed = Wish::Close { incarnation: Incarnation(0), scope: Scope::Process };
    let claim = |expected, from| hello(1, 0, Wish::Claim { expected, from });
    let resume = |incarnation, next_output| Wish::Resume {
        incarnation: Incarnation(incarnation),
        epoch: EPOCH,
        next_output: Seq(next_output),
    };
    vec![
        ("hello open", hello(1, 0, super::open(0))),
        ("hello resume", hello(2, 0, resume(0, 5))),
        ("hello resume, large numbers", hello(300, 70_000, resume(u64::MAX, 1 << 63))),
        ("hello claim, holder not known", claim(None, From::FirstHeld)),
        ("hello claim, latest", claim(Some(expected), From::Latest)),
        ("hello claim, from a number", claim(Some(expected), From::Seq(Seq(128)))),
        ("hello close", hello(3, 1, super::close(0))),
        ("hello close, of a process that has ended", hello(3, 1, closed)),
    ]
}

fn welcomes() -> Vec<Named> {
    let mut resumed = super::welcome(2, How::Resumed);
    resumed.accepted = Seq(7);
    resumed.handed_over = Seq(6);
    resumed.buffered = 70;
    resumed.first_output = Seq(127);
    resumed.next_output = Seq(128);
    let mut claimed = super::welcome(1, How::Claimed);
    claimed.tenure = Tenure(3);
    vec![
        ("welcome, opened", Frame::Welcome(super::welcome(1, How::Opened))),
        ("welcome, resumed", Frame::Welcome(resumed)),
        ("welcome, claimed", Frame::Welcome(claimed)),
    ]
}

/// Every reason, in the order of their numbers.
pub fn reasons() -> Vec<(&'static str, Reason)> {
    let by = Holder { epoch: EPOCH, incarnation: Incarnation(1), tenure: Tenure(2) };
    let name = ClientName::new("bob@laptop");
    let failed = |kind| Reason::SpawnFailed(SpawnError::new(kind, "exec: no"));
    vec![
        ("process gone", Reason::ProcessGone),
        ("unknown", Reason::Unknown),
        ("epoch mismatch", Reason::EpochMismatch { current: OTHER_EPOCH }),
        ("different host", Reason::DifferentHost { host: OTHER_HOST }),
        ("diverged, output ahead", Reason::Diverged(Divergence::OutputAhead)),
        ("diverged, output behind", Reason::Diverged(Divergence::OutputBehind)),
        ("diverged, input ahead", Reason::Diverged(Divergence::InputAhead)),
        ("diverged, input behind", Reason::Diverged(Divergence::InputBehind)),
        ("diverged, identity", Reason::Diverged(Divergence::Identity)),
        ("gap", Reason::Gap { first_held: Seq(9) }),
        ("stale", Reason::Stale { last: AttachNumber(4) }),
        ("held", Reason::Held { by, name: name.clone() }),
        ("superseded", Reason::Superseded { by: Tenure(3), name }),
        ("spawn failed, not found", failed(SpawnErrorKind::NotFound)),
        ("spawn failed, permission denied", failed(SpawnErrorKind::PermissionDenied)),
        ("spawn failed, bad directory", failed(SpawnErrorKind::BadDirectory)),
        ("spawn failed, other", failed(SpawnErrorKind::Other)),
        ("incompatible", Reason::Incompatible { supported: VersionRange::SUPPORTED }),
        ("unresponsive", Reason::Unresponsive),
        ("forbidden", Reason::Forbidden { message: "not yours".into() }),
        ("exhausted, incarnation", Reason::Exhausted(Counter::Incarnation)),
        ("exhausted, tenure", Reason::Exhausted(Counter::Tenure)),
        ("exhausted, attach number", Reason::Exhausted(Counter::AttachNumber)),
    ]
}

fn refusals() -> Vec<Named> {
    let known = Counters { used: Some(Incarnation(1)), tenure: Tenure(2), epoch: Some(EPOCH) };
    reasons()
        .into_iter()
        .map(|(name, reason)| {
            let counters =
                if matches!(reason, Reason::Held { .. }) { known } else { Counters::default() };
            let attach = AttachNumber(1);
            (name, Frame::Refused(Refused { attach, reason, counters }))
        })
        .collect()
}

fn items() -> Vec<Named> {
    let data = Bytes::from_static(b"oops\n");
    let size = WindowSize { rows: 24, cols: 80, xpixel: 0, ypixel: 600 };
    vec![
        ("input", super::item(0, super::input("ls\n"))),
        ("input, empty", super::item(1, super::input(""))),
        ("input end", super::item(127, Item::InputEnd)),
        ("resize", super::item(128, Item::Resize(size))),
        ("signal", super::item(16_384, Item::Signal(Signal::INT))),
        ("output, stdout", super::item(0, super::output("hello\n"))),
        ("output, stderr", super::item(1, Item::Output { stream: Stream::Stderr, data })),
        ("exit, code", super::item(u64::MAX, super::exit(3))),
        ("exit, signal", super::item(2, Item::Exit(ExitStatus::Signal(Signal::KILL)))),
        ("gap", super::item(2, Item::Gap { next: Seq(300) })),
    ]
}

fn others() -> Vec<Named> {
    vec![
        ("ack", super::ack(300)),
        ("ping", Frame::Ping { token: 1 << 40 }),
        ("pong", Frame::Pong { token: 1 << 40 }),
        ("superseded", Frame::Superseded { by: Tenure(1), name: ClientName::new("bob@laptop") }),
        ("detach", Frame::Detach),
        ("close", Frame::Close),
        ("closed", Frame::Closed { attach: AttachNumber(3), ended: 2 }),
    ]
}

fn byes() -> Vec<Named> {
    let misbehaved = |what| Frame::Bye(Bye::Misbehaved(what));
    let frame = |error| misbehaved(Misbehaviour::Frame(error));
    vec![
        ("bye, frame too long", frame(FrameError::TooLong { kind: 6, length: 5000, limit: 4096 })),
        ("bye, frame empty", frame(FrameError::Empty)),
        ("bye, unknown kind", frame(FrameError::UnknownKind(0x0e))),
        ("bye, bad header", frame(FrameError::BadHeader(1))),
        ("bye, unexpected payload", frame(FrameError::UnexpectedPayload(6))),
        ("bye, no magic", frame(FrameError::NoMagic)),
        ("bye, bad payload", frame(FrameError::BadPayload(5))),
        ("bye, wrong side", misbehaved(Misbehaviour::WrongSide)),
        ("bye, skipped items", misbehaved(Misbehaviour::SkippedItems)),
        ("bye, window exceeded", misbehaved(Misbehaviour::WindowExceeded)),
        ("bye, silent", misbehaved(Misbehaviour::Silent)),
        ("bye, replaced", Frame::Bye(Bye::Replaced)),
        ("bye, ending", Frame::Bye(Bye::Ending)),
    ]
}
