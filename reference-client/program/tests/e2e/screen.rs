//! What is not the program's shows nowhere on its screen, and leaves nothing behind.

use std::fs;

use crate::support::{Host, Tmux, until};

/// A shell that prints nothing of the user's own.
const SHELL: &str = "PS1='$ ' exec sh -i";
/// The same, which says where it runs.
const REMOTE: &str = "export WHO=remote; PS1='$ ' exec sh -i";

/// Takes the connection away, and waits until the client says so.
fn cut(host: &Host, tmux: &Tmux) {
    host.relay().refuse(true);
    host.cut();
    tmux.until_titled("away");
}

/// Lets the client come back.
fn come_back(host: &Host, tmux: &Tmux) {
    let attached = tmux.count("attached");
    host.relay().refuse(false);
    until("it is attached again", || tmux.count("attached") > attached);
}

#[test]
fn the_title_shows_an_outage_and_the_screen_nothing_of_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    tmux.text("printf '\\033]2;my title\\007'; echo here");
    tmux.keys(&["Enter"]);
    tmux.until_screen("an answer", |screen| screen.trim_end().ends_with("\nhere\n$"));
    let before = (tmux.cells(), tmux.cursor());
    cut(&host, &tmux);
    let title = tmux.title();
    assert!(title.starts_with("rejoin: ") && title.ends_with("; ~. leaves, ~? help"), "{title}");
    assert!(title.contains(": connection "), "{title}");
    assert_eq!((tmux.cells(), tmux.cursor()), before);
    come_back(&host, &tmux);
    tmux.until_titled("my title");
    assert_eq!((tmux.cells(), tmux.cursor()), before);
    tmux.keys(&["exit", "Enter"]);
    tmux.until_ended_with(0);
}

#[test]
fn the_title_of_the_terminal_comes_back_where_the_program_has_none() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let tmux = Tmux::shell(&host, &[], &[SHELL]);
    tmux.text("printf '\\033]2;my own\\007'; start");
    tmux.keys(&["Enter"]);
    tmux.until_seen("$");
    cut(&host, &tmux);
    come_back(&host, &tmux);
    tmux.until_titled("my own");
    cut(&host, &tmux);
    tmux.keys(&["Enter"]);
    tmux.text("~.");
    tmux.until_seen("the process stays");
    tmux.until_titled("my own");
    host.relay().refuse(false);
    host.end_sessions();
}

#[test]
fn what_is_asked_for_during_an_outage_is_printed_in_whole() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let tmux = Tmux::rejoin(&host, &[SHELL]);
    tmux.until_seen("$");
    cut(&host, &tmux);
    tmux.text("~?");
    tmux.until_seen("rejoin: no connection to ");
    tmux.until_seen("  ~r   reconnect now");
    host.relay().refuse(false);
    tmux.text("~r");
    until("it is attached again", || tmux.count("attached") == 2);
    tmux.text("exit 0");
    tmux.keys(&["Enter"]);
    tmux.until_ended_with(0);
}

/// Where a command waits for a file that the test makes.
fn gate(name: &str) -> String {
    format!("until [ -e ~/{name} ]; do sleep 0.01; done")
}

#[test]
fn a_progress_drawn_at_a_saved_place_survives_an_outage() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let command = format!(
        "printf 'top\\nhere\\nbelow\\nlast\\033[2A\\r\\0337\\033[31mstep 0'; {}; \
         printf '\\0338\\033[Kstep 1'; {}; printf '\\0338\\033[Kstep 2\\033[2B\\n'; exec cat",
        gate("first"),
        gate("second")
    );
    let tmux = Tmux::rejoin(&host, &[&command]);
    let plain = Tmux::plain(&host, &command);
    let is_same = || tmux.cells() == plain.cells() && tmux.cursor() == plain.cursor();
    for (seen, next) in [("step 0", "first"), ("step 1", "second")] {
        for tmux in [&tmux, &plain] {
            tmux.until_seen(seen);
        }
        tmux.until_screen("what shows without rejoin", |_| is_same());
        cut(&host, &tmux);
        assert!(is_same(), "{}\nand without rejoin\n{}", tmux.cells(), plain.cells());
        come_back(&host, &tmux);
        fs::write(host.home().join(next), "").unwrap();
    }
    for tmux in [&tmux, &plain] {
        tmux.until_seen("step 2");
    }
    tmux.until_screen("what shows without rejoin", |_| is_same());
    for tmux in [&tmux, &plain] {
        tmux.keys(&["C-d"]);
        tmux.until_ended_with(0);
    }
}

