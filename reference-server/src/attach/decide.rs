//! Finds or starts a session's server, or answers if there is no server (SPEC section 11.2).
//!
//! The machine [`rejoin_protocol::registry::Attach`] decides the order of operations. This module
//! carries them out.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use rejoin_protocol::frame::{Hello, Wish};
use rejoin_protocol::registry::{
    Attach, Attached, Failure, FailureKind, Next, Operation, Outcome, Program as _, Recorded,
    Report,
};
use rejoin_protocol::server::Config;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Capabilities, Frame, HostId, Reason, SessionId, VersionRange};

use crate::host;
use crate::peer::require_own;
use crate::process::{self, Program, start_server};
use crate::registry::{Access, Record, Registry, RegistryError, failure};

/// The pause between two attempts on a session whose server is starting or ending.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Where the sessions are, and how to start a server.
#[derive(Clone, Debug)]
pub(crate) struct AttachContext {
    /// The registry's folder, if it is not the default.
    pub(crate) registry: Option<PathBuf>,
    /// The server program.
    pub(crate) program: Program,
    /// The arguments before `serve` on its command line.
    pub(crate) prefix: Vec<OsString>,
}

/// What becomes of a Hello.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Send this answer. No server has seen the Hello.
    Answer(Frame),
    /// Pass the channel to this server, which has not seen the Hello yet.
    Join(Joined),
    /// Send nothing: the client no longer waits for an answer.
    TooLate,
}

/// The server of the session that a Hello names.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The stream to the server.
    pub(crate) server: UnixStream,
    /// The server's process, if this call started it. A caller that keeps running must wait for it.
    pub(crate) started: Option<Child>,
}

pub(crate) fn config(session: SessionId, host: HostId) -> Config {
    Config {
        session,
        host,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities::default(),
    }
}

/// Decides how to handle a Hello.
pub(crate) fn decide(context: &AttachContext, hello: &Hello, deadline: Instant) -> Decision {
    let Ok(host) = host::host_id() else {
        return Decision::Answer(Attach::refusal(hello, Reason::Unresponsive));
    };
    let mut attempt = Attempt { context, hello, access: None, joined: None, pause: FIRST_PAUSE };
    let attach = Attach::new(config(hello.session, host), hello.clone());
    match run(attach, deadline, |operation| attempt.carry_out(operation)) {
        Attached::Answers(answer) => Decision::Answer(answer),
        Attached::Joins => attempt.joined.map_or(Decision::TooLate, Decision::Join),
        Attached::Leaves => Decision::TooLate,
    }
}

/// Runs the machine of attach until it ends.
fn run(
    mut attach: Attach,
    deadline: Instant,
    mut carry_out: impl FnMut(&Operation) -> Report,
) -> Attached {
    loop {
        if Instant::now() >= deadline {
            attach.overdue();
        }
        match attach.next() {
            Next::Do(operation) => {
                let report = carry_out(&operation);
                #[cfg(feature = "record")]
                record(&attach, &report);
                attach.done(report);
            }
            Next::End(end) => return end,
        }
    }
}

/// What the server's machine is about to judge the Hello by, and what it says.
#[cfg(feature = "record")]
fn record(attach: &Attach, report: &Report) {
    use rejoin_protocol::server::{Event, Server};
    use rejoin_protocol::{Frame, Link};

    let Some(past) = report.as_ref().ok().and_then(|outcome| attach.judges(outcome)) else {
        return;
    };
    let mut machine = Server::Absent(past);
    let event = Event::Frame(Link(0), Frame::Hello(attach.hello().clone()));
    let config = attach.config();
    crate::recorder::Recorder::attach(config, &machine).step(&mut machine, config, event);
}

/// Executes the operations of one attach.
struct Attempt<'a> {
    context: &'a AttachContext,
    hello: &'a Hello,
    access: Option<Access>,
    joined: Option<Joined>,
    pause: Duration,
}

