//! The attach program: a Hello is answered, joined to a server, or starts one (SPEC section 11.2).

use super::end::Burying;
use super::{
    Failure, Known, Next, Operation, Outcome, Program, Reaped, Recorded, Report, Standing,
};
use crate::frame::{Frame, Hello, Refused, Scope, Wish};
use crate::ident::Incarnation;
use crate::machine::Link;
use crate::reason::{Counters, Reason};
use crate::server::{Config, Effect, Effects, Event, Past, Server};

/// The only link that an attach program has.
const CLIENT: Link = Link(0);

/// What becomes of a Hello, step by step (SPEC section 11.2). A clock is the executor's:
/// [`Attach::overdue`] says that the deadline has passed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Attach {
    config: Config,
    hello: Hello,
    is_overdue: bool,
    stage: Stage,
}

/// What became of a Hello.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Attached {
    /// It is answered here. No server has seen it.
    Answers(Frame),
    /// It goes to the server that the program connected to or forked, which has not seen it yet.
    Joins,
    /// It is not answered: nobody waits for the answer any more.
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
    /// What nobody has to remember.
    Removes(Remains, Then),
    Reserves(Remains),
    Forks(Remains),
    /// Late: what is there decides what is left behind.
    LooksBack,
    RemovesLock(Then),
    LetsGo(Then),
    Ends(Attached),
}

/// What a start goes by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Judged {
    past: Past,
    has_entry: bool,
}

/// Whether a lock file has a tombstone once the entry is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Remains {
    Tombstone,
    Nothing,
}

/// What follows once the registry is as it has to be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Then {
    Answer(Frame),
    Start,
    Join,
    Leave,
    Again,
}

impl Attach {
    /// A program that has read this Hello. What speaks against it whatever the session's state is, is
    /// answered without the registry.
    pub fn new(config: Config, hello: Hello) -> Self {
        let stage = match config.objection(&hello) {
            Some(reason) => Stage::Ends(Attached::Answers(Self::refusal(&hello, reason))),
            None => Stage::OpensRegistry,
        };
        Self { config, hello, is_overdue: false, stage }
    }

    /// An answer to a Hello from who knows nothing of the session.
    pub fn refusal(hello: &Hello, reason: Reason) -> Frame {
        let counters = Counters::default();
        Frame::Refused(Refused { attach: hello.attach, reason, counters })
    }

    /// The deadline has passed: 30 s from the Greeting for an Open or a Close, from the Hello for the
    /// rest. From now on nothing is started, ended or waited for.
    pub fn overdue(&mut self) {
        self.is_overdue = true;
    }

    /// What the Hello is judged with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The Hello.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What the server's machine will judge the Hello by, if the operation at hand has this outcome.
    pub fn judges(&self, outcome: &Outcome) -> Option<Past> {
        match (&self.stage, outcome) {
            (Stage::OpensRegistry | Stage::OpensLock, Outcome::Missing) => Some(Past::default()),
            (Stage::Reads(reaped), Outcome::Known(known)) => {
                Some(known.fold(*reaped, self.asked()))
            }
            _ => None,
        }
    }

    /// Whether the Hello starts or ends something, so that files may be made for it.
    fn makes(&self) -> bool {
        matches!(self.hello.wish, Wish::Open { .. } | Wish::Close { .. })
    }

    /// Only who closes the session ends what has left its process.
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
            // A server that lives must not find this program in its place.
            (Stage::Forks(_), _) => Stage::LetsGo(Then::Join),
            (Stage::LooksBack, Outcome::Known(known)) => withdraw(&known, Then::Leave),
            // An answer may block on a dead link: the lock is let go of before.
            (Stage::RemovesLock(then), _) => Stage::LetsGo(then),
            (Stage::LetsGo(then), _) => self.ends(then),
            (Stage::Ends(end), _) => Stage::Ends(end),
            (stage, _) => self.failed(stage, Failure::misfit()),
        }
    }

    /// Without the lock file nothing is known of the session, and nothing is made.
    fn answers_stranger(&self) -> Stage {
        let answer = self.effects(Past::default()).into_iter().find_map(|effect| match effect {
            Effect::Send(_, answer) => Some(answer),
            _ => None,
        });
        Stage::Ends(answer.map_or(Attached::Leaves, Attached::Answers))
    }

    /// Who is late leaves without a word: an effect now would be a surprise.
    fn checked(&self) -> Stage {
        if self.is_overdue { Stage::LooksBack } else { Stage::Reaps }
    }

    /// Look again, unless it is too late for that.
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

    /// What the server's machine says, step by step: what is buried is written before it is answered.
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

    /// A failure is answered as such, and never by what it keeps from being true.
    fn failed(&self, stage: Stage, failure: Failure) -> Stage {
        match stage {
            // A socket that refuses while the lock is held means that the server starts or ends: look at
            // both again, never remove it, never kill on that ground.
            Stage::Connects | Stage::Waits => self.again(),
            Stage::OpensRegistry if failure.is_busy() => {
                let reason = Reason::Unresponsive;
                Stage::Ends(Attached::Answers(Self::refusal(&self.hello, reason)))
            }
            // What is reserved and not started leaves nothing behind.
            Stage::Reserves(remains) | Stage::Forks(remains) => {
                Stage::Removes(remains, self.because(failure))
            }
            Stage::LooksBack | Stage::Removes(_, Then::Leave) => Stage::LetsGo(Then::Leave),
            // A lock file that stays behind is swept, and says nothing wrong.
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

/// What an earlier server left is folded into the tombstone and removed first: a record that is
/// overwritten would forget which incarnations were used. The server judges the same Hello once
/// more, under the lock that it inherits.
fn start(Judged { past, has_entry }: Judged) -> Stage {
    if past.is_known {
        Stage::Buries(Burying::begin(past), Then::Start)
    } else if has_entry {
        Stage::Removes(Remains::Nothing, Then::Start)
    } else {
        Stage::Reserves(Remains::Nothing)
    }
}

/// Leaves nothing behind that says nothing: no entry without a record, which somebody left who had
/// lost his place, and no lock file without a tombstone and an entry.
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
