//! The library lists, ends and removes sessions of a real server program, as the program does.

use std::sync::Arc;

use rejoin_client::admin::{self, AdminError, KillError, SessionInfo, SessionStatus, words};
use rejoin_client::{Event, Options, SessionId};
use rejoin_ssh::CommandConnect;
use rejoin_testing::Signal;

use crate::support::{Client, Host, is_alive, until};

/// Runs the server program of a host with these words.
fn running(host: &Host, words: &str) -> CommandConnect {
    let server = host.server();
    let connect = CommandConnect::new(server.get_program()).args(words.split(' '));
    let variables = server.get_envs().filter_map(|(name, value)| Some((name, value?)));
    variables.fold(connect, |connect, (name, value)| connect.env(name, value))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().unwrap().block_on(work)
}

fn list(host: &Host) -> Vec<SessionInfo> {
    block_on(async { admin::list(&running(host, words::LIST)).await.unwrap() })
}

fn kill_listed(host: &Host, listed: &SessionInfo) -> Result<u32, KillError> {
    let connect = Arc::new(running(host, "attach"));
    block_on(async { admin::kill_listed(connect, listed, Options::default()).await })
}

/// A detached session, and the process in it.
fn left_behind(host: &Host) -> (Client, i32) {
    let mut client = host.plan().run("echo $$; exec cat");
    let pid = client.number(1);
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    (client, pid)
}

#[test]
fn the_library_ends_several_sessions_at_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    assert_eq!(list(&host), []);
    let sessions = [left_behind(&host), left_behind(&host)];
    let ids: Vec<SessionId> = list(&host).iter().map(|listed| listed.session).collect();
    assert_eq!(ids.len(), 2);
    let report = block_on(async {
        let named = words::kill(ids.iter().copied());
        admin::kill(&running(&host, &named)).await.unwrap()
    });
    let ended: Vec<_> = report.ended.iter().map(|ended| (ended.session, ended.processes)).collect();
    assert_eq!(ended, ids.iter().map(|id| (*id, 1)).collect::<Vec<_>>());
    assert!(report.problems.is_empty(), "{report:?}");
    assert!(!sessions.iter().any(|(_, pid)| is_alive(*pid)));
}

#[test]
fn the_library_ends_no_session_that_was_taken_over_since_it_was_listed() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (first, pid) = left_behind(&host);
    let [before] = &list(&host)[..] else { panic!("one session") };
    assert_eq!(before.session.to_string(), first.session());
    let mut second = host.plan().subcommand("attach").with(["--take-over"]).run_words::<&str>([]);
    second.event("attached");
    let refused = kill_listed(&host, before);
    let by_other = matches!(refused, Err(KillError::NotEnded(Event::Superseded { .. })));
    assert!(by_other, "{refused:?}");
    assert!(is_alive(pid));
    host.until_session_is("attached");
    let [now] = &list(&host)[..] else { panic!("one session") };
    assert_eq!((&now.status, now.tenure > before.tenure), (&SessionStatus::Attached, true));
    assert_eq!(kill_listed(&host, now), Ok(1));
    until("the process is gone", || !is_alive(pid));
    assert_eq!(second.status(), 255);
}

#[test]
fn the_library_counts_dead_sessions_and_removes_them() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (client, _) = left_behind(&host);
    host.kill_server();
    let report = block_on(async { admin::host_report(&running(&host, words::REPORT)).await });
    let report = report.unwrap();
    assert_eq!((report.registry.living, report.registry.dead), (0, 1));
    let found = admin::findings(&report, report.program_version.as_str());
    let dead = admin::Finding::DeadSessions { dead: 1, living: 0 };
    assert!(found.contains(&dead), "{found:?}");
    let pruned = block_on(async { admin::prune(&running(&host, words::PRUNE)).await.unwrap() });
    assert_eq!(pruned.dead, [client.session().parse().unwrap()]);
    assert_eq!(list(&host), []);
}

#[test]
fn a_program_that_does_not_know_the_words_is_the_hosts_fault() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let error = block_on(async { admin::list(&running(&host, "ls --jason")).await.unwrap_err() });
    assert_eq!(error.fault(), admin::Fault::Host, "{error:?}");
    assert!(matches!(error, AdminError::NoAnswer(_)), "{error:?}");
}
