//! The story that the demo plays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{
    Event, Events, ExitStatus, How, Incarnation, OnLoss, Options, Output, Replaced, Session,
    SessionId, new_session_id,
};
use rejoin_server::registry::{Found, Registry};
use rejoin_ssh::UnixConnect;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::timeout;

use super::gate::Gate;
use super::script::{self, Transcript};
use super::stage::Stage;

/// How long each outage lasts.
const OUTAGES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(400),
    Duration::from_millis(550),
    Duration::from_millis(700),
];
/// How much comes between two cuts, at most.
const BETWEEN: u64 = 900;
/// How long nothing may happen before the demo counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process stays, and its server, if the demo is killed and cannot end them.
const RETENTION: Duration = Duration::from_mins(1);
/// What is typed while there is no connection.
const WORD: &str = "typed while the network was down";

pub(super) struct Story<'a> {
    stage: &'a mut Stage,
    gate: &'a Gate,
    registry: &'a Registry,
    session: SessionId,
    parts: Session,
    /// The process whose output comes now.
    incarnation: Incarnation,
    /// What it wrote.
    transcript: Transcript,
    exit: Option<ExitStatus>,
    /// What the output said of the process before, and how many of its lines came.
    replaced: Option<(Replaced, u64)>,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        stage: &'a mut Stage,
        gate: &'a Gate,
        registry: &'a Registry,
    ) -> Result<Self, String> {
        let mut options = Options { on_loss: OnLoss::Respawn, ..Options::default() };
        options.timing.backoff_cap = Duration::from_millis(100);
        let session = new_session_id().map_err(|error| error.to_string())?;
        let spec = ProcessSpec {
            retention: RETENTION.as_secs(),
            ..ProcessSpec::new(Command::Shell(script::command().into_bytes()))
        };
        let connect = Arc::new(UnixConnect::new(gate.path()));
        let parts =
            Session::open(connect, session, &spec, options).map_err(|error| error.to_string())?;
        Ok(Self {
            stage,
            gate,
            registry,
            session,
            parts,
            incarnation: Incarnation::default(),
            transcript: Transcript::default(),
            exit: None,
            replaced: None,
        })
    }

    pub(super) async fn play(mut self) -> Result<(), String> {
        self.prologue();
        let first = self.first_process().await?;
        for (number, outage) in OUTAGES.into_iter().enumerate() {
            self.cut(number + 1, outage, first).await?;
        }
        let second = self.kill_server(first).await?;
        self.finish(second).await?;
        self.check_residue(&[first, second])?;
        self.stage.title("All of it was checked: every byte came once, and every loss was told.");
        Ok(())
    }

    fn prologue(&mut self) {
        self.stage.title("A remote process, an unreliable network, and what usually happens");
        for line in [
            "connection lost        -> \"Reusing existing remote server\" (it died with the connection)",
            "asks for its process   -> \"process not found on remote\"",
            "gives up, in the log   -> \"Abandoning (transport lost, no reattach)\"",
            "and its user sees      -> a spinner, for seven and a half hours",
        ] {
            self.stage.faint(line);
        }
    }

    async fn first_process(&mut self) -> Result<Pid, String> {
        self.stage.title("1. The same with rejoin: a process that counts");
        self.attached(How::Opened).await?;
        let pid = self.read_pid().await?;
        self.stage.good(format_args!("process {} runs", number(pid)));
        Ok(pid)
    }

    /// Cuts the link somewhere within the output, waits, and lets it come back.
    async fn cut(&mut self, count: usize, outage: Duration, pid: Pid) -> Result<(), String> {
        if count == 1 {
            self.stage.title("2. The connection is cut, anywhere, again and again");
        }
        let bytes = 200 + getrandom::u64().map_err(|error| error.to_string())? % BETWEEN;
        let place = self.cut_within(bytes).await?;
        self.read_while(tokio::time::sleep(outage)).await?;
        let before = self.transcript.lines();
        self.stage.blow(format_args!("after line {before}, {place}"));
        let millis = self.return_of_link(How::Resumed).await?;
        let missed = self.catch_up().await?.saturating_sub(before);
        if !is_alive(pid) {
            return Err(format!("process {} did not survive the cut", number(pid)));
        }
        self.transcript.verify(WORD)?;
        self.stage.good(format_args!(
            "{} ms away; resumed {millis} ms after the network's return; \
             the {missed} lines missed are here, none twice",
            outage.as_millis()
        ));
        Ok(())
    }

    /// Cuts the link after so many bytes, or when the process has counted to its end: then nothing more
    /// comes that could be cut. Says where that was.
    async fn cut_within(&mut self, bytes: u64) -> Result<String, String> {
        let gate = self.gate;
        let mut cut = std::pin::pin!(gate.cut_after(bytes));
        while self.transcript.lines() < script::LINES {
            tokio::select! {
                () = &mut cut => return Ok(format!("{bytes} bytes into the link")),
                read = self.read() => read?,
            }
        }
        gate.cut();
        Ok(String::from("while the process waits"))
    }

    async fn return_of_link(&mut self, how: How) -> Result<u128, String> {
        let since = Instant::now();
        self.gate.restore().map_err(|error| error.to_string())?;
        self.attached(how).await?;
        Ok(since.elapsed().as_millis())
    }

    /// Kills the server behind the client's back, with the link down: what an old socket would
    /// still promise is gone.
    async fn kill_server(&mut self, old: Pid) -> Result<Pid, String> {
        self.stage.title("3. The server is killed while nobody is connected (kill -9)");
        self.gate.cut();
        let server = self.server()?;
        kill_process(server, Signal::KILL).map_err(|error| error.to_string())?;
        self.stage
            .blow(format_args!("server {} is dead, its socket is still there", number(server)));
        let since = Instant::now();
        self.gate.restore().map_err(|error| error.to_string())?;
        self.replacement(since).await?;
        self.attached(How::Opened).await?;
        let pid = self.read_pid().await?;
        if is_alive(old) {
            return Err(format!("process {} outlived its server", number(old)));
        }
        self.stage.good(format_args!(
            "a fresh process, {}, runs in the same session; {} is gone for certain",
            number(pid),
            number(old)
        ));
        Ok(pid)
    }

    /// Reads the rest of the old process's output, and what stands behind it.
    async fn replacement(&mut self, since: Instant) -> Result<(), String> {
        let (replaced, received) = loop {
            if let Some(replaced) = self.replaced.take() {
                break replaced;
            }
            self.read().await?;
        };
        let Replaced { reason, unacked_input_bytes, .. } = replaced;
        self.stage.good(format_args!(
            "told {} ms after the network's return: {reason}; output up to line {received} was \
             received, {unacked_input_bytes} bytes of input have an unknown fate",
            since.elapsed().as_millis()
        ));
        Ok(())
    }

    /// Types something while the link is down; it arrives once, and so does the exit status.
    async fn finish(&mut self, pid: Pid) -> Result<(), String> {
        self.stage.title("4. Typed while disconnected, answered after, and the exit status");
        self.gate.cut();
        self.stage.blow(format_args!("and \"{WORD}\" is typed now"));
        let line = format!("{WORD}\n").into_bytes();
        self.parts.input.send(line.into()).await.map_err(|error| error.to_string())?;
        self.read_while(tokio::time::sleep(OUTAGES[1])).await?;
        let millis = self.return_of_link(How::Resumed).await?;
        self.stage.say(format_args!("the network is back; resumed in {millis} ms"));
        while self.exit.is_none() {
            self.read().await?;
        }
        self.parts.output.take();
        self.transcript.verify_whole(WORD)?;
        self.check_exit()?;
        self.stage.good(format_args!(
            "process {} heard it once and ended with status {}; its {} bytes are complete",
            number(pid),
            script::EXIT,
            self.transcript.len()
        ));
        while self.event().await.is_ok() {}
        Ok(())
    }

    fn check_exit(&self) -> Result<(), String> {
        match self.exit {
            Some(ExitStatus::Code(script::EXIT)) => Ok(()),
            other => Err(format!("the process ended with {other:?}")),
        }
    }

    fn check_residue(&mut self, pids: &[Pid]) -> Result<(), String> {
        self.stage.title("5. What is left behind");
        if let Some(pid) = pids.iter().find(|pid| is_alive(**pid)) {
            return Err(format!("process {} is still there", number(*pid)));
        }
        let lock = self.registry.lock_path(self.session);
        let folder = std::fs::read_dir(self.registry.dir()).map_err(|error| error.to_string())?;
        for entry in folder {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path != lock {
                return Err(format!("{} is still there", path.display()));
            }
        }
        self.stage.good(
            "no process, no socket, no folder: one tombstone of 1 KiB, so that no late message \
             can start anything again",
        );
        Ok(())
    }

    fn server(&self) -> Result<Pid, String> {
        let record = self.registry.read_record(self.session).map_err(|error| error.to_string())?;
        let Found::Whole(record) = record else {
            return Err(String::from("the session has no record"));
        };
        let pid = record.server.and_then(|server| i32::try_from(server.pid).ok());
        pid.and_then(Pid::from_raw).ok_or_else(|| String::from("the record names no server"))
    }

    async fn read_pid(&mut self) -> Result<Pid, String> {
        loop {
            if let Some(pid) = self.transcript.pid().and_then(Pid::from_raw) {
                return Ok(pid);
            }
            self.read().await?;
        }
    }

    /// Takes what comes while something else goes on.
    async fn read_while(&mut self, other: impl Future<Output = ()>) -> Result<(), String> {
        let mut other = std::pin::pin!(other);
        loop {
            tokio::select! {
                () = &mut other => return Ok(()),
                read = self.read() => read?,
            }
        }
    }

    /// Reads one piece of output.
    async fn read(&mut self) -> Result<(), String> {
        let read = timeout(PATIENCE, self.parts.output.recv()).await.map_err(|_| too_long())?;
        match read {
            Some(output) => self.take(output),
            None => Err(self.why_ended().await),
        }
    }

    async fn why_ended(&mut self) -> String {
        loop {
            if let Err(message) = self.event().await {
                return message;
            }
        }
    }

    /// Reads what came at once, if anything is to come, and says up to which line that was.
    async fn catch_up(&mut self) -> Result<u64, String> {
        if self.transcript.lines() < script::LINES {
            self.read().await?;
        }
        while let Ok(read) = timeout(Duration::from_millis(5), self.read()).await {
            read?;
        }
        Ok(self.transcript.lines())
    }

    fn take(&mut self, output: Output) -> Result<(), String> {
        match output {
            Output::Data { incarnation, data, .. } => {
                self.check_writer(incarnation)?;
                self.transcript.push(&data);
            }
            Output::Exit { incarnation, status } => {
                self.check_writer(incarnation)?;
                self.exit = Some(status);
            }
            Output::Gap { .. } => return Err(String::from("output was dropped")),
            Output::Replaced(replaced) => {
                self.check_writer(replaced.old)?;
                self.transcript.verify(WORD)?;
                self.incarnation = replaced.new;
                let old = std::mem::take(&mut self.transcript);
                self.replaced = Some((replaced, old.lines()));
            }
        }
        let lines = self.transcript.lines();
        self.stage.moving(format_args!("line {lines} of {}", script::LINES));
        Ok(())
    }

    /// Between two processes stands a marker: nothing else begins another one's output.
    fn check_writer(&self, incarnation: Incarnation) -> Result<(), String> {
        if incarnation == self.incarnation {
            return Ok(());
        }
        let due = self.incarnation;
        Err(format!("output of incarnation {incarnation} came among that of incarnation {due}"))
    }

    async fn attached(&mut self, expected: How) -> Result<(), String> {
        loop {
            match self.event().await? {
                Event::Attached { how, .. } if how == expected => return Ok(()),
                Event::Attached { how, .. } => {
                    return Err(format!("attached as {how:?} instead of {expected:?}"));
                }
                _ => {}
            }
        }
    }

    async fn event(&mut self) -> Result<Event, String> {
        match event(&mut self.parts.events).await? {
            Event::Lost { message, .. }
            | Event::GaveUp { message, .. }
            | Event::Refused { message, .. } => Err(message),
            event => Ok(event),
        }
    }
}

async fn event(events: &mut Events) -> Result<Event, String> {
    let event = timeout(PATIENCE, events.recv()).await.map_err(|_| too_long())?;
    event.ok_or_else(|| String::from("the session ended too early"))
}

fn too_long() -> String {
    format!("nothing happened for {} s", PATIENCE.as_secs())
}

/// A process that has ended and was not waited for by its parent yet is not alive.
fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", number(pid)));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}
