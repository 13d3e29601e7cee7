//! A host of a test's own: an sshd behind a relay, a home folder and a registry.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rejoin_testing::{OtherServer, Relay, ServerKind, SshServer, Sshd, SshdBuilder, make_program};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::Plan;
use super::judge::judge;
use super::processes::{Found, is_alive, kill, processes, put_down};
use super::programs::{rejoin, rejoin_server};
use super::wait::{until, until_some};

/// Whether every test records what it does and has it judged at its end, not only those that are
/// about that: in CI, unless `REJOIN_JUDGE` is `0`, and elsewhere if it is `1`.
fn is_every_run_judged() -> bool {
    match std::env::var_os("REJOIN_JUDGE") {
        Some(value) => value != "0",
        None => std::env::var_os("CI").is_some(),
    }
}

/// How long a recording may get, in bytes, where its test is not about that: writing down and judging
/// the megabytes that some tests move would take minutes.
const LONGEST_RECORDING: &str = "2000000";

/// A host. When it is dropped, everything that its test started must be gone.
pub(crate) struct Host {
    dir: TempDir,
    ssh: Ssh,
    relay: RunningRelay,
    runs: AtomicUsize,
    recording: Option<Recorded>,
}

/// How much of what the programs do is written down.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorded {
    Wholly,
    /// Up to [`LONGEST_RECORDING`].
    Partly,
}

/// Its SSH server.
enum Ssh {
    OpenSsh(Box<Mutex<Sshd>>),
    Other(OtherServer),
}

impl Host {
    /// One with nothing special about it.
    pub(crate) fn start() -> Self {
        Self::with(|sshd| sshd)
    }

    /// One whose sshd has more lines in its configuration.
    pub(crate) fn with(change: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Self {
        Self::new(recorded_by_default(), change)
    }

    /// One where every program records what it does, in [`Self::recordings`].
    pub(crate) fn recording() -> Self {
        Self::new(Some(Recorded::Wholly), |sshd| sshd)
    }

    /// The same, with recordings that are cut at [`LONGEST_RECORDING`].
    pub(crate) fn recording_in_part() -> Self {
        Self::new(Some(Recorded::Partly), |sshd| sshd)
    }

    /// One with another server than OpenSSH's.
    pub(crate) fn of(other: ServerKind) -> Self {
        let dir = folder();
        let server = OtherServer::start(other).unwrap_or_else(|error| panic!("{error}"));
        let relay = RunningRelay::start(server.addr());
        let recording = recorded_by_default();
        Self { dir, ssh: Ssh::Other(server), relay, runs: AtomicUsize::new(0), recording }
    }

    fn new(recording: Option<Recorded>, change: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Self {
        let dir = folder();
        let path = dir.path().display();
        // In one line: of several, sshd takes the first.
        let mut environment = format!("SetEnv HOME={path}/home REJOIN_REGISTRY={path}/registry");
        for (name, value) in variables(dir.path(), recording) {
            write!(environment, " {name}={}", value.display()).unwrap();
        }
        let sshd = change(Sshd::builder().config_line(environment)).start();
        let sshd = sshd.unwrap_or_else(|error| panic!("{error}"));
        let relay = RunningRelay::start(sshd.addr());
        let ssh = Ssh::OpenSsh(Box::new(Mutex::new(sshd)));
        Self { dir, ssh, relay, runs: AtomicUsize::new(0), recording }
    }

    /// Where recordings are written to, if they are.
    pub(crate) fn recordings(&self) -> Option<PathBuf> {
        self.recording.map(|_| self.dir.path().join("recordings"))
    }

    /// What tells a program to record.
    pub(super) fn recording_variables(&self) -> Vec<(&'static str, PathBuf)> {
        variables(self.dir.path(), self.recording)
    }

    /// The relay that every connection goes through.
    pub(crate) fn relay(&self) -> &Relay {
        &self.relay
    }

    /// Resets every connection, and returns when that is done.
    #[track_caller]
    pub(crate) fn cut(&self) {
        let before = self.relay.resets();
        self.relay.cut_all_reset();
        until("a connection is reset", || self.relay.resets() > before);
    }

    /// The same, if there is a connection.
    pub(crate) fn cut_if_any(&self) {
        self.relay.cut_all_reset();
    }

    /// The sshd behind it.
    pub(crate) fn sshd(&self) -> MutexGuard<'_, Sshd> {
        let Ssh::OpenSsh(sshd) = &self.ssh else { panic!("this host has no sshd") };
        sshd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_ssh<T>(&self, look: impl FnOnce(&dyn SshServer) -> T) -> T {
        match &self.ssh {
            Ssh::OpenSsh(_) => look(&*self.sshd()),
            Ssh::Other(server) => look(server),
        }
    }

    /// The server program there. Where the SSH server sets no variables for its sessions, that is done here.
    pub(super) fn server_program(&self) -> PathBuf {
        if let Ssh::OpenSsh(_) = self.ssh {
            return rejoin_server().to_owned();
        }
        let mut text = "#!/bin/sh\n".to_owned();
        let variables = [("HOME", self.home()), ("REJOIN_REGISTRY", self.registry())];
        for (name, value) in variables.into_iter().chain(self.recording_variables()) {
            writeln!(text, "export {name}='{}'", value.display()).unwrap();
        }
        writeln!(text, "exec '{}' \"$@\"", rejoin_server().display()).unwrap();
        let program = self.home().join("server");
        make_program(&program, text).unwrap();
        program
    }

    /// The home folder of its sessions.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A file of its sshd's: keys, `known_hosts`, `authorized_keys`, `sshd_config`.
    pub(crate) fn sshd_file(&self, name: &str) -> PathBuf {
        self.with_ssh(|ssh| ssh.files().home()).with_file_name(name)
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.dir.path().join("registry")
    }

    /// A file for what a run has to say.
    pub(super) fn file_for_run(&self, what: &str) -> PathBuf {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        self.dir.path().join("runs").join(format!("{number}-{what}"))
    }

    /// The options of ssh's that lead to this host.
    pub(crate) fn options(&self) -> Vec<OsString> {
        let port = self.relay.addr().port();
        self.with_ssh(|ssh| ssh.files().ssh_options(port))
    }

    /// What to call it on rejoin's command line.
    pub(crate) fn name(&self) -> &'static str {
        self.with_ssh(|ssh| ssh.destination())
    }

    /// A run of rejoin against this host.
    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan::new(self)
    }

