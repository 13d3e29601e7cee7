//! What hosts, networks and users do beside resetting connections.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rejoin_testing::{Signal, make_program};

use crate::life::assert_one_line;
use crate::support::{Client, Host, is_alive, kill, rejoin_server, until};

/// Answers every line with its pid.
pub(crate) const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

/// Another line goes to the same process and back.
#[track_caller]
pub(crate) fn assert_answers(client: &mut Client, line: usize) {
    let pid = client.line(1);
    client.write(format!("word {line}\n"));
    assert_eq!(client.line(line), format!("{pid} word {line}"));
}

#[track_caller]
pub(crate) fn until_notice(client: &Client, text: &str) {
    until(&format!("a notice of \"{text}\""), || {
        let notices = client.events_named("notice");
        notices.iter().any(|notice| notice["message"].as_str().unwrap().contains(text))
    });
}

#[test]
fn silence_is_noticed_at_both_ends_and_survived() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    host.relay().silence();
    client.event("detached");
    host.until_session_is("detached");
    client.write("meanwhile\n");
    host.relay().resume();
    client.nth_event("attached", 2);
    let pid = client.line(1);
    assert_eq!(client.line(2), format!("{pid} meanwhile"));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_stale_master_connection_does_not_hang_anything() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let path = host.home().join("master");
    // It takes connections, and never says a word.
    let _master = UnixListener::bind(&path).unwrap();
    let path = format!("ControlPath={}", path.display());
    let mut client = host.plan().with(["-o", "ControlMaster=auto", "-o", &path]).run(ECHO);
    client.line(1);
    host.cut();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn what_rc_files_print_is_skipped_and_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let noise = "printf 'Welcome to \\033[31mthis host\\n'; exec sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let host = Host::with(|sshd| sshd.force_command(noise));
    let mut client = host.plan().run(ECHO);
    until_notice(&client, "Welcome to [31mthis host");
    client.line(1);
    host.cut();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn every_login_shell_will_do() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let shells = ["sh", "bash", "dash", "zsh", "fish", "csh", "tcsh"];
    let is_there = |shell: &&str| fs::exists(format!("/bin/{shell}")).unwrap();
    let shells: Vec<_> = shells.into_iter().filter(is_there).collect();
    eprintln!("tested with the shells that are installed: {shells:?}");
    for shell in shells {
        let forced = format!("export SHELL=/bin/{shell}; exec $SHELL -c \"$SSH_ORIGINAL_COMMAND\"");
        let host = Host::with(|sshd| sshd.force_command(&forced));
        let mut client = host.plan().run("printf '%s\\n' 'a  b' \"c d\" && exit 3");
        assert_eq!(client.finish(), (3, b"a  b\nc d\n".to_vec()), "{shell}");
    }
}

#[test]
fn a_stopped_server_is_unresponsive_and_not_dead() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(ECHO);
    let pid = client.number(1);
    let server = host.server_pid();
    kill(server, Signal::STOP);
    host.cut();
    until_notice(&client, "does not answer");
    assert!(is_alive(server) && is_alive(pid));
    kill(server, Signal::CONT);
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.count("replaced"), 0);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_registry_that_is_wiped_under_a_living_server_comes_back() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    let before = host.registry_names();
    // All of it at once: what is removed file by file, the server makes again meanwhile.
    let aside = host.home().join("aside");
    fs::rename(host.registry(), &aside).unwrap();
    fs::remove_dir_all(aside).unwrap();
    until("the registry is as it was", || host.registry_names() == before);
    let socket = host.registry().join(client.session()).join("socket");
    until("the server listens again", || socket.exists());
    host.cut();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_client_that_was_asleep_is_back_soon_after_it_wakes() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    client.signal(Signal::STOP);
    host.relay().refuse(true);
    host.cut();
    host.until_session_is("detached");
    let asleep = Instant::now();
    until("it slept for a while", || asleep.elapsed() > Duration::from_secs(4));
    host.relay().refuse(false);
    client.signal(Signal::CONT);
    client.nth_event("attached", 2);
    let attempts = client.events_named("reconnecting");
    let delays: Vec<_> = attempts.iter().map(|attempt| &attempt["delay_millis"]).collect();
    assert_eq!(delays, [0], "it tries at once");
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_login_that_takes_longer_than_an_answer_may_is_waited_for() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    // Slower than the 15 seconds that a server has for its answer, once it has greeted.
    let host = Host::with(|sshd| {
        sshd.force_command("[ -e ~/slow ] && sleep 16; exec sh -c \"$SSH_ORIGINAL_COMMAND\"")
    });
    let mut client = host.plan().run(ECHO);
    client.line(1);
    fs::write(host.home().join("slow"), "").unwrap();
    host.cut();
    client.nth_event("attached", 2);
    assert_eq!(client.count("reconnecting"), 1);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn another_machine_behind_the_same_name_is_told_and_not_used() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::with(|sshd| {
        sshd.force_command(
            "REJOIN_MACHINE_ID=$(cat ~/machine) exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
        )
    });
    let machine = |name: &str| fs::write(host.home().join("machine"), name).unwrap();
    machine(&"1".repeat(32));
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(ECHO);
    client.line(1);
    machine(&"2".repeat(32));
    host.cut();
    // Machines of one name are told apart by their ids.
    let name = client.event("attached")["host"].as_str().unwrap().to_owned();
    until_notice(
        &client,
        &format!(
            "leads to a different host: {name} (machine 22222222), while the session is on {name} \
             (machine 11111111)"
        ),
    );
    machine(&"1".repeat(32));
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.count("replaced"), 0);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_login_that_is_refused_on_reconnect_is_told_as_needing_a_person() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    let pid = client.number(1);
    fs::write(host.sshd_file("authorized_keys"), "").unwrap();
    host.cut();
    until_notice(&client, "needs you");
    assert!(is_alive(pid));
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    assert_one_line(&client, "rejoin attach");
    host.end_sessions();
}

