//! Full-screen programs through rejoin, looked at and typed into through tmux.

use std::fs;

use crate::output::numbers;
use rejoin_testing::Signal;

use crate::support::{Host, Terminal, Tmux, needed, until};

/// A shell that prints nothing of the user's own.
const SHELL: &str = "PS1='$ ' exec sh -i";

/// So many numbered lines.
fn text(last: usize) -> String {
    numbers(last).replace('\n', " is this line's number\n")
}

/// Cuts the connection, types meanwhile, and lets the client come back.
fn typed_during_an_outage(host: &Host, tmux: &Tmux, type_keys: impl FnOnce()) {
    let (attached, away) = (tmux.count("attached"), tmux.count("detached"));
    host.relay().refuse(true);
    host.cut();
    until("the client knows", || tmux.count("detached") > away);
    type_keys();
    let tries = tmux.count("reconnecting");
    until("an attempt failed", || tmux.count("reconnecting") > tries);
    host.relay().refuse(false);
    until("it is attached again", || tmux.count("attached") > attached);
}

#[test]
fn a_shell_gets_the_keys_of_an_outage_once_and_in_order() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    tmux.text("echo one $((1+1))");
    tmux.keys(&["Enter"]);
    tmux.until_seen("one 2");
    typed_during_an_outage(&host, &tmux, || {
        for key in "echo abcdefghij >> ~/typed; echo two $((2+2))".chars() {
            tmux.text(&key.to_string());
        }
        tmux.keys(&["Enter"]);
    });
    tmux.until_seen("two 4");
    assert_eq!(fs::read_to_string(host.home().join("typed")).unwrap(), "abcdefghij\n");
    let expected = "$ echo one $((1+1))\none 2\n\
        $ echo abcdefghij >> ~/typed; echo two $((2+2))\ntwo 4\n$";
    tmux.until_screen("a clean screen", |screen| screen.trim_end() == expected);
    tmux.keys(&["exit 6", "Enter"]);
    tmux.until_ended_with(6);
}

#[test]
fn vim_looks_as_before_and_has_the_keys_of_an_outage() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    needed("vim");
    let host = Host::start();
    let text = text(100);
    for name in ["file", "plain"] {
        fs::write(host.home().join(name), &text).unwrap();
    }
    let vim = "TERM=screen vim -u NONE -N -n";
    let tmux = Tmux::rejoin(&host, &[&format!("{vim} ~/file")]);
    let plain = Tmux::plain(&host, &format!("{vim} ~/plain"));
    for tmux in [&tmux, &plain] {
        tmux.until_seen("\n23 is this");
        tmux.text("30Gzt");
        tmux.until_seen("\n52 is this");
    }
    typed_during_an_outage(&host, &tmux, || tmux.text("jjofirst words"));
    plain.text("jjofirst words");
    for tmux in [&tmux, &plain] {
        tmux.until_seen("first words");
        tmux.text(" and more");
        tmux.until_seen("first words and more");
        tmux.keys(&["Escape"]);
    }
    tmux.until_screen("what vim shows without rejoin", |screen| {
        screen == plain.screen() && tmux.cursor() == plain.cursor()
    });
    for tmux in [&tmux, &plain] {
        tmux.text(":wq");
        tmux.keys(&["Enter"]);
        tmux.until_ended_with(0);
    }
    let read = |name: &str| fs::read_to_string(host.home().join(name)).unwrap();
    assert_eq!(read("file"), read("plain"));
    assert_eq!(read("file").matches("first words and more\n").count(), 1);
}

#[test]
fn less_looks_as_before() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    needed("less");
    let host = Host::start();
    fs::write(host.home().join("file"), text(200)).unwrap();
    let less = "TERM=screen LESS= less ~/file";
    let tmux = Tmux::rejoin(&host, &[less]);
    let plain = Tmux::plain(&host, less);
    for tmux in [&tmux, &plain] {
        tmux.until_seen("\n23 is this");
        tmux.text(" ");
        tmux.until_seen("\n46 is this");
    }
    typed_during_an_outage(&host, &tmux, || tmux.text("/^99 is\njj"));
    plain.text("/^99 is\njj");
    for tmux in [&tmux, &plain] {
        tmux.until_seen("\n123 is this");
    }
    tmux.until_screen("what less shows without rejoin", |screen| screen == plain.screen());
    for tmux in [&tmux, &plain] {
        tmux.text("q");
        tmux.until_ended_with(0);
    }
}

#[test]
fn the_size_of_the_window_travels() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    tmux.text("stty size");
    tmux.keys(&["Enter"]);
    tmux.until_seen("24 80");
    tmux.resize(100, 30);
    tmux.text("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.01; done; echo is''wide");
    tmux.keys(&["Enter"]);
    tmux.until_seen("iswide");
    tmux.keys(&["exit", "Enter"]);
    tmux.until_ended_with(0);
}

#[test]
fn an_interrupt_reaches_the_program_and_an_escape_leaves_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    tmux.text("sh -c 'echo wa''its; exec sleep 1000'");
    tmux.keys(&["Enter"]);
    // By then the terminal is its own, and no longer the shell's.
    tmux.until_seen("\nwaits\n");
    tmux.keys(&["C-c"]);
    tmux.until_screen("the shell asks again", |screen| {
        screen.lines().filter(|line| line.starts_with('$')).count() == 2
    });
    tmux.text("echo still''here");
    tmux.keys(&["Enter"]);
    tmux.until_seen("stillhere");
    tmux.text("~.");
    tmux.until_ended_with(0);
    tmux.until_seen("the process stays");
    host.until_session_is("detached");
    host.end_sessions();
}

#[test]
fn no_blank_line_stands_between_what_rejoin_says() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "vim", "less");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    tmux.text("~?");
    tmux.until_seen("reconnect now");
    tmux.text("~?");
    let first = "Escapes, at the start of a line:";
    let last = "  ~d   leave; the process keeps running";
    tmux.until_screen("both, one right behind the other", |screen| {
        screen.contains(&format!("$\n{first}\n")) && screen.contains(&format!("{last}\n{first}\n"))
    });
    tmux.text("~.");
    tmux.until_ended_with(0);
    host.end_sessions();
}

/// Closes terminals several times: which of all that tells a client of it comes first is chance.
fn closed_with_a_process_that_stays(
    command: &str,
    seen: &str,
    before: impl Fn(&crate::support::Client),
) {
    rejoin_testing::needs!("ssh", "sshd", "ps", "setsid");
    let host = Host::start();
    for _ in 0..8 {
        let (mut terminal, mut client) = Terminal::rejoin(&host, command);
        terminal.until_seen(seen);
        let server = host.server_pid();
        before(&client);
        drop(terminal);
        assert_eq!(client.status(), 129, "{}", client.stderr());
        host.until_session_is("detached");
        assert_eq!(host.server_pid(), server);
        host.end_sessions();
    }
}

#[test]
fn a_terminal_that_is_closed_leaves_the_process() {
    closed_with_a_process_that_stays(SHELL, "$", |_| {});
}

#[test]
fn a_terminal_that_is_closed_before_a_stopped_client_leaves_the_process() {
    closed_with_a_process_that_stays(SHELL, "$", |client| client.signal(Signal::STOP));
}

#[test]
fn a_terminal_that_is_closed_in_the_middle_of_output_leaves_the_process() {
    closed_with_a_process_that_stays("exec yes", "y", |_| {});
}
