//! Many sessions over one connection: how fast they are back after a cut, what they cost while
//! they are idle, and whether one that floods delays another.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rejoin_client::spec::{Command, ProcessSpec};
use rejoin_client::{
    Control, Event, Events, Host, How, Input, Options, Output, Outputs, Session, new_session_id,
};
use rejoin_ssh::SshConnect;
use rejoin_testing::{Relay, Sshd};
use tokio::task::JoinHandle;

use crate::figures::{kib, millis, print};

/// Of each number of sessions.
const CUTS: usize = 7;
const ECHOES: usize = 1000;
const IDLE: Duration = Duration::from_secs(12);

/// Where the sessions are.
struct Stage<'a> {
    relay: Relay,
    host: Host,
    registry: &'a Path,
    /// What runs on the host for this connection, as it stands on the command line.
    command: String,
    _sshd: Sshd,
}

/// Prints the figures of many sessions, measured with this server program.
///
/// # Errors
/// A program could not be run, or did not answer as it should.
pub async fn measure(server: &Path) -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    for count in [1, 50, 500] {
        let registry = folder.path().join(count.to_string());
        let stage = Stage::new(server, &registry).await?;
        stage.resumes(count).await?;
    }
    let registry = folder.path().join("echo");
    Stage::new(server, &registry).await?.echoes().await
}

impl<'a> Stage<'a> {
    async fn new(server: &Path, registry: &'a Path) -> io::Result<Self> {
        let sshd = Sshd::start()?;
        let relay = Relay::start(sshd.addr()).await?;
        let command = format!("{} --registry {} mux", server.display(), registry.display());
        let options = sshd.ssh_options(relay.addr().port());
        let ssh = SshConnect::new(sshd.destination(), &command).options(options);
        let host = Host::new(Arc::new(ssh));
        Ok(Self { relay, host, registry, command, _sshd: sshd })
    }

    fn open(&self, line: &str) -> io::Result<Session> {
        let options = Options { may_ask: false, ..Options::default() };
        let spec = ProcessSpec::new(Command::Shell(line.into()));
        self.host.open(new_session_id()?, &spec, options).map_err(io::Error::other)
    }

