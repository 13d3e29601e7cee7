//! Many sessions over one connection: what they share, and what they do not.

use std::fmt::Write as _;

use rejoin_client::{Event, ExitStatus, How};
use rejoin_testing::Signal;

use crate::output::assert_same;
use crate::support::{Host, Sharing, Talk, kill, until};

/// Far more than sshd's `MaxSessions`.
const MANY: usize = 50;
/// Repeats every line.
const ECHO: &str = "while read -r line; do echo \"got $line\"; done";

/// Writes a hundred lines of its own, three times, and waits for a word in between.
fn counter(number: usize) -> String {
    format!(
        "for part in 1 2 3; do i=0; while [ $i -lt 100 ]; do echo {number}-$part-$i; i=$((i+1)); \
         done; read -r word; echo {number} $word; done"
    )
}

fn counted(number: usize) -> String {
    let mut text = String::new();
    for part in 1..=3 {
        for i in 0..100 {
            writeln!(text, "{number}-{part}-{i}").unwrap();
        }
        writeln!(text, "{number} word{part}").unwrap();
    }
    text
}

fn counters(sharing: &Sharing) -> Vec<Talk> {
    (0..MANY).map(|number| sharing.open(&counter(number))).collect()
}

#[track_caller]
fn until_part(talks: &[Talk], part: usize) {
    for (number, talk) in talks.iter().enumerate() {
        talk.until_text(&format!("{number}-{part}-99\n"));
    }
}

fn say_to_all(talks: &[Talk], part: usize) {
    for talk in talks {
        talk.say(&format!("word{part}\n"));
    }
}

#[track_caller]
fn finish_counters(talks: Vec<Talk>) {
    for (number, talk) in talks.into_iter().enumerate() {
        let (text, exit) = talk.finish();
        assert_same(&text, counted(number).as_bytes());
        assert_eq!(exit, Some(ExitStatus::Code(0)));
    }
}

#[test]
fn fifty_sessions_share_one_connection_and_each_has_its_own_bytes() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks = counters(&sharing);
    until_part(&talks, 1);
    assert_eq!(host.relay().connections(), 1);
    assert_eq!(host.sshd().sessions().unwrap().len(), 1, "one connection, to sshd, too");
    assert_eq!((host.muxes().len(), host.attaches().len()), (1, 0));
    assert_eq!(host.servers().len(), MANY);
    for part in 1..=3 {
        until_part(&talks, part);
        say_to_all(&talks, part);
    }
    finish_counters(talks);
    assert_eq!(host.relay().connections(), 1);
}

#[test]
fn after_a_cut_all_resume_over_one_new_connection() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks = counters(&sharing);
    until_part(&talks, 1);
    // What is on its way in both directions is lost.
    say_to_all(&talks, 1);
    host.cut();
    for talk in &talks {
        talk.until_resumed(1);
    }
    assert_eq!(host.relay().connections(), 2, "all have asked, and one dial was made");
    until_part(&talks, 2);
    say_to_all(&talks, 2);
    until_part(&talks, 3);
    say_to_all(&talks, 3);
    let is_attached = |event: &Event| matches!(event, Event::Attached { .. });
    assert!(talks.iter().all(|talk| talk.count(is_attached) == 2));
    finish_counters(talks);
}

#[test]
fn a_session_that_floods_and_one_that_nobody_reads_hold_up_no_other() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let (flood, unread) = (sharing.open("yes"), sharing.open_unread("yes"));
    let echo = sharing.open(ECHO);
    until("the flood flows", || flood.length() > 0);
    // Once its window is full, it is blocked, and stays so.
    unread.session();
    let begin = flood.length();
    let mut word = 0;
    // As many answers as it takes for the flood to have gone on for a while in between.
    while word < 20 || flood.length() < begin + 8 * 1024 * 1024 {
        echo.ask(&format!("{word}\n"), &format!("got {word}\n"));
        word += 1;
    }
    assert_eq!(host.relay().connections(), 1);
    let (text, _) = echo.finish();
    let answers = (0..word).fold(String::new(), |mut text, word| {
        writeln!(text, "got {word}").unwrap();
        text
    });
    assert_same(&text, answers.as_bytes());
    flood.close();
    unread.close();
}

#[test]
fn another_client_takes_a_session_over_on_a_channel_of_its_own() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let (taken, kept) = (sharing.open(ECHO), sharing.open(ECHO));
    taken.ask("a\n", "got a\n");
    kept.ask("a\n", "got a\n");
    let session = &taken.session()[..8];
    let mut other = host.plan().subcommand("attach").with(["--take-over"]).run(session);
    assert_eq!(other.event("attached")["how"], "claimed");
    taken.until_event("it is told", |event| matches!(event, Event::Superseded { .. }));
    other.write("b\n");
    until("the answer", || other.output().contains("got b\n"));
    kept.ask("c\n", "got c\n");
    assert_eq!(host.muxes().len(), 1);
    assert_eq!(other.finish().0, 0);
    kept.finish();
}

#[test]
fn a_killed_mux_costs_one_new_connection_and_nothing_else() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks = [sharing.open(ECHO), sharing.open(ECHO)];
    for talk in &talks {
        talk.ask("a\n", "got a\n");
    }
    kill(host.muxes()[0], Signal::KILL);
    for talk in talks {
        talk.until_resumed(1);
        talk.ask("b\n", "got b\n");
        assert_same(&talk.finish().0, b"got a\ngot b\n");
    }
    assert_eq!(host.relay().connections(), 2);
}

#[test]
fn what_a_login_shell_prints_before_is_skipped() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let noise = "printf 'Welcome \\301rejoin \\n'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let host = Host::with(|sshd| sshd.force_command(noise));
    let sharing = Sharing::of(&host);
    let talk = sharing.open(ECHO);
    talk.ask("a\n", "got a\n");
    talk.finish();
}

#[test]
fn silence_is_noticed_once_for_all() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks = [sharing.open(ECHO), sharing.open(ECHO), sharing.open(ECHO)];
    for talk in &talks {
        talk.ask("a\n", "got a\n");
    }
    host.relay().silence();
    for talk in &talks {
        talk.say("b\n");
        talk.until_event("it is detached", |event| matches!(event, Event::Detached { .. }));
    }
    host.relay().resume();
    for talk in talks {
        talk.until_text("got b\n");
        assert_same(&talk.finish().0, b"got a\ngot b\n");
    }
}

#[test]
fn an_application_that_lets_go_leaves_its_sessions_and_no_connection() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talk = sharing.open(ECHO);
    talk.ask("a\n", "got a\n");
    talk.control.detach();
    drop(talk);
    drop(sharing);
    until("the connection is gone", || host.muxes().is_empty() && host.connections().is_empty());
    host.until_session_is("detached");
    host.end_sessions();
}

#[test]
fn a_session_is_claimed_and_resumed_over_a_connection_that_others_have() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().with(["--lane", "ssh"]).run(ECHO);
    first.write("a\n");
    first.line(1);
    let sharing = Sharing::of(&host);
    let other = sharing.open(ECHO);
    other.ask("x\n", "got x\n");
    let claimed = sharing.claim(&first.session());
    claimed.until_event("it is claimed", |event| {
        matches!(event, Event::Attached { how: How::Claimed, .. })
    });
    first.event("superseded");
    claimed.ask("b\n", "got b\n");
    assert_eq!(host.relay().connections(), 2, "one of each client");
    claimed.finish();
    other.finish();
}
