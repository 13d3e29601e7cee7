//! The properties, for every world of the model and for every recording of a real run.
//!
//! The functions of [`client`] and [`server`] take plain facts: what was delivered under which
//! number, which notice was told, which link is attached. The callers keep the history of these
//! facts: the model's world has ghost state, and a recording is read step by step.

pub mod client;
pub mod registry;
pub mod server;

use std::fmt;

macro_rules! properties {
    ($($name:ident, $rule:expr, $statement:literal;)*) => {
        /// What must hold of every run.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Property {
            $(#[doc = $statement] $name,)*
        }

        impl Property {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The rule of [SPEC section 12](../../protocol/SPEC.md#12-rules) that it belongs to; none
            /// for what a driver owes its machine.
            pub fn rule(self) -> Option<u8> {
                match self {
                    $(Self::$name => $rule,)*
                }
            }

            /// What it says.
            pub fn statement(self) -> &'static str {
                match self {
                    $(Self::$name => $statement,)*
                }
            }
        }
    };
}

properties! {
    DeliveredOnce, Some(1), "output is delivered once, without a gap, by an attached process";
    HandedOverOnce, Some(1), "input is handed over once, without a gap, to a living process";
    SentInOrder, Some(1), "items are sent under their own numbers, in order";
    SameItems, Some(1), "what arrives is what the same process or client sent";
    AcknowledgedIsTaken, Some(2), "only what was taken is acknowledged";
    InputIsKept, Some(2), "input is kept until it is acknowledged";
    OutputIsKept, Some(2), "output is kept until it is acknowledged";
    RoomWasAsked, Some(3), "nothing is read that there is no room for";
    LogIsBounded, Some(3), "a log stays within its window";
    ExitIsLast, Some(4), "the exit status is the last item";
    ExitAfterOutput, Some(4), "the exit is told once all output was taken";
    ExitIsAcknowledged, Some(4), "the entry goes once the exit was acknowledged";
    StartedOnce, Some(5), "an incarnation is started once at most";
    TombstoneFirst, Some(5), "the tombstone is written before an answer and an end";
    IncarnationRises, Some(5), "a replacement gets a new incarnation";
    LivingIsNotGone, Some(6), "a living process is not said to be gone";
    ProcessEndsFirst, Some(7), "the process ends before its entry and its server";
    OpenBehindGreeting, Some(8), "an Open is sent behind the Greeting of its host";
    ExitEndsNothingElse, Some(9), "a client that has the exit status ends nothing that outlived the process";
    OneLinkServed, Some(10), "one link is served";
    ClosedLinkIgnored, Some(10), "what a closed link still brings is ignored";
    LateLossIgnored, Some(10), "the loss of an older link changes nothing";
    AttachRises, Some(11), "a client's attach numbers rise";
    TenureIsCarried, Some(11), "a client carries its tenure";
    NewestIsServed, Some(11), "only an attach that is newer is welcomed";
    ClaimNamesHolder, Some(11), "a session changes hands by a Claim that names its holder";
    TenureRises, Some(11), "a takeover raises the tenure";
    TenureFirst, Some(11), "a takeover is recorded before it is granted";
    SupersededIsDone, Some(12), "a client that lost the session is not welcomed again";
    EndIsFinal, Some(12), "nothing is done after the end";
    AnswerNamesAttach, Some(13), "an answer carries the attach number that it answers";
    NumbersFit, Some(14), "numbers that cannot be are not believed";
    LossIsTold, Some(16), "a lost link is told";
    ReplacementIsTold, Some(16), "a replaced process is told";
    LossesAreExact, Some(16), "the input and output that a loss has cost are told exactly";
    EndingIsTold, Some(16), "every ending is told";
    InputStaysBehind, Some(16), "the input of a process is not sent to its replacement";
    SentToOpenLink, None, "frames are sent to open links only";
    TimerWasArmed, None, "only timers that are armed fire";
    LinkWasOpen, None, "events name links that were opened and not lost";
    ReportWasAsked, None, "what is reported was asked for, and is reported once";
    TakenWasOffered, None, "what is reported as taken was offered";
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule() {
            Some(rule) => write!(f, "rule {rule} is broken: {}", self.statement()),
            None => write!(f, "the contract of driver and machine is broken: {}", self.statement()),
        }
    }
}

/// A property that was broken, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokenProperty {
    /// Which one.
    pub property: Property,
    /// How, with the numbers of the case.
    pub what: String,
}

/// Whether something holds, and if not, what was broken.
pub type PropertyResult = Result<(), BrokenProperty>;

/// Requires something. The words are made only where it does not hold.
///
/// # Errors
/// [`BrokenProperty`] if it does not hold.
pub fn require(holds: bool, property: Property, what: impl FnOnce() -> String) -> PropertyResult {
    if holds { Ok(()) } else { Err(BrokenProperty { property, what: what() }) }
}

/// A value as a person may want to see it: payloads of many kilobytes are cut.
pub fn shown(value: &impl fmt::Debug) -> String {
    const MOST: usize = 240;
    let whole = format!("{value:?}");
    match whole.char_indices().nth(MOST) {
        None => whole,
        Some((at, _)) => format!("{}... ({} characters)", &whole[..at], whole.chars().count()),
    }
}
