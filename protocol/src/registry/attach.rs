//! The attach program: answers a Hello, joins it to a server, or starts a server (SPEC section 11.2).

use super::end::Burying;
use super::{
    Failure, Known, Next, Operation, Outcome, Program, Reaped, Recorded, Report, Standing,
};
use crate::frame::{Frame, Hello, Refused, Scope, Wish};
use crate::ident::Incarnation;
use crate::machine::Link;
use crate::reason::{Counters, Reason};
use crate::server::{Config, Effect, Effects, Event, Past, Server};

/// The only link of an attach program.
const CLIENT: Link = Link(0);

/// Handles a Hello, step by step (SPEC section 11.2). The executor has the clock: [`Attach::overdue`] says
/// that the deadline has passed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Attach {
    config: Config,
    hello: Hello,
    is_overdue: bool,
    stage: Stage,
}

/// The result of a Hello.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Attached {
    /// The program answers it. No server has seen it.
    Answers(Frame),
    /// It goes to the server that the program connected to or forked. That server has not seen it yet.
    Joins,
    /// It is not answered: no client waits for the answer any more.
    Leaves,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    OpensRegistry,
    OpensLock,
    Tries,
    Connects,
    Waits,
    Checks,
    Reaps,
    Reads(Reaped),
    ChecksAgain(Judged),
    Buries(Burying, Then),
    /// Removes an entry without a record.
    Removes(Remains, Then),
    Reserves(Remains),
    Forks(Remains),
    /// Overdue: what exists decides what remains.
    LooksBack,
    RemovesLock(Then),
    LetsGo(Then),
    Ends(Attached),
}

/// The facts that a start depends on.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Judged {
    past: Past,
    has_entry: bool,
}

/// Whether the lock file has a tombstone after the entry is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Remains {
    Tombstone,
    Nothing,
}

/// What follows once the registry is up to date.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Then {
    Answer(Frame),
    Start,
    Join,
    Leave,
    Again,
}

impl Attach {
    /// A program that has read this Hello. An objection that does not depend on the session's state is
    /// answered without the registry.
    pub fn new(config: Config, hello: Hello) -> Self {
        let stage = match config.objection(&hello) {
            Some(reason) => Stage::Ends(Attached::Answers(Self::refusal(&hello, reason))),
            None => Stage::OpensRegistry,
        };
        Self { config, hello, is_overdue: false, stage }
    }

    /// A refusal of a Hello from a program that knows nothing of the session.
    pub fn refusal(hello: &Hello, reason: Reason) -> Frame {
        let counters = Counters::default();
        Frame::Refused(Refused { attach: hello.attach, reason, counters })
    }

    /// The deadline has passed: 30 s from the Greeting for an Open or a Close, from the Hello for other
    /// wishes. From now on nothing is started, ended or waited for.
    pub fn overdue(&mut self) {
        self.is_overdue = true;
    }

    /// The configuration with which the Hello is judged.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The Hello.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The facts by which the server machine will judge the Hello, if the current operation has this outcome.
    pub fn judges(&self, outcome: &Outcome) -> Option<Past> {
        match (&self.stage, outcome) {
            (Stage::OpensRegistry | Stage::OpensLock, Outcome::Missing) => Some(Past::default()),
            (Stage::Reads(reaped), Outcome::Known(known)) => {
                Some(known.fold(*reaped, self.asked()))
            }
            _ => None,
        }
    }

    /// Whether the Hello starts or ends something, so that files may be created for it.
    fn makes(&self) -> bool {
        matches!(self.hello.wish, Wish::Open { .. } | Wish::Close { .. })
    }

    /// Only a Close of the session ends processes that have left their session's process.
    fn ends_all(&self) -> bool {
        matches!(self.hello.wish, Wish::Close { scope: Scope::Session, .. })
    }

    /// The incarnation that the Hello is about.
    fn asked(&self) -> Option<Incarnation> {
        match &self.hello.wish {
            Wish::Open { incarnation, .. }
            | Wish::Resume { incarnation, .. }
            | Wish::Close { incarnation, .. } => Some(*incarnation),
            Wish::Claim { expected, .. } => expected.map(|holder| holder.incarnation),
            Wish::Unreadable => None,
        }
    }

