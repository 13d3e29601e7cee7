//! The answers to `ls`, `kill`, `prune` and `doctor`: golden lines in `vectors/admin.json`, which
//! `UPDATE_VECTORS=1` writes anew, and the bounds of what is read.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use common::check_file;
use rejoin_protocol::admin::{
    AdminVersion, AnswerVersion, EndProblem, EndedSession, HostReport, KillReport, MAX_ENTRIES,
    Persistence, PruneProblem, PruneReport, RegistryReport, SessionInfo, SessionList,
    SessionStatus, Text,
};
use rejoin_protocol::{Epoch, Incarnation, SessionId, Tenure, VersionRange};
use serde::de::value::{Error as ValueError, SeqDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const FIRST: SessionId = SessionId::from_bytes([0x1a; 16]);
const SECOND: SessionId = SessionId::from_bytes([0x2b; 16]);

fn session(session: SessionId, status: SessionStatus) -> SessionInfo {
    SessionInfo {
        session,
        status,
        incarnation: Some(Incarnation(3)),
        epoch: Some(Epoch::from_bytes([0xe1; 16])),
        tenure: Some(Tenure(2)),
        command: "make -j16".into(),
        terminal: true,
        started: Some(1_750_000_000),
        age_seconds: Some(3661),
        idle_seconds: Some(60),
        client: "me@desk:42".into(),
        version: AdminVersion::CURRENT,
    }
}

fn list() -> SessionList {
    let bare = SessionInfo {
        incarnation: None,
        epoch: None,
        tenure: None,
        command: Text::default(),
        terminal: false,
        started: None,
        age_seconds: None,
        idle_seconds: None,
        client: Text::default(),
        ..session(SECOND, SessionStatus::Starting)
    };
    SessionList { sessions: vec![session(FIRST, SessionStatus::Attached), bare] }
}

fn kill_report() -> KillReport {
    KillReport {
        ended: vec![EndedSession { session: FIRST, processes: 2 }],
        problems: vec![EndProblem { name: "2b2b".into(), error: "no such session".into() }],
        version: AdminVersion::CURRENT,
    }
}

fn prune_report() -> PruneReport {
    PruneReport {
        dead: vec![FIRST],
        killed: 4,
        tombstones: vec![SECOND],
        problems: vec![PruneProblem { session: SECOND, error: "disk full".into() }],
        version: AdminVersion::CURRENT,
    }
}

fn host_report() -> HostReport {
    HostReport {
        program_version: "0.1.0".into(),
        protocol: Some(VersionRange::SUPPORTED),
        program: Some("/opt/rejoin-server".into()),
        host: "box".into(),
        host_id: Some("11111111111111111111111111111111".into()),
        persistence: Persistence::Ends,
        persistence_advice: Some("run loginctl enable-linger".into()),
        registry: RegistryReport {
            folder: Some("/tmp/rejoin-1000".into()),
            error: None,
            living: 2,
            dead: 1,
        },
        version: AdminVersion::CURRENT,
    }
}

fn line(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).unwrap()
}

/// Lines that this version writes.
fn written() -> Vec<(&'static str, &'static str, String)> {
    vec![
        ("a list of sessions", "ls", line(&list())),
        ("no sessions", "ls", line(&SessionList::default())),
        ("sessions that were ended", "kill", line(&kill_report())),
        ("what was removed", "prune", line(&prune_report())),
        ("a host", "doctor", line(&host_report())),
        ("a host with nothing known", "doctor", line(&HostReport::default())),
    ]
}

