//! Where the time went on the way back: in the events, for a person, and what must not show.

use std::fs;
use std::path::PathBuf;

use rejoin_testing::{Signal, make_program};
use serde_json::Value;

use crate::environment::{ECHO, assert_answers};
use crate::support::{Client, Host, kill, rejoin_server, until};

/// All phases that a connection over ssh has, in order.
const PHASES: [&str; 10] = [
    "wait",
    "start",
    "dial",
    "key_exchange",
    "login",
    "channel",
    "attach",
    "stand_by",
    "hello",
    "first_byte",
];

fn name(phase: &Value) -> &str {
    phase["phase"].as_str().unwrap()
}

/// Its phases, which follow on each other and are all there is.
#[track_caller]
fn phases(timeline: &Value) -> &[Value] {
    let phases = timeline["phases"].as_array().unwrap();
    let mut end = 0.0;
    for phase in phases {
        let (start, length) = (&phase["start_millis"], &phase["millis"]);
        assert!(length.as_f64().unwrap() >= 0.0, "{timeline}");
        // Each figure is cut to a thousandth.
        assert!((start.as_f64().unwrap() - end).abs() < 0.02, "{timeline}");
        end += length.as_f64().unwrap();
    }
    assert!((timeline["millis"].as_f64().unwrap() - end).abs() < 0.02, "{timeline}");
    phases
}

/// The way back led over an ssh that told its steps.
#[track_caller]
pub(crate) fn assert_of_ssh(timeline: &Value) {
    let names: Vec<_> = phases(timeline).iter().map(name).collect();
    let places: Vec<_> =
        names.iter().map(|name| PHASES.iter().position(|known| known == name).unwrap()).collect();
    assert!(places.is_sorted(), "{timeline}");
    // What comes on two pipes at about the same time may be read the other way round.
    for phase in ["start", "dial", "key_exchange", "login", "attach", "hello"] {
        assert!(names.contains(&phase), "{timeline}");
    }
}

#[track_caller]
pub(crate) fn assert_no_details(client: &Client) {
    let told = client.stderr();
    assert!(!told.contains("debug1: ") && !told.contains("Authenticated to "), "{told}");
}

#[test]
fn each_way_back_has_one_timeline_of_phases_that_are_all_of_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    for cuts in 1..3 {
        host.cut();
        let timeline = client.nth_event("timeline", cuts);
        assert_of_ssh(&timeline);
        assert_eq!(name(&phases(&timeline)[0]), "wait", "the loss was before the way back");
        assert_answers(&mut client, cuts + 1);
    }
    assert_eq!(client.finish().0, 0);
    assert_eq!(client.count("timeline"), 2, "{:?}", client.story());
    let story = client.story();
    let first = |name| story.iter().position(|told| told == name).unwrap();
    assert!(first("timeline") > first("detached"), "{story:?}");
    assert_eq!(story.iter().filter(|name| *name == "attached").count(), 3);
    assert_no_details(&client);
}

#[test]
fn a_login_that_is_refused_has_the_words_that_it_had_without_a_timeline() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    let keys = host.sshd_file("authorized_keys");
    let known = fs::read(&keys).unwrap();
    fs::remove_file(&keys).unwrap();
    host.cut();
    let refused = client.event("notice");
    let words = refused["message"].as_str().unwrap();
    assert!(words.contains("needs you: ") && words.contains("Permission denied ("), "{words}");
    assert!(!words.contains("debug1"), "{words}");
    fs::write(&keys, known).unwrap();
    client.signal(Signal::TERM);
    client.status();
    assert_no_details(&client);
    host.end_sessions();
}

#[test]
fn whoever_asks_for_details_reads_them_and_the_timeline_in_one_line() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["-v"]).run(ECHO);
    client.line(1);
    let before = client.stderr().matches("debug1: Remote protocol version ").count();
    host.cut();
    assert_of_ssh(&client.event("timeline"));
    until("a line about the way back", || client.stderr().contains("rejoin: back after "));
    let told = client.stderr();
    assert_eq!(told.matches("debug1: Remote protocol version ").count(), before + 1, "{told}");
    let line = told.lines().find(|line| line.contains("back after ")).unwrap();
    assert!(line.contains(" ms: wait ") && line.contains(", key exchange "), "{line}");
    assert_eq!(client.finish().0, 0);
}

#[test]
fn an_ssh_that_is_to_say_nothing_is_one_phase() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["-o", "LogLevel=QUIET"]).run(ECHO);
    client.line(1);
    host.cut();
    let timeline = client.event("timeline");
    let names: Vec<_> = phases(&timeline).iter().map(name).collect();
    assert_eq!(names[..3], ["wait", "connect", "hello"], "{timeline}");
    assert_eq!(client.finish().0, 0);
}

/// An ssh, and the file where it notes each greeting of an attach program that it has handed on.
fn ssh_that_notes_greetings(host: &Host) -> (PathBuf, PathBuf) {
    let (ssh, greetings) = (host.home().join("ssh"), host.home().join("greetings"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *attach*) ;; *) exec ssh \"$@\";; esac\n\
         ssh \"$@\" | {{ dd bs=64k count=1 2> /dev/null; echo >> '{}'; exec cat; }}\n",
        greetings.display()
    );
    make_program(&ssh, script).unwrap();
    (ssh, greetings)
}

#[test]
fn the_timeline_is_that_of_the_link_that_stood_by() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (ssh, greetings) = ssh_that_notes_greetings(&host);
    let options = ["--standby", "--lane", "ssh", "--ssh", ssh.to_str().unwrap()];
    let mut client = host.plan().with(options).run(ECHO);
    client.line(1);
    let used = host.attaches()[0];
    until("a second link stands by", || {
        fs::read_to_string(&greetings).is_ok_and(|lines| lines.lines().count() == 2)
    });
    host.relay().refuse(true);
    kill(used, Signal::KILL);
    let timeline = client.event("timeline");
    assert_of_ssh(&timeline);
    let names: Vec<_> = phases(&timeline).iter().map(name).collect();
    assert!(names.contains(&"stand_by") && !names.contains(&"wait"), "{timeline}");
    host.relay().refuse(false);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn the_doctor_shows_both_ways_side_by_side() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let server = rejoin_server().to_str().unwrap();
    let plan = || host.plan().subcommand("doctor").server(server);
    let mut client = plan().run_words::<&str>([]);
    let (status, text) = client.finish();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(status, 0, "{text}");
    let mut lines = text.lines().skip_while(|line| !line.starts_with("ms "));
    assert_eq!(lines.next(), Some("ms             connect  reconnect"), "{text}");
    let lines: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    for phase in ["dial", "key exchange", "login", "attach", "hello", "first byte", "in all"] {
        assert!(lines.iter().any(|line| line.starts_with(phase)), "{phase}: {text}");
    }
    assert_no_details(&client);
    let (_, found) = plan().with(["--json"]).run_words::<&str>([]).finish();
    let found: Value = serde_json::from_slice(&found).unwrap();
    for way in ["connect", "reconnect"] {
        assert_of_ssh(&found[way]);
        assert_eq!(name(phases(&found[way]).last().unwrap()), "first_byte", "{found}");
    }
}
