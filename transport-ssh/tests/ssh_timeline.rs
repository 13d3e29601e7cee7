//! Links whose steps are followed: what that must not change.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::sync::{Arc, Mutex};

use common::{Echo, ssh, ssh_at, sshd, why_it_ends};
use rejoin_ssh::{Attempt, LinkError, LinkErrorKind, SshConnect};
use rejoin_testing::needs;

/// How a link ends, and all that is told until then.
async fn told(connector: SshConnect) -> (LinkError, Vec<String>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&told);
    let connector = connector.on_stderr(move |_, line| lines.lock().unwrap().push(line.to_owned()));
    let error = why_it_ends(&connector, Attempt::Reconnect).await;
    let told = told.lock().unwrap();
    (error, told.clone())
}

#[track_caller]
fn is_without_details(lines: &[String]) {
    let unasked = ["debug1: ", "Authenticated to ", "Transferred: ", "Bytes per second: "];
    let is_detail = |line: &&String| unasked.iter().any(|start| line.starts_with(start));
    assert_eq!(lines.iter().find(is_detail), None);
}

/// That a link ends in the same way and with the same words, followed or not.
async fn is_unchanged(connector: SshConnect, kind: LinkErrorKind) {
    let (plain, lines) = told(connector.clone()).await;
    assert_eq!(plain.kind, kind, "{plain:?}");
    let (followed, followed_lines) = told(connector.timeline(|_| true)).await;
    assert_eq!((&followed, &followed_lines), (&plain, &lines));
    is_without_details(&lines);
}

#[tokio::test]
async fn a_failure_has_the_same_words_whether_its_steps_are_followed_or_not() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    is_unchanged(ssh_at(&sshd, 1, "true"), LinkErrorKind::Unreachable).await;
    is_unchanged(ssh(&sshd, "no-such-program"), LinkErrorKind::ServerMissing).await;
    // The whole of it is told by ssh, line by line.
    let lines = "echo one >&2\n\necho two >&2\nexit 3";
    is_unchanged(ssh(&sshd, lines), LinkErrorKind::Other).await;
    let keys = sshd.home().with_file_name("authorized_keys");
    fs::remove_file(keys).unwrap();
    is_unchanged(ssh(&sshd, "true"), LinkErrorKind::NeedsUser).await;
    let known_hosts = sshd.home().with_file_name("known_hosts");
    fs::write(known_hosts, "").unwrap();
    is_unchanged(ssh(&sshd, "true"), LinkErrorKind::HostKey).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_has_the_same_words_whether_it_was_followed_or_not() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let connector = ssh(&sshd, "exec cat");
    let mut ends = Vec::new();
    for connector in [connector.clone(), connector.timeline(|_| true)] {
        let echo = Echo::start(&connector, Attempt::Reconnect).await;
        sshd.kill_sessions(rejoin_testing::Signal::KILL).unwrap();
        let end = echo.why_it_ended().await;
        is_without_details(&end.detail);
        ends.push(end);
    }
    assert_eq!(ends[0].kind, ends[1].kind, "{ends:?}");
}

#[tokio::test]
async fn shows_debug_lines_that_the_user_requested() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    for words in [&["-v"][..], &["-o", "LogLevel=DEBUG1"]] {
        let asked = ssh(&sshd, "exit 3").options(words).timeline(|_| true);
        let (error, lines) = told(asked).await;
        assert!(lines.iter().any(|line| line == "debug1: Connection established."), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("Authenticated to ")), "{lines:?}");
        assert_eq!(error.message, "the remote command ended with status 3");
    }
    let quiet = ssh(&sshd, "exit 3").options(["-o", "LogLevel=QUIET"]).timeline(|_| true);
    assert_eq!(told(quiet).await.1, [""; 0]);
}