    fn reserved(&self) -> Recorded {
        let incarnation = self.asked().unwrap_or(Incarnation(0));
        Recorded { incarnation, tenure: self.hello.tenure, is_starting: false, epoch: None }
    }

    fn after(&self, stage: Stage, outcome: Outcome) -> Stage {
        match (stage, outcome) {
            (Stage::OpensRegistry | Stage::OpensLock, Outcome::Missing) => self.answers_stranger(),
            (Stage::OpensRegistry | Stage::Waits, _) => Stage::OpensLock,
            (Stage::OpensLock, _) => Stage::Tries,
            (Stage::Tries, Outcome::Held) => Stage::Connects,
            (Stage::Tries, _) => Stage::Checks,
            (Stage::Connects, _) => Stage::Ends(Attached::Joins),
            (Stage::Checks, Outcome::Path(Standing::Current)) => self.checked(),
            (Stage::Reaps, Outcome::Reaped(reaped)) => Stage::Reads(reaped),
            (Stage::Reads(reaped), Outcome::Known(known)) => self.judge(&known, reaped),
            (Stage::ChecksAgain(judged), Outcome::Path(path)) if path.is_kept() => start(judged),
            (Stage::Checks | Stage::ChecksAgain(_), Outcome::Path(_)) => self.again(),
            (Stage::Buries(burying, then), _) => match burying.rest() {
                Some(burying) => Stage::Buries(burying, then),
                None => self.removed(Remains::Tombstone, then),
            },
            (Stage::Removes(remains, then), _) => self.removed(remains, then),
            (Stage::Reserves(remains), _) => Stage::Forks(remains),
            // A living server must not find this program in its place.
            (Stage::Forks(_), _) => Stage::LetsGo(Then::Join),
            (Stage::LooksBack, Outcome::Known(known)) => withdraw(&known, Then::Leave),
            // An answer may block on a dead link, so the lock is released first.
            (Stage::RemovesLock(then), _) => Stage::LetsGo(then),
            (Stage::LetsGo(then), _) => self.ends(then),
            (Stage::Ends(end), _) => Stage::Ends(end),
            (stage, _) => self.failed(stage, Failure::misfit()),
        }
    }

    /// Without the lock file nothing is known of the session, and nothing is created.
    fn answers_stranger(&self) -> Stage {
        let answer = self.effects(Past::default()).into_iter().find_map(|effect| match effect {
            Effect::Send(_, answer) => Some(answer),
            _ => None,
        });
        Stage::Ends(answer.map_or(Attached::Leaves, Attached::Answers))
    }

    /// An overdue program leaves without an answer: the client does not expect an effect any more.
    fn checked(&self) -> Stage {
        if self.is_overdue { Stage::LooksBack } else { Stage::Reaps }
    }

    /// Start again, unless it is overdue.
    fn again(&self) -> Stage {
        if self.is_overdue {
            return Stage::LetsGo(Then::Answer(Self::refusal(&self.hello, Reason::Unresponsive)));
        }
        Stage::Waits
    }

    fn effects(&self, past: Past) -> Effects {
        let event = Event::Frame(CLIENT, Frame::Hello(self.hello.clone()));
        Server::Absent(past).step(&self.config, event)
    }

    /// Follows the server machine's effects: a tombstone is written before an answer is given.
    fn judge(&self, known: &Known, reaped: Reaped) -> Stage {
        let has_entry = known.has_entry;
        let past = known.fold(reaped, self.asked());
        let mut buried = None;
        for effect in self.effects(past.clone()) {
            match effect {
                Effect::Bury(past) => buried = Some(past),
                Effect::Start { .. } => return Stage::ChecksAgain(Judged { past, has_entry }),
                Effect::Send(_, answer) => {
                    let then = Then::Answer(answer);
                    return match buried {
                        Some(past) => Stage::Buries(Burying::begin(past), then),
                        None => withdraw(known, then),
                    };
                }
                _ => {}
            }
        }
        Stage::LetsGo(Then::Leave)
    }

    fn removed(&self, remains: Remains, then: Then) -> Stage {
        match then {
            Then::Start => Stage::Reserves(remains),
            then if remains == Remains::Nothing => Stage::RemovesLock(then),
            Then::Again => self.again(),
            then => Stage::LetsGo(then),
        }
    }

