//! Reaping finds what carries a session's mark, wherever it went, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rejoin_protocol::{Epoch, Incarnation, SessionId, Tenure};
use rejoin_server::marks::{ENDS_VARIABLE, INCARNATION_VARIABLE, SESSION_VARIABLE};
use rejoin_server::reap::{Predecessor, ReapScope, Reaped, reap};
use rejoin_server::registry::{Record, ServerProcess};

const LONG: Duration = Duration::from_secs(20);

/// Never the same twice: tests of another run may be going on, and reaping finds all processes.
fn fresh() -> SessionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    SessionId::from_bytes(bytes)
}

/// A script with the marks of a session.
fn script_of(session: SessionId, incarnation: u64, script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .env(SESSION_VARIABLE, session.to_string())
        .env(INCARNATION_VARIABLE, incarnation.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Runs a script that prints a line when all that it starts is there.
fn started(command: &mut Command) -> Child {
    let mut child = command.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

/// The same, for a new session.
fn marked(script: &str) -> (SessionId, Child) {
    let session = fresh();
    (session, started(&mut script_of(session, 5, script)))
}

/// Returns when every process that inherited the output has ended.
fn until_all_are_gone(mut child: Child) {
    child.stdout.take().unwrap().read_to_end(&mut Vec::new()).unwrap();
    child.wait().unwrap();
}

#[test]
fn grandchildren_that_left_the_session_and_ignore_signals_are_found_and_killed() {
    let script = "trap '' HUP TERM INT
        (setsid sh -c '(sleep 1000; :) & echo; wait' &)
        while :; do sleep 1000; done";
    let (session, child) = marked(script);
    let reaped = reap(session, &ReapScope::Session, LONG).unwrap();
    assert!(reaped.killed >= 4, "{reaped:?}");
    assert_eq!(reaped.highest, Some(Incarnation(5)));
    until_all_are_gone(child);
    assert_eq!(reap(session, &ReapScope::Session, LONG).unwrap(), Reaped::default());
}

#[test]
fn a_stopped_process_is_killed_too() {
    let (session, child) = marked("echo; kill -STOP $$; sleep 1000");
    assert!(reap(session, &ReapScope::Session, LONG).unwrap().killed >= 1);
    until_all_are_gone(child);
}

#[test]
fn processes_that_keep_forking_do_not_get_away() {
    let script = "echo; i=0
        while [ $i -lt 5 ]; do (while :; do (:) & wait; done) & i=$((i + 1)); done; wait";
    let (session, child) = marked(script);
    reap(session, &ReapScope::Session, LONG).unwrap();
    until_all_are_gone(child);
}

#[test]
fn other_sessions_are_left_alone() {
    let (one, first) = marked("echo; exec sleep 1000");
    let (other, mut second) = marked("echo; exec sleep 1000");
    assert_eq!(reap(one, &ReapScope::Session, LONG).unwrap().killed, 1);
    assert!(second.try_wait().unwrap().is_none());
    reap(other, &ReapScope::Session, LONG).unwrap();
    until_all_are_gone(first);
    until_all_are_gone(second);
}

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

#[test]
fn marks_in_the_environment_of_another_users_process_are_not_believed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: only root can read the environment of another user's process");
        return;
    }
    let (session, own) = marked("echo; exec sleep 1000");
    let mut forged = script_of(session, u64::MAX, "echo; exec sleep 1000");
    let mut forged = started(forged.uid(NOBODY).gid(NOBODY));
    let reaped = reap(session, &ReapScope::Session, LONG).unwrap();
    assert_eq!(reaped, Reaped { killed: 1, highest: Some(Incarnation(5)) });
    until_all_are_gone(own);
    assert!(forged.try_wait().unwrap().is_none());
    forged.kill().unwrap();
    until_all_are_gone(forged);
}

/// Leads a kernel session with one more process in it, starts a daemon that leaves it, and ends.
const FAMILY: &str = "sh -c 'echo $$ > member; exec sleep 1000' > /dev/null 2>&1 &
    setsid sh -c 'echo $$ > daemon; exec sleep 1000' > /dev/null 2>&1 < /dev/null &
    until [ -s member ] && [ -s daemon ]; do sleep 0.01; done; echo; exec cat";

struct Family {
    folder: tempfile::TempDir,
    session: SessionId,
    leader: Child,
}

impl Family {
    fn new() -> Self {
        let (folder, session) = (tempfile::tempdir().unwrap(), fresh());
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", FAMILY]).current_dir(folder.path());
        command.env(SESSION_VARIABLE, session.to_string()).env(INCARNATION_VARIABLE, "5");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let leader = started(&mut command);
        Self { folder, session, leader }
    }

    fn is_there(&self, name: &str) -> bool {
        let pid = std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        state.is_ok_and(|state| !state.contains(") Z "))
    }

    fn record(&self) -> Record {
        let record = Record::reserved(Incarnation(5), Tenure(0), "", "");
        let record = record.starting(Epoch::from_bytes([0; 16]));
        let leader = rustix::process::Pid::from_child(&self.leader);
        Record { process: Some(ServerProcess::of(leader)), ..record }
    }
}

#[test]
fn what_an_earlier_process_left_in_its_kernel_session_is_ended_and_a_daemon_is_not() {
    let mut family = Family::new();
    let reach = ReapScope::Left(Some(Predecessor::from(&family.record())));
    let reaped = reap(family.session, &reach, LONG).unwrap();
    assert_eq!(reaped, Reaped { killed: 2, highest: Some(Incarnation(5)) });
    family.leader.wait().unwrap();
    assert!(!family.is_there("member") && family.is_there("daemon"));
    assert_eq!(reap(family.session, &ReapScope::Left(None), LONG).unwrap().killed, 0);
    assert_eq!(reap(family.session, &ReapScope::Session, LONG).unwrap().killed, 1);
    assert!(!family.is_there("daemon"));
}

#[test]
fn a_process_that_holds_an_end_of_its_sessions_pipes_is_ended_wherever_it_went() {
    let session = fresh();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let name = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
    let end: PathBuf = std::fs::read_link(name).unwrap();
    let script = |with_end: bool| {
        let mut command = script_of(session, 0, "echo; exec sleep 1000");
        command.env(ENDS_VARIABLE, &end);
        if with_end {
            command.stderr(Stdio::from(writer.try_clone().unwrap()));
        }
        started(&mut command)
    };
    let (holder, mut other) = (script(true), script(false));
    assert_eq!(reap(session, &ReapScope::Left(None), LONG).unwrap().killed, 1);
    until_all_are_gone(holder);
    assert!(other.try_wait().unwrap().is_none());
    reap(session, &ReapScope::Session, LONG).unwrap();
    until_all_are_gone(other);
    drop(reader);
}