    /// A run of rejoin-server on this host, without a connection.
    pub(crate) fn server(&self) -> Command {
        let mut command = Command::new(rejoin_server());
        command.env("REJOIN_REGISTRY", self.registry()).env("HOME", self.home());
        command.envs(self.recording_variables());
        command
    }

    /// What `rejoin-server ls` tells.
    pub(crate) fn sessions(&self) -> Vec<Value> {
        let listed = self.server().args(["ls", "--json"]).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        serde_json::from_slice(&listed.stdout).unwrap()
    }

    /// Waits for the only session to be in a state.
    #[track_caller]
    pub(crate) fn until_session_is(&self, state: &str) {
        until(
            &format!("the session is {state}"),
            || matches!(&self.sessions()[..], [session] if session["state"] == state),
        );
    }

    /// Waits until no session is in a state.
    #[track_caller]
    pub(crate) fn until_none_is(&self, state: &str) {
        until(&format!("no session is {state}"), || {
            self.sessions().iter().all(|session| session["state"] != state)
        });
    }

    /// Ends all sessions with their processes.
    #[track_caller]
    pub(crate) fn end_sessions(&self) {
        for session in self.sessions() {
            let id = session["session"].as_str().unwrap();
            let ended = self.server().args(["kill", id]).output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }

    /// The servers that live.
    pub(crate) fn servers(&self) -> Vec<i32> {
        let mark = format!("serve --registry {}", self.registry().display());
        let servers = self.processes().into_iter().filter(|found| found.command.contains(&mark));
        servers.map(|found| found.pid).collect()
    }

    /// The only server.
    #[track_caller]
    pub(crate) fn server_pid(&self) -> i32 {
        until_some("one server lives", || match self.servers()[..] {
            [pid] => Some(pid),
            _ => None,
        })
    }

    /// Kills the only server, and returns when it is gone.
    #[track_caller]
    pub(crate) fn kill_server(&self) {
        let server = self.server_pid();
        kill(server, rejoin_testing::Signal::KILL);
        until("the server is gone", || !is_alive(server));
    }

    /// The attach programs that live.
    pub(crate) fn attaches(&self) -> Vec<i32> {
        self.running("attach")
    }

    /// The programs that live which carry several links.
    pub(crate) fn muxes(&self) -> Vec<i32> {
        self.running("mux")
    }

    fn running(&self, action: &str) -> Vec<i32> {
        let mark = format!("{} {action}", rejoin_server().display());
        let attaches = self.processes().into_iter().filter(|found| found.command == mark);
        attaches.map(|found| found.pid).collect()
    }

    /// The processes of clients that connect to this host: ssh, with its key.
    pub(crate) fn connections(&self) -> Vec<i32> {
        let key = self.sshd_file("user_key").display().to_string();
        let is_ssh =
            |found: &Found| found.command.starts_with("ssh ") && found.command.contains(&key);
        processes().into_iter().filter(is_ssh).map(|found| found.pid).collect()
    }

    /// The helpers that wait for a connection to hand to their ssh, of clients with this host's home.
    pub(crate) fn fd_pass_helpers(&self) -> Vec<i32> {
        let home = self.home();
        let home = home.to_str().unwrap();
        let is_helper = |found: &Found| {
            found.command == format!("{} __hand-over", rejoin().display())
                && found.has_variable("HOME", home)
        };
        processes().into_iter().filter(is_helper).map(|found| found.pid).collect()
    }

    /// Everything that runs on this host.
    pub(crate) fn processes(&self) -> Vec<Found> {
        let registry = self.registry();
        let registry = registry.to_str().unwrap();
        let ours = |found: &Found| found.has_variable("REJOIN_REGISTRY", registry);
        processes().into_iter().filter(ours).collect()
    }

    /// The names in the registry's folder, in order.
    pub(crate) fn registry_names(&self) -> Vec<String> {
        let Ok(listed) = fs::read_dir(self.registry()) else { return Vec::new() };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> =
            listed.map(|entry| name(entry).into_string().expect("a name in ASCII")).collect();
        names.sort();
        names
    }

    pub(crate) fn has_only_tombstones(&self) -> bool {
        self.registry_names()
            .iter()
            .all(|name| Path::new(name).extension() == Some("lock".as_ref()))
    }

    /// Waits until nothing but tombstones is left.
    #[track_caller]
    pub(crate) fn until_clean(&self) {
        until("nothing but tombstones is left", || {
            self.has_only_tombstones() && self.processes().is_empty()
        });
    }

    /// What there is to know when a test has failed.
    fn evidence(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "relay: {:?}", self.relay.counts());
        let _ = writeln!(text, "registry: {:?}", self.registry_names());
        for found in self.processes() {
            let _ = writeln!(text, "process {}: {}", found.pid, found.command);
        }
        let logs = self.registry_names().into_iter().map(|name| self.registry().join(name));
        for log in logs.map(|entry| entry.join("log")).filter(|log| log.exists()) {
            append(&mut text, &log);
        }
        let mut runs: Vec<_> = fs::read_dir(self.dir.path().join("runs")).unwrap().collect();
        runs.sort_by_key(|run| run.as_ref().map(fs::DirEntry::path).ok());
        for run in runs.into_iter().flatten() {
            append(&mut text, &run.path());
        }
        let log = self.with_ssh(|ssh| ssh.log());
        let _ = writeln!(text, "sshd: {}", log[log.len().saturating_sub(20)..].join("\n  "));
        text
    }
}