    fn ends(&self, then: Then) -> Stage {
        match then {
            Then::Answer(answer) => Stage::Ends(Attached::Answers(answer)),
            Then::Join => Stage::Ends(Attached::Joins),
            Then::Leave => Stage::Ends(Attached::Leaves),
            Then::Start | Then::Again => self.again(),
        }
    }

    /// A failure is answered as a failure, never with something that the failure makes untrue.
    fn failed(&self, stage: Stage, failure: Failure) -> Stage {
        match stage {
            // A socket that refuses while the lock is held means that the server starts or ends. Try both
            // again; never remove the socket or end the server for that reason.
            Stage::Connects | Stage::Waits => self.again(),
            Stage::OpensRegistry if failure.is_busy() => {
                let reason = Reason::Unresponsive;
                Stage::Ends(Attached::Answers(Self::refusal(&self.hello, reason)))
            }
            // A reservation without a start leaves nothing behind.
            Stage::Reserves(remains) | Stage::Forks(remains) => {
                Stage::Removes(remains, self.because(failure))
            }
            Stage::LooksBack | Stage::Removes(_, Then::Leave) => Stage::LetsGo(Then::Leave),
            // A leftover lock file is harmless, and a sweep removes it.
            Stage::RemovesLock(then) => Stage::LetsGo(then),
            Stage::LetsGo(then) => self.ends(then),
            Stage::Ends(end) => Stage::Ends(end),
            _ if failure.is_busy() => self.again(),
            _ => Stage::LetsGo(self.because(failure)),
        }
    }

    fn because(&self, failure: Failure) -> Then {
        if failure.is_busy() {
            return Then::Again;
        }
        let reason = Reason::Forbidden { message: failure.message };
        Then::Answer(Self::refusal(&self.hello, reason))
    }
}

/// What an earlier server left is folded into the tombstone and removed first: overwriting its record would
/// forget which incarnations were used. The server judges the same Hello again, under the lock that it
/// inherits.
fn start(Judged { past, has_entry }: Judged) -> Stage {
    if past.is_known {
        Stage::Buries(Burying::begin(past), Then::Start)
    } else if has_entry {
        Stage::Removes(Remains::Nothing, Then::Start)
    } else {
        Stage::Reserves(Remains::Nothing)
    }
}

/// Leaves no meaningless files behind: no entry without a record, which a server that lost its place can
/// leave, and no lock file without a tombstone and an entry.
fn withdraw(known: &Known, then: Then) -> Stage {
    let remains = if known.has_tombstone() { Remains::Tombstone } else { Remains::Nothing };
    if known.has_record() {
        Stage::LetsGo(then)
    } else if known.has_entry {
        Stage::Removes(remains, then)
    } else if remains == Remains::Nothing {
        Stage::RemovesLock(then)
    } else {
        Stage::LetsGo(then)
    }
}

impl Program for Attach {
    type End = Attached;

    fn next(&self) -> Next<Attached> {
        Next::Do(match &self.stage {
            Stage::OpensRegistry => Operation::OpenRegistry { makes: self.makes() },
            Stage::OpensLock => Operation::OpenLock { makes: self.makes() },
            Stage::Tries => Operation::TryLock,
            Stage::Connects => Operation::Connect,
            Stage::Waits => Operation::Wait,
            Stage::Checks | Stage::ChecksAgain(_) => Operation::CheckPath,
            Stage::Reaps => Operation::Reap { all: self.ends_all() },
            Stage::Reads(_) | Stage::LooksBack => Operation::ReadEntry,
            Stage::Buries(burying, _) => burying.operation(),
            Stage::Removes(..) => Operation::RemoveEntry,
            Stage::Reserves(_) => Operation::WriteRecord(self.reserved()),
            Stage::Forks(_) => Operation::Fork,
            Stage::RemovesLock(_) => Operation::RemoveLock,
            Stage::LetsGo(_) => Operation::LetGo,
            Stage::Ends(end) => return Next::End(end.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        let stage = core::mem::replace(&mut self.stage, Stage::Waits);
        self.stage = match report {
            Ok(outcome) => self.after(stage, outcome),
            Err(failure) => self.failed(stage, failure),
        };
    }
}