#[test]
fn a_command_line_of_four_rows_survives_an_outage() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "bash");
    let host = Host::start();
    let shell = "TERM=screen PS1='$ ' exec bash --norc --noprofile -i";
    let tmux = Tmux::rejoin(&host, &[shell]);
    let plain = Tmux::plain(&host, shell);
    let line = format!("echo end {}", "word ".repeat(58));
    for tmux in [&tmux, &plain] {
        tmux.until_seen("$");
        tmux.text(&line);
        tmux.until_screen("all four rows", |screen| screen.matches("word").count() == 58);
        tmux.keys(&["C-a"]);
        tmux.until_screen("the cursor in the first row", |_| tmux.cursor() == "2,0");
    }
    let is_same = || tmux.cells() == plain.cells() && tmux.cursor() == plain.cursor();
    tmux.until_screen("what shows without rejoin", |_| is_same());
    cut(&host, &tmux);
    assert!(is_same(), "{}\nand without rejoin\n{}", tmux.cells(), plain.cells());
    come_back(&host, &tmux);
    for tmux in [&tmux, &plain] {
        tmux.text("true && ");
        tmux.until_seen("true && echo");
    }
    tmux.until_screen("what shows without rejoin", |_| is_same());
    for tmux in [&tmux, &plain] {
        tmux.keys(&["Enter"]);
        tmux.until_seen("\nend word");
    }
    tmux.until_screen("what shows without rejoin", |_| is_same());
    for tmux in [&tmux, &plain] {
        tmux.keys(&["exit", "Enter"]);
        tmux.until_ended_with(0);
    }
}

/// All that tmux keeps of a terminal's modes.
const MODES: &str = "#{alternate_on} #{cursor_flag} #{insert_flag} #{keypad_cursor_flag} \
    #{keypad_flag} #{mouse_all_flag} #{mouse_button_flag} #{mouse_sgr_flag} #{mouse_standard_flag} \
    #{mouse_utf8_flag} #{origin_flag} #{wrap_flag} #{scroll_region_upper} #{scroll_region_lower}";
/// Sets all of these, and some that tmux passes on.
const SET_MODES: &str = "\\033[?1049h\\033[?25l\\033[4h\\033[?1h\\033=\\033[?1003h\\033[?1006h\
    \\033[?1005h\\033[2;9r\\033[?6h\\033[?7l\\033(0\\033[4 q\\033[>1u\\033[?2004h\\033[31m";

#[test]
fn modes_that_were_left_on_are_undone_while_suspended_and_when_left() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let command = format!("stty -echo; printf '{SET_MODES}'; exec cat");
    let tmux = Tmux::shell(&host, &[], &[&command]);
    let before = tmux.told(MODES);
    tmux.text("start");
    tmux.keys(&["Enter"]);
    let set = "1 0 1 1 1 1 0 1 0 1 1 0 1 8";
    until("the modes are set", || tmux.told(MODES) == set);
    tmux.text("~");
    tmux.keys(&["C-z"]);
    tmux.until_seen("rejoin: suspended; the process keeps running on ");
    tmux.until_screen("a prompt", |screen| screen.trim_end().ends_with("\nlocal>"));
    assert_eq!(tmux.told(MODES), before);
    tmux.text("echo qqq");
    tmux.keys(&["Enter"]);
    tmux.until_seen("\nqqq\n");
    tmux.text("fg");
    tmux.keys(&["Enter"]);
    until("the modes are set again", || tmux.told(MODES) == set);
    tmux.text("~.");
    tmux.until_seen("the process stays");
    tmux.until_screen("a prompt", |screen| screen.trim_end().ends_with("\nlocal>"));
    assert_eq!(tmux.told(MODES), before);
    tmux.text("echo xqx");
    tmux.keys(&["Enter"]);
    tmux.until_seen("\nxqx\n");
    assert!(!tmux.cells().contains("\u{1b}[31m"), "{}", tmux.cells());
    host.end_sessions();
}

