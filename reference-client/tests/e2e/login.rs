//! Logins that a person has to help with, on the way back to a process: told with what to do, tried
//! again, never hanging, never bypassed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rejoin_ssh::testing::Signal;

use crate::environment::{ECHO, assert_answers, until_notice};
use crate::life::assert_one_line;
use crate::support::{Client, Host, Tmux, is_alive, until, within};

/// Longer than the pause between two attempts while a person is needed.
const NEXT_ATTEMPT: Duration = Duration::from_mins(1);

#[track_caller]
fn keygen(words: &[&str], file: &Path) {
    let mut command = Command::new("ssh-keygen");
    let made = command.arg("-q").args(words).arg("-f").arg(file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn logins(host: &Host) -> usize {
    let log = host.sshd().log();
    log.iter().filter(|line| line.starts_with("Accepted publickey")).count()
}

#[test]
fn a_changed_host_key_is_told_and_never_bypassed_until_a_person_has_mended_it() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    let pid = client.number(1);
    let key = host.sshd_file("host_key");
    fs::remove_file(&key).unwrap();
    keygen(&["-t", "ed25519", "-N", ""], &key);
    host.sshd().restart().unwrap();
    let before = logins(&host);
    host.cut();
    until_notice(&client, "needs you: look at the host's key");
    until_notice(&client, "the host's key has changed: find out why");
    client.nth_event("reconnecting", 4);
    assert_eq!((client.count("attached"), logins(&host)), (1, before));
    assert!(is_alive(pid));
    let public = fs::read_to_string(host.sshd_file("host_key.pub")).unwrap();
    fs::write(host.sshd_file("known_hosts"), format!("rejoin-test-host {public}")).unwrap();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

/// An ssh-agent of the test's own.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    fn start(host: &Host) -> Self {
        let socket = host.home().join("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        until("the agent listens", || socket.exists());
        Self { child, socket }
    }

    #[track_caller]
    fn tell(&self, words: &[&str]) {
        let mut command = Command::new("ssh-add");
        let told = command.args(words).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_key_that_its_agent_has_lost_is_waited_for() {
    rejoin_ssh::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let host = Host::start();
    let (agent, key) = (Agent::start(&host), host.sshd_file("user_key"));
    let unlocked = host.home().join("unlocked");
    fs::copy(&key, &unlocked).unwrap();
    keygen(&["-p", "-P", "", "-N", "secret"], &key);
    agent.tell(&[unlocked.to_str().unwrap()]);
    let socket = format!("IdentityAgent={}", agent.socket.display());
    let mut client = host.plan().with(["-o", &socket, "--give-up", "1s"]).run(ECHO);
    client.line(1);
    agent.tell(&["-q", "-D"]);
    host.cut();
    until_notice(&client, "needs you: unlock the key, or be there to be asked");
    let planned = client.nth_event("reconnecting", 2);
    assert_eq!((&planned["needs_user"], &planned["delay_millis"]), (&true.into(), &30_000.into()));
    agent.tell(&[unlocked.to_str().unwrap()]);
    within(NEXT_ATTEMPT, "it is attached again", || client.count("attached") == 2);
    assert_answers(&mut client, 2);
    assert_eq!((client.count("gave_up"), client.count("reconnecting")), (0, 2));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_person_at_the_terminal_gives_the_passphrase_again_when_it_is_asked_for() {
    rejoin_ssh::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    keygen(&["-p", "-P", "", "-N", "secret"], &host.sshd_file("user_key"));
    let tmux = Tmux::rejoin(&host, &["PS1='$ ' exec sh -i"]);
    tmux.until_seen("Enter passphrase for key");
    tmux.keys(&["secret", "Enter"]);
    tmux.until_seen("$");
    host.cut();
    tmux.until_titled("needs you");
    tmux.keys(&["Enter"]);
    tmux.text("~?");
    tmux.until_seen("needs you: unlock the key");
    tmux.text("~r");
    tmux.until_screen("ssh asks again", |screen| {
        screen.matches("Enter passphrase for key").count() == 2
    });
    tmux.keys(&["secret", "Enter"]);
    until("it is attached again", || tmux.count("attached") == 2);
    tmux.text("echo one $((1+1)); exit 6");
    tmux.keys(&["Enter"]);
    tmux.until_ended_with(6);
}

/// Puts lines in front of sshd's configuration, and returns the configuration as it was.
fn configure(host: &Host, lines: &str) -> String {
    let path = host.sshd_file("sshd_config");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, lines.to_owned() + &before).unwrap();
    host.sshd().restart().unwrap();
    before
}

/// Sends the client's machine to sleep for a moment, for all that the client can tell.
fn sleep_and_wake(client: &Client) {
    client.signal(Signal::STOP);
    let asleep = Instant::now();
    until("it slept for a while", || asleep.elapsed() > Duration::from_secs(4));
    client.signal(Signal::CONT);
}

#[test]
fn a_second_factor_is_told_and_nobody_is_asked_for_it() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let methods = "PreferredAuthentications=publickey,keyboard-interactive,password";
    let mut client = host.plan().with(["-o", methods, "--give-up", "1s"]).run(ECHO);
    let pid = client.number(1);
    let before =
        configure(&host, "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n");
    host.cut();
    until_notice(&client, "needs you");
    until_notice(&client, "Permission denied (password)");
    assert!(is_alive(pid));
    // Planned is what comes after the refusal, and not only told.
    client.nth_event("reconnecting", 2);
    // An attempt more, at which a budget of a second would have been spent.
    let planned = client.count("reconnecting");
    sleep_and_wake(&client);
    client.nth_event("reconnecting", planned + 1);
    fs::write(host.sshd_file("sshd_config"), before).unwrap();
    host.sshd().restart().unwrap();
    sleep_and_wake(&client);
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.count("gave_up"), 0);
    assert_eq!(client.finish().0, 0);
}

/// Accounts that run nothing, or nothing of the user's choice.
const RESTRICTED: [(&str, &str); 3] = [
    ("/usr/sbin/nologin", "This account is currently not available"),
    ("internal-sftp", "This service allows sftp connections only"),
    ("/bin/rbash -c \"$SSH_ORIGINAL_COMMAND\"", "restricted: cannot specify `/'"),
];

#[test]
fn an_account_that_may_not_run_the_server_is_told_in_one_line() {
    rejoin_ssh::needs!("ssh", "sshd", "ps", "nologin", "rbash");
    for (command, told) in RESTRICTED {
        let host = Host::with(|sshd| sshd.force_command(command));
        let mut client = host.plan().run("true");
        assert_eq!(client.status(), 255, "{command}");
        assert_one_line(&client, told);
        assert_one_line(&client, "this account may not run the server program");
        assert_eq!(client.event("gave_up")["reason"], "refused", "{command}");
        let mut listing = host.plan().subcommand("ls").run_words::<&str>([]);
        assert_eq!(listing.status(), 255, "{command}");
        assert_one_line(&listing, told);
    }
}

#[test]
fn an_account_that_is_restricted_meanwhile_is_told_and_returned_to() {
    rejoin_ssh::needs!("ssh", "sshd", "ps", "nologin");
    let host = Host::with(|sshd| {
        let forced = "[ -e ~/closed ] && exec /usr/sbin/nologin; exec sh -c";
        sshd.force_command(&format!("{forced} \"$SSH_ORIGINAL_COMMAND\""))
    });
    let mut client = host.plan().run(ECHO);
    let pid = client.number(1);
    let closed = host.home().join("closed");
    fs::write(&closed, "").unwrap();
    host.cut();
    until_notice(&client, "needs you: the account may not run the server any more");
    until_notice(&client, "This account is currently not available");
    assert!(is_alive(pid));
    fs::remove_file(&closed).unwrap();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}