#[test]
fn a_process_that_nobody_comes_back_to_is_ended_after_its_retention() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["--retention", "1s"]).run(ECHO);
    let pid = client.number(1);
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    until("the process is gone", || !is_alive(pid));
    until("the session is gone", || host.sessions().is_empty());
}

#[test]
fn a_server_program_that_is_damaged_is_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let damaged = host.home().join("damaged");
    make_program(&damaged, &fs::read(rejoin_server()).unwrap()[..5000]).unwrap();
    let mut client = host.plan().server(damaged.to_str().unwrap()).run("true");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "");
    assert!(!host.registry().exists());
}

#[test]
fn a_megabyte_of_command_line_is_refused_in_words() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let words = vec!["x".repeat(100_000); 10];
    let mut client = host.plan().run_words([&["echo".to_owned()], &words[..]].concat());
    assert_eq!(client.finish(), (126, Vec::new()));
    assert_one_line(&client, "too long");
    let mut fits = host.plan().run_words([&["printf %s".to_owned()], &words[..1]].concat());
    assert_eq!(fits.finish(), (0, words[0].clone().into_bytes()));
}

#[test]
fn ls_shows_what_runs_and_nothing_else() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut empty = host.plan().subcommand("ls").run_words::<&str>([]);
    assert_eq!(empty.finish(), (0, b"no sessions\n".to_vec()));
    let mut client = host.plan().run(ECHO);
    client.line(1);
    let mut listing = host.plan().subcommand("ls").run_words::<&str>([]);
    let (status, output) = listing.finish();
    let output = String::from_utf8(output).unwrap();
    assert_eq!(status, 0);
    assert!(output.contains(&client.session()[..8]) && output.contains("attached"), "{output}");
    assert_eq!(client.finish().0, 0);
    let mut empty = host.plan().subcommand("ls").run_words::<&str>([]);
    assert_eq!(empty.finish(), (0, b"no sessions\n".to_vec()));
}

#[test]
fn a_home_where_nothing_can_be_written_and_locks_mean_nothing_will_do() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    // A file system of its own, where not even root makes a file.
    let host =
        Host::with(|sshd| sshd.force_command("HOME=/proc exec sh -c \"$SSH_ORIGINAL_COMMAND\""));
    let mut client = host.plan().run(&format!("pwd; {ECHO}"));
    assert_eq!(client.line(1), "/proc");
    host.cut();
    client.nth_event("attached", 2);
    let pid = client.line(2);
    client.write("word\n");
    assert_eq!(client.line(3), format!("{pid} word"));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn what_ssh_says_of_a_login_that_works_is_shown_also_when_the_process_ends_at_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let known_hosts = format!("UserKnownHostsFile={}", host.home().join("known").display());
    let options = ["-o", "StrictHostKeyChecking=accept-new", "-o", &known_hosts];
    let mut client = host.plan().with(options).run("true");
    assert_eq!(client.finish().0, 0);
    assert!(client.stderr().starts_with("Warning: Permanently added"), "{}", client.stderr());
    assert_eq!(client.stderr().lines().count(), 1, "{}", client.stderr());
    let mut again = host.plan().with(options).run("true");
    assert_eq!((again.finish().0, again.stderr().as_str()), (0, ""));
}
