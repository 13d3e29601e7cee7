//! The story that rejoin exists for, step by step: each is a way in which a client of a remote
//! process went wrong once, and left its user in front of a spinner for hours.

use std::fs;

use rejoin_protocol::Reason;
use rejoin_testing::Signal;

use crate::life::assert_one_line;
use crate::support::{Client, Host, Raw, Wishes, is_alive, kill, until};

/// Leaves a mark for every process that is started.
const MARKED: &str = "echo started >> ~/starts; echo $$; cat";

fn starts(host: &Host) -> usize {
    fs::read_to_string(host.home().join("starts")).unwrap_or_default().lines().count()
}

/// "Spawn failed: Not connected".
#[test]
fn step_1_nothing_is_started_before_there_is_a_connection() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    host.relay().refuse(true);
    let mut early = host.plan().run(MARKED);
    assert_eq!(early.status(), 255);
    assert_one_line(&early, "Connection");
    assert_eq!((starts(&host), host.registry_names().len()), (0, 0));
    host.relay().refuse(false);

    let mut client = host.plan().with(["--on-loss", "respawn"]).run(MARKED);
    client.line(1);
    host.relay().refuse(true);
    host.kill_server();
    host.cut_if_any();
    client.nth_event("reconnecting", 3);
    let told = ["replaced", "lost", "gave_up", "refused"];
    assert!(told.iter().all(|name| client.count(name) == 0), "{:?}", client.story());
    assert_eq!(starts(&host), 1);
    host.relay().refuse(false);
    client.nth_event("attached", 2);
    client.line(2);
    assert_eq!(starts(&host), 2);
    assert_eq!(client.finish().0, 0);
}

/// "Reusing existing remote server": it had died with its SSH session.
#[test]
fn step_2_the_socket_of_a_dead_server_is_not_taken_for_a_server() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(MARKED);
    let pid = client.number(1);
    let socket = host.registry().join(client.session()).join("socket");
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    host.kill_server();
    assert!(socket.exists(), "the dead server's socket is the point of this test");
    host.relay().refuse(false);
    assert_eq!(client.event("lost")["reason"], "process_gone");
    assert_eq!(client.status(), 255);
    assert!(!socket.exists() && !is_alive(pid));
}

/// "process not found on remote", after a reattach from sequence 0.
#[test]
fn step_3_a_missing_process_is_answered_at_once_and_nothing_is_made() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut link = Raw::begin(&host);
    link.greeting();
    link.say(&Wishes::new().resume_unheard_of());
    assert_eq!(link.refusal(), Reason::Unknown);
    assert!(!host.registry().exists(), "a question made the registry");

    let mut client = host.plan().run(MARKED);
    client.line(1);
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    let session = client.session();
    let server = host.server_pid();
    // A server that runs would put back what is removed.
    kill(server, Signal::STOP);
    fs::remove_dir_all(host.registry()).unwrap();
    kill(server, Signal::KILL);
    host.relay().refuse(false);
    assert_eq!(client.event("lost")["reason"], "unknown");
    assert_eq!(client.status(), 255);
    assert!(host.registry_names().is_empty(), "{:?}", host.registry_names());

    let mut attach = host.plan().subcommand("attach").run(&session);
    assert_eq!(attach.status(), 255);
    assert_one_line(&attach, &session[..8]);
}

/// "Abandoning (transport lost, no reattach)", to the log only.
#[test]
fn step_4_no_ending_is_silent() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut lost = host.plan().run(MARKED);
    lost.line(1);
    host.kill_server();
    assert_eq!(lost.status(), 255);
    assert_one_line(&lost, "start it again");
    assert_eq!(lost.story().last().unwrap(), "lost");

    let mut waiting = host.plan().with(["--give-up", "1s"]).run(MARKED);
    waiting.line(1);
    host.relay().refuse(true);
    host.cut();
    assert_eq!(waiting.status(), 255);
    assert_one_line(&waiting, "no connection came about in time");
    assert_eq!(waiting.story().last().unwrap(), "gave_up");
    // Every moment of the outage has a name and a next step.
    let story = waiting.story();
    let detached = story.iter().position(|name| name == "detached").unwrap();
    assert_eq!(story[detached + 1], "reconnecting", "{story:?}");
    host.end_sessions();
}

/// An empty session directory more for every attempt.
#[test]
fn step_5_no_attempt_leaves_anything_behind() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for _ in 0..3 {
        let mut failing = host.plan().with(["--exec"]).run("/does/not/exist");
        assert_eq!(failing.status(), 127);
        let mut attach = host.plan().subcommand("attach").run("0123abcd");
        assert_eq!(attach.status(), 255);
        let mut link = Raw::begin(&host);
        link.greeting();
        link.say(&Wishes::new().resume_unheard_of());
        assert_eq!(link.refusal(), Reason::Unknown);
        // A connection that is cut before it asks for anything.
        drop(Raw::begin(&host));
    }
    let names = host.registry_names();
    assert!(host.has_only_tombstones(), "{names:?}");
    assert_eq!(names.len(), 3, "one tombstone for each failed start: {names:?}");
    assert!(host.sessions().is_empty());
}

/// Connections that are cut on their way to a process start it once, or not at all.
#[test]
fn an_open_that_is_cut_at_any_byte_starts_the_process_at_most_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("true");
    assert_eq!(client.finish().0, 0);
    let whole = host.relay().bytes();
    // From the login on: what is cut earlier asks for nothing.
    for after in (whole - 2400..whole).step_by(300) {
        cut_once_after(&host, after);
    }
}

fn cut_once_after(host: &Host, bytes: u64) {
    let _ = fs::remove_file(host.home().join("starts"));
    let first = host.relay().connections();
    host.relay().cut_plan(move |link| (link == first).then_some(bytes));
    let mut client: Client = host.plan().run("echo started >> ~/starts; echo done");
    let (status, output) = client.finish();
    let story = client.story();
    if client.count("attached") > 0 {
        assert_eq!((status, &output[..]), (0, &b"done\n"[..]), "cut after {bytes}: {story:?}");
        assert_eq!(starts(host), 1, "cut after {bytes}: {story:?}");
    } else {
        assert_eq!((status, &output[..]), (255, &b""[..]), "cut after {bytes}: {story:?}");
        assert_one_line(&client, "");
        until("nothing runs", || host.sessions().is_empty());
        assert!(starts(host) <= 1, "cut after {bytes}: {story:?}");
    }
    until("the connection is over", || host.relay().counts().ended == host.relay().connections());
}
