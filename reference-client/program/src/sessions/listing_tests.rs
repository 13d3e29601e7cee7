use rejoin_client::admin::{AdminVersion, SessionStatus, Text};
use rejoin_client::{Incarnation, Tenure};

use super::*;

fn row(session: &str, state: &str, command: &str) -> SessionInfo {
    SessionInfo {
        session: session.parse().unwrap(),
        status: SessionStatus::from(Text::new(state)),
        incarnation: Some(Incarnation(1)),
        epoch: Some("00112233445566778899aabbccddeeff".parse().unwrap()),
        tenure: Some(Tenure(2)),
        command: command.into(),
        terminal: true,
        started: Some(1000),
        age_seconds: Some(3661),
        idle_seconds: Some(150),
        client: "me@desk:42".into(),
        version: AdminVersion::CURRENT,
    }
}

const FIRST: &str = "1a2b3c4d000000000000000000000000";
const SECOND: &str = "1a2bffff000000000000000000000000";

fn told<T: std::fmt::Debug>(found: Result<T, Ending>) -> String {
    found.unwrap_err().line.unwrap()
}

#[test]
fn a_session_is_found_by_its_first_digits_or_by_being_the_only_one() {
    let rows = [row(FIRST, "attached", "bash"), row(SECOND, "detached", "vim")];
    assert_eq!(find(&rows, Some("1a2b3")).unwrap().session.to_string(), FIRST);
    assert_eq!(find(&rows, Some("1A2BF")).unwrap().session.to_string(), SECOND);
    assert_eq!(find(&rows[..1], None).unwrap().session.to_string(), FIRST);
    let several = "there are 2 sessions: add the number of one, or the first digits of its id";
    assert_eq!(told(find(&rows, None)), several);
    assert!(told(find(&rows, Some("1a2b"))).starts_with("several sessions begin with 1a2b"));
    assert!(told(find(&rows, Some("9999"))).contains("no session begins with 9999"));
    assert!(told(find(&[], None)).contains("no sessions"));
}

#[test]
fn a_session_is_found_by_its_row() {
    let rows = [row(FIRST, "attached", "bash"), row(SECOND, "detached", "vim")];
    assert_eq!(find(&rows, Some("1")).unwrap().session.to_string(), FIRST);
    assert_eq!(find(&rows, Some("02")).unwrap().session.to_string(), SECOND);
    for none in ["0", "3", "999"] {
        assert!(told(find(&rows, Some(none))).starts_with("there is no row"), "{none}");
    }
    let four = [row("1234567890abcdef1234567890abcdef", "detached", "four digits are an id")];
    assert!(find(&four, Some("1234")).is_ok());
}

#[test]
fn what_is_to_be_ended_is_named_by_row_or_by_digits_and_once() {
    let rows = [row(FIRST, "attached", "bash"), row(SECOND, "detached", "vim")];
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let found = named(&rows, &names(&["1a2bf", "1a2b3c4d", "1a2bffff"])).unwrap();
    assert_eq!(found, [&rows[1], &rows[0]]);
    assert_eq!(named(&rows, &names(&["2", "1a2bf", "1"])).unwrap(), [&rows[1], &rows[0]]);
    assert!(told(named(&rows, &names(&["1", "3"]))).contains("there is no row 3"));
    assert!(told(named(&rows, &names(&["1a2bf", "ffff"]))).contains("no session begins with"));
}

#[test]
fn the_table_is_aligned_and_cut_to_the_terminal() {
    let mut rows = [row(FIRST, "attached", "make -j8"), row(SECOND, "detached", "bash")];
    rows[1].idle_seconds = Some(119);
    assert_eq!(
        table(&rows, None),
        "#  SESSION   STATE     AGE    IDLE   ATTACHED BY  COMMAND\n\
         1  1a2b3c4d  attached  1h01m  2m30s  me@desk:42   make -j8\n\
         2  1a2bffff  detached  1h01m  <2m                 bash\n"
    );
    assert_eq!(
        table(&rows[..1], Some(57)),
        "#  SESSION   STATE     AGE    IDLE   ATTACHED BY  COMMAND\n\
         1  1a2b3c4d  attached  1h01m  2m30s  me@desk:42   make -…\n"
    );
}

#[test]
fn rows_that_are_chosen_keep_their_numbers() {
    let rows = [row(FIRST, "attached", "make -j8"), row(SECOND, "detached", "bash")];
    let table = table_of(&rows, &[&rows[1]], None);
    let lines: Vec<_> = table.lines().skip(1).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("2  1a2bffff"), "{table}");
}

#[test]
fn describes_a_session_by_its_command_and_its_age() {
    let mut session = row(FIRST, "detached", "make -j16");
    session.age_seconds = Some(2 * 3600 + 59);
    assert_eq!(description(&session), "session 1a2b3c4d (make -j16, started 2 h ago)");
    session.age_seconds = None;
    session.command = "x\x1b[2J".into();
    assert_eq!(description(&session), "session 1a2b3c4d (x[2J)");
    assert_eq!([90, 600, 7200, 400_000].map(roughly), ["90 s", "10 min", "2 h", "4 days"]);
}

#[test]
fn ids_get_as_many_digits_as_tell_them_apart() {
    let ids = ["1a2b3c4d100000000000000000000000", "1a2b3c4d200000000000000000000000"];
    let rows = ids.map(|id| row(id, "dead", ""));
    assert!(table(&rows, None).contains("1a2b3c4d1  dead"));
}

#[test]
fn a_hosts_words_cannot_steer_the_terminal() {
    let hidden = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
    let mut evil = row(FIRST, "at\x1btached", &format!("rm\r\x1b]0;x\x07{hidden}"));
    evil.client = format!("a\nb\u{9b}2J{hidden}").as_str().into();
    let evil = [evil];
    let is_steering = |c: char| c.is_control() || hidden.contains(c);
    assert!(!table(&evil, None).replace('\n', "").contains(is_steering));
    let json = serde_json::to_string(&evil).unwrap();
    assert!(!json.contains(is_steering) && !json.contains("\\u001b"), "{json}");
}

#[test]
fn what_was_removed_is_counted_and_what_was_not_is_a_failure() {
    let session = |digit: u8| SessionId::from_bytes([digit; 16]);
    assert_eq!(pruned(&PruneReport::default()), "nothing was there to be removed\n");
    let mut all = PruneReport { dead: vec![session(1)], killed: 2, ..PruneReport::default() };
    assert_eq!(pruned(&all), "removed: 1 dead session, 2 leftover processes\n");
    all.tombstones = vec![session(2), session(3)];
    assert!(pruned(&all).ends_with(", 2 old tombstones\n"));
    assert_eq!(ending(&all), Ending::silent(0));
    all.problems = vec![PruneProblem { session: session(4), error: "no\x1b[2J".into() }];
    assert!(!serde_json::to_string(&all).unwrap().contains("\\u001b"));
    let ending = ending(&all);
    assert!(ending.line.unwrap().contains("0404: no[2J"));
    assert_eq!(ending.code, 255);
}

#[test]
fn a_host_that_tells_one_long_word_does_not_make_every_row_long() {
    let mut rows = vec![row(FIRST, "attached", "bash"); 100];
    rows[0].status = SessionStatus::from(Text::new(&"x".repeat(2000)));
    rows[1].client = Text::new(&"x".repeat(2000));
    let table = table(&rows, None);
    assert!(table.lines().all(|line| line.len() < 200), "{table}");
}