#[test]
fn a_line_typed_during_an_outage_is_the_processs_alone() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let tmux = Tmux::shell(&host, &[], &[REMOTE]);
    tmux.text("start");
    tmux.keys(&["Enter"]);
    tmux.until_seen("$");
    cut(&host, &tmux);
    tmux.text("cp x ~dave/; touch ~/ran-$WHO");
    tmux.keys(&["Enter"]);
    come_back(&host, &tmux);
    until("the process ran it", || host.home().join("ran-remote").exists());
    tmux.text("exit");
    tmux.keys(&["Enter"]);
    tmux.until_screen("a prompt", |screen| screen.trim_end().ends_with("\nlocal>"));
    assert!(!host.home().join("ran-local").exists());
}

/// Pastes lines behind an escape, and lets the local shell run what it got.
fn assert_nobody_runs_what_follows(escape: &str, lines: usize) -> (Host, Tmux) {
    let host = Host::start();
    let tmux = Tmux::shell(&host, &[], &[REMOTE]);
    tmux.text("start");
    tmux.keys(&["Enter"]);
    tmux.until_seen("$");
    tmux.paste(&format!("{escape}\r{}", "touch ~/ran-$WHO\r".repeat(lines)));
    tmux.until_screen("a prompt", |screen| screen.trim_end().ends_with("\nlocal>"));
    tmux.text("echo all''done");
    tmux.keys(&["Enter"]);
    tmux.until_seen("\nalldone\n");
    for who in ["local", "remote"] {
        assert!(!host.home().join(format!("ran-{who}")).exists(), "{who}\n{}", tmux.screen());
    }
    (host, tmux)
}

#[test]
fn what_is_pasted_behind_an_escape_that_leaves_is_nobodys() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    // The terminal's queue holds less than the second.
    for lines in [1, 2000] {
        let (host, _tmux) = assert_nobody_runs_what_follows("~.", lines);
        host.until_session_is("detached");
        host.end_sessions();
    }
}

#[test]
fn what_is_pasted_behind_an_escape_that_suspends_is_nobodys() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    for lines in [1, 2000] {
        let (host, tmux) = assert_nobody_runs_what_follows("~\u{1a}", lines);
        tmux.text("fg");
        tmux.keys(&["Enter"]);
        // Keys count again as soon as the terminal is raw again.
        tmux.until_screen("rejoin's terminal", |_| {
            tmux.told("#{pane_current_command}") == "rejoin"
        });
        until("the process gets keys", || {
            tmux.text("touch ~/ran-$WHO\r");
            host.home().join("ran-remote").exists()
        });
        tmux.text("~.");
        host.until_session_is("detached");
        host.end_sessions();
    }
}

#[test]
fn what_ssh_says_at_first_ends_with_its_line() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let known = format!("UserKnownHostsFile={}", host.home().join("known").display());
    let options = ["-o", &known, "-o", "StrictHostKeyChecking=accept-new"];
    let tmux = Tmux::rejoin_with(&host, &options, &[SHELL]);
    tmux.until_seen("$");
    let screen = tmux.screen();
    assert!(screen.contains("Warning: Permanently added"), "{screen}");
    assert!(screen.lines().any(|line| line.trim_end() == "$"), "{screen}");
    assert!(tmux.cursor().starts_with("2,"), "{screen}");
    tmux.keys(&["exit", "Enter"]);
    tmux.until_ended_with(0);
}
