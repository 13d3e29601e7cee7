//! Coming back over the fast lane, beside ssh.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rejoin_testing::{Agent, Signal, make_program};

use crate::login::accept_host_key;
use crate::spare::leave_silent;
use crate::support::{Client, Echo, Host, Plan, Tmux, rejoin_server, until};

/// Sends lines back behind its own process id.
const ECHO: &str = "echo $$; while read -r line; do echo \"$$ $line\"; done";
/// What the fast lane's own client identifies itself as, in sshd's log.
const OURS: &str = "software version rejoin";

/// A host whose sshd tells who connects, and an agent with its user's key.
pub(crate) struct Lane {
    pub(crate) host: Host,
    agent: Agent,
}

impl Lane {
    pub(crate) fn start() -> Self {
        let host = Host::with(|sshd| sshd.config_line("LogLevel DEBUG1"));
        let agent = Agent::start(&host.sshd_file("user_key")).unwrap();
        Self { host, agent }
    }

    /// A run that tells what happens.
    pub(crate) fn plan(&self) -> Plan<'_> {
        self.host.plan().with(["-v"]).with(self.agent.ssh_options())
    }

    /// The options of ssh's that lead to the agent.
    pub(crate) fn agent_options(&self) -> [OsString; 2] {
        self.agent.ssh_options()
    }

    /// How many links over it there were, with the one to learn the host.
    pub(crate) fn logins(&self) -> usize {
        self.logins_of(OURS)
    }

    fn logins_of(&self, whose: &str) -> usize {
        self.host.sshd().log().iter().filter(|line| line.contains(whose)).count()
    }

    /// Waits until it is learnt, where nobody says so: until its own client has come and gone once.
    #[track_caller]
    pub(crate) fn until_learnt(&self) {
        until("the host is learnt", || {
            let log = self.host.sshd().log();
            let ours = log.iter().rposition(|line| line.contains(OURS));
            // The host may not get to read its goodbye.
            let is_end = |line: &String| line.contains("isconnect") || line.contains("closed by");
            ours.is_some_and(|at| log[at..].iter().any(is_end))
        });
    }

    /// An ssh that goes no further while there is this file.
    pub(crate) fn held_ssh(&self) -> (PathBuf, PathBuf) {
        let (ssh, hold) = (self.host.home().join("ssh"), self.host.home().join("hold"));
        script(
            &ssh,
            &format!("while [ -e '{}' ]; do sleep 0.05; done; exec ssh \"$@\"", hold.display()),
        );
        (ssh, hold)
    }
}

fn script(path: &Path, text: &str) {
    make_program(path, format!("#!/bin/sh\n{text}\n")).unwrap();
}

#[track_caller]
pub(crate) fn until_told(client: &Client, what: &str) {
    until(what, || client.stderr().contains(what));
}

/// It is learnt once a session was calm for a while.
#[track_caller]
pub(crate) fn until_ready(client: &Client) {
    until_told(client, "rejoin: the fast lane is ready");
}

#[test]
fn a_session_is_back_over_the_fast_lane_and_moves_to_ssh_when_that_is_up() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let (ssh, hold) = lane.held_ssh();
    let mut client = lane.plan().with(["--ssh".as_ref(), ssh.as_os_str()]).run("cat");
    until_ready(&client);
    assert_eq!(lane.logins(), 1);
    let lines: Vec<String> = (0..200_000).map(|number| number.to_string()).collect();
    let text = lines.join("\n");
    let pieces: Vec<&str> = [0, 1, 2, 3]
        .map(|quarter| {
            let quarters = text.len() / 4;
            &text[quarter * quarters..if quarter == 3 {
                text.len()
            } else {
                (quarter + 1) * quarters
            }]
        })
        .into();
    client.write(pieces[0]);
    fs::write(&hold, "").unwrap();
    lane.host.cut();
    // ssh is held: there is no other way.
    client.nth_event("attached", 2);
    until_told(&client, "rejoin: connected over the fast lane");
    client.write(pieces[1]);
    assert_eq!(client.nth_event("timeline", 1)["lane"], "fast");
    client.until_written(pieces[0].len() + pieces[1].len());
    client.write(pieces[2]);
    fs::remove_file(&hold).unwrap();
    assert_eq!(client.event("moved")["lane"], "ssh");
    client.write(pieces[3]);
    assert_eq!(client.nth_event("timeline", 2)["lane"], "ssh");
    until("the fast link is closed", || lane.host.sshd().sessions().unwrap().len() == 1);
    let (status, output) = client.finish();
    assert_eq!(status, 0);
    assert!(output == text.as_bytes(), "the bytes came back changed");
    assert_eq!((client.count("detached"), client.count("attached")), (1, 2), "a move is no loss");
    assert_eq!(lane.logins(), 2);
    until("its server has ended", || lane.host.servers().is_empty());
}

