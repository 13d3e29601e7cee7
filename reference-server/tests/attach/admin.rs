//! The answers to `ls`, `kill`, `prune` and `doctor`, read with the types of the protocol.

use rejoin_protocol::admin::{
    AdminVersion, EndedSession, HostReport, KillReport, Persistence, PruneReport, SessionInfo,
    SessionList, SessionStatus, words,
};
use rejoin_protocol::{Incarnation, SessionId, Tenure, VersionRange};
use rustix::process::{PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;

use crate::support::{Client, until, until_ended};

/// The answer to a command, and its exit status.
fn ask<T: DeserializeOwned>(client: &Client, words: &str) -> (T, Option<i32>) {
    let output = client.server().args(words.split(' ')).output().unwrap();
    let answer = serde_json::from_slice(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    (answer.unwrap_or_else(|error| panic!("{error}: {stderr}")), output.status.code())
}

/// The only session, once it has this status.
fn listed_as(client: &Client, status: &SessionStatus) -> SessionInfo {
    let mut found = None;
    until(&format!("the session is {status}"), || {
        let (SessionList { mut sessions }, code) = ask(client, words::LIST);
        assert_eq!((sessions.len(), code), (1, Some(0)), "{sessions:?}");
        found = sessions.pop();
        found.as_ref().is_some_and(|session| session.status == *status)
    });
    found.unwrap()
}

#[test]
fn lists_a_session_with_its_process_and_its_client() {
    let mut client = Client::new();
    let link = client.open(0, "exec sleep 1000").welcomed();
    let session = listed_as(&client, &SessionStatus::Attached);
    assert_eq!(session.session, client.session);
    assert_eq!((session.incarnation, session.tenure), (Some(Incarnation(0)), Some(Tenure(0))));
    assert_eq!((session.command.as_str(), session.terminal), ("exec sleep 1000", false));
    assert_eq!(session.version, AdminVersion::CURRENT);
    assert!(session.holder().is_some() && session.started > Some(0));
    link.hang_up();
    listed_as(&client, &SessionStatus::Detached);
}

#[test]
fn kill_ends_what_it_finds_and_names_what_it_does_not_find() {
    let mut client = Client::new();
    let link = client.open(0, "sleep 1000 & exec sleep 1000").welcomed();
    let server = pidfd_open(client.server_pid(), PidfdFlags::empty()).unwrap();
    let unknown = SessionId::from_bytes([0xab; 16]);
    let (report, status) =
        ask::<KillReport>(&client, &words::kill([unknown, client.session, unknown]));
    until_ended(&server);
    assert_eq!(report.ended, [EndedSession { session: client.session, processes: 2 }]);
    let names: Vec<_> = report.problems.iter().map(|problem| problem.name.as_str()).collect();
    assert_eq!(names, [unknown.to_string(), unknown.to_string()]);
    assert!(report.problems[0].error.starts_with("there is no session abab"), "{report:?}");
    assert_eq!((status, report.version), (Some(1), AdminVersion::CURRENT));
    drop(link);
    let (list, _) = ask::<SessionList>(&client, words::LIST);
    assert_eq!(list, SessionList::default());
}

#[test]
fn prune_names_the_sessions_whose_server_is_dead() {
    let mut client = Client::new();
    let link = client.open(0, "exec sleep 1000").welcomed();
    client.kill_server();
    drop(link);
    let (report, status) = ask::<PruneReport>(&client, words::PRUNE);
    assert_eq!((&report.dead[..], status), (&[client.session][..], Some(0)));
    assert!(report.problems.is_empty(), "{report:?}");
    let (again, _) = ask::<PruneReport>(&client, words::PRUNE);
    assert_eq!(again, PruneReport::default());
}

#[test]
fn doctor_counts_sessions_and_sweeps_none() {
    let mut client = Client::new();
    let link = client.open(0, "exec sleep 1000").welcomed();
    let (report, status) = ask::<HostReport>(&client, words::REPORT);
    assert_eq!((report.registry.living, report.registry.dead, status), (1, 0, Some(0)));
    client.kill_server();
    drop(link);
    let (report, _) = ask::<HostReport>(&client, words::REPORT);
    assert_eq!((report.registry.living, report.registry.dead), (0, 1));
    assert_eq!(report.registry.folder.unwrap().as_str(), client.folder().to_str().unwrap());
    assert_eq!(report.program_version.as_str(), env!("CARGO_PKG_VERSION"));
    assert_eq!(report.protocol, Some(VersionRange::SUPPORTED));
    assert!(!matches!(report.persistence, Persistence::Other(_)), "{:?}", report.persistence);
    assert_eq!(report.version, AdminVersion::CURRENT);
}
