//! Logins that a person has to help with, on the way back to a process: told with what to do, tried
//! again when the person says so, never hanging, never bypassed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::life::assert_one_line;
use crate::support::{Echo, Host, Tmux, is_alive, until};

#[track_caller]
fn keygen(words: &[&str], file: &Path) {
    let mut command = Command::new("ssh-keygen");
    let made = command.arg("-q").args(words).arg("-f").arg(file).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What the user does who has found out that the key is right.
pub(crate) fn accept_host_key(host: &Host) {
    let public = fs::read_to_string(host.sshd_file("host_key.pub")).unwrap();
    fs::write(host.sshd_file("known_hosts"), format!("rejoin-test-host {public}")).unwrap();
}

/// The next attempt is far off: a host bans whoever tries too often.
#[track_caller]
fn assert_waits_for_a_person(planned: &Value) {
    assert!(planned["delay_millis"].as_u64().unwrap() >= 50_000, "{planned}");
}

fn logins(host: &Host) -> usize {
    let log = host.sshd().log();
    log.iter().filter(|line| line.starts_with("Accepted publickey")).count()
}

#[test]
fn a_changed_host_key_is_told_and_never_bypassed_until_a_person_has_mended_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let echo = Echo::start(&host, &["--lane", "ssh"]);
    host.sshd().change_host_key().unwrap();
    let (logins_before, connections) = (logins(&host), host.relay().connections());
    host.cut();
    echo.until_notice("needs you: look at the host's key");
    echo.until_notice("the host key has changed; find out why");
    assert_waits_for_a_person(&echo.tmux.nth_event("reconnecting", 2));
    assert_eq!(host.relay().connections(), connections + 1);
    echo.retry();
    // The person has not looked yet.
    assert_waits_for_a_person(&echo.tmux.nth_event("reconnecting", 3));
    assert_eq!(host.relay().connections(), connections + 2, "once for each time it was asked for");
    assert_eq!((echo.tmux.count("attached"), logins(&host)), (1, logins_before));
    assert_eq!(echo.tmux.count("notice"), 1, "told once");
    assert!(is_alive(echo.pid));
    accept_host_key(&host);
    echo.retry();
    echo.until_back(1);
    assert_eq!(host.relay().connections(), connections + 3);
    echo.finish();
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
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add", "tmux");
    let host = Host::start();
    let (agent, key) = (Agent::start(&host), host.sshd_file("user_key"));
    let unlocked = host.home().join("unlocked");
    fs::copy(&key, &unlocked).unwrap();
    keygen(&["-p", "-P", "", "-N", "secret"], &key);
    agent.tell(&[unlocked.to_str().unwrap()]);
    let socket = format!("IdentityAgent={}", agent.socket.display());
    let echo = Echo::start(&host, &["-o", &socket, "--give-up", "1s"]);
    agent.tell(&["-q", "-D"]);
    host.cut();
    echo.until_notice("needs you: unlock the key, or be there to be asked");
    let planned = echo.tmux.nth_event("reconnecting", 2);
    assert_eq!(planned["needs_user"], true);
    assert_waits_for_a_person(&planned);
    agent.tell(&[unlocked.to_str().unwrap()]);
    echo.retry();
    echo.until_back(1);
    assert!(!echo.tmux.screen().contains("passphrase"), "{}", echo.tmux.screen());
    assert_eq!((echo.tmux.count("gave_up"), echo.tmux.count("reconnecting")), (0, 2));
    echo.finish();
}

#[test]
fn a_person_at_the_terminal_gives_the_passphrase_again_when_it_is_asked_for() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
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

#[test]
fn a_second_factor_is_told_and_asked_for_when_a_person_is_there() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let methods = "PreferredAuthentications=publickey,keyboard-interactive,password";
    let echo = Echo::start(&host, &["-o", methods, "--give-up", "1s"]);
    let before =
        configure(&host, "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n");
    host.cut();
    echo.until_notice("needs you");
    echo.until_notice("Permission denied (password)");
    assert!(is_alive(echo.pid));
    // Planned is what comes after the refusal, and not only told.
    assert_waits_for_a_person(&echo.tmux.nth_event("reconnecting", 2));
    let is_asked = |screen: &str| screen.contains("password:");
    assert!(!is_asked(&echo.tmux.screen()), "nobody was there to be asked");
    echo.retry();
    echo.tmux.until_screen("ssh asks", is_asked);
    // The time that people take is none in which the host could not be reached.
    let asked = Instant::now();
    until("the person takes a while", || asked.elapsed() > Duration::from_secs(2));
    fs::write(host.sshd_file("sshd_config"), before).unwrap();
    host.sshd().restart().unwrap();
    host.cut();
    // ssh looks at its connection when it has its answer.
    echo.tmux.keys(&["Enter"]);
    echo.until_back(1);
    assert_eq!(echo.tmux.count("gave_up"), 0);
    echo.finish();
}

/// Accounts that run nothing, or nothing of the user's choice.
const RESTRICTED: [(&str, &str); 3] = [
    ("/usr/sbin/nologin", "This account is currently not available"),
    ("internal-sftp", "This service allows sftp connections only"),
    ("/bin/rbash -c \"$SSH_ORIGINAL_COMMAND\"", "restricted: cannot specify `/'"),
];

#[test]
fn an_account_that_may_not_run_the_server_is_told_in_one_line() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "nologin", "rbash");
    for (command, told) in RESTRICTED {
        let host = Host::with(|sshd| sshd.force_command(command));
        let mut client = host.plan().run("true");
        assert_eq!(client.status(), 255, "{command}");
        assert_one_line(&client, told);
        assert_one_line(&client, "this account is not allowed to run the server program");
        assert_eq!(client.event("gave_up")["reason"], "refused", "{command}");
        let mut listing = host.plan().subcommand("ls").run_words::<&str>([]);
        assert_eq!(listing.status(), 255, "{command}");
        assert_one_line(&listing, told);
    }
}

#[test]
fn an_account_that_is_restricted_meanwhile_is_told_and_returned_to() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "nologin", "tmux");
    let host = Host::with(|sshd| {
        let forced = "[ -e ~/closed ] && exec /usr/sbin/nologin; exec sh -c";
        sshd.force_command(&format!("{forced} \"$SSH_ORIGINAL_COMMAND\""))
    });
    let echo = Echo::start(&host, &[]);
    let closed = host.home().join("closed");
    fs::write(&closed, "").unwrap();
    host.cut();
    echo.until_notice("needs you: the account may not run the server any more");
    echo.until_notice("This account is currently not available");
    assert!(is_alive(echo.pid));
    fs::remove_file(&closed).unwrap();
    echo.retry();
    echo.until_back(1);
    echo.finish();
}