#[test]
fn a_terminal_shows_one_return_and_nothing_of_the_move() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add", "tmux");
    let lane = Lane::start();
    let (ssh, hold) = lane.held_ssh();
    let agent = lane.agent.ssh_options().map(|option| option.into_string().unwrap());
    let options = ["--ssh", ssh.to_str().unwrap(), &agent[0], &agent[1]];
    let tmux = Tmux::rejoin_with(&lane.host, &options, &["PS1='$ ' exec sh -i"]);
    tmux.until_seen("$");
    tmux.text("echo here");
    tmux.keys(&["Enter"]);
    tmux.until_screen("an answer", |screen| screen.trim_end().ends_with("\nhere\n$"));
    // An sshd that tells so much writes to the terminal, too.
    let before = tmux.screen();
    lane.until_learnt();
    fs::write(&hold, "").unwrap();
    lane.host.relay().silence();
    lane.host.cut();
    tmux.until_titled("away");
    lane.host.relay().resume();
    until("it is back", || tmux.count("attached") == 2);
    tmux.until_screen("what it was", |screen| screen == before);
    let written = lane.host.home().join("written");
    tmux.record(&written);
    until("it is recorded", || written.exists());
    fs::remove_file(&hold).unwrap();
    until("it has moved", || tmux.count("moved") == 1);
    tmux.text("exit 6");
    tmux.keys(&["Enter"]);
    tmux.until_ended_with(6);
    assert_eq!((tmux.count("detached"), tmux.count("attached")), (1, 2));
    let written = fs::read_to_string(written).unwrap();
    let typed = written.strip_prefix("exit 6").unwrap_or_else(|| panic!("{written:?}"));
    assert!(!typed.contains("connect") && !typed.contains("ssh is there"), "{written:?}");
}

#[test]
fn what_ssh_wants_from_a_person_is_told_once_while_the_session_goes_on() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add", "tmux");
    let lane = Lane::start();
    let (ssh, denied) = (lane.host.home().join("ssh"), lane.host.home().join("denied"));
    let words = "echo 'me@host: Permission denied (publickey).' >&2; exit 255";
    script(&ssh, &format!("if [ -e '{}' ]; then {words}; fi; exec ssh \"$@\"", denied.display()));
    let agent = lane.agent.ssh_options().map(|option| option.into_string().unwrap());
    let options = ["--ssh", ssh.to_str().unwrap(), &agent[0], &agent[1]];
    let tmux = Tmux::rejoin_with(&lane.host, &options, &["PS1='$ ' exec sh -i"]);
    tmux.until_seen("$");
    lane.until_learnt();
    fs::write(&denied, "").unwrap();
    lane.host.cut();
    until("it is back", || tmux.count("attached") == 2);
    tmux.until_seen("needs you: unlock the key");
    tmux.text("echo still $((1+1))");
    tmux.keys(&["Enter"]);
    tmux.until_seen("still 2");
    // During an outage it would be told in the title.
    let screen = tmux.screen();
    let told = format!("rejoin: {} needs you: ", lane.host.name());
    assert!(screen.contains(&told) && !tmux.title().contains("~."), "{screen}");
    assert_eq!((tmux.count("notice"), tmux.count("detached")), (1, 1));
    tmux.text("exit 6");
    tmux.keys(&["Enter"]);
    tmux.until_ended_with(6);
}

