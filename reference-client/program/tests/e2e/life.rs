//! Processes outlive connections; when they do not outlive their server, that is told.

use rejoin_testing::Signal;
use serde_json::Value;

use crate::environment::{ECHO, assert_answers};
use crate::output::{assert_same, numbers};
use crate::support::{Client, Host, Plan, is_alive, rejoin, until};

/// Prints its pid and a child's, then answers every line with its pid. At its end it ends the child: what a
/// process leaves in the background lives on.
const FAMILY: &str = "echo $$; (sleep 1000; :) > /dev/null 2>&1 & echo $!; \
     while read line; do echo \"$$ $line\"; done; pkill -P $!; kill $!; exit 0";

#[test]
fn a_stream_survives_hangups_kills_and_restarts_of_sshd() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let count = "i=0; until [ -e ~/go ]; do i=$((i+1)); echo $i; done";
    let mut client = host.plan().run(&format!("echo $$; {count}; echo $$"));
    let strikes: [&dyn Fn(); 3] =
        [&|| kill_sessions(&host, Signal::HUP), &|| kill_sessions(&host, Signal::KILL), &|| {
            host.sshd().restart().unwrap();
            kill_sessions(&host, Signal::KILL);
        }];
    for (number, strike) in strikes.into_iter().enumerate() {
        client.until_written(client.output_length() + 20_000);
        strike();
        client.nth_event("attached", number + 2);
    }
    std::fs::write(host.home().join("go"), "").unwrap();
    let (status, output) = client.finish();
    let text = String::from_utf8_lossy(&output);
    let (pid, last) = (text.lines().next().unwrap(), text.lines().count() - 2);
    assert_same(&output, format!("{pid}\n{}{pid}\n", numbers(last)).as_bytes());
    assert_eq!(status, 0);
    assert!(client.events_named("attached")[1..].iter().all(|event| event["how"] == "resumed"));
}

#[track_caller]
fn kill_sessions(host: &Host, signal: Signal) {
    let count = host.sshd().kill_sessions(signal).unwrap();
    assert!(count > 0, "no connection was there to be killed");
}

#[test]
fn a_killed_attach_program_is_a_lost_connection() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(FAMILY);
    let pid = client.line(1);
    for attach in host.attaches() {
        crate::support::kill(attach, Signal::KILL);
    }
    client.nth_event("attached", 2);
    client.write("still\n");
    assert_eq!(client.line(3), format!("{pid} still"));
    assert_eq!(client.finish().0, 0);
}

/// The server of the process dies, with or without a connection to it.
fn lose_server(host: &Host, is_attached: bool, client: &Client) {
    if is_attached {
        return host.kill_server();
    }
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    host.kill_server();
    client.nth_event("reconnecting", 2);
    host.relay().refuse(false);
    until("a second connection is let through", || {
        let counts = host.relay().counts();
        counts.connections - counts.refused > 1
    });
}

/// With a connection, a loss is told by the attempt that is made at once; without one, by the first that
/// comes about: nothing was attached in between.
#[track_caller]
fn assert_told_by_the_first_connection(client: &Client, was_attached: bool) {
    let story = client.story();
    let is_told = |name: &String| matches!(name.as_str(), "lost" | "replaced");
    let told = story.iter().position(is_told).expect("it is told");
    let between: Vec<_> = story[..told].iter().skip_while(|name| *name != "detached").collect();
    assert!(between[1..].iter().all(|name| *name == "reconnecting"), "{story:?}");
    assert!(!was_attached || between.len() == 2, "{story:?}");
}

fn a_loss_is_told(is_attached: bool) {
    let host = Host::start();
    let mut client = host.plan().run(FAMILY);
    let family = [client.number(1), client.number(2)];
    lose_server(&host, is_attached, &client);
    let lost = client.event("lost");
    assert_told_by_the_first_connection(&client, is_attached);
    assert_eq!(client.status(), 255);
    assert_eq!(lost["reason"], "process_gone");
    assert_eq!(lost["unacked_input_bytes"], 0);
    assert!(lost["last_output_seq"].is_u64(), "{lost}");
    assert_one_line(&client, "the process is gone");
    assert!(family.into_iter().all(|pid| !is_alive(pid)), "processes were left behind");
    assert_eq!(client.story().last().unwrap(), "lost");
}

#[track_caller]
pub(crate) fn assert_one_line(client: &Client, text: &str) {
    let told = client.stderr();
    let is_one_line = told.ends_with('\n') && told.lines().count() == 1;
    assert!(is_one_line && told.starts_with("rejoin: ") && told.contains(text), "{told:?}");
}

#[test]
fn a_server_killed_while_attached_is_told_at_once_under_fail() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    a_loss_is_told(true);
}

#[test]
fn a_server_killed_while_detached_is_told_with_the_connection_under_fail() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    a_loss_is_told(false);
}

