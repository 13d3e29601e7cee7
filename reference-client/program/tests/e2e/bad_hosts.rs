//! Hosts that are not what they should be.

use rejoin_protocol::codec::{IGNORABLE, SERVER_MAGIC};
use std::fs;

use rejoin_testing::{Signal, can_change_login_shells, make_program};

use crate::deploy::ServerStore;
use crate::environment::{ECHO, assert_answers};
use crate::life::assert_one_line;
use crate::support::{Host, Tmux, is_alive, until};

/// A host whose login shell does this first, as from a start-up file.
fn host_that_first(does: &str) -> Host {
    Host::with(|sshd| sshd.force_command(&format!("{does}; eval \"$SSH_ORIGINAL_COMMAND\"")))
}

/// Bytes as `printf` takes them.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}\\{byte:03o}"))
}

#[test]
fn a_host_that_sends_ignorable_frames_and_never_greets_is_given_up() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let program = host.home().join("ssh");
    let (magic, ignored) = (octal(&SERVER_MAGIC), octal(&[0, 0, 0, 2, IGNORABLE | 0x7e, 0]));
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = -G ] && exec ssh \"$@\"; done\n\
         echo dialled >> ~/dials\nprintf '{magic}'\nwhile printf '{ignored}'; do sleep 0.2; done\n"
    );
    make_program(&program, script).unwrap();
    let mut client = host.plan().with(["--ssh", program.to_str().unwrap()]).run("true");
    let gave_up = client.event("gave_up");
    assert_eq!((&gave_up["reason"], client.status()), (&"timeout".into(), 255));
    let dials = std::fs::read_to_string(host.home().join("dials")).unwrap();
    assert_eq!(dials.lines().count(), 1, "the first link is the end, as with ssh");
}

#[test]
fn reports_a_start_up_file_that_redirects_or_limits_without_a_second_login() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    for (start_up, told) in [
        ("exec </dev/null", "standard input is not the connection: look for a redirection"),
        ("exec <&-", "standard input is not the connection: look for a redirection"),
        ("exec >/dev/null", "standard output is not the connection: look for a redirection"),
        ("exit 0", "or a start-up file ended the login shell first"),
        ("ulimit -n 6", "only 6 files may be open here, and 32 are needed: look for ulimit -n"),
        (
            "head -c 200000 /dev/zero | tr '\\0' x",
            "printed more than 64 KiB before the server began",
        ),
    ] {
        let host = host_that_first(start_up);
        let mut client = host.plan().run("true");
        assert_eq!(client.status(), 255, "{start_up}");
        assert_one_line(&client, told);
        assert_eq!(host.relay().connections(), 1, "{start_up}");
    }
}

#[test]
fn quotes_a_start_up_file_that_ends_the_login_shell_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = host_that_first("echo bye; exit 0");
    let shelf = ServerStore::new(&host);
    let mut client = host.plan().deploying(&shelf.0).run("true");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "ended with only this output: bye");
    assert_eq!(client.stderr().matches("bye").count(), 1, "{}", client.stderr());
}

#[test]
fn works_with_as_few_descriptors_on_the_host_as_it_says_are_enough() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = host_that_first("ulimit -n 32");
    let mut client = host.plan().with(["--standby"]).run(ECHO);
    client.line(1);
    for connection in 2..4 {
        host.cut();
        client.nth_event("attached", connection);
        assert_answers(&mut client, connection);
    }
    assert_eq!(client.finish().0, 0);
}

#[test]
fn works_with_few_descriptors_of_its_own_or_says_so_before_it_logs_in() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let limited = |limit: &str| {
        let program = host.home().join(format!("rejoin-{limit}"));
        let rejoin = crate::support::rejoin().display();
        make_program(&program, format!("#!/bin/sh\nulimit {limit}\nexec {rejoin} \"$@\"\n"))
            .unwrap();
        program
    };
    let mut refused = host.plan().program(&limited("-n 16")).run("true");
    assert_eq!(refused.status(), 255);
    assert_one_line(
        &refused,
        "only 16 files may be open at once, and rejoin needs 48: raise ulimit -n",
    );
    assert_eq!(host.relay().connections(), 0);
    // What is only a soft limit, rejoin raises by itself.
    for enough in ["-n 48", "-Sn 16"] {
        let plan = host.plan().program(&limited(enough)).with(["--standby"]);
        let mut client = plan.run(ECHO);
        client.line(1);
        host.cut();
        client.nth_event("attached", 2);
        assert_answers(&mut client, 2);
        assert_eq!(client.finish().0, 0, "{enough}");
    }
}

