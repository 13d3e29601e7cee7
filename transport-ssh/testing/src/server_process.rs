//! A server program that runs.

use std::io::{self, BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::files::needed;

/// How long it may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// The log of a server. It outlives a restart.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerLog(Arc<Mutex<Vec<String>>>);

impl ServerLog {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a server says on its stderr, and passes it on as long as somebody listens.
    fn keep(&self, stderr: ChildStderr) -> Receiver<String> {
        let (log, (told, lines)) = (Arc::clone(&self.0), mpsc::channel());
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                log.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                let _ = told.send(line);
            }
        });
        lines
    }
}

/// The process that listens. Its connections may be served by children of its own, which outlive it.
#[derive(Debug)]
pub(super) struct SshServerProcess(Child);

impl SshServerProcess {
    /// Starts it, and returns once it has logged that it listens, with what `is_ready` makes of that line.
    pub(super) fn start<T>(
        command: &mut Command,
        log: &ServerLog,
        is_ready: impl Fn(&str) -> Option<T>,
    ) -> io::Result<(Self, T)> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut listener = command.spawn().map_err(|error| needed(&name, &error))?;
        let Some(stderr) = listener.stderr.take() else {
            return Err(io::Error::other("the server has no stderr"));
        };
        let ready = until_ready(&log.keep(stderr), is_ready);
        let ready = ready.map_err(|said| io::Error::other(format!("{name}: {said}")));
        if ready.is_err() {
            // It ended, which is why its log did; if not, it is of no use.
            let _ = listener.kill();
            listener.wait()?;
        }
        Ok((Self(listener), ready?))
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    pub(super) fn children(&self) -> io::Result<Vec<Pid>> {
        let mut found = processes()?;
        found.retain(|process| process.parent == Some(self.pid()));
        Ok(found.into_iter().map(|process| process.pid).collect())
    }

    /// Halts it for good, so that those can be listed that serve its connections and none is added to them.
    pub(super) fn halt(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_none() {
            // Not reaped, so the number is still the child's.
            kill_process(self.pid(), Signal::STOP)?;
            let halted = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            waitid(WaitId::Pid(self.pid()), halted)?;
        }
        Ok(())
    }

    /// Ends it, halted or not, and waits until it has.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Ends it, and these, which serve its connections: one whose connection leads nowhere any more would not
    /// end if it were asked to.
    pub(super) fn end_with(&mut self, children: &[Pid]) {
        let _ = self.stop();
        for &pid in children {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Waits until the server is ready; the error is its log.
fn until_ready<T>(
    lines: &Receiver<String>,
    is_ready: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let (deadline, mut said) = (Instant::now() + PATIENCE, Vec::new());
    while let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if let Some(ready) = is_ready(&line) {
            return Ok(ready);
        }
        said.push(line);
    }
    Err(said.join(" / "))
}

pub(super) struct ProcessEntry {
    pub(super) parent: Option<Pid>,
    pub(super) pid: Pid,
    name: String,
}

impl ProcessEntry {
    pub(super) fn is_sshd(&self) -> bool {
        self.name.starts_with("sshd")
    }
}

/// Every process, from `ps`, which every Unix has: `/proc` is Linux's alone.
pub(super) fn processes() -> io::Result<Vec<ProcessEntry>> {
    let listed = Command::new("ps").args(["-A", "-o", "ppid=,pid=,comm="]).output();
    let listed = listed.map_err(|error| needed("ps", &error))?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(parse_process).collect())
}

fn parse_process(line: &str) -> Option<ProcessEntry> {
    let mut words = line.split_whitespace();
    let parent = Pid::from_raw(words.next()?.parse().ok()?);
    let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
    Some(ProcessEntry { parent, pid, name: words.next()?.to_owned() })
}
