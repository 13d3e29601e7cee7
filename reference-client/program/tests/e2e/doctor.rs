//! `rejoin doctor`: what it says is what it has tried.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rejoin_testing::{Agent, Signal};
use serde_json::Value;

use crate::support::{Host, rejoin_server, until};

/// What the doctor finds, and its exit status.
fn examine(host: &Host, server: &str) -> (Value, i32) {
    let plan = host.plan().subcommand("doctor").server(server).with(["--json"]);
    let (status, output) = plan.run_words::<&str>([]).finish();
    let found = serde_json::from_slice(&output);
    (found.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output))), status)
}

fn finding<'a>(found: &'a Value, check: &str) -> &'a Value {
    let findings = found["checks"].as_array().unwrap();
    let one = findings.iter().find(|finding| finding["check"] == check);
    one.unwrap_or_else(|| panic!("nothing about {check}: {found}"))
}

fn server() -> &'static str {
    rejoin_server().to_str().unwrap()
}

#[test]
fn a_host_that_is_well_is_tried_out_with_a_real_cut_and_left_as_it_was() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (found, status) = examine(&host, server());
    assert_eq!((&found["works"], status), (&Value::Bool(true), 0), "{found}");
    for check in ["ssh", "server", "logout", "registry", "leftovers", "session", "resume"] {
        assert_ne!(finding(&found, check)["verdict"], "fails", "{found}");
    }
    for figure in ["connect_millis", "reconnect_millis", "round_trip_micros"] {
        assert!(found[figure].as_u64().unwrap() > 0, "{found}");
    }
    let connections = host.relay().connections();
    assert_eq!(connections, 5, "a question, two to learn the host, a session, the way back to it");
    assert!(host.sessions().is_empty());
    assert!(host.has_only_tombstones(), "{:?}", host.registry_names());
}

#[test]
fn a_registry_that_others_may_read_is_told_with_what_to_do() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    fs::create_dir(host.registry()).unwrap();
    fs::set_permissions(host.registry(), fs::Permissions::from_mode(0o755)).unwrap();
    let (found, status) = examine(&host, server());
    assert_eq!((&found["works"], status), (&Value::Bool(false), 255), "{found}");
    let registry = finding(&found, "registry");
    assert_eq!(registry["verdict"], "fails");
    assert!(registry["text"].as_str().unwrap().contains("chmod 700"), "{registry}");
    fs::remove_dir(host.registry()).unwrap();
}

#[test]
fn dead_sessions_are_counted_and_not_swept() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("cat");
    client.session();
    client.signal(Signal::KILL);
    client.status();
    host.kill_server();
    let (found, _) = examine(&host, server());
    let leftovers = finding(&found, "leftovers");
    assert_eq!(leftovers["verdict"], "note", "{found}");
    assert!(leftovers["text"].as_str().unwrap().starts_with("1 of 1"), "{leftovers}");
}

#[test]
fn what_keeps_a_connection_from_the_server_program_is_told_by_its_place() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (found, status) = examine(&host, "/no/such/server");
    assert_eq!(status, 255);
    assert_eq!(finding(&found, "server")["verdict"], "fails");
    host.relay().refuse(true);
    let (found, status) = examine(&host, server());
    assert_eq!(status, 255);
    assert_eq!(finding(&found, "ssh")["verdict"], "fails", "{found}");
}

#[test]
fn whether_there_is_a_fast_lane_is_told_and_why_not() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let host = Host::start();
    let plan = host.plan().subcommand("doctor").with(["--json", "-o", "Compression=yes"]);
    let (status, output) = plan.run_words::<&str>([]).finish();
    assert_eq!(status, 0);
    let found: Value = serde_json::from_slice(&output).unwrap();
    let lane = finding(&found, "lane");
    assert_eq!(lane["verdict"], "note");
    assert_eq!(lane["text"], "ssh alone: ssh's configuration has Compression");
    let agent = Agent::start(&host.sshd_file("user_key")).unwrap();
    let plan = host.plan().subcommand("doctor").with(["--json"]).with(agent.ssh_options());
    let mut client = plan.run_words::<&str>([]);
    let (status, output) = client.finish();
    assert_eq!(status, 0, "{}", client.stderr());
    let found: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(finding(&found, "lane")["verdict"], "works", "{found:#}");
    until("its logins are over", || host.sshd().sessions().unwrap().is_empty());
}