impl Attempt<'_> {
    fn carry_out(&mut self, operation: &Operation) -> Report {
        match operation {
            Operation::OpenRegistry { makes } => self.open_registry(*makes),
            Operation::Connect => self.connect().map_err(|error| failure(&error)),
            Operation::WriteRecord(record) => self.write_record(record),
            Operation::Fork => self.fork().map_err(|error| {
                told(&error, format!("the session's server cannot be started: {error}"))
            }),
            Operation::Wait => {
                self.access()?.close();
                std::thread::sleep(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Ok(Outcome::Done)
            }
            operation => {
                let report = self.access()?.carry_out(operation);
                report.map_err(|failure| self.in_folder(failure))
            }
        }
    }

    fn access(&mut self) -> Result<&mut Access, Failure> {
        let missing = || Failure::new(FailureKind::Missing, "the registry is not open");
        self.access.as_mut().ok_or_else(missing)
    }

    fn in_folder(&self, failure: Failure) -> Failure {
        let folder = self.access.as_ref().map(|access| access.registry().dir().display());
        let Some(folder) = folder else { return failure };
        let message = match failure.kind {
            FailureKind::Full => {
                format!("the folder {folder} has no room ({failure}): free some on its file system")
            }
            _ => format!("the folder {folder} failed: {failure}"),
        };
        Failure { message, ..failure }
    }

    fn open_registry(&mut self, makes: bool) -> Report {
        let dir = self.context.registry.as_deref();
        let opened =
            if makes { Registry::open(dir).map(Some) } else { Registry::open_existing(dir) };
        match opened {
            Ok(Some(registry)) => {
                self.access = Some(Access::new(registry, self.hello.session));
                Ok(Outcome::Done)
            }
            Ok(None) => Ok(Outcome::Missing),
            Err(error) => Err(match &error {
                RegistryError::Io { error: cause, .. } => told(cause, error.to_string()),
                _ => Failure::new(FailureKind::Denied, error.to_string()),
            }),
        }
    }

    fn connect(&mut self) -> io::Result<Outcome> {
        let registry = self.access.as_ref().map(Access::registry);
        let path = registry.map(|registry| registry.socket_path(self.hello.session));
        let server = UnixStream::connect(path.unwrap_or_default())?;
        require_own(&server)?;
        self.joined = Some(Joined { server, started: None });
        Ok(Outcome::Done)
    }

    fn write_record(&mut self, record: &Recorded) -> Report {
        let reserved = self.reserved(record);
        let written = self.access()?.lock().and_then(|lock| lock.write_record(&reserved));
        match written {
            Ok(()) => Ok(Outcome::Done),
            Err(error) => Err(self.in_folder(failure(&error))),
        }
    }

    fn reserved(&self, record: &Recorded) -> Record {
        let command = match &self.hello.wish {
            Wish::Open { spec, .. } => ProcessSpec::decode(spec)
                .map_or_else(|_| String::new(), |spec| process::summary(&spec.command)),
            _ => String::new(),
        };
        let name = self.hello.name.to_printable();
        Record::reserved(record.incarnation, record.tenure, &command, &name)
    }

    fn fork(&mut self) -> io::Result<Outcome> {
        let access = self.access.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let (ours, theirs) = UnixStream::pair()?;
        let arguments = self.arguments(access.registry());
        let child = start_server(&self.context.program, arguments, theirs, access.lock()?)?;
        self.joined = Some(Joined { server: ours, started: Some(child) });
        Ok(Outcome::Done)
    }

    fn arguments(&self, registry: &Registry) -> Vec<OsString> {
        let mut arguments = self.context.prefix.clone();
        arguments.push("serve".into());
        arguments.push("--registry".into());
        arguments.push(registry.dir().into());
        arguments.push(self.hello.session.to_string().into());
        arguments
    }
}

