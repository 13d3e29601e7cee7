//! What runs on a host is listed, found again, ended and cleaned up; and what lives is never taken
//! for dead.

use std::fs;

use rejoin_testing::{Signal, make_program};
use serde_json::Value;

use crate::life::assert_one_line;
use crate::support::{Client, EVIL, Host, Tmux, is_alive, is_steering, kill, until};

const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

/// A subcommand's status and what it printed.
fn told(host: &Host, name: &'static str, options: &[&str], words: &[&str]) -> (i32, String) {
    let mut client = host.plan().subcommand(name).with(options).run_words(words);
    let (status, output) = client.finish();
    (status, String::from_utf8(output).unwrap() + &client.stderr())
}

fn listed(host: &Host) -> Vec<Value> {
    let (status, output) = told(host, "ls", &["--json"], &[]);
    assert_eq!(status, 0, "{output}");
    serde_json::from_str(&output).unwrap()
}

/// A client that has left its session behind, and the process in it.
fn left_behind(host: &Host) -> (Client, i32) {
    let mut client = host.plan().run(ECHO);
    let pid = client.number(1);
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    (client, pid)
}

#[test]
fn ls_numbers_the_sessions_from_the_oldest_on_and_says_who_has_them() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (old, _) = left_behind(&host);
    // Sessions of one second are in no order that a person would see.
    until("the first one is older", || host.sessions()[0]["age_seconds"].as_u64() >= Some(2));
    let mut new = host.plan().run("echo $$; cat");
    new.line(1);
    let rows = until_states(&host, &["detached", "attached"]);
    assert_eq!([&rows[0]["session"], &rows[1]["session"]], [&old.session(), &new.session()]);
    assert!(rows[0]["command"].as_str().unwrap().contains("while read line"), "{rows:?}");
    assert!(rows[1]["client"].as_str().unwrap().ends_with(&format!(":{}", new.pid())));
    let (status, table) = told(&host, "ls", &[], &[]);
    assert_eq!(status, 0);
    let lines: Vec<_> = table.lines().collect();
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
    assert_eq!(words(0)[..5], ["#", "SESSION", "STATE", "AGE", "IDLE"]);
    assert_eq!(words(1)[..3], ["1", &old.session()[..8], "detached"]);
    assert_eq!(words(2)[..3], ["2", &new.session()[..8], "attached"]);
    assert!(lines[2].contains(&format!(":{} ", new.pid())) && lines[2].ends_with("cat"), "{table}");
    assert_eq!(new.finish().0, 0);
    host.end_sessions();
}

fn until_states(host: &Host, states: &[&str]) -> Vec<Value> {
    let mut rows = Vec::new();
    until(&format!("sessions are {states:?}"), || {
        rows = listed(host);
        rows.iter().map(|row| row["state"].as_str().unwrap()).eq(states.iter().copied())
    });
    rows
}

#[test]
fn ls_says_for_how_long_nothing_happened() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (client, _) = left_behind(&host);
    let idle = || host.sessions()[0]["idle_seconds"].as_u64().unwrap();
    until("it is idle", || idle() >= 3);
    let mut back = host.plan().subcommand("attach").run_words([&client.session()[..8]]);
    back.event("attached");
    until("it is not idle", || idle() < 3);
    back.write("word\n");
    until("an answer", || back.output().contains(" word\n"));
    assert_eq!(back.finish().0, 0);
}

#[test]
fn a_session_is_attached_to_by_its_number_its_digits_or_by_being_the_only_one() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (first, pid) = left_behind(&host);
    for words in [&[][..], &["1"], &[&first.session()[..6]]] {
        let mut back = host.plan().subcommand("attach").run_words(words);
        back.event("attached");
        back.write("word\n");
        until("an answer", || back.output().contains(&format!("{pid} word\n")));
        back.signal(Signal::TERM);
        assert_eq!(back.status(), 128 + 15);
        host.until_session_is("detached");
    }
    let (_second, _) = left_behind(&host);
    let (status, line) = told(&host, "attach", &[], &["3"]);
    assert_eq!((status, line.as_str()), (255, "rejoin: there is no row 3: rejoin ls shows 2\n"));
    let (status, told) = told(&host, "attach", &[], &[]);
    assert!(told.starts_with("#  SESSION") && told.lines().count() == 4, "{told}");
    let last =
        "rejoin: there are 2 sessions: add the number of one, or the first digits of its id\n";
    assert!(status == 255 && told.ends_with(last), "{told}");
    host.end_sessions();
}

