//! Arbitrary frames.

use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;
use rejoin_protocol::error::{Divergence, FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Greeting, Hello, How, Refused, Scope, Welcome, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, Capabilities, ClientInstance, ClientName, Epoch, ExitStatus, Frame, Holder,
    HostId, Incarnation, Item, Reason, Seq, SessionId, Signal, SpawnError, SpawnErrorKind, Stream,
    Tenure, Version, VersionRange, WindowSize,
};

/// Small and large numbers alike, so that every length of a varint occurs.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift)
}

fn seq() -> impl Strategy<Value = Seq> {
    number().prop_map(Seq)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<[u8; 16]>().prop_map(Epoch::from_bytes)
}

fn host() -> impl Strategy<Value = HostId> {
    any::<([u8; 16], [u8; 16])>().prop_map(|(machine, boot)| HostId { machine, boot })
}

fn versions() -> impl Strategy<Value = VersionRange> {
    any::<(u16, u16)>().prop_map(|(min, max)| VersionRange { min: Version(min), max: Version(max) })
}

fn name() -> impl Strategy<Value = ClientName> {
    ".{0,140}".prop_map(|name| ClientName::new(&name))
}

fn holder() -> impl Strategy<Value = Holder> {
    (epoch(), number(), number()).prop_map(|(epoch, incarnation, tenure)| Holder {
        epoch,
        incarnation: Incarnation(incarnation),
        tenure: Tenure(tenure),
    })
}

fn payload(length: Range<usize>) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), length).prop_map(Bytes::from)
}

fn signal() -> impl Strategy<Value = Signal> {
    any::<u8>().prop_map(Signal)
}

pub fn input_item() -> impl Strategy<Value = Item> {
    let size = any::<(u16, u16, u16, u16)>().prop_map(|(rows, cols, xpixel, ypixel)| WindowSize {
        rows,
        cols,
        xpixel,
        ypixel,
    });
    prop_oneof![
        payload(0..300).prop_map(Item::Input),
        Just(Item::InputEnd),
        size.prop_map(Item::Resize),
        signal().prop_map(Item::Signal),
    ]
}

pub fn output_item() -> impl Strategy<Value = Item> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    prop_oneof![
        (stream, payload(1..300)).prop_map(|(stream, data)| Item::Output { stream, data }),
        any::<u8>().prop_map(|code| Item::Exit(ExitStatus::Code(code))),
        signal().prop_map(|signal| Item::Exit(ExitStatus::Signal(signal))),
        seq().prop_map(|next| Item::Gap { next }),
    ]
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![Just(From::FirstHeld), Just(From::Latest), seq().prop_map(From::Seq)]
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        (number(), host(), payload(0..300)).prop_map(|(incarnation, host, spec)| Wish::Open {
            incarnation: Incarnation(incarnation),
            host,
            spec
        }),
        (number(), epoch(), seq()).prop_map(|(incarnation, epoch, next_output)| Wish::Resume {
            incarnation: Incarnation(incarnation),
            epoch,
            next_output
        }),
        (prop::option::of(holder()), from())
            .prop_map(|(expected, from)| Wish::Claim { expected, from }),
        (number(), any::<bool>()).prop_map(|(number, is_all)| Wish::Close {
            incarnation: Incarnation(number),
            scope: if is_all { Scope::Session } else { Scope::Process },
        }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    (any::<(u16, [u8; 16], [u8; 16])>(), name(), number(), number(), wish()).prop_map(
        |((version, session, instance), name, attach, tenure, wish)| Hello {
            version: Version(version),
            session: SessionId::from_bytes(session),
            instance: ClientInstance::from_bytes(instance),
            name,
            attach: AttachNumber(attach),
            tenure: Tenure(tenure),
            wish,
        },
    )
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let how = prop_oneof![Just(How::Opened), Just(How::Resumed), Just(How::Claimed)];
    (any::<(u16, u32, [u8; 16])>(), prop::array::uniform9(number()), how).prop_map(
        |((version, capabilities, epoch), numbers, how)| {
            let [attach, incarnation, tenure, accepted, handed_over, buffered, first, next, window] =
                numbers;
            Welcome {
                attach: AttachNumber(attach),
                version: Version(version),
                capabilities: Capabilities(capabilities),
                epoch: Epoch::from_bytes(epoch),
                incarnation: Incarnation(incarnation),
                tenure: Tenure(tenure),
                accepted: Seq(accepted),
                handed_over: Seq(handed_over),
                buffered,
                first_output: Seq(first),
                next_output: Seq(next),
                window,
                how,
            }
        },
    )
}