/// The same failure with another message.
fn told(error: &io::Error, message: String) -> Failure {
    Failure { message, ..failure(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Found;
    use rejoin_protocol::frame::{From, Refused, Scope};
    use rejoin_protocol::{
        AttachNumber, ClientInstance, ClientName, Epoch, Incarnation, Seq, Tenure, Version,
    };
    use tempfile::TempDir;

    const EPOCH: Epoch = Epoch::from_bytes([9; 16]);

    /// A session whose server died while its process 0 ran.
    fn dead(session: SessionId) -> (TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
        let lock = registry.open_lock(session, true).unwrap().unwrap().try_lock().unwrap().got();
        let record = Record::reserved(Incarnation(0), Tenure(0), "", "").starting(EPOCH);
        lock.unwrap().write_record(&record).unwrap();
        (folder, registry)
    }

    fn fresh() -> SessionId {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).unwrap();
        SessionId::from_bytes(bytes)
    }

    fn hello(session: SessionId, wish: Wish) -> Hello {
        Hello {
            version: Version::CURRENT,
            session,
            instance: ClientInstance::from_bytes([1; 16]),
            name: ClientName::new("test"),
            attach: AttachNumber(1),
            tenure: Tenure(0),
            wish,
        }
    }

    fn wishes() -> Vec<Wish> {
        let (incarnation, scope) = (Incarnation(0), Scope::Session);
        let host = host::host_id().unwrap();
        vec![
            Wish::Open { incarnation, host, spec: bytes::Bytes::new() },
            Wish::Resume { incarnation, epoch: EPOCH, next_output: Seq(0) },
            Wish::Claim { expected: None, from: From::Latest },
            Wish::Close { incarnation, scope },
        ]
    }

    /// Whether an answer relies on the tombstone.
    fn relies(attached: &Attached) -> bool {
        match attached {
            Attached::Answers(Frame::Refused(Refused { reason, .. })) => {
                *reason == Reason::ProcessGone
            }
            Attached::Answers(Frame::Closed { .. }) => true,
            _ => false,
        }
    }

    /// Runs a wish on real files, with one operation failing. Returns the number of operations.
    fn run_failing(wish: Wish, at: usize) -> usize {
        let hello = hello(fresh(), wish);
        let (folder, registry) = dead(hello.session);
        let context = AttachContext {
            registry: Some(registry.dir().into()),
            program: Program::at("/bin/true"),
            prefix: Vec::new(),
        };
        let mut attempt = Attempt {
            context: &context,
            hello: &hello,
            access: None,
            joined: None,
            pause: FIRST_PAUSE,
        };
        let attach = Attach::new(config(hello.session, host::host_id().unwrap()), hello.clone());
        let mut done = Vec::new();
        let deadline = Instant::now() + Duration::from_mins(1);
        let end = run(attach, deadline, |operation| {
            done.push(operation.clone());
            if done.len() == at + 1 && *operation != Operation::LetGo {
                return Err(failure(&io::Error::from_raw_os_error(libc::EIO)));
            }
            attempt.carry_out(operation)
        });
        let lock = registry.open_lock(hello.session, false).unwrap().unwrap();
        let lock = lock.try_lock().unwrap().got().expect("nobody holds the lock");
        let tombstone = lock.read_tombstone().unwrap();
        let used = tombstone.clone().whole().and_then(|tombstone| tombstone.used);
        if relies(&end) {
            assert_eq!(used, Some(Incarnation(0)), "{end:?} after {done:?}");
        }
        if tombstone == Found::Nothing {
            assert!(registry.has_entry(hello.session).unwrap(), "{end:?} after {done:?}");
        }
        drop(folder);
        done.len()
    }

    #[test]
    fn never_relies_on_a_tombstone_that_a_failing_disk_did_not_write() {
        for wish in wishes() {
            // A number past the last operation: nothing fails.
            let most = run_failing(wish.clone(), usize::MAX - 1);
            assert!(most >= 7, "{most} operations");
            for at in 0..most {
                run_failing(wish.clone(), at);
            }
        }
    }
}