#[test]
fn several_sessions_are_ended_at_once_and_none_if_one_of_them_is_not_there() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sessions: Vec<_> = (0..3).map(|_| left_behind(&host)).collect();
    let ids: Vec<_> = sessions.iter().map(|(client, _)| client.session()[..8].to_owned()).collect();
    for (wrong, why) in [("12345678", "no session begins with"), ("1", "a row number asks first")] {
        let (status, line) = told(&host, "kill", &[], &[&ids[0], wrong]);
        assert!(status == 255 && line.contains(why), "{line}");
    }
    assert!(sessions.iter().all(|(_, pid)| is_alive(*pid)));
    let (status, output) = told(&host, "kill", &[], &[&ids[0], &ids[2]]);
    assert_eq!(
        (status, output),
        (0, format!("{} ended (1 process)\n{} ended (1 process)\n", ids[0], ids[2]))
    );
    let alive: Vec<_> = sessions.iter().map(|(_, pid)| is_alive(*pid)).collect();
    assert_eq!(alive, [false, true, false]);
    host.end_sessions();
}

#[test]
fn a_session_is_ended_by_its_row_only_when_it_was_seen_and_confirmed() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let (first, first_pid) = left_behind(&host);
    until("the first one is older", || host.sessions()[0]["age_seconds"].as_u64() >= Some(2));
    let (second, second_pid) = left_behind(&host);
    let digits = |client: &Client| client.session()[..8].to_owned();
    for (answer, status) in [("n", 255), ("y", 0)] {
        let asked = Tmux::subcommand_with(&host, &["kill"], &["2"]);
        asked.until_seen("End this session on 127.0.0.1, with everything started there? [y/N]");
        let screen = asked.screen();
        assert!(screen.contains(&format!("2  {}", digits(&second))), "{screen}");
        assert!(!screen.contains(&digits(&first)), "{screen}");
        assert!(is_alive(second_pid));
        asked.keys(&[answer, "Enter"]);
        asked.until_ended_with(status);
    }
    assert!(is_alive(first_pid) && !is_alive(second_pid));
    host.end_sessions();
}

#[test]
fn attach_asks_which_of_several_sessions_and_says_which_it_is() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let (_first, _) = left_behind(&host);
    until("the first one is older", || host.sessions()[0]["age_seconds"].as_u64() >= Some(2));
    let (second, pid) = left_behind(&host);
    let asked = Tmux::subcommand(&host, &["attach"]);
    asked.until_seen("Attach to which session? [1-2]");
    assert!(asked.screen().contains(&format!("2  {}", &second.session()[..8])));
    asked.keys(&["2", "Enter"]);
    let told = format!("rejoin: attached to session {} (echo $$;", &second.session()[..8]);
    asked.until_seen(&told);
    asked.text("word\n");
    asked.keys(&["Enter"]);
    asked.until_seen(&format!("{pid} word"));
    drop(asked);
    host.end_sessions();
}

#[test]
fn a_new_session_says_how_many_others_are_detached() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let (_first, _) = left_behind(&host);
    for told in
        ["rejoin: 1 detached session on 127.0.0.1: rejoin attach", "rejoin: 2 detached sessions"]
    {
        host.until_none_is("attached");
        let connections = host.relay().connections();
        let fresh = Tmux::rejoin_with(&host, &["--lane", "ssh"], &["echo $((1+1)) there; cat"]);
        fresh.until_seen("2 there");
        let screen = fresh.screen();
        assert!(screen.find(told) < screen.find("2 there") && screen.contains(told), "{screen}");
        assert_eq!(host.relay().connections(), connections + 1, "it costs no login");
        host.cut();
        until("it is attached again", || fresh.count("attached") == 2);
        assert_eq!(fresh.screen().matches(" detached session").count(), 1);
        fresh.keys(&["Enter"]);
        fresh.text("~.");
        fresh.until_ended_with(0);
    }
    let quiet = Tmux::rejoin_with(&host, &["-q"], &["echo $((1+1)) there; cat"]);
    quiet.until_seen("2 there");
    assert!(!quiet.screen().contains("detached session"), "{}", quiet.screen());
    drop(quiet);
    host.end_sessions();
}

#[test]
fn attach_is_silent_about_its_session_when_told_to_be() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (client, _) = left_behind(&host);
    let id = &client.session()[..8];
    for (options, told) in [(&["-q"][..], String::new()), (&[], format!("session {id} (echo"))] {
        let mut back = host.plan().subcommand("attach").with(options).run_words::<&str>([]);
        back.event("attached");
        back.write("word\n");
        back.line(1);
        assert_eq!(back.stderr().lines().count(), usize::from(!told.is_empty()), "{told}");
        assert!(back.stderr().contains(&told), "{}", back.stderr());
        back.signal(Signal::TERM);
        assert_eq!(back.status(), 128 + 15);
        host.until_session_is("detached");
    }
    host.end_sessions();
}