fn divergence() -> impl Strategy<Value = Divergence> {
    prop_oneof![
        Just(Divergence::OutputAhead),
        Just(Divergence::OutputBehind),
        Just(Divergence::InputAhead),
        Just(Divergence::InputBehind),
        Just(Divergence::Identity),
    ]
}

fn spawn_error() -> impl Strategy<Value = SpawnError> {
    let kind = prop_oneof![
        Just(SpawnErrorKind::NotFound),
        Just(SpawnErrorKind::PermissionDenied),
        Just(SpawnErrorKind::BadDirectory),
        Just(SpawnErrorKind::Other),
    ];
    (kind, ".{0,600}").prop_map(|(kind, message)| SpawnError::new(kind, &message))
}

pub fn reason() -> impl Strategy<Value = Reason> {
    prop_oneof![
        Just(Reason::ProcessGone),
        Just(Reason::Unknown),
        epoch().prop_map(|current| Reason::EpochMismatch { current }),
        host().prop_map(|host| Reason::DifferentHost { host }),
        divergence().prop_map(Reason::Diverged),
        seq().prop_map(|first_held| Reason::Gap { first_held }),
        number().prop_map(|last| Reason::Stale { last: AttachNumber(last) }),
        (holder(), name()).prop_map(|(by, name)| Reason::Held { by, name }),
        (number(), name()).prop_map(|(by, name)| Reason::Superseded { by: Tenure(by), name }),
        spawn_error().prop_map(Reason::SpawnFailed),
        versions().prop_map(|supported| Reason::Incompatible { supported }),
        Just(Reason::Unresponsive),
        ".{0,100}".prop_map(|message| Reason::Forbidden { message }),
    ]
}

fn misbehaviour() -> impl Strategy<Value = Misbehaviour> {
    let frame = prop_oneof![
        any::<(u8, u32, u32)>().prop_map(|(kind, length, limit)| FrameError::TooLong {
            kind,
            length,
            limit
        }),
        Just(FrameError::Empty),
        any::<u8>().prop_map(FrameError::UnknownKind),
        any::<u8>().prop_map(FrameError::BadHeader),
        any::<u8>().prop_map(FrameError::UnexpectedPayload),
        Just(FrameError::NoMagic),
    ];
    prop_oneof![
        frame.prop_map(Misbehaviour::Frame),
        Just(Misbehaviour::WrongSide),
        Just(Misbehaviour::SkippedItems),
        Just(Misbehaviour::WindowExceeded),
        Just(Misbehaviour::Silent),
    ]
}

fn refused() -> impl Strategy<Value = Refused> {
    let counters = (prop::option::of(number()), number(), prop::option::of(epoch())).prop_map(
        |(used, tenure, epoch)| Counters {
            used: used.map(Incarnation),
            tenure: Tenure(tenure),
            epoch,
        },
    );
    (number(), reason(), counters).prop_map(|(attach, reason, counters)| Refused {
        attach: AttachNumber(attach),
        reason,
        counters,
    })
}

fn greeting() -> impl Strategy<Value = Greeting> {
    (versions(), host(), ".{0,60}").prop_map(|(versions, host, host_name)| Greeting {
        versions,
        host,
        host_name,
    })
}

/// Any frame of any kind.
pub fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        greeting().prop_map(Frame::Greeting),
        hello().prop_map(Frame::Hello),
        welcome().prop_map(Frame::Welcome),
        refused().prop_map(Frame::Refused),
        (seq(), input_item()).prop_map(|(seq, item)| Frame::Item { seq, item }),
        (seq(), output_item()).prop_map(|(seq, item)| Frame::Item { seq, item }),
        seq().prop_map(|next| Frame::Ack { next }),
        number().prop_map(|token| Frame::Ping { token }),
        number().prop_map(|token| Frame::Pong { token }),
        (number(), name()).prop_map(|(by, name)| Frame::Superseded { by: Tenure(by), name }),
        Just(Frame::Detach),
        Just(Frame::Close),
        (number(), any::<u32>())
            .prop_map(|(attach, ended)| Frame::Closed { attach: AttachNumber(attach), ended }),
        misbehaviour().prop_map(|what| Frame::Bye(Bye::Misbehaved(what))),
        Just(Frame::Bye(Bye::Replaced)),
        Just(Frame::Bye(Bye::Ending)),
    ]
}