fn recorded_by_default() -> Option<Recorded> {
    is_every_run_judged().then_some(Recorded::Partly)
}

fn variables(dir: &Path, recording: Option<Recorded>) -> Vec<(&'static str, PathBuf)> {
    let folder = || ("REJOIN_RECORD", dir.join("recordings"));
    match recording {
        None => Vec::new(),
        Some(Recorded::Wholly) => vec![folder()],
        Some(Recorded::Partly) => vec![folder(), ("REJOIN_RECORD_LIMIT", LONGEST_RECORDING.into())],
    }
}

/// A host's own.
fn folder() -> TempDir {
    let dir = TempDir::with_prefix("rejoin-").unwrap();
    for folder in ["home", "runs", "recordings"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    dir
}

fn append(text: &mut String, file: &Path) {
    let content = fs::read(file).unwrap_or_default();
    let end = &content[content.len().saturating_sub(4000)..];
    let _ = writeln!(text, "--- {}\n{}", file.display(), String::from_utf8_lossy(end));
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.evidence());
        } else {
            let clean = std::panic::AssertUnwindSafe(|| {
                self.until_clean();
                if is_every_run_judged() {
                    judge(self);
                }
            });
            let Err(panic) = std::panic::catch_unwind(clean) else { return };
            eprintln!("{}", self.evidence());
            self.put_all_down();
            std::panic::resume_unwind(panic);
        }
        self.put_all_down();
    }
}

impl Host {
    fn put_all_down(&self) {
        for found in self.processes() {
            put_down(found.pid);
        }
    }
}

/// A relay with the runtime that it needs.
struct RunningRelay {
    relay: std::sync::Arc<Relay>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RunningRelay {
    fn start(target: SocketAddr) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (started, start) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let relay = std::sync::Arc::new(Relay::start(target).await.unwrap());
                started.send(relay).unwrap();
                let _ = stopped.await;
            });
        });
        let relay = start.recv().expect("the relay starts");
        Self { relay, stop: Some(stop), thread: Some(thread) }
    }
}

impl Deref for RunningRelay {
    type Target = Relay;

    fn deref(&self) -> &Relay {
        &self.relay
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
