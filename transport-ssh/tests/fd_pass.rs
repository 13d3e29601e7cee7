//! Links over an ssh that waits for its connection, to a private sshd.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{Echo, in_time, parse_pid, ssh_at, sshd, until, until_gone, why_it_ends, wild_bytes};
use rejoin_ssh::{Attempt, Connect as _, LinkError, LinkErrorKind, SshConnect};
use rejoin_testing::needs;
use rejoin_testing::{BlackHole, Pid, Random, Signal, Sshd};
use rustix::process::kill_process;

/// The helper under a name of its own, by which what a test has started is found.
struct Helper {
    dir: tempfile::TempDir,
}

impl Helper {
    fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_rejoin-fd-pass"))
    }

    fn of(program: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(program, dir.path().join("hand over")).unwrap();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("hand over")
    }

    fn ssh(&self, sshd: &Sshd, port: u16) -> SshConnect {
        ssh_at(sshd, port, "exec cat").fd_pass_program(self.path(), ["now"])
    }

    /// The processes that have its name on their command line: those of ssh, or itself.
    fn processes(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Pid> {
        let listed = Command::new("ps").args(["-A", "-ww", "-o", "pid=,args="]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let name = self.path().display().to_string();
        let named = listed.lines().filter(|line| line.contains(&name));
        let parts = named.filter_map(|line| line.trim().split_once(' '));
        parts.filter(|(_, args)| is_wanted(args)).map(|(pid, _)| parse_pid(pid)).collect()
    }

    fn sshs(&self) -> Vec<Pid> {
        self.processes(|args| args.starts_with("ssh "))
    }

    /// Waits until a helper runs, and with it the one ssh that there is.
    async fn until_one_waits(&self) -> Pid {
        let name = self.path().display().to_string();
        let runs = |args: &str| args.starts_with(&name);
        until("an ssh waits", || self.processes(runs).len() == 1).await;
        let [ssh] = self.sshs()[..] else { panic!("{:?}", self.sshs()) };
        ssh
    }

    async fn until_nothing_is_left(&self) {
        until("nothing waits", || self.processes(|_| true).is_empty()).await;
    }
}

/// The first link whose connection was handed over: until ssh has told its configuration, none is.
async fn first_handed_over(helper: &Helper, connector: &SshConnect) -> Echo {
    for _ in 0..100 {
        let echo = Echo::start(connector, Attempt::Reconnect).await;
        if !helper.sshs().is_empty() {
            return echo;
        }
    }
    panic!("ssh connects by itself");
}

#[tokio::test]
async fn an_ssh_that_waits_gets_its_connection_and_carries_any_bytes() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let connector = helper
        .ssh(&sshd, sshd.addr().port())
        .command("echo on stderr >&2; exec cat")
        .on_stderr(move |attempt, line| drop(told.send((attempt, line.to_owned()))));
    connector.prepare();
    let waiting = helper.until_one_waits().await;
    assert!(sshd.sessions().unwrap().is_empty(), "nothing is connected before it is wanted");
    let mut echo = Echo::start(&connector, Attempt::Reconnect).await;
    assert_eq!(helper.sshs(), [waiting]);
    echo.say(&wild_bytes(1 << 20, &mut Random::from_env())).await;
    let line = in_time("a line on stderr", lines.recv()).await.unwrap();
    assert_eq!(line, (Attempt::Reconnect, "on stderr".to_owned()));
    sshd.kill_sessions(Signal::KILL).unwrap();
    let error = echo.why_it_ended().await;
    assert_eq!(error.kind, LinkErrorKind::Closed, "{error:?}");
    helper.until_nothing_is_left().await;
}

#[tokio::test]
async fn an_address_that_leads_nowhere_does_not_hold_up_a_link_to_the_next_one() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let nowhere = BlackHole::start().unwrap();
    let connector = helper
        .ssh(&sshd, sshd.addr().port())
        .connect_timeout(Duration::from_hours(1))
        .addresses([nowhere.addr(), sshd.addr()]);
    Echo::start(&connector, Attempt::First).await;
    // Nobody has said that one would be wanted: ssh starts while the connection is made.
    let mut echo = first_handed_over(&helper, &connector).await;
    echo.say(b"past an address that leads nowhere").await;
}

#[tokio::test]
async fn names_the_failed_addresses_and_keeps_the_waiting_ssh() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let port = refused_port();
    let connector = helper.ssh(&sshd, port);
    connector.prepare();
    let waiting = helper.until_one_waits().await;
    for _ in 0..2 {
        let error = in_time("a dial that fails", failed_dial(&connector)).await;
        assert_eq!(error.kind, LinkErrorKind::Unreachable);
        let expected = format!("cannot connect to 127.0.0.1 port {port}: Connection refused");
        assert_eq!(error.message, expected);
        connector.prepare();
        assert_eq!(helper.until_one_waits().await, waiting);
    }
}