#[test]
fn all_sessions_are_ended_only_when_that_was_confirmed() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let (_client, pid) = left_behind(&host);
    let refused = told(&host, "kill", &["--all"], &[]);
    let line = "rejoin: --all asks first, and there is no terminal: add --yes\n";
    assert_eq!(refused, (255, line.to_owned()));
    let asked = Tmux::subcommand(&host, &["kill", "--all"]);
    asked.until_seen("[y/N]");
    asked.keys(&["Enter"]);
    asked.until_ended_with(255);
    asked.until_seen("nothing was ended");
    assert!(is_alive(pid));
    let asked = Tmux::subcommand(&host, &["kill", "--all"]);
    asked.until_seen("[y/N]");
    assert!(asked.screen().contains("while read line"), "{}", asked.screen());
    asked.keys(&["y", "Enter"]);
    asked.until_ended_with(0);
    assert!(!is_alive(pid));
    let pids = [left_behind(&host).1, left_behind(&host).1];
    let (status, output) = told(&host, "kill", &["--all", "--yes"], &[]);
    assert!(status == 0 && output.lines().count() == 2, "{output}");
    assert!(!pids.into_iter().any(is_alive));
    assert_eq!(told(&host, "kill", &["--all", "--yes"], &[]), (0, "no sessions\n".to_owned()));
}

#[test]
fn prune_removes_what_a_dead_server_left_and_says_so() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let nothing = (0, "nothing was there to be removed\n".to_owned());
    assert_eq!(told(&host, "prune", &[], &[]), nothing);
    // Out of its terminal's and its parent's reach: nothing but the sweep ends it.
    let mut client = host.plan().run("setsid sh -c 'echo $$; exec sleep 1000' & wait");
    let (leftover, session) = (client.number(1), client.session());
    client.signal(Signal::STOP);
    host.kill_server();
    let entry = host.registry().join(&session);
    assert!(entry.exists() && is_alive(leftover));
    let (status, output) = told(&host, "prune", &["--json"], &[]);
    assert_eq!(status, 0, "{output}");
    let pruned: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&pruned["dead"][0], &pruned["killed"]), (&session.as_str().into(), &1.into()));
    assert!(!entry.exists() && !is_alive(leftover));
    assert_eq!(told(&host, "prune", &[], &[]), nothing);
    client.signal(Signal::CONT);
    assert_eq!(client.event("lost")["reason"], "process_gone");
    assert_eq!(client.status(), 255);
}

#[test]
fn a_stopped_server_is_not_dead_to_any_command() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (client, pid) = left_behind(&host);
    host.until_session_is("detached");
    let (server, id) = (host.server_pid(), client.session()[..8].to_owned());
    kill(server, Signal::STOP);
    assert_eq!(listed(&host)[0]["state"], "detached");
    assert_eq!(told(&host, "prune", &[], &[]).1, "nothing was there to be removed\n");
    let mut killing = host.plan().subcommand("kill").run(&id);
    assert_eq!(killing.finish(), (255, Vec::new()));
    assert_one_line(&killing, "did not answer in time");
    assert!(is_alive(server) && is_alive(pid));
    kill(server, Signal::CONT);
    // What it was asked while it was stopped, it may do now.
    until("it has woken up", || {
        host.sessions().is_empty() || { told(&host, "kill", &[], &[&id]).0 == 0 }
    });
    until("the process is gone", || !is_alive(pid));
}

#[test]
fn a_long_banner_is_shown_whole_while_the_host_is_waited_for() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (program, go) = (host.home().join("ssh"), host.home().join("go"));
    let wait = format!("until [ -e '{}' ]; do sleep 0.05; done", go.display());
    let script = format!("#!/bin/sh\nseq -f 'line %g' 100 >&2\n{wait}\necho '[]'\n");
    make_program(&program, script).unwrap();
    let program = program.to_str().unwrap();
    let plan = host.plan().subcommand("ls").with(["--ssh", program]);
    let mut client = plan.run_words::<&str>([]);
    until("all of it is shown", || client.stderr().contains("line 100\n"));
    fs::write(go, "").unwrap();
    assert_eq!(client.finish(), (0, b"no sessions\n".to_vec()));
}

#[test]
fn a_host_that_says_something_else_is_quoted() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let program = host.home().join("ssh");
    make_program(&program, format!("#!/bin/sh\necho\necho 'This is {EVIL}[2Ja menu.'\n")).unwrap();
    for name in ["ls", "prune", "doctor"] {
        let (status, said) = told(&host, name, &["--ssh", program.to_str().unwrap()], &[]);
        let quoted = "unexpected output from the host: This is [2Ja menu.";
        assert!(said.contains(quoted) && !said.contains(is_steering), "{name}: {said:?}");
        assert_eq!(status, 255, "{name}");
    }
}
