use std::sync::Arc;

use rejoin_protocol::SessionId;
use rejoin_protocol::admin::{MAX_ANSWER, MAX_ENTRIES};
use rejoin_ssh::{CommandConnect, LinkError, LinkErrorKind};

use super::answer::parse;
use super::*;
use crate::Options;

const ID: &str = "1a2b3c4d000000000000000000000000";

/// A host where the command is a shell script.
fn host(script: &str) -> CommandConnect {
    CommandConnect::new("sh").args(["-c", script])
}

/// A host that prints this line.
fn answering(line: &str) -> CommandConnect {
    CommandConnect::new("printf").args(["%s\n", line])
}

#[tokio::test]
async fn reads_the_answer_of_an_older_server_among_what_a_login_shell_prints() {
    let older = format!(r#"[{{"session":"{ID}","state":"detached","tenure":4}}]"#);
    let script = format!("echo Welcome; echo '[1] 42'; echo '{older}'; echo; echo '[1] Done'");
    let sessions = list(&host(&script)).await.unwrap();
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    assert_eq!(session.session, ID.parse::<SessionId>().unwrap());
    assert_eq!((session.status.as_str(), session.version), ("detached", AdminVersion(1)));
    assert_eq!((session.command.as_str(), session.holder()), ("", None));
    assert_eq!(list(&answering("[]")).await, Ok(Vec::new()));
    let report = host_report(&answering(r#"{"version":"0.0.9","program":null}"#)).await.unwrap();
    assert_eq!((report.program_version.as_str(), report.program), ("0.0.9", None));
    let pruned = prune(&answering(r#"{"killed":2}"#)).await.unwrap();
    assert_eq!(pruned, PruneReport { killed: 2, ..PruneReport::default() });
}

#[tokio::test]
async fn reads_an_answer_although_the_command_reports_a_failure_behind_it() {
    let line = format!(r#"{{"ended":[],"problems":[{{"name":"{ID}","error":"gone"}}]}}"#);
    let report = kill(&host(&format!("echo '{line}'; exit 1"))).await.unwrap();
    assert_eq!(report.problems[0].error.as_str(), "gone");
}

#[tokio::test]
async fn refuses_an_answer_of_a_newer_version_and_says_what_to_do() {
    let rows = format!(r#"[{{"admin":1,"session":"{ID}","state":"dead"}},{{"admin":2,"id":[7]}}]"#);
    for line in [&rows, r#"{"admin":2,"sessions":[]}"#] {
        let error = list(&answering(line)).await.unwrap_err();
        assert_eq!(error, AdminError::TooNew { version: AdminVersion(2) });
        assert_eq!(error.fault(), Fault::Caller);
        assert!(error.to_string().ends_with("update rejoin here"), "{error}");
    }
}

#[tokio::test]
async fn reads_what_it_understands_of_a_newer_server_within_the_version() {
    let line = format!(r#"[{{"admin":1,"session":"{ID}","state":"frozen","mood":"good"}}]"#);
    let sessions = list(&answering(&line)).await.unwrap();
    assert_eq!(sessions[0].status, SessionStatus::Other("frozen".into()));
}

#[tokio::test]
async fn refuses_too_many_rows() {
    let row = format!(r#"{{"session":"{ID}","state":"dead"}}"#);
    let rows = format!("yes '{row},' | head -n {MAX_ENTRIES} | tr -d '\\n'");
    let error = list(&host(&format!("printf '['; {rows}; echo '{row}]'"))).await.unwrap_err();
    let AdminError::Malformed { why } = &error else { panic!("{error}") };
    assert!(why.starts_with("more than 65536 entries"), "{why}");
    assert_eq!(error.fault(), Fault::Peer);
}

#[tokio::test]
async fn stops_reading_behind_the_longest_answer() {
    let error = list(&host("exec cat /dev/zero")).await.unwrap_err();
    assert_eq!(error, AdminError::TooLong);
    // A banner as long as allowed, with the answer.
    let longest = host(&format!("head -c {} /dev/zero; printf '\\n[]\\n'", MAX_ANSWER - 4));
    assert_eq!(list(&longest).await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_a_silent_host_without_end() {
    let error = list(&host("exec sleep 1000")).await.unwrap_err();
    assert_eq!((error.fault(), error), (Fault::Link, AdminError::TimedOut));
}

#[tokio::test]
async fn quotes_what_is_no_answer_without_what_could_steer_a_terminal() {
    let menu = host(r"printf '\nThis is \033[2Ja menu.\nChoose:\n'");
    let error = list(&menu).await.unwrap_err();
    assert_eq!(error, AdminError::Unexpected { line: "This is [2Ja menu.".into() });
    assert_eq!(error.fault(), Fault::Peer);
    let broken = answering(r#"[{"session":"\u001b[2J","state":"dead"}]"#);
    let error = list(&broken).await.unwrap_err();
    assert!(matches!(error, AdminError::Malformed { .. }), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}

#[tokio::test]
async fn says_how_the_link_ended_when_nothing_was_printed() {
    let error = list(&host("true")).await.unwrap_err();
    let AdminError::NoAnswer(end) = &error else { panic!("{error}") };
    assert_eq!((end.kind, error.fault()), (LinkErrorKind::Closed, Fault::Link));
    let missing = CommandConnect::new("/no/such/program");
    let error = list(&missing).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Caller, "{error}");
}

#[test]
fn an_answer_cut_off_is_no_answer() {
    assert_eq!(parse::<PruneReport>(r#"{"killed":1,"dead":["#), Ok(None));
    assert_eq!(parse::<HostReport>("Welcome!\n"), Ok(None));
    assert!(parse::<PruneReport>(r#"{"mood":"good"}"#).is_err());
}

#[tokio::test]
async fn a_session_is_not_ended_where_no_server_answers() {
    let listed = format!(r#"{{"session":"{ID}","state":"detached"}}"#);
    let listed: SessionInfo = serde_json::from_str(&listed).unwrap();
    let connect = Arc::new(CommandConnect::new("/no/such/program"));
    let error = kill_listed(connect, &listed, Options::default()).await.unwrap_err();
    assert!(matches!(error, KillError::NotEnded(crate::Event::GaveUp { .. })), "{error:?}");
    assert_eq!(error.fault(), Fault::Caller, "{error:?}");
    let silent = Arc::new(CommandConnect::new("true"));
    let error = kill_listed(silent, &listed, Options::default()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Link, "{error:?}");
}

#[test]
fn a_fault_is_whose_it_is_to_repair() {
    for (kind, fault) in [
        (LinkErrorKind::Unreachable, Fault::Link),
        (LinkErrorKind::NeedsUser, Fault::Caller),
        (LinkErrorKind::ServerMissing, Fault::Host),
    ] {
        assert_eq!(AdminError::NoAnswer(LinkError::new(kind, "")).fault(), fault);
    }
}

fn found(report: &str) -> Vec<Finding> {
    findings(&serde_json::from_str(report).unwrap(), "0.1.0")
}

fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check() == check).unwrap()
}

#[test]
fn a_host_that_ends_processes_at_logout_fails_with_what_to_do() {
    let ends =
        found(r#"{"persistence":"ends","persistence_advice":"run\u061c\u200b loginctl\u001b"}"#);
    let ends = of(&ends, "logout");
    assert_eq!((ends.severity(), ends.to_string().as_str()), (Severity::Fails, "run loginctl"));
    let unadvised = found(r#"{"persistence":"ends"}"#);
    assert_eq!(of(&unadvised, "logout").to_string(), "processes end with the login");
    for (persistence, severity) in [
        ("stays", Severity::Works),
        ("in_scope", Severity::Works),
        ("unknown", Severity::Note),
        ("migrates", Severity::Note),
    ] {
        let report = found(&format!(r#"{{"persistence":"{persistence}"}}"#));
        assert_eq!(of(&report, "logout").severity(), severity, "{persistence}");
    }
    assert_eq!(*of(&found("{}"), "logout"), Finding::PersistenceUnknown);
}

#[test]
fn a_registry_that_cannot_be_used_fails_and_says_nothing_about_leftovers() {
    let report = found(r#"{"registry":{"error":"it is on NFS"}}"#);
    let registry = of(&report, "registry");
    let expected = (Severity::Fails, "it is on NFS");
    assert_eq!((registry.severity(), registry.to_string().as_str()), expected);
    assert!(report.iter().all(|finding| finding.check() != "leftovers"));
}

#[test]
fn dead_sessions_are_counted_among_all() {
    let report = found(r#"{"registry":{"folder":"/r","living":2,"dead":1}}"#);
    assert_eq!(of(&report, "registry").to_string(), "sessions are kept in /r");
    let dead = of(&report, "leftovers");
    assert_eq!(
        (dead.severity(), dead.to_string().as_str()),
        (Severity::Note, "1 of 3 sessions are dead")
    );
    let most = u64::MAX;
    let absurd = found(&format!(r#"{{"registry":{{"living":{most},"dead":{most}}}}}"#));
    assert_eq!(of(&absurd, "leftovers").severity(), Severity::Note);
    let clean = found(r#"{"registry":{"living":2}}"#);
    assert_eq!(of(&clean, "leftovers").to_string(), "none; 2 sessions live there");
}

#[test]
fn another_version_is_worth_a_note() {
    let same = found(r#"{"version":"0.1.0","host":"box","program":"/opt/s"}"#);
    let same = of(&same, "server");
    let expected = (Severity::Works, "rejoin-server 0.1.0 on box: /opt/s");
    assert_eq!((same.severity(), same.to_string().as_str()), expected);
    let other = found(r#"{"version":"99.0"}"#);
    let other = of(&other, "server");
    assert_eq!(other.severity(), Severity::Note);
    assert!(other.to_string().ends_with("; this rejoin is 0.1.0"), "{other}");
}