    /// From the cut to each session's attachment.
    async fn resumes(&self, count: usize) -> io::Result<()> {
        let before = own_memory()?;
        let since = Instant::now();
        let mut idle = Vec::new();
        for _ in 0..count {
            idle.push(Idle::start(self.open("exec cat")?));
        }
        for session in &mut idle {
            session.attached(How::Opened).await?;
        }
        println!("{count:>3} sessions opened     {:>9.1} ms", millis(since.elapsed()));
        let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
        for _ in 0..CUTS {
            let since = Instant::now();
            self.relay.cut_all_reset();
            let (mut first, mut last) = (Duration::MAX, Duration::ZERO);
            for session in &mut idle {
                let at = session.attached(How::Resumed).await? - since;
                (first, last) = (first.min(at), last.max(at));
            }
            firsts.push(first);
            lasts.push(last);
        }
        print("  cut to first", &mut firsts);
        let last = print("  cut to last", &mut lasts);
        #[allow(clippy::cast_precision_loss)]
        let rate = count as f64 / last.as_secs_f64();
        println!("  resumed per second   {rate:>9.0}");
        if count > 1 {
            self.memory(count, before)?;
            self.heartbeats().await?;
        }
        for session in idle {
            session.close().await;
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn memory(&self, count: usize, before: u64) -> io::Result<()> {
        let each = |bytes: u64| kib(bytes) / count as f64;
        let client = own_memory()?.saturating_sub(before);
        println!("  client, per session  {:>9.1} KiB resident", each(client));
        let serve = sum(&self.serves()?, share)?;
        println!("  serve, per session   {:>9.1} KiB proportional", each(serve));
        println!("  mux                  {:>9.1} KiB proportional", kib(sum(&self.mux()?, share)?));
        Ok(())
    }

    /// What idle sessions do to be sure of each other.
    async fn heartbeats(&self) -> io::Result<()> {
        let hosts = || -> io::Result<_> { Ok([self.serves()?, self.mux()?].concat()) };
        let (bytes, host, client) =
            (self.relay.bytes(), sum(&hosts()?, ticks)?, ticks(std::process::id())?);
        tokio::time::sleep(IDLE).await;
        let seconds = IDLE.as_secs();
        // A tick is a hundredth of a second.
        let share = |ticks: u64| ticks / seconds;
        println!(
            "  idle                 {:>9} bytes/s, {} % of a processor at the host, {} % here",
            (self.relay.bytes() - bytes) / seconds,
            share(sum(&hosts()?, ticks)? - host),
            share(ticks(std::process::id())? - client),
        );
        Ok(())
    }

    async fn echoes(&self) -> io::Result<()> {
        let mut echo = Echo::start(self.open("exec cat")?).await?;
        echo.measure("echo, alone").await?;
        let Session { input: _input, output, events, control, .. } = self.open("exec yes")?;
        let flood = tokio::spawn(count(output));
        let before = self.relay.bytes();
        let since = Instant::now();
        echo.measure("echo beside a flood").await?;
        let megabytes = (self.relay.bytes() - before) / 1_000_000;
        println!(
            "  the flood meanwhile  {megabytes:>9} MB in {:.1} s",
            since.elapsed().as_secs_f64()
        );
        close(&control, events).await;
        flood.abort();
        close(&echo.control, echo.events).await;
        Ok(())
    }

    fn serves(&self) -> io::Result<Vec<u32>> {
        running(&format!("serve --registry {} ", self.registry.display()))
    }

    /// Without the shell that started it, if there is one.
    fn mux(&self) -> io::Result<Vec<u32>> {
        running(&self.command)
    }
}

/// A session that does nothing.
struct Idle {
    events: Events,
    control: Control,
    _input: Input,
    reading: JoinHandle<()>,
}

impl Idle {
    fn start(session: Session) -> Self {
        let Session { input, output, events, control, .. } = session;
        Self { events, control, _input: input, reading: tokio::spawn(count(output)) }
    }

    async fn attached(&mut self, wanted: How) -> io::Result<Instant> {
        while let Some(event) = self.events.recv().await {
            if let Event::Attached { how, millis: _, .. } = event
                && how == wanted
            {
                return Ok(Instant::now());
            }
        }
        Err(io::Error::other("a session has ended"))
    }

    async fn close(self) {
        close(&self.control, self.events).await;
        self.reading.abort();
    }
}

async fn close(control: &Control, mut events: Events) {
    control.close();
    while events.recv().await.is_some() {}
}

async fn count(mut output: Outputs) {
    while output.recv().await.is_some() {}
}

/// A session that answers.
struct Echo {
    input: Input,
    output: Outputs,
    events: Events,
    control: Control,
}

impl Echo {
    async fn start(session: Session) -> io::Result<Self> {
        let Session { input, output, events, control, .. } = session;
        let mut echo = Self { input, output, events, control };
        echo.once().await?;
        Ok(echo)
    }

    async fn once(&mut self) -> io::Result<Duration> {
        let since = Instant::now();
        self.input.send(Bytes::from_static(b"x")).await.map_err(io::Error::other)?;
        match self.output.recv().await {
            Some(Output::Data { .. }) => Ok(since.elapsed()),
            other => Err(io::Error::other(format!("{other:?} instead of an answer"))),
        }
    }

    async fn measure(&mut self, name: &str) -> io::Result<()> {
        let mut times = Vec::new();
        for _ in 0..ECHOES {
            times.push(self.once().await?);
            // As a person types, not as a machine does: what waits in between is the flood.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.sort_unstable();
        let at = |share: usize| millis(times[(times.len() - 1) * share / 100]);
        println!("{name:<22}{:>9.2} ms median of {ECHOES} (99 %: {:.2})", at(50), at(99));
        Ok(())
    }
}

/// The processes whose command line contains this, other than shells that started them.
fn running(wanted: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(wanted) && !line.contains(" -c ") && !line.starts_with("ssh ") {
            found.push(pid);
        }
    }
    Ok(found)
}

fn sum(pids: &[u32], of: impl Fn(u32) -> io::Result<u64>) -> io::Result<u64> {
    pids.iter().map(|pid| of(*pid)).sum()
}

/// A process's share of memory: what it has alone, and its part of what it shares.
fn share(pid: u32) -> io::Result<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

fn own_memory() -> io::Result<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// A number of KiB, in bytes.
fn field(file: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    number
        .map(|kib: u64| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {name} in {file}")))
}

/// The time that a process has had of a processor, in ticks.
fn ticks(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = text.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>());
    let at = |at: usize| fields.as_ref()?.get(at)?.parse::<u64>().ok();
    at(11).zip(at(12)).map(|(user, system)| user + system).ok_or_else(|| io::Error::other(text))
}
