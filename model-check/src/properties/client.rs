//! What must hold of a client.
//!
//! # Errors
//! Each function returns the property that the facts break, if they break one.
// Said once, above.
#![allow(clippy::missing_errors_doc)]

use rejoin_protocol::frame::{Hello, Scope, Welcome, Wish};
use rejoin_protocol::{AttachNumber, HostId, Incarnation, Item, Seq, Tenure};

use super::{Property, PropertyResult, require, shown};

/// What an application was told last of its attachment.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub enum ToldAttachment {
    /// Nothing yet, or that the link is gone.
    #[default]
    Detached,
    /// That it is attached.
    Attached,
    /// The same, and the session has moved to another link since.
    Moving,
    /// How it ended.
    Ended,
}

/// Output is delivered where `next` is wanted; none while no process is attached.
pub fn delivered(seq: Seq, next: Option<Seq>) -> PropertyResult {
    require(Some(seq) == next, Property::DeliveredOnce, || match next {
        Some(next) => format!("number {seq} is delivered where {next} comes next"),
        None => format!("number {seq} is delivered, and no process is attached"),
    })
}

/// An item arrives that was written, or put in, as `sent`. A gap stands for items that were dropped.
pub fn arrived(seq: Seq, item: &Item, sent: Option<&Item>) -> PropertyResult {
    let is_same = match item {
        Item::Gap { next } => *next > seq,
        item => sent == Some(item),
    };
    require(is_same, Property::SameItems, || {
        let sent = sent.map_or_else(|| String::from("nothing"), shown);
        format!("number {seq} arrives as {} and was sent as {sent}", shown(item))
    })
}

/// Everything before `next` is acknowledged; everything before `taken` was taken.
pub fn acknowledged(next: Seq, taken: Option<Seq>) -> PropertyResult {
    require(taken.is_some_and(|taken| next <= taken), Property::AcknowledgedIsTaken, || {
        format!("acknowledged before {next}, taken before {taken:?}")
    })
}

/// What a Hello is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// The highest tenure that the client was welcomed with.
    pub tenure: Tenure,
    /// Whether it was told how the process ended.
    pub has_exit: bool,
    /// The process that it was told of last.
    pub incarnation: Incarnation,
    /// The host whose Greeting it read on this link.
    pub greeted: Option<HostId>,
}

/// A Hello is sent.
pub fn asked(hello: &Hello, by: &Asking) -> PropertyResult {
    let is_claim = matches!(hello.wish, Wish::Claim { .. });
    require(is_claim || hello.tenure >= by.tenure, Property::TenureIsCarried, || {
        format!("tenure {} is carried by one who had {}", hello.tenure, by.tenure)
    })?;
    let ends_all = matches!(hello.wish, Wish::Close { scope: Scope::Session, .. });
    require(!(ends_all && by.has_exit), Property::ExitEndsNothingElse, || {
        String::from("a Close ends the whole session after the exit")
    })?;
    let Wish::Open { incarnation, host, .. } = hello.wish else { return Ok(()) };
    require(incarnation == by.incarnation, Property::ReplacementIsTold, || {
        format!("incarnation {incarnation} is opened, told was {}", by.incarnation)
    })?;
    require(by.greeted == Some(host), Property::OpenBehindGreeting, || {
        format!("{host:?} is named, greeted has {:?}", by.greeted)
    })
}

/// A Hello has this attach number, and the client's Hello before it had `last`.
pub fn numbered(attach: AttachNumber, last: AttachNumber) -> PropertyResult {
    require(attach > last, Property::AttachRises, || format!("attach {attach} comes after {last}"))
}

/// The first input on a link is sent, and `known` is what was acknowledged or accepted before.
pub fn went_on(seq: Seq, known: Seq) -> PropertyResult {
    require(seq <= known, Property::InputIsKept, || {
        format!("input goes on at {seq}, and only what is before {known} need not be sent again")
    })
}

/// Attached is told: what the client was told before, and the attach number of its last Hello.
pub fn attached(
    welcome: Option<&Welcome>,
    told: ToldAttachment,
    asked: AttachNumber,
) -> PropertyResult {
    let attach = welcome.map(|welcome| welcome.attach);
    require(attach.is_some(), Property::AnswerNamesAttach, || {
        String::from("attached is told without a Welcome")
    })?;
    require(told != ToldAttachment::Attached, Property::LossIsTold, || {
        String::from("attached is told twice, and no loss in between")
    })?;
    require(attach == Some(asked), Property::AnswerNamesAttach, || {
        format!("attach {asked} is answered by a Welcome to {attach:?}")
    })
}

/// A client is attached to the same process again, which stands at `next` with its output and at
/// `acked` with its input.
pub fn resumed(welcome: &Welcome, acked: Seq, next: Seq) -> PropertyResult {
    let Welcome { handed_over, first_output, next_output, .. } = welcome;
    require(*handed_over >= acked, Property::NumbersFit, || {
        format!("input before {acked} was acknowledged, and {handed_over} is handed over now")
    })?;
    require(*first_output <= next, Property::NumbersFit, || {
        format!("output before {first_output} is not held, and {next} comes next")
    })?;
    require(*next_output == next, Property::DeliveredOnce, || {
        format!("output goes on at {next_output} where {next} comes next")
    })
}

/// What was told of a lost process, or of what it was in truth: payload of input that nobody knows to be
/// taken, and the first output that was not received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Losses {
    /// In bytes.
    pub unacknowledged_input: u64,
    /// By its number.
    pub next_output: Seq,
}

/// A process is told to be lost.
pub fn lost(told: Losses, known: Losses) -> PropertyResult {
    require(told == known, Property::LossesAreExact, || format!("told {told:?}, known {known:?}"))
}

/// A process is told to be replaced.
pub fn replaced(old: Incarnation, new: Incarnation) -> PropertyResult {
    require(new > old, Property::IncarnationRises, || format!("{new} takes the place of {old}"))
}

/// The exit is told; all output is before `next`.
pub fn exited(taken: Seq, next: Seq) -> PropertyResult {
    require(taken == next, Property::ExitAfterOutput, || {
        format!("the exit is told where output before {taken} was taken, and {next} comes next")
    })
}

/// The timer for the next attempt is armed.
pub fn retries(told: ToldAttachment) -> PropertyResult {
    require(told != ToldAttachment::Attached, Property::LossIsTold, || {
        String::from("the client tries again, and still seems attached")
    })
}

/// A client does something, and had ended or not.
pub fn acted(had_ended: bool, what: impl FnOnce() -> String) -> PropertyResult {
    require(!had_ended, Property::EndIsFinal, what)
}

/// A frame of a link leads to something.
pub fn heeded(is_open: bool, what: impl FnOnce() -> String) -> PropertyResult {
    require(is_open, Property::ClosedLinkIgnored, what)
}

/// A client ends, and this was told, or it was asked to leave.
pub fn ended(told: ToldAttachment, wants_out: bool) -> PropertyResult {
    require(told == ToldAttachment::Ended || wants_out, Property::EndingIsTold, || {
        String::from("the client ends without a word")
    })
}