fn a_fresh_process_is_told(is_attached: bool) {
    let host = Host::start();
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(FAMILY);
    let old = [client.number(1), client.number(2)];
    lose_server(&host, is_attached, &client);
    let replaced = client.event("replaced");
    assert_told_by_the_first_connection(&client, is_attached);
    assert_eq!((&replaced["old"], &replaced["new"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(replaced["reason"], "process_gone");
    assert!(replaced["last_output_seq"].is_u64(), "{replaced}");
    let attached = client.nth_event("attached", 2);
    assert_eq!(attached["session"].as_str().unwrap(), client.session());
    assert_eq!((&attached["incarnation"], &attached["how"]), (&1.into(), &"opened".into()));
    assert_ne!(attached["epoch"], client.event("attached")["epoch"]);
    let fresh = client.number(3);
    assert!(!old.contains(&fresh) && is_alive(fresh));
    assert!(old.into_iter().all(|pid| !is_alive(pid)), "processes were left behind");
    client.write("hello\n");
    assert_eq!(client.line(5), format!("{fresh} hello"));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_server_killed_while_attached_is_replaced_under_respawn() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    a_fresh_process_is_told(true);
}

#[test]
fn a_server_killed_while_detached_is_replaced_under_respawn() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    a_fresh_process_is_told(false);
}

#[test]
fn input_of_unknown_fate_is_counted_and_never_given_to_the_fresh_process() {
    const PIPE: u64 = 64 * 1024;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let script = "echo $$; until [ -e ~/go ]; do sleep 0.01; done; wc -c";
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(script);
    client.line(1);
    client.write(vec![b'x'; 300_000]);
    // Until the server has it, of which the process's pipe takes no more than it holds.
    until("the input has left", || host.relay().bytes() > 300_000);
    host.kill_server();
    let replaced = client.event("replaced");
    let unknown = replaced["unacked_input_bytes"].as_u64().unwrap();
    assert!((300_000 - PIPE..=300_000).contains(&unknown), "{unknown}");
    client.nth_event("attached", 2);
    std::fs::write(host.home().join("go"), "").unwrap();
    client.write("fresh");
    let (status, output) = client.finish();
    assert!(String::from_utf8_lossy(&output).ends_with("\n5\n"), "old input came again");
    assert_eq!(status, 0);
}

#[test]
fn kill_ends_also_what_ignores_hangups_and_runs_away() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let script = "trap '' HUP TERM; \
        setsid sh -c 'trap \"\" HUP TERM; echo $$; (sleep 1000 & echo $!); sleep 1000' & \
        (sleep 1000 & echo $!); echo $$; while :; do sleep 1000; done";
    let mut client = host.plan().run(script);
    let family: Vec<i32> = (1..=4).map(|line| client.number(line)).collect();
    let mut killing = host.plan().subcommand("kill").run(&client.session()[..8]);
    assert_eq!(killing.finish().0, 0, "{}", killing.stderr());
    assert!(!family.iter().any(|&pid| is_alive(pid)), "killed is told when all of them are gone");
    assert_ne!(client.status(), 0);
    assert!(client.stderr().lines().count() <= 1, "{}", client.stderr());
}

/// A run that is told of signals, even where these tests were started to ignore some.
fn hearing(host: &Host) -> Plan<'_> {
    let words = ["--default-signal".as_ref(), rejoin().as_os_str()];
    host.plan().program("env".as_ref()).with(words)
}

#[test]
fn who_was_started_to_ignore_hangups_goes_on() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "nohup");
    let host = Host::start();
    let mut client = host.plan().program("nohup".as_ref()).with([rejoin()]).run(ECHO);
    client.line(1);
    client.signal(Signal::HUP);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn who_leaves_leaves_the_process() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for signal in [Signal::HUP, Signal::TERM] {
        let mut client = hearing(&host).run(FAMILY);
        let pid = client.number(1);
        client.line(2);
        client.signal(signal);
        assert_eq!(client.status(), 128 + signal.as_raw());
        host.until_session_is("detached");
        assert!(is_alive(pid));
        host.end_sessions();
        assert!(!is_alive(pid));
    }
}

#[test]
fn a_killed_client_takes_its_connection_along() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(FAMILY);
    let pid = client.number(1);
    assert!(!host.connections().is_empty());
    client.signal(Signal::KILL);
    assert_eq!(client.status(), 128 + 9);
    until("ssh has ended", || host.connections().is_empty());
    host.until_session_is("detached");
    assert!(is_alive(pid));
    host.end_sessions();
}

#[test]
fn an_interrupt_without_a_terminal_ends_the_process() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = hearing(&host).run(FAMILY);
    let pid = client.number(1);
    client.signal(Signal::INT);
    assert_eq!(client.status(), 130);
    until("the process is gone", || !is_alive(pid));
}
