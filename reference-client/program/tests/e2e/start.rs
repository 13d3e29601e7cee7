//! Processes that end while nobody is there, and processes that cannot be started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rejoin_protocol::frame::Wish;
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{Frame, Incarnation, Item, Reason, Seq};
use rejoin_testing::make_program;

use crate::life::assert_one_line;
use crate::support::{Host, Raw, Wishes, is_alive, until};

/// Waits for a file, then says its last words and ends as `how` tells.
fn ends_when_told(how: &str) -> String {
    format!("echo $$; until [ -e ~/go ]; do sleep 0.01; done; echo last words; {how}")
}

fn ends_during_an_outage(how: &str, expected: i32) {
    let host = Host::start();
    let mut client = host.plan().run(&ends_when_told(how));
    let pid = client.number(1);
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    fs::write(host.home().join("go"), "").unwrap();
    until("the process has ended", || !is_alive(pid));
    host.relay().refuse(false);
    let (status, output) = client.finish();
    assert_eq!(String::from_utf8_lossy(&output), format!("{pid}\nlast words\n"));
    assert_eq!(status, expected);
    assert_eq!(client.count("exited"), 1);
    assert_eq!(client.stderr(), "");
}

#[test]
fn the_last_words_and_the_status_of_a_process_that_ended_meanwhile_arrive() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    ends_during_an_outage("exit 5", 5);
}

#[test]
fn the_signal_that_ended_a_process_meanwhile_arrives() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    ends_during_an_outage("kill -TERM $$", 128 + 15);
}

#[test]
fn the_status_is_the_processs() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for (script, expected) in [("true", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137)] {
        let mut client = host.plan().run(script);
        assert_eq!(client.finish().0, expected, "{script}");
        assert_eq!(client.stderr(), "", "{script}");
    }
}

#[test]
fn the_shell_runs_the_words_as_ssh_has_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run_words(["echo", "$((1 + 1))", "a  b", "'c  d'"]);
    assert_eq!(client.finish(), (0, b"2 a b c  d\n".to_vec()));
    let mut exact = host.plan().with(["--exec"]).run_words(["echo", "$((1 + 1))", "a  b"]);
    assert_eq!(exact.finish(), (0, b"$((1 + 1)) a  b\n".to_vec()));
}

#[test]
fn a_command_that_the_shell_does_not_know_is_127_with_the_shells_words() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("no-such-program-anywhere");
    assert_eq!(client.finish().0, 127);
    assert!(client.stderr().contains("no-such-program-anywhere"), "{}", client.stderr());
    assert!(!client.stderr().contains("rejoin:"), "{}", client.stderr());
}

/// Every file with its content. Sockets have none.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
    files
}

#[track_caller]
fn cannot_be_started(host: &Host, options: &[&str], words: &[&str], status: i32, told: &str) {
    let before = snapshot(&host.registry());
    let mut client = host.plan().with(options).run_words(words);
    assert_eq!(client.finish(), (status, Vec::new()));
    assert_one_line(&client, told);
    assert_eq!(client.story(), ["connecting", "refused"], "it is told at once");
    assert_eq!(client.event("refused")["reason"], "spawn_failed");
    let mut after = snapshot(&host.registry());
    until("the entry is gone", || {
        after = snapshot(&host.registry());
        after.len() == before.len() + 1
    });
    after.retain(|path, _| before.contains_key(path));
    assert!(after == before, "something else than a tombstone was left");
}

#[test]
fn what_cannot_be_started_is_told_at_once_and_leaves_only_a_tombstone() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut other = host.plan().run("echo there; cat");
    other.line(1);
    host.until_session_is("attached");
    let file = host.home().join("no-program");
    fs::write(&file, "not a program\n").unwrap();
    let file = file.to_str().unwrap();
    cannot_be_started(&host, &["--exec"], &["/does/not/exist"], 127, "no such program");
    cannot_be_started(&host, &["--exec"], &[file], 126, "may not be executed");
    cannot_be_started(&host, &["--directory", "/does/not/exist"], &["true"], 126, "the folder");
    cannot_be_started(&host, &["-s"], &["no-such-subsystem"], 127, "subsystem");
    assert_eq!(other.finish().0, 0);
}

#[test]
fn a_process_that_ends_at_once_is_not_missed() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut clients: Vec<_> = (0..6).map(|n| host.plan().run(&format!("exit {n}"))).collect();
    for (number, client) in (0..).zip(&mut clients) {
        assert_eq!(client.finish(), (number, Vec::new()));
    }
}

#[test]
fn a_missing_server_program_is_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().server("/does/not/exist").run("true");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "--server");
}

/// Says the frame on a link of its own, and returns how that is refused.
#[track_caller]
fn refusal_of(host: &Host, frame: &Frame) -> Reason {
    let mut link = Raw::begin(host);
    link.greeting();
    link.say(frame);
    link.refusal()
}

#[test]
fn an_open_that_comes_twice_starts_one_process_however_late() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let mut first = Raw::begin(&host);
    let id = first.greeting();
    let open = wishes.open(id, "echo started >> ~/starts; cat");
    first.say(&open);
    first.welcome();
    assert!(matches!(refusal_of(&host, &open), Reason::Stale { .. }));
    let mut second = Raw::begin(&host);
    second.greeting();
    second.say(&wishes.open(id, "echo started >> ~/starts; cat"));
    second.welcome();
    second.say(&Frame::Item { seq: Seq(0), item: Item::InputEnd });
    let exit = second.hear_until(|frame| match frame {
        Frame::Item { seq, item: Item::Exit(_) } => Some(*seq),
        _ => None,
    });
    second.say(&Frame::Ack { next: exit.next() });
    second.rest();
    for late in [open, wishes.open(id, "echo started >> ~/starts")] {
        assert_eq!(refusal_of(&host, &late), Reason::ProcessGone);
    }
    assert_eq!(fs::read_to_string(host.home().join("starts")).unwrap(), "started\n");
}

#[test]
fn an_open_that_comes_after_its_session_was_ended_starts_nothing() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let mut link = Raw::begin(&host);
    let id = link.greeting();
    let open = wishes.open(id, "echo started >> ~/starts");
    link.say(&wishes.close());
    link.hear_until(|frame| matches!(frame, Frame::Closed { .. }).then_some(()));
    assert_eq!(refusal_of(&host, &open), Reason::ProcessGone);
    assert!(!host.home().join("starts").exists());
}

#[test]
fn a_start_that_failed_fails_again_in_the_same_way() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let mut link = Raw::begin(&host);
    let id = link.greeting();
    let program = host.home().join("late-program");
    let words = vec![program.to_str().unwrap().as_bytes().to_vec()];
    let spec = ProcessSpec::new(Command::Exec(words)).encode().unwrap();
    let open = wishes.hello(Wish::Open { incarnation: Incarnation(0), host: id, spec });
    link.say(&open);
    let Reason::SpawnFailed(error) = link.refusal() else { panic!("there is no such program") };
    // What would work by now must not be tried: the first answer may have been told already.
    make_program(&program, "#!/bin/sh\necho started >> ~/starts\n").unwrap();
    assert_eq!(refusal_of(&host, &open), Reason::SpawnFailed(error));
    assert!(!host.home().join("starts").exists());
}