#[test]
fn a_silent_connection_is_left_for_the_fast_lane_and_that_for_ssh() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let (ssh, hold) = lane.held_ssh();
    let mut client = lane.plan().with(["--ssh".as_ref(), ssh.as_os_str()]).run(ECHO);
    let pid = client.line(1);
    until_ready(&client);
    fs::write(&hold, "").unwrap();
    leave_silent(&lane.host, &mut client, &pid, "fast");
    assert_eq!(lane.logins(), 2);
    fs::remove_file(&hold).unwrap();
    assert_eq!(client.nth_event("moved", 2)["lane"], "ssh");
    lane.host.sshd().kill_sessions(Signal::CONT).unwrap();
    client.write("x\n");
    assert_eq!(client.line(3), format!("{pid} x"));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn without_ssh_beside_it_the_fast_lane_is_all_that_there_is_and_is_taken_again() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let mut client = lane.plan().with(["--lane", "fast"]).run(ECHO);
    let pid = client.line(1);
    until_ready(&client);
    for round in 2..4 {
        lane.host.cut();
        client.nth_event("attached", round);
        client.write("x\n");
        assert_eq!(client.line(round), format!("{pid} x"));
        assert_eq!(lane.logins(), round);
        assert_eq!(lane.logins_of("software version OpenSSH"), 2, "the first, and to learn");
    }
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_session_that_is_left_to_ssh_never_takes_the_fast_lane() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let mut left = lane.plan().with(["--lane", "ssh"]).run(ECHO);
    left.event("attached");
    let mut other = lane.plan().with(["--lane", "fast"]).run(ECHO);
    // The one that was there first would have been calm first.
    until_ready(&other);
    lane.host.cut();
    left.nth_event("attached", 2);
    other.nth_event("attached", 2);
    assert_eq!(lane.logins(), 2, "the other one has learnt and come back");
    assert!(!left.stderr().contains("fast lane"), "{}", left.stderr());
    assert_eq!((left.finish().0, other.finish().0), (0, 0));
}

#[test]
fn an_agent_that_is_gone_leaves_the_way_back_to_ssh_which_is_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let mut client = lane.plan().run(ECHO);
    let pid = client.line(1);
    until_ready(&client);
    fs::remove_file(lane.agent.socket()).unwrap();
    lane.host.cut();
    client.nth_event("attached", 2);
    until_told(&client, "rejoin: the fast lane failed: the key did not sign: the ssh agent");
    client.write("x\n");
    assert_eq!(client.line(2), format!("{pid} x"));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn another_host_key_leaves_the_way_back_to_ssh_which_judges_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add", "ssh-keygen", "tmux");
    let lane = Lane::start();
    let agent = lane.agent.ssh_options().map(|option| option.into_string().unwrap());
    let echo = Echo::start(&lane.host, &[&agent[0], &agent[1]]);
    lane.until_learnt();
    lane.host.sshd().change_host_key().unwrap();
    let before = lane.host.relay().connections();
    lane.host.cut();
    // Also told where nobody asked for details.
    echo.tmux.until_seen("rejoin: the host key differs from the one that ssh accepted");
    echo.until_notice(" needs you: look at the host's key with ssh");
    echo.tmux.nth_event("reconnecting", 2);
    assert_eq!(lane.host.relay().connections(), before + 2, "once over each path");
    // The person has looked, and the key is right.
    accept_host_key(&lane.host);
    echo.retry();
    echo.until_back(1);
    echo.finish();
}

/// Everything that the fast lane sends has arrived then, and has had its effect; and nobody hears of it.
#[test]
fn an_attach_program_that_runs_unheard_does_no_harm() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let (server, cut) = (lane.host.home().join("server"), lane.host.home().join("cut"));
    let (real, cut_path) = (rejoin_server().display(), cut.display());
    script(
        &server,
        &format!(
            "if [ -e '{cut_path}' ]; then rm '{cut_path}'; kill -9 $PPID; fi; exec '{real}' \"$@\""
        ),
    );
    let mut client =
        lane.plan().with(["--lane", "fast"]).server(server.to_str().unwrap()).run(ECHO);
    let pid = client.line(1);
    until_ready(&client);
    fs::write(&cut, "").unwrap();
    client.write("before\n");
    lane.host.cut();
    until("it has run", || !cut.exists());
    client.write("after\n");
    assert_eq!(client.line(3), format!("{pid} after"));
    assert_eq!(client.line(2), format!("{pid} before"));
    assert_eq!(lane.host.servers().len(), 1);
    assert_eq!(client.finish().0, 0);
    assert_eq!(client.output().lines().count(), 0, "nothing came twice");
}
