//! Finds or starts a session's server, or answers where there is none (SPEC section 11.2).
//!
//! The order of the steps is what makes this safe with a crash possible between any two of them:
//! the record and the tombstone are read under the lock only, and what was decided is written
//! before it is answered.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rejoin_protocol::frame::{Hello, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server::{Config, Effect, Effects, Event, Past, Server};
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{
    Capabilities, Frame, HostId, Incarnation, Link, Reason, SessionId, VersionRange,
};

use crate::host;
use crate::past::{from_machine, to_machine};
use crate::peer::require_own;
use crate::process::{self, Program, start_server};
use crate::reap::{Reach, reap};
use crate::registry::{self, Lock, Record, Registry, RegistryError, Tried};

/// How long killed processes may take to be gone.
const REAP_TIME: Duration = Duration::from_secs(5);
/// Between two looks at a session whose server is starting or ending.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The only link that an attach has.
const CLIENT: Link = Link(0);

/// Where sessions are, and what starts a server.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The registry's folder, where it is not the usual one.
    pub(crate) registry: Option<PathBuf>,
    /// The server program.
    pub(crate) program: Program,
    /// What stands before `serve` on its command line.
    pub(crate) prefix: Vec<OsString>,
}

/// What becomes of a Hello.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is answered here. No server has seen it.
    Answer(Frame),
    /// It is for this server, which has not seen it yet.
    Join(Joined),
    /// Nobody waits for the answer any more.
    TooLate,
}

/// A server that a Hello is for.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The stream to it.
    pub(crate) server: UnixStream,
    /// Its process, if it was started just now: whoever stays has to wait for it some day.
    pub(crate) started: Option<Child>,
}

/// What a look at the lock led to.
enum Look {
    Decided(Decision),
    Again,
}

pub(crate) fn config(session: SessionId, host: HostId) -> Config {
    Config {
        session,
        host,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities::default(),
    }
}

/// Decides what becomes of a Hello.
pub(crate) fn decide(place: &Place, hello: &Hello, deadline: Instant) -> Decision {
    let Ok(host) = host::host_id() else { return refuse(hello, Reason::Unresponsive) };
    let config = config(hello.session, host);
    if let Some(reason) = config.objection(hello) {
        return refuse(hello, reason);
    }
    let is_making = matches!(hello.wish, Wish::Open { .. } | Wish::Close { .. });
    let registry = match open_registry(place, is_making) {
        Ok(Some(registry)) => registry,
        Ok(None) => return without_past(&config, hello),
        Err(RegistryError::Io { error, .. }) if is_passing(&error) => {
            return refuse(hello, Reason::Unresponsive);
        }
        Err(error) => return forbid(hello, &error.to_string()),
    };
    let attempt =
        Attempt { place, config: &config, hello, registry: &registry, is_making, deadline };
    attempt.run().unwrap_or_else(|error| {
        forbid(hello, &format!("the folder {} failed: {error}", registry.dir().display()))
    })
}

fn open_registry(place: &Place, is_making: bool) -> Result<Option<Registry>, RegistryError> {
    let dir = place.registry.as_deref();
    if is_making { Registry::open(dir).map(Some) } else { Registry::open_existing(dir) }
}

struct Attempt<'a> {
    place: &'a Place,
    config: &'a Config,
    hello: &'a Hello,
    registry: &'a Registry,
    is_making: bool,
    deadline: Instant,
}