#[test]
fn says_that_a_login_shell_has_not_started_the_server() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    for start_up in ["exec sh", "echo noise; read x"] {
        let host = host_that_first(start_up);
        let client = host.plan().run("true");
        let told = "127.0.0.1 has accepted the connection, but its login shell has not started \
                    rejoin's server yet (5 s)";
        assert_eq!(client.event("notice")["message"], told, "{start_up}");
        until("it is said", || client.stderr().contains(told));
        assert_eq!(client.stderr().lines().count(), 1, "{}", client.stderr());
        client.signal(Signal::TERM);
    }
}

#[test]
fn shows_what_a_login_shell_writes_to_stderr_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host =
        host_that_first("echo noise >&2; [ -e ~/slow ] && sleep 1; [ ! -e ~/fails ] || exit 3");
    let mut client = host.plan().run(ECHO);
    let pid = client.number(1);
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    let count = |text: &str| text.matches("noise").count();
    assert_eq!(count(&client.stderr()), 1, "{}", client.stderr());
    for file in ["none", "slow"] {
        fs::write(host.home().join(file), "").unwrap();
        // Two logins: one to find the session, and one to attach.
        let mut back = host.plan().subcommand("attach").with(["--take-over"]).run_words::<&str>([]);
        back.event("attached");
        back.write("word\n");
        until("an answer", || back.output().contains(&format!("{pid} word")));
        assert_eq!(count(&back.stderr()), 1, "{file}: {}", back.stderr());
        back.signal(Signal::TERM);
        assert_eq!(back.status(), 128 + 15);
        host.until_session_is("detached");
    }
    let mut killing = host.plan().subcommand("kill").with(["--all", "--yes"]).run_words::<&str>([]);
    assert_eq!(killing.finish().0, 0);
    assert_eq!(count(&killing.stderr()), 1, "{}", killing.stderr());
    // A failure that comes after a while quotes nothing that is to be seen already.
    fs::write(host.home().join("fails"), "").unwrap();
    let mut fails = host.plan().run("true");
    assert_eq!(fails.status(), 255);
    assert_eq!(count(&fails.stderr()), 1, "{}", fails.stderr());
    let mut listing = host.plan().subcommand("ls").run_words::<&str>([]);
    assert_eq!(listing.status(), 255);
    assert_eq!(count(&listing.stderr()), 1, "{}", listing.stderr());
    assert!(!is_alive(pid));
}

#[test]
fn shows_what_start_up_files_write_to_stderr_once_on_a_terminal() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux", "bash");
    if !can_change_login_shells() {
        return;
    }
    let host = Host::with(|sshd| sshd.login_shell("/bin/bash"));
    // The shell that starts the server reads the one file, and a login shell the other.
    for file in [".bashrc", ".bash_profile"] {
        fs::write(host.home().join(file), "echo noise >&2\nPS1='ready> '\n").unwrap();
    }
    for (words, shown) in [(&["echo process; cat"][..], "process"), (&[], "ready>")] {
        let tmux = Tmux::rejoin(&host, words);
        tmux.until_seen(shown);
        let screen = tmux.screen();
        assert_eq!(screen.matches("noise").count(), 1, "{screen}");
        drop(tmux);
        host.end_sessions();
    }
}

#[test]
fn a_process_has_the_path_that_start_up_files_made() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = host_that_first("PATH=/nonexistent");
    let shelf = ServerStore::new(&host);
    for _ in ["brought", "found"] {
        let mut client = host.plan().deploying(&shelf.0).run("echo $PATH");
        assert_eq!(client.finish(), (0, b"/nonexistent\n".to_vec()));
    }
}
