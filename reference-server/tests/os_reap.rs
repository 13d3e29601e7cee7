//! Reaping finds what carries a session's mark, wherever it went, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::Read;
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

/// Runs a script that prints a line when all that it starts is there.
fn marked(script: &str) -> (SessionId, Child) {
    let session = fresh();
    let mut child = Command::new("/bin/sh")
        .args(["-c", script])
        .env(SESSION_VARIABLE, session.to_string())
        .env(INCARNATION_VARIABLE, "5")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    (session, child)
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
