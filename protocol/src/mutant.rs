//! Wrong machines, to prove that what checks the right ones would notice.
//!
//! Each mutant is one condition at the place that keeps a rule; while it is selected, the rule is
//! broken there and nowhere else. This module exists only with `--cfg rejoin_mutants` in
//! `RUSTFLAGS`. It is not a cargo feature, because features add up: some crate of a program could
//! turn one on for all of them.

use core::sync::atomic::{AtomicU8, Ordering};

/// 0: none; else the mutant's number and one.
static RUNNING: AtomicU8 = AtomicU8::new(0);

/// Chooses the mutant that runs, or none, for the whole process. What a machine did before stands:
/// begin with fresh ones.
pub fn select(mutant: Option<Mutant>) {
    RUNNING.store(mutant.map_or(0, number), Ordering::Relaxed);
}

pub(crate) fn is(mutant: Mutant) -> bool {
    RUNNING.load(Ordering::Relaxed) == number(mutant)
}

fn number(mutant: Mutant) -> u8 {
    mutant as u8 + 1
}

macro_rules! mutants {
    ($(#[doc = $doc:literal] $variant:ident $name:literal breaks $rule:literal;)+) => {
        /// What is wrong with the machines.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Mutant {
            $(#[doc = $doc] $variant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            /// Its name on a command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What is wrong, in one sentence.
            pub const fn fault(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii(),)+ }
            }

            /// The number of the rule that is broken: the one whose property has to notice.
            pub const fn rule(self) -> u8 {
                match self { $(Self::$variant => $rule,)+ }
            }
        }
    };
}

