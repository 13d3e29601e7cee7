//! What must hold of a server.
//!
//! # Errors
//! Each function returns the property that the facts break, if they break one.
// Said once, above.
#![allow(clippy::missing_errors_doc)]

use rejoin_protocol::frame::{How, Welcome};
use rejoin_protocol::{AttachNumber, Incarnation, Link, Reason, Seq, Tenure};

use super::{Property, PropertyResult, require};

/// An incarnation is started, and was before or not.
pub fn started(incarnation: Incarnation, is_first: bool) -> PropertyResult {
    require(is_first, Property::StartedOnce, || {
        format!("incarnation {incarnation} was started already")
    })
}

/// Input is handed over where `next` is wanted.
pub fn handed_over(seq: Seq, next: Seq) -> PropertyResult {
    require(seq == next, Property::HandedOverOnce, || {
        format!("number {seq} is handed over where {next} comes next")
    })
}

/// A frame of this link leads to input that is handed over.
pub fn took(from: Link, attached: Option<Link>) -> PropertyResult {
    require(attached == Some(from), Property::OneLinkServed, || {
        format!("input of {from:?} is handed over, and {attached:?} is attached")
    })
}

/// Items or acknowledgements are sent on a link.
pub fn served(link: Link, attached: Option<Link>) -> PropertyResult {
    require(attached == Some(link), Property::OneLinkServed, || {
        format!("{link:?} is served, and {attached:?} is attached")
    })
}

/// An item is sent whose last number is before `end`; the process wrote what is before `written`.
pub fn sent(end: Seq, written: Seq) -> PropertyResult {
    require(end <= written, Property::SameItems, || {
        format!("output before {end} is sent, and was written before {written}")
    })
}

/// A Welcome is sent on a link while another, or none, is attached.
pub fn replaces(link: Link, attached: Option<Link>) -> PropertyResult {
    require(attached.is_none_or(|other| other == link), Property::OneLinkServed, || {
        format!("{link:?} is attached beside {attached:?}")
    })
}

/// An answer is sent on a link whose last Hello had the number `asked`.
pub fn answered(asked: Option<AttachNumber>, attach: AttachNumber) -> PropertyResult {
    require(asked == Some(attach), Property::AnswerNamesAttach, || {
        format!("attach {attach} is answered where {asked:?} was asked")
    })
}

/// Who was welcomed before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding<Who> {
    /// The client instance.
    pub who: Who,
    /// The number of its attach.
    pub attach: AttachNumber,
    /// Its tenure.
    pub tenure: Tenure,
}

/// What a Welcome is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Welcoming<Who> {
    /// Who is welcomed.
    pub who: Who,
    /// Whether the session was taken over from it.
    pub is_superseded: bool,
    /// Who was welcomed last by the same process.
    pub before: Option<Holding<Who>>,
    /// The tenure of the holder that the Claim named.
    pub expected: Option<Tenure>,
    /// The highest tenure that was recorded.
    pub recorded: Tenure,
}

/// A Welcome is sent: who may get one.
pub fn welcomed<Who: PartialEq + Copy>(welcome: &Welcome, by: &Welcoming<Who>) -> PropertyResult {
    require(!by.is_superseded, Property::SupersededIsDone, || {
        format!("attach {} is welcomed of one who lost the session", welcome.attach)
    })?;
    match by.before {
        Some(before) if before.who == by.who => {
            require(welcome.attach > before.attach, Property::NewestIsServed, || {
                format!("attach {} is welcomed after {}", welcome.attach, before.attach)
            })
        }
        Some(before) => taken_over(welcome, by, &before),
        None => Ok(()),
    }
}

/// A Welcome hands a session over from one client to another.
fn taken_over<Who>(
    welcome: &Welcome,
    by: &Welcoming<Who>,
    before: &Holding<Who>,
) -> PropertyResult {
    let Welcome { how, tenure, .. } = *welcome;
    let names_holder = how == How::Claimed && by.expected == Some(before.tenure);
    require(names_holder, Property::ClaimNamesHolder, || {
        format!("{how:?}, expecting {:?} where {} holds", by.expected, before.tenure)
    })?;
    require(tenure > before.tenure, Property::TenureRises, || {
        format!("tenure {tenure} is granted after {}", before.tenure)
    })?;
    require(tenure <= by.recorded, Property::TenureFirst, || {
        format!("tenure {tenure} is granted, and recorded is {}", by.recorded)
    })
}

/// A Welcome is sent: what it says of the logs. `blocks` says whether output waits instead of being
/// dropped.
pub fn told(welcome: &Welcome, taken: Seq, acked: Seq, blocks: bool) -> PropertyResult {
    let Welcome { handed_over, first_output, .. } = *welcome;
    require(handed_over <= taken, Property::AcknowledgedIsTaken, || {
        format!("told before {handed_over}, taken before {taken}")
    })?;
    require(!blocks || first_output <= acked, Property::OutputIsKept, || {
        format!("output before {first_output} is forgotten, acknowledged is that before {acked}")
    })
}

/// A wish is refused.
pub fn refused(reason: &Reason, is_alive: bool) -> PropertyResult {
    require(!is_alive || *reason != Reason::ProcessGone, Property::LivingIsNotGone, || {
        String::from("a living process is said to be gone")
    })
}

/// The process wrote, and what is kept takes so much of the window, in bytes.
pub fn kept(cost: u64, window: u64) -> PropertyResult {
    require(cost <= window, Property::LogIsBounded, || {
        format!("{cost} bytes are kept in a window of {window}")
    })
}

/// The loss of a link that is not attached is reported, and retention begins or not.
pub fn lost_late(begins_retention: bool) -> PropertyResult {
    require(!begins_retention, Property::LateLossIgnored, || {
        String::from("retention begins, and another link is attached")
    })
}

/// The entry goes.
pub fn buried(waits_for_exit: bool, is_alive: bool) -> PropertyResult {
    require(!waits_for_exit, Property::ExitIsAcknowledged, || {
        String::from("the entry goes, and nobody has acknowledged the exit")
    })?;
    require(!is_alive, Property::ProcessEndsFirst, || {
        String::from("the entry goes, and the process lives")
    })
}

/// The server ends.
pub fn stopped(is_alive: bool) -> PropertyResult {
    require(!is_alive, Property::ProcessEndsFirst, || {
        String::from("the server ends, and the process lives")
    })
}
