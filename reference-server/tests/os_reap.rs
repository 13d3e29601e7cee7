//! Reaping finds what carries a session's mark, wherever it went, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rejoin_protocol::{Incarnation, SessionId};
use rejoin_server::marks::{INCARNATION_VARIABLE, SESSION_VARIABLE};
use rejoin_server::reap::{Reaped, reap};

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
    let reaped = reap(session, LONG).unwrap();
    assert!(reaped.killed >= 4, "{reaped:?}");
    assert_eq!(reaped.highest, Some(Incarnation(5)));
    until_all_are_gone(child);
    assert_eq!(reap(session, LONG).unwrap(), Reaped::default());
}

#[test]
fn a_stopped_process_is_killed_too() {
    let (session, child) = marked("echo; kill -STOP $$; sleep 1000");
    assert!(reap(session, LONG).unwrap().killed >= 1);
    until_all_are_gone(child);
}

#[test]
fn processes_that_keep_forking_do_not_get_away() {
    let script = "echo; i=0
        while [ $i -lt 5 ]; do (while :; do (:) & wait; done) & i=$((i + 1)); done; wait";
    let (session, child) = marked(script);
    reap(session, LONG).unwrap();
    until_all_are_gone(child);
}

#[test]
fn other_sessions_are_left_alone() {
    let (one, first) = marked("echo; exec sleep 1000");
    let (other, mut second) = marked("echo; exec sleep 1000");
    assert_eq!(reap(one, LONG).unwrap().killed, 1);
    assert!(second.try_wait().unwrap().is_none());
    reap(other, LONG).unwrap();
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
    let reaped = reap(session, LONG).unwrap();
    assert_eq!(reaped, Reaped { killed: 1, highest: Some(Incarnation(5)) });
    until_all_are_gone(own);
    assert!(forged.try_wait().unwrap().is_none());
    forged.kill().unwrap();
    until_all_are_gone(forged);
}