/// Until ssh has told its configuration again after a failure, it connects by itself.
async fn failed_dial(connector: &SshConnect) -> LinkError {
    loop {
        if let Err(error) = connector.connect(Attempt::Reconnect).await {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

/// A port where nobody listens.
fn refused_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Links to a host of this configuration file.
fn configured(helper: &Helper, sshd: &Sshd, config: &str) -> SshConnect {
    let path = helper.dir.path().join("ssh_config");
    fs::write(&path, config).unwrap();
    // Without the port and the configuration of the tests.
    let options = sshd.ssh_options(0).split_off(4);
    SshConnect::new(sshd.destination(), "exec cat")
        .options([OsString::from("-F"), path.into()])
        .options(options)
        .fd_pass_program(helper.path(), ["now"])
}

#[tokio::test]
async fn follows_a_fixed_configuration_after_one_failure() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let connector = configured(&helper, &sshd, &format!("Port {}", refused_port()));
    connector.prepare();
    let waiting = helper.until_one_waits().await;
    configured(&helper, &sshd, &format!("Port {}", sshd.addr().port()));
    let error = connector.connect(Attempt::Reconnect).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::Unreachable, "{error:?}");
    connector.prepare();
    until("another one waits", || helper.sshs().iter().any(|ssh| *ssh != waiting)).await;
    until_gone(waiting).await;
    let waiting = helper.until_one_waits().await;
    let _echo = Echo::start(&connector, Attempt::Reconnect).await;
    assert_eq!(helper.sshs(), [waiting]);
}

#[tokio::test]
async fn leaves_a_configuration_with_match_exec_to_ssh() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let port = sshd.addr().port();
    let config = format!("Match exec \"true\"\n  Port {port}\n");
    let connector = configured(&helper, &sshd, &config);
    Echo::start(&connector, Attempt::First).await;
    assert!(connector.resolve().await.unwrap().is_conditional());
    assert_never_handed_over(&helper, &connector).await;
}

/// Neither before ssh has told its configuration, nor afterwards.
async fn assert_never_handed_over(helper: &Helper, connector: &SshConnect) {
    for _ in 0..3 {
        connector.prepare();
        // Takes as long as what goes on behind `prepare`, and ends after it.
        connector.resolve().await.unwrap();
        let _echo = Echo::start(connector, Attempt::Reconnect).await;
        assert!(helper.sshs().is_empty());
    }
}

#[tokio::test]
async fn refuses_a_changed_host_key_on_a_passed_connection() {
    needs!("ssh", "sshd", "ps");
    let (known, other, helper) = (sshd(), sshd(), Helper::new());
    let connector = helper.ssh(&known, other.addr().port());
    connector.prepare();
    helper.until_one_waits().await;
    let error = why_it_ends(&connector, Attempt::Reconnect).await;
    assert_eq!(error.kind, LinkErrorKind::HostKey, "{error:?}");
    helper.until_nothing_is_left().await;
}

#[tokio::test]
async fn lets_ssh_connect_with_a_users_proxy() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let port = sshd.addr().port();
    let through = sshd.ssh_options(port).into_iter().map(|word| word.into_string().unwrap());
    let through = through.map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let proxy = format!("ProxyCommand=ssh {through} -W 127.0.0.1:{port} 127.0.0.1");
    let connector = helper.ssh(&sshd, port).options(["-o", &proxy]);
    Echo::start(&connector, Attempt::First).await;
    assert!(connector.resolve().await.unwrap().get("proxycommand").is_some());
    assert_never_handed_over(&helper, &connector).await;
}

#[tokio::test]
async fn an_ssh_that_waits_ends_with_its_connector() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let connector = helper.ssh(&sshd, sshd.addr().port());
    connector.prepare();
    helper.until_one_waits().await;
    let clone = connector.clone().command("exec cat");
    drop(connector);
    Echo::start(&clone, Attempt::Reconnect).await;
    clone.prepare();
    helper.until_one_waits().await;
    drop(clone);
    helper.until_nothing_is_left().await;
}

#[tokio::test]
async fn an_ssh_that_waits_in_vain_ends_after_a_minute() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let connector = helper.ssh(&sshd, sshd.addr().port());
    connector.prepare();
    connector.prepare();
    helper.until_one_waits().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(59)).await;
    tokio::time::resume();
    helper.until_one_waits().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    helper.until_nothing_is_left().await;
}

#[tokio::test]
async fn an_ssh_that_has_ended_while_it_waited_is_not_used_and_no_other_waits() {
    needs!("ssh", "sshd", "ps");
    let (sshd, helper) = (sshd(), Helper::new());
    let connector = helper.ssh(&sshd, sshd.addr().port());
    connector.prepare();
    let waiting = helper.until_one_waits().await;
    kill_process(waiting, Signal::KILL).unwrap();
    helper.until_nothing_is_left().await;
    let echo = started(&connector).await;
    connector.prepare();
    assert!(helper.sshs().is_empty());
    drop(echo);
}

#[tokio::test]
async fn a_helper_that_brings_nothing_costs_one_attempt_at_most() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    for program in ["/bin/false", "/bin/echo"] {
        let helper = Helper::of(program);
        let connector = helper.ssh(&sshd, sshd.addr().port());
        connector.prepare();
        connector.resolve().await.unwrap();
        let echo = started(&connector).await;
        assert!(helper.sshs().is_empty());
        drop(echo);
    }
}

/// A link that carries bytes; the first one may not.
async fn started(connector: &SshConnect) -> Echo {
    for _ in 0..2 {
        if let Some(echo) = Echo::try_start(connector, Attempt::Reconnect).await {
            return echo;
        }
    }
    panic!("two attempts have failed");
}
