//! What a run can do that it must not.

use std::fmt;

/// A run broke a rule, or a driver its contract with its machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which recording; of several that contradict each other, the later one.
    pub recording: String,
    /// Which step of it, from 1, where it is one; it stands on the line after this number.
    pub step: Option<usize>,
    /// What happened in that step.
    pub event: Option<String>,
    /// What was broken.
    pub property: Property,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recording)?;
        if let Some(step) = self.step {
            write!(f, ", step {step} (line {})", step + 1)?;
        }
        writeln!(f, ": {}", self.property)?;
        writeln!(f, "  {}", self.what)?;
        match &self.event {
            Some(event) => writeln!(f, "  at {event}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}

/// What must hold of every recording.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Property {
    /// Output is delivered without gap and once.
    DeliveredOnce,
    /// Input is handed over without gap and once.
    HandedOverOnce,
    /// Items are sent under their own numbers, in order.
    SentInOrder,
    /// What arrives is what was sent, and the same process's.
    SameItems,
    /// Acknowledged is only what was taken.
    AcknowledgedIsTaken,
    /// Nothing is read that there is no room for.
    RoomWasAsked,
    /// The exit status is the last item.
    ExitIsLast,
    /// Each incarnation is started once at most.
    StartedOnce,
    /// The tombstone is written before anything is answered or ended.
    TombstoneFirst,
    /// One link is served.
    OneLinkServed,
    /// What a closed link still brings is ignored.
    ClosedLinkIgnored,
    /// Attach numbers rise.
    AttachRises,
    /// A takeover is recorded before it is granted.
    TenureFirst,
    /// Answers carry the attach number that they answer.
    AnswerNamesAttach,
    /// Every ending is told.
    EndingIsTold,
    /// The input of a process is not sent to its replacement.
    InputStaysBehind,
    /// Nothing is done after the end.
    EndIsFinal,
    /// Frames are sent to open links only.
    SentToOpenLink,
    /// The driver: only timers that are armed fire.
    TimerWasArmed,
    /// The driver: events name links that were opened and not reported as lost.
    LinkWasOpen,
    /// The driver: what it reports was asked for, and is reported once.
    ReportWasAsked,
    /// The driver: what it reports as taken was offered.
    TakenWasOffered,
}

impl Property {
    /// The rule of the design that it belongs to; none for what a driver owes its machine.
    pub fn rule(self) -> Option<u8> {
        match self {
            Self::DeliveredOnce | Self::HandedOverOnce | Self::SentInOrder | Self::SameItems => {
                Some(1)
            }
            Self::AcknowledgedIsTaken => Some(2),
            Self::RoomWasAsked => Some(3),
            Self::ExitIsLast => Some(4),
            Self::StartedOnce | Self::TombstoneFirst => Some(5),
            Self::OneLinkServed | Self::ClosedLinkIgnored => Some(10),
            Self::AttachRises | Self::TenureFirst => Some(11),
            Self::AnswerNamesAttach => Some(13),
            Self::EndingIsTold | Self::InputStaysBehind => Some(16),
            Self::EndIsFinal
            | Self::SentToOpenLink
            | Self::TimerWasArmed
            | Self::LinkWasOpen
            | Self::ReportWasAsked
            | Self::TakenWasOffered => None,
        }
    }

    /// What it says.
    pub fn statement(self) -> &'static str {
        match self {
            Self::DeliveredOnce => "output is delivered without gap and once",
            Self::HandedOverOnce => "input is handed over without gap and once",
            Self::SentInOrder => "items are sent under their own numbers, in order",
            Self::SameItems => "what arrives is what was sent, and the same process's",
            Self::AcknowledgedIsTaken => "acknowledged is only what was taken",
            Self::RoomWasAsked => "nothing is read that there is no room for",
            Self::ExitIsLast => "the exit status is the last item",
            Self::StartedOnce => "each incarnation is started once at most",
            Self::TombstoneFirst => "the tombstone is written before an answer and an end",
            Self::OneLinkServed => "one link is served",
            Self::ClosedLinkIgnored => "what a closed link still brings is ignored",
            Self::AttachRises => "attach numbers rise",
            Self::TenureFirst => "a takeover is recorded before it is granted",
            Self::AnswerNamesAttach => "answers carry the attach number that they answer",
            Self::EndingIsTold => "every ending is told",
            Self::InputStaysBehind => "the input of a process is not sent to its replacement",
            Self::EndIsFinal => "nothing is done after the end",
            Self::SentToOpenLink => "frames are sent to open links only",
            Self::TimerWasArmed => "only timers that are armed fire",
            Self::LinkWasOpen => "events name links that were opened and not lost",
            Self::ReportWasAsked => "what is reported was asked for, and is reported once",
            Self::TakenWasOffered => "what is reported as taken was offered",
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule() {
            Some(rule) => write!(f, "rule {rule} is broken: {}", self.statement()),
            None => write!(f, "the contract of driver and machine is broken: {}", self.statement()),
        }
    }
}

/// A property that was broken, before it is known where.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) property: Property,
    pub(super) what: String,
}

pub(super) type Held = Result<(), Broken>;

/// Requires something.
pub(super) fn require(holds: bool, property: Property, what: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Broken { property, what: what() }) }
}