/// Lines of other programs.
fn foreign() -> Vec<(&'static str, &'static str, &'static str)> {
    let id = "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a";
    assert_eq!(id, FIRST.to_string());
    vec![
        (
            "a list without versions",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","state":"detached","incarnation":0,"epoch":"e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1","tenure":0,"command":"","terminal":false,"started":1750000000,"age_seconds":5,"idle_seconds":5,"client":"me@desk:42"}]"#,
        ),
        (
            "only what is required, in upper case",
            "ls",
            r#"[{"state":"dead","session":"1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A"}]"#,
        ),
        (
            "a state and a field that nobody knows",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","state":"frozen","mood":["good"],"admin":1}]"#,
        ),
        (
            "texts with control characters",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","state":"a\u001bb","command":"rm\r\u001b[2J\u202ex\ny"}]"#,
        ),
        (
            "an id with 31 digits",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","state":"dead"}]"#,
        ),
        ("an entry without a session", "ls", r#"[{"state":"dead"}]"#),
        (
            "a number below 0",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","state":"dead","tenure":-1}]"#,
        ),
        (
            "a newer version in one of the entries",
            "ls",
            r#"[{"session":"1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a","state":"dead","admin":1},{"admin":2,"id":7}]"#,
        ),
        ("a newer version with other fields", "kill", r#"{"admin":2,"sessions":[]}"#),
        ("a newer version with the same fields", "kill", r#"{"admin":2,"ended":[]}"#),
        ("only what is required", "kill", r#"{"ended":[]}"#),
        ("nothing that is required", "kill", "{}"),
        ("only what is required", "prune", r#"{"killed":1}"#),
        ("nothing that is required", "prune", r#"{"dead":[]}"#),
        (
            "a report without a version, with null for what is unknown",
            "doctor",
            r#"{"version":"0.1.0","program":null,"host":"box","host_id":null,"persistence":"in_scope","persistence_advice":null,"registry":{"error":"it is on NFS"}}"#,
        ),
        ("a persistence that nobody knows", "doctor", r#"{"persistence":"migrates"}"#),
        ("an empty report", "doctor", "{}"),
    ]
}

fn read<'a, T: Deserialize<'a> + Serialize>(line: &'a str) -> Option<Value> {
    let answer: T = serde_json::from_str(line).ok()?;
    Some(serde_json::to_value(answer).unwrap())
}

/// What a reader makes of a line, in the words of `vectors/README.md`.
fn describe(name: &str, command: &str, line: &str) -> Value {
    let AnswerVersion(version) = serde_json::from_str(line).unwrap();
    let answer = match command {
        _ if !version.is_known() => None,
        "ls" => read::<SessionList>(line),
        "kill" => read::<KillReport>(line),
        "prune" => read::<PruneReport>(line),
        "doctor" => read::<HostReport>(line),
        _ => panic!("no command {command}"),
    };
    json!({ "name": name, "command": command, "line": line, "version": version, "read": answer })
}

fn entries() -> Vec<Value> {
    let written = written();
    let written = written.iter().map(|(name, command, line)| describe(name, command, line));
    let foreign = foreign();
    let foreign = foreign.iter().map(|(name, command, line)| describe(name, command, line));
    written.chain(foreign).collect()
}

#[test]
fn the_file_is_what_the_types_write_and_read() {
    let lines: Vec<String> = entries().iter().map(|entry| format!("  {entry}")).collect();
    check_file("vectors/admin.json", "UPDATE_VECTORS", &format!("[\n{}\n]\n", lines.join(",\n")));
}

#[test]
fn reads_back_what_it_writes() {
    for (name, command, line) in written() {
        let read = describe(name, command, &line)["read"].take();
        assert_eq!(read, serde_json::from_str::<Value>(&line).unwrap(), "{name}");
    }
    let again: SessionList = serde_json::from_str(&line(&list())).unwrap();
    assert_eq!(again, list());
}

/// The names of all fields in a line.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                found.insert(name.clone());
                names(field, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_that_is_written_stands_in_the_specification() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md");
    let spec = std::fs::read_to_string(path).unwrap();
    let (_, section) = spec.split_once("\n## 14 ").unwrap();
    let is_part = |character: char| !character.is_alphanumeric() && character != '_';
    let words: BTreeSet<&str> = section.split(is_part).collect();
    let mut found = BTreeSet::new();
    for (_, _, line) in written() {
        names(&serde_json::from_str(&line).unwrap(), &mut found);
    }
    for name in found {
        assert!(words.contains(name.as_str()), "section 14 has no {name:?}");
    }
    for bound in ["65,536", "2,000", "16,777,216"] {
        assert!(section.contains(bound), "section 14 has no {bound}");
    }
    assert_eq!((MAX_ENTRIES, Text::MAX_LEN), (65_536, 2000));
    assert_eq!(rejoin_protocol::admin::MAX_ANSWER, 16_777_216);
}

#[test]
fn a_holder_needs_all_three_values() {
    let complete = session(FIRST, SessionStatus::Detached);
    let holder = complete.holder().unwrap();
    assert_eq!((holder.incarnation, holder.tenure), (Incarnation(3), Tenure(2)));
    for incomplete in [
        SessionInfo { epoch: None, ..complete.clone() },
        SessionInfo { incarnation: None, ..complete.clone() },
        SessionInfo { tenure: None, ..complete },
    ] {
        assert_eq!(incomplete.holder(), None);
    }
}

#[test]
fn an_unknown_value_keeps_its_text_and_decides_nothing() {
    let status: SessionStatus = serde_json::from_str("\"frozen\"").unwrap();
    assert_eq!(status, SessionStatus::Other("frozen".into()));
    assert_eq!(serde_json::to_string(&status).unwrap(), "\"frozen\"");
    let other = session(FIRST, status);
    assert!(!other.is_attached() && !other.is_dead());
    let persistence: Persistence = serde_json::from_str("\"migrates\"").unwrap();
    assert_eq!(persistence, Persistence::Other("migrates".into()));
    assert_eq!(serde_json::to_string(&persistence).unwrap(), "\"migrates\"");
}

#[test]
fn a_text_is_safe_to_print_and_cut_at_a_character() {
    let evil: Text = serde_json::from_str(r#""a\u001b[2J\u009b\u202e\u200bb\nc""#).unwrap();
    assert_eq!(evil.as_str(), "a[2Jb c");
    let long = serde_json::to_string(&"ä".repeat(Text::MAX_LEN)).unwrap();
    let cut: Text = serde_json::from_str(&long).unwrap();
    assert_eq!(cut.as_str(), "ä".repeat(Text::MAX_LEN / 2));
}

/// Twice as many sessions as a list may have, announced as more than any memory holds.
struct Announced<'a> {
    entry: BTreeMap<&'a str, &'a str>,
    taken: &'a Cell<usize>,
}

impl<'a> Iterator for Announced<'a> {
    type Item = BTreeMap<&'a str, &'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        self.taken.set(self.taken.get() + 1);
        (self.taken.get() <= 2 * MAX_ENTRIES).then(|| self.entry.clone())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, Some(usize::MAX))
    }
}

#[test]
fn a_longer_list_is_read_up_to_the_bound_and_reserves_nothing() {
    let (id, taken) = (FIRST.to_string(), Cell::new(0));
    let entry = BTreeMap::from([("session", id.as_str()), ("state", "dead")]);
    let source = SeqDeserializer::<_, ValueError>::new(Announced { entry, taken: &taken });
    let refused = SessionList::deserialize(source).unwrap_err().to_string();
    assert_eq!((refused.as_str(), taken.get()), ("more than 65536 entries", MAX_ENTRIES + 1));
}

#[test]
fn a_longer_list_is_refused() {
    let entry = format!(r#"{{"session":"{FIRST}","state":"dead"}}"#);
    let list = |count: usize| format!("[{}]", vec![entry.as_str(); count].join(","));
    let read = |count| serde_json::from_str::<SessionList>(&list(count));
    assert_eq!(read(MAX_ENTRIES).unwrap().sessions.len(), MAX_ENTRIES);
    let refused = read(MAX_ENTRIES + 1).unwrap_err().to_string();
    assert!(refused.starts_with("more than 65536 entries"), "{refused}");
    let ids = |count: usize| {
        format!(r#"{{"killed":0,"dead":[{}]}}"#, vec![format!("\"{FIRST}\""); count].join(","))
    };
    assert!(serde_json::from_str::<PruneReport>(&ids(MAX_ENTRIES)).is_ok());
    assert!(serde_json::from_str::<PruneReport>(&ids(MAX_ENTRIES + 1)).is_err());
}
