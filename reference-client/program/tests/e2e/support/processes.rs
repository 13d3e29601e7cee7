//! Looking at processes, and signalling them.

use std::fs;

pub(crate) use rejoin_testing::{Pid, Signal};
use rustix::process::kill_process;

/// A process as `/proc` shows it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) pid: i32,
    pub(crate) command: String,
    environment: Vec<u8>,
}

impl Found {
    /// Whether it was started with this variable, or its parents were.
    pub(crate) fn has_variable(&self, name: &str, value: &str) -> bool {
        let wanted = format!("{name}={value}");
        self.environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    }
}

/// All processes that can be looked at. What has ended in the meantime is left out.
pub(crate) fn processes() -> Vec<Found> {
    let listed = fs::read_dir("/proc").expect("/proc can be read");
    let pids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(look).collect()
}

/// Every command line that a user of this machine can read.
pub(crate) fn command_lines() -> Vec<String> {
    processes().into_iter().map(|process| process.command).collect()
}

fn look(pid: i32) -> Option<Found> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    // A zombie has neither.
    let is_running = !command.is_empty();
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim_end().to_owned();
    is_running.then_some(Found { pid, command, environment })
}

/// Whether the process runs, or is stopped. A zombie has ended.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Sends a signal.
#[track_caller]
pub(crate) fn kill(pid: i32, signal: Signal) {
    let process = Pid::from_raw(pid).expect("a process id");
    kill_process(process, signal).unwrap_or_else(|error| panic!("signal to {pid}: {error}"));
}

/// Ends a process that may have ended by itself.
pub(crate) fn put_down(pid: i32) {
    let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::KILL));
}

/// What a process has in memory, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) most: u64,
}

/// Reads it.
#[track_caller]
pub(crate) fn memory(pid: i32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    Memory { now: field("VmRSS:"), most: field("VmHWM:") }
}