mutants! {
    /// Client: that the process is gone is an answer to do nothing about, in no visible state.
    ReattachAssumedThenSilence "reattach-assumed-then-silence" breaks 15;
    /// Client: input is dropped from the log when it is sent.
    TrimmedOnSendByClient "trimmed-on-send-by-client" breaks 2;
    /// Client: a Resume asks for the output from number 0, and takes it as new.
    SequenceResetOnResume "sequence-reset-on-resume" breaks 1;
    /// Client: what an abandoned link brings is handled.
    AbandonedLinkTakenAsCurrent "abandoned-link-taken-as-current" breaks 10;
    /// Client: it reconnects when it is superseded, and claims the session back.
    SupersededFightsBack "superseded-fights-back" breaks 12;
    /// Client: a repeated Open goes out before the Greeting, for the host that greeted last.
    OpenOnAGuess "open-on-a-guess" breaks 8;
    /// Client: input that the old process may have taken is sent to its replacement.
    UnacknowledgedInputToReplacement "unacknowledged-input-to-replacement" breaks 16;
    /// Client: a replacement is opened with tenure 0.
    TenureNotCarried "tenure-not-carried" breaks 11;
    /// Client: output is acknowledged when it comes, before the application has taken it.
    AcknowledgedOnReceiptByClient "acknowledged-on-receipt-by-client" breaks 2;
    /// Client: it goes on with a server that forgot what it had acknowledged, at that one's number.
    ForgottenAcksPaperedOver "forgotten-acks-papered-over" breaks 14;
    /// Client: any answer is taken for the one to its last Hello, whatever attach and link it is of.
    AnswerOfAnotherAttachTaken "answer-of-another-attach-taken" breaks 13;
    /// Client: it tells the exit and closes the session when the exit comes, with output not taken.
    ClosesBeforeExitTaken "closes-before-exit-taken" breaks 4;
    /// Client: a silent link is kept for ever.
    NoReconnectAfterSilence "no-reconnect-after-silence" breaks 15;
    /// Both: an item that came before is handed over again.
    DuplicateDelivered "duplicate-delivered" breaks 1;
    /// Client: the loss of the link is not told.
    LossNotTold "loss-not-told" breaks 16;
    /// Client: a lost or replaced process is told with no input of unknown fate.
    UnackedInputNotCounted "unacked-input-not-counted" breaks 16;
    /// Client: it ends without telling how.
    EndsWithoutWord "ends-without-word" breaks 16;
    /// Client: a replacement is opened under the incarnation of what it replaces.
    IncarnationReused "incarnation-reused" breaks 5;
    /// Client: the incarnation after the last one is the first one again.
    IncarnationWraps "incarnation-wraps" breaks 5;
    /// Client: a process that is lost is replaced however many were lost before it.
    ReplacedWithoutBound "replaced-without-bound" breaks 15;
    /// Client: an acknowledgement that was lost with its link is not sent again.
    AckNotRepeatedAfterWelcome "ack-not-repeated-after-welcome" breaks 3;
    /// Client: it claims from whoever holds the session, also where the user did not ask for that.
    ClaimsWhoeverHolds "claims-whoever-holds" breaks 12;
    /// Client: an Open that an earlier boot may have carried out is repeated to the next one.
    RebootNotNoticed "reboot-not-noticed" breaks 5;
    /// Client: what it waits for has no deadline.
    NoDeadline "no-deadline" breaks 15;
    /// Client: a process is replaced without telling it.
    ReplacedInSilence "replaced-in-silence" breaks 16;
    /// Client: who opens what it meant to claim does not raise the tenure.
    ReplacementIsNoTakeover "replacement-is-no-takeover" breaks 12;

    /// Server: an attach that is not newer than the last is served.
    NoAttachNumber "no-attach-number" breaks 11;
    /// Server: input is acknowledged when it comes, before the process has taken it.
    AcknowledgedOnReceiptByServer "acknowledged-on-receipt-by-server" breaks 2;
    /// Server: output is dropped from the log when it is sent.
    TrimmedOnSendByServer "trimmed-on-send-by-server" breaks 2;
    /// Server: frames of a link that is not attached are handled.
    OldLinkNotFenced "old-link-not-fenced" breaks 10;
    /// Server: the late loss of an older link detaches the newer one.
    LateLossDetaches "late-loss-detaches" breaks 10;
    /// Server: the exit status of a process that ends with nobody attached is not kept.
    ExitDroppedWhileDetached "exit-dropped-while-detached" breaks 4;
    /// Server: the session ends once its exit status was sent.
    ExitForgottenBeforeAcknowledged "exit-forgotten-before-acknowledged" breaks 4;
    /// Server: a Welcome says that everything accepted was handed over.
    OneCounterForAcceptedAndHandedOver "one-counter-for-accepted-and-handed-over" breaks 2;
    /// Server: an attach asks again for what waits for the process, and hands it over twice.
    HandedOverTakenForAccepted "handed-over-taken-for-accepted" breaks 1;
    /// Server: a failed start leaves its incarnation unused.
    FailedStartDoesNotBurn "failed-start-does-not-burn" breaks 5;
    /// Server: an Open starts an incarnation that was used.
    DuplicateOpenStartsTwice "duplicate-open-starts-twice" breaks 5;
    /// Server: at the end of the retention it stops and leaves the process running.
    RetentionDoesNotKill "retention-does-not-kill" breaks 7;
    /// Server: no tenure is too low.
    TenureIgnored "tenure-ignored" breaks 12;
    /// Server: a claimant is welcomed before its tenure stands in the record.
    TakeoverBeforeRecord "takeover-before-record" breaks 11;
    /// Server: a claimant is welcomed although its tenure could not be written to the record.
    TakeoverWithoutRecord "takeover-without-record" breaks 11;
    /// Server: a claim need not name the holder of the moment.
    ClaimOfAnyHolder "claim-of-any-holder" breaks 11;
    /// Server: who is superseded and names a process that is gone is told about the process.
    AuthorityAfterIncarnation "authority-after-incarnation" breaks 6;
    /// Client: what its predecessor left buffered does not count in a claimant's window.
    PredecessorNotCounted "predecessor-not-counted" breaks 3;
    /// Server: the output log has no bound.
    WindowIgnored "window-ignored" breaks 3;
    /// Server: input for a process that has ended is acknowledged.
    InputAfterExitAcknowledged "input-after-exit-acknowledged" breaks 2;
    /// Server: closing an absent session leaves the incarnation that it names unused.
    CloseForgetsTheIncarnation "close-forgets-the-incarnation" breaks 5;
    /// Server: closing a living session leaves a later incarnation that the Close names unused.
    CloseOfTheLivingForgetsTheIncarnation "close-of-the-living-forgets-the-incarnation" breaks 5;
    /// Server: a takeover beyond the last tenure keeps that tenure.
    TenureSaturates "tenure-saturates" breaks 11;
    /// Server: the end of the process ends its daemons, too.
    ExitEndsAll "exit-ends-all" breaks 9;
    /// Client: after the process has ended by itself, a repeated Close ends its daemons.
    CloseAfterExitEndsAll "close-after-exit-ends-all" breaks 9;
    /// Server: a silent link stays attached.
    ServerSilenceIgnored "server-silence-ignored" breaks 15;
    /// Server: an Open that names another host is served.
    WrongHostServed "wrong-host-served" breaks 8;
    /// Server: to open the incarnation that lives is answered with its being gone.
    OpenNotIdempotent "open-not-idempotent" breaks 6;
    /// Server: a newer attach leaves the older link open.
    OldLinkLeftOpen "old-link-left-open" breaks 10;
    /// Server: a process whose client went away is kept without end.
    RetentionNeverRuns "retention-never-runs" breaks 7;
    /// Server: who closes another's session does not raise the tenure.
    CloserTakesNoTenure "closer-takes-no-tenure" breaks 12;
    /// Both: an acknowledgement of what was never sent is ignored.
    UnsentAckIgnored "unsent-ack-ignored" breaks 14;
    /// Server: the process is not made to wait at the log's bound; what it writes is lost.
    OutputDroppedAtTheBound "output-dropped-at-the-bound" breaks 3;
    /// Server: the entry and the record of a session that ended stay.
    EntryKeptAfterEnd "entry-kept-after-end" breaks 9;
    /// Server: the entry of a process that is gone stays when an attach is refused.
    EntryKeptAfterRefusal "entry-kept-after-refusal" breaks 9;
}
