//! What the fast lane brings, or costs, with the SSH servers that there are.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rejoin_testing::{
    Agent, KeyKind, OtherServer, Relay, ServerKind, SshServer, Sshd, SshdBuilder, make_program,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::figures::millis;
use crate::programs::Programs;

/// Of each lane, in turn.
const RUNS: usize = 5;
/// Round trips, in milliseconds.
const ROUND_TRIPS: [u64; 2] = [0, 50];
/// What takes longer does not come any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until an ssh that was started beside a fast link has taken over, and everything is calm.
const CALM: Duration = Duration::from_secs(1);
const CALM_ROUND_TRIPS: u32 = 20;

const READY: &str = "rejoin: the fast lane is ready";
const NOT_TAKEN: &str = "rejoin: no fast lane";
const TAKEN: &str = "rejoin: connected over the fast lane";

/// Prints, for each server, how long it takes from a cut to the first byte of an echo: with ssh alone, and
/// with the fast lane beside it.
///
/// # Errors
/// A program could not be run, or did not answer as it should.
pub async fn measure(programs: &Programs) -> io::Result<()> {
    let hosts = hosts()?;
    println!("{RUNS} of each lane, in turn; medians, in ms\n");
    println!(
        "| server | round trip | over the fast lane | --lane ssh | --lane auto | difference | ratio |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for round_trip in ROUND_TRIPS.map(Duration::from_millis) {
        let mut pairs = Vec::new();
        for host in &hosts {
            pairs.push(Pair::start(programs, host, round_trip).await?);
        }
        for pair in &mut pairs {
            pair.auto.until_known().await?;
        }
        for (pair, host) in pairs.into_iter().zip(&hosts) {
            pair.measure(&host.name, round_trip).await?;
        }
    }
    Ok(())
}

/// A host with an SSH server of some kind.
pub(crate) struct Host {
    name: String,
    pub(crate) server: Box<dyn SshServer>,
    agent: Agent,
    folder: TempDir,
}

type Change = fn(SshdBuilder) -> SshdBuilder;

fn hosts() -> io::Result<Vec<Host>> {
    let mut hosts = Vec::new();
    let configurations: [(&str, Change); 4] = [
        ("OpenSSH", |sshd| sshd),
        ("OpenSSH, RSA host key", |sshd| sshd.host_key(KeyKind::Rsa)),
        ("OpenSSH, host certificate", SshdBuilder::host_certificates),
        ("OpenSSH, AES-GCM and P-256 alone", |sshd| {
            sshd.config_line("KexAlgorithms ecdh-sha2-nistp256")
                .config_line("Ciphers aes256-gcm@openssh.com")
                .host_key(KeyKind::EcdsaP256)
        }),
    ];
    for (name, change) in configurations {
        hosts.push(Host::new(name.to_owned(), Box::new(change(Sshd::builder()).start()?))?);
    }
    for other in ServerKind::ALL.into_iter().filter(|other| other.is_installed()) {
        hosts.push(Host::new(other.to_string(), Box::new(OtherServer::start(other)?))?);
    }
    Ok(hosts)
}

impl Host {
    pub(crate) fn new(name: String, server: Box<dyn SshServer>) -> io::Result<Self> {
        let agent = Agent::start(&server.files().user_key())?;
        Ok(Self { name, server, agent, folder: tempfile::tempdir()? })
    }

    /// The server program, with a registry of this host's own. Not every SSH server sets variables.
    fn program(&self, server: &Path) -> io::Result<PathBuf> {
        let (program, registry) =
            (self.folder.path().join("server"), self.folder.path().join("sessions"));
        let registry = registry.display();
        let text =
            format!("#!/bin/sh\nREJOIN_REGISTRY='{registry}' exec '{}' \"$@\"\n", server.display());
        make_program(&program, text)?;
        Ok(program)
    }
}

/// A session with the fast lane, and one without.
struct Pair {
    auto: Session,
    ssh: Session,
}

impl Pair {
    async fn start(programs: &Programs, host: &Host, round_trip: Duration) -> io::Result<Self> {
        Ok(Self {
            auto: Session::start(programs, host, "auto", round_trip).await?,
            ssh: Session::start(programs, host, "ssh", round_trip).await?,
        })
    }

    async fn measure(mut self, name: &str, round_trip: Duration) -> io::Result<()> {
        let (mut auto, mut ssh) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            auto.push(self.auto.come_back().await?);
            calm(round_trip).await;
            ssh.push(self.ssh.come_back().await?);
        }
        let (taken, auto, ssh) = (self.auto.count(TAKEN), median(auto), median(ssh));
        println!(
            "| {name} | {} | {taken} of {RUNS} | {ssh:.0} | {auto:.0} | {:+.0} | {:.2} |",
            round_trip.as_millis(),
            auto - ssh,
            auto / ssh
        );
        self.auto.end().await?;
        self.ssh.end().await
    }
}

/// Waits for what follows on a return.
pub(crate) async fn calm(round_trip: Duration) {
    tokio::time::sleep(CALM + CALM_ROUND_TRIPS * round_trip).await;
}

pub(crate) fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    millis(times[times.len() / 2])
}

/// A `rejoin` that echoes, behind a relay of its own.
pub(crate) struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    relay: Relay,
    told: Arc<Mutex<Vec<String>>>,
}

impl Session {
    pub(crate) async fn start(
        programs: &Programs,
        host: &Host,
        lane: &str,
        round_trip: Duration,
    ) -> io::Result<Self> {
        let relay = Relay::builder(host.server.addr()).round_trip(round_trip).start().await?;
        let mut command = Command::new(&programs.client);
        command.arg("--server").arg(host.program(&programs.server)?).args(["-v", "--lane", lane]);
        command.args(host.agent.ssh_options());
        command.args(host.server.files().ssh_options(relay.addr().port()));
        command.args([host.server.destination(), "cat"]).env("HOME", host.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut session = Self { child, stdin, stdout, relay, told: listen(stderr) };
        session.echo().await?;
        Ok(session)
    }

    /// How long it takes from a cut until something new has come back.
    pub(crate) async fn come_back(&mut self) -> io::Result<Duration> {
        let (since, resets) = (Instant::now(), self.relay.resets());
        self.relay.cut_all_reset();
        self.relay.wait_for_resets(resets + 1).await;
        self.echo().await?;
        Ok(since.elapsed())
    }

    async fn echo(&mut self) -> io::Result<()> {
        let Self { stdin, stdout, .. } = self;
        let echo = async {
            stdin.write_all(b"x").await?;
            stdout.read_u8().await
        };
        let said = timeout(PATIENCE, echo).await;
        said.map_err(|_| io::Error::other(self.told().join("\n")))?.map(drop)
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, what: &str) -> usize {
        self.told().iter().filter(|line| line.starts_with(what)).count()
    }

    /// Waits until it is known whether there is a fast lane, if anybody wants to know.
    pub(crate) async fn until_known(&self) -> io::Result<()> {
        self.until_told(&[READY, NOT_TAKEN]).await
    }

    pub(crate) fn id(&self) -> io::Result<u32> {
        self.child.id().ok_or_else(|| io::Error::other("the client has ended"))
    }

    async fn until_told(&self, whats: &[&str]) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while whats.iter().all(|what| self.count(what) == 0) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "nothing of the fast lane: {:?}",
                    self.told()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn end(mut self) -> io::Result<()> {
        drop(self.stdin);
        timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }
}

fn listen(stderr: ChildStderr) -> Arc<Mutex<Vec<String>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    told
}