impl Attempt<'_> {
    fn run(&self) -> io::Result<Decision> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.look() {
                Ok(Look::Decided(decision)) => return Ok(decision),
                Ok(Look::Again) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= self.deadline {
                return Ok(refuse(self.hello, Reason::Unresponsive));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn look(&self) -> io::Result<Look> {
        let Some(file) = self.registry.open_lock(self.hello.session, self.is_making)? else {
            return Ok(Look::Decided(without_past(self.config, self.hello)));
        };
        match file.try_lock()? {
            Tried::Held(_) => Ok(self.connect()),
            Tried::Got(lock) => self.under_lock(lock),
        }
    }

    /// A socket that refuses while the lock is held means that the server is starting or ending:
    /// try both again, never remove it, never kill on that ground.
    fn connect(&self) -> Look {
        let server = UnixStream::connect(self.registry.socket_path(self.hello.session));
        match server.and_then(|server| require_own(&server).map(|()| server)) {
            Ok(server) => Look::Decided(Decision::Join(Joined { server, started: None })),
            Err(_) => Look::Again,
        }
    }

    fn under_lock(&self, lock: Lock) -> io::Result<Look> {
        if !lock.is_current()? {
            return Ok(Look::Again);
        }
        if Instant::now() >= self.deadline {
            lock.withdraw()?;
            return Ok(Look::Decided(Decision::TooLate));
        }
        let reaped = reap(self.hello.session, &self.reach()?, REAP_TIME)?;
        let past = lock.read_past_with(reaped.highest, named_by(self.hello))?;
        let ended = u32::try_from(reaped.killed).unwrap_or(u32::MAX);
        let known = Past { ended, ..to_machine(&past) };
        for effect in judge(self.config, known, self.hello) {
            match effect {
                Effect::Bury(past) => lock.bury(&from_machine(&past))?,
                Effect::Start { .. } => return self.start(lock, &past),
                Effect::Send(_, answer) => {
                    // An answer may block on a dead link: the lock is let go of before.
                    lock.withdraw()?;
                    return Ok(Look::Decided(Decision::Answer(answer)));
                }
                _ => {}
            }
        }
        Ok(Look::Again)
    }

    /// Only who closes the session ends what has left its process.
    fn reach(&self) -> io::Result<Reach> {
        if let Wish::Close { scope: Scope::Session, .. } = self.hello.wish {
            return Ok(Reach::Session);
        }
        self.registry.read_record(self.hello.session).map(Reach::left)
    }

    /// What an earlier server left is folded into the tombstone and removed first: a record that
    /// is overwritten would forget which incarnations were used. The server judges the same Hello
    /// once more, under the lock that it inherits here.
    fn start(&self, lock: Lock, past: &registry::Past) -> io::Result<Look> {
        if !lock.is_current()? {
            return Ok(Look::Again);
        }
        if past.known {
            lock.bury(past)?;
        }
        let record = self.reserved();
        if let Err(error) = lock.write_record(&record) {
            lock.withdraw()?;
            return Err(error);
        }
        let (ours, theirs) = UnixStream::pair()?;
        match start_server(&self.place.program, self.arguments(), theirs, lock) {
            Ok(child) => {
                let joined = Joined { server: ours, started: Some(child) };
                Ok(Look::Decided(Decision::Join(joined)))
            }
            Err(failed) => {
                failed.lock.bury(past)?;
                failed.lock.withdraw()?;
                Err(failed.error)
            }
        }
    }

    fn reserved(&self) -> Record {
        let Wish::Open { incarnation, spec, .. } = &self.hello.wish else {
            return Record::reserved(Incarnation(0), self.hello.tenure, "", "");
        };
        let command = ProcessSpec::decode(spec)
            .map_or_else(|_| String::new(), |spec| process::summary(&spec.command));
        let name = self.hello.name.to_printable();
        Record::reserved(*incarnation, self.hello.tenure, &command, &name)
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments = self.place.prefix.clone();
        arguments.push("serve".into());
        arguments.push("--registry".into());
        arguments.push(self.registry.dir().into());
        arguments.push(self.hello.session.to_string().into());
        arguments
    }
}

/// The incarnation that a Hello is about.
fn named_by(hello: &Hello) -> Option<Incarnation> {
    match &hello.wish {
        Wish::Open { incarnation, .. }
        | Wish::Resume { incarnation, .. }
        | Wish::Close { incarnation, .. } => Some(*incarnation),
        Wish::Claim { expected, .. } => expected.map(|holder| holder.incarnation),
        Wish::Unreadable => None,
    }
}

/// What the system refuses now and may grant in a moment: a host that is short of something is
/// busy, and says nothing about the session.
fn is_passing(error: &io::Error) -> bool {
    host::is_short(error) || error.kind() == io::ErrorKind::TimedOut
}

/// What the machine says to a Hello where no server lives.
fn judge(config: &Config, past: Past, hello: &Hello) -> Effects {
    let mut machine = Server::Absent(past);
    let event = Event::Frame(CLIENT, Frame::Hello(hello.clone()));
    #[cfg(feature = "record")]
    return crate::record::Recorder::attach(config, &machine).step(&mut machine, config, event);
    #[cfg(not(feature = "record"))]
    machine.step(config, event)
}

/// Where nothing is known, nothing is made.
fn without_past(config: &Config, hello: &Hello) -> Decision {
    let effects = judge(config, Past::default(), hello);
    let answer = effects.into_iter().find_map(|effect| match effect {
        Effect::Send(_, answer) => Some(answer),
        _ => None,
    });
    answer.map_or(Decision::TooLate, Decision::Answer)
}

fn refuse(hello: &Hello, reason: Reason) -> Decision {
    let counters = Counters::default();
    Decision::Answer(Frame::Refused(Refused { attach: hello.attach, reason, counters }))
}

fn forbid(hello: &Hello, message: &str) -> Decision {
    let message = rejoin_text::printable(message, Reason::MAX_MESSAGE);
    refuse(hello, Reason::Forbidden { message })
}
