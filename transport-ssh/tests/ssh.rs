//! Links through the system's ssh to a private sshd.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use common::{Echo, connect, in_time, parse_pid, ssh, ssh_at, sshd, until, until_gone, wild_bytes};
use rejoin_ssh::{Attempt, LinkErrorKind, SshConfigError};
use rejoin_testing::needs;
use rejoin_testing::{Random, Relay, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ATTEMPTS: [Attempt; 2] = [Attempt::First, Attempt::Reconnect];

/// The options that put a user's own `ssh_config` in place.
fn with_config(dir: &Path, lines: &str) -> [OsString; 2] {
    let path = dir.join("ssh_config");
    fs::write(&path, format!("Host *\n{lines}\n")).unwrap();
    ["-F".into(), path.into()]
}

#[tokio::test]
async fn a_link_carries_any_bytes_both_ways() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let mut random = Random::from_env();
    for attempt in ATTEMPTS {
        let mut echo = Echo::start(&ssh(&sshd, "exec cat"), attempt).await;
        echo.say(&wild_bytes(1 << 20, &mut random)).await;
    }
}

#[tokio::test]
async fn a_command_is_run_by_the_login_shell_in_the_home_of_the_tests() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let command = "printf %s \"$HOME\"";
    let (mut reader, _writer, _guard) =
        connect(&ssh(&sshd, command), Attempt::First).await.into_parts();
    let mut said = String::new();
    in_time("the end", reader.read_to_string(&mut said)).await.unwrap();
    assert_eq!(Path::new(&said), sshd.home());
}

#[tokio::test]
async fn a_dropped_link_leaves_no_ssh_and_no_zombie() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    // The shell that ssh starts for this knows its parent. The first attempt also asks an ssh what it would do.
    let config = format!("Match exec \"echo $PPID >> {}\"", pid_file.display());
    let connector = ssh(&sshd, "exec cat").options(with_config(dir.path(), &config));
    for attempt in ATTEMPTS {
        let echo = Echo::start(&connector, attempt).await;
        let pids = fs::read_to_string(&pid_file).unwrap();
        let mut pids = pids.lines().map(parse_pid);
        let pid = pids.rfind(|&pid| !common::is_gone(pid)).expect("an ssh has the link");
        drop(echo.guard);
        until_gone(pid).await;
    }
}

#[tokio::test]
async fn overrides_settings_that_break_a_link() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let dir = tempfile::tempdir().unwrap();
    for lines in [
        "StdinNull yes",
        "ForkAfterAuthentication yes",
        "SessionType none",
        "SessionType subsystem",
        "RemoteCommand echo no",
        "PermitLocalCommand yes\nLocalCommand echo no",
    ] {
        let connector = ssh(&sshd, "exec cat").options(with_config(dir.path(), lines));
        for attempt in ATTEMPTS {
            Echo::start(&connector, attempt).await.say(lines.as_bytes()).await;
        }
    }
}

/// As programs call ssh, such as sftp (`-s`): the link itself is not given such an option.
#[tokio::test]
async fn what_the_user_has_typed_costs_no_second_connection() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let relay = Relay::start(sshd.addr()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let typed = |config: &str| {
        let mut options = with_config(dir.path(), config).to_vec();
        let connector = ssh_at(&sshd, relay.addr().port(), "exec cat").options(options.clone());
        options.push("-s".into());
        connector.typed(options, ["sftp"])
    };
    Echo::start(&typed(""), Attempt::First).await;
    assert_eq!(relay.connections(), 1);
    Echo::start(&typed("SessionType subsystem"), Attempt::First).await;
    assert!(relay.connections() <= 3);
}

#[tokio::test]
async fn reads_the_configuration_for_the_typed_options_only() {
    needs!("ssh", "sshd", "ps");
    let dir = tempfile::tempdir().unwrap();
    let config = "HostName 192.0.2.1\nRemoteCommand echo %n %h";
    let connector = rejoin_ssh::SshConnect::new("name", "exec cat");
    let asked = |options: &[&str], words: &[&str]| {
        let options = options.iter().map(OsString::from).chain(with_config(dir.path(), config));
        let connector = connector.clone().typed(options.collect::<Vec<_>>(), words);
        async move { connector.configuration().await }
    };
    let resolved = asked(&["-tt"], &[]).await.unwrap();
    assert_eq!(resolved.get("remotecommand"), Some("echo name 192.0.2.1"));
    assert_eq!(resolved.get("requesttty"), Some("force"));
    let expanded = connector.expand(&resolved, "echo %n %p %%").await;
    assert_eq!(expanded.as_deref(), Ok("echo name 22 %"));
    let refused =
        SshConfigError::Refused(vec!["Cannot execute command-line and remote command.".to_owned()]);
    assert_eq!(asked(&[], &["true"]).await, Err(refused));
}

#[tokio::test]
async fn a_port_in_use_ends_the_first_link_alone_where_the_user_wants_that() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let forward = format!("127.0.0.1:{port}:127.0.0.1:1");
    let options = ["-oExitOnForwardFailure=yes", "-L", &forward];
    let connector = ssh(&sshd, "exec cat").options(options);
    let error = common::why_it_ends(&connector, Attempt::First).await;
    assert!(error.message.contains("Address already in use"), "{error}");
    drop(busy);
    let connector = ssh(&sshd, "exec cat").options(options);
    let mut first = Echo::start(&connector, Attempt::First).await;
    // It has the port, which later ones do without.
    for attempt in ATTEMPTS {
        Echo::start(&connector, attempt).await.say(b"later").await;
    }
    first.say(b"first").await;
}

#[tokio::test]
async fn a_flood_on_stderr_does_not_block_the_link() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let flood = "head -c 5000000 /dev/zero | tr '\\0' 'x' | fold -w 100 >&2; exec cat";
    let mut echo = Echo::start(&ssh(&sshd, flood), Attempt::Reconnect).await;
    echo.say(&vec![7; 100_000]).await;
}

#[tokio::test]
async fn a_stale_control_master_does_not_hang_a_link() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master");
    let master = UnixListener::bind(&path).unwrap();
    master.set_nonblocking(true).unwrap();
    let stale = format!("ControlMaster auto\nControlPersist yes\nControlPath {}", path.display());
    for attempt in ATTEMPTS {
        let connector = ssh(&sshd, "exec cat").options(with_config(dir.path(), &stale));
        Echo::start(&connector, attempt).await;
        let on_command_line =
            ssh(&sshd, "exec cat").options(["-M".into(), "-S".into(), path.clone()]);
        Echo::start(&on_command_line, attempt).await;
    }
    assert!(master.accept().is_err(), "the stale master was asked");
}

#[tokio::test]
async fn a_configuration_for_terminals_does_not_spoil_the_bytes() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let dir = tempfile::tempdir().unwrap();
    let config = with_config(
        dir.path(),
        "RemoteCommand echo from the configuration\nRequestTTY force\nPermitLocalCommand yes\n\
         LocalCommand echo local\nForwardX11 yes\nEscapeChar a",
    );
    let connector = ssh(&sshd, "exec cat").options(config).options(["-tt", "-e", "b"]);
    for attempt in ATTEMPTS {
        let mut echo = Echo::start(&connector, attempt).await;
        echo.say(b"\na.\nb.\n\x03\x04~.").await;
    }
}

#[tokio::test]
async fn a_forwarding_whose_port_is_taken_does_not_end_the_link() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let forwarding = format!("{}:127.0.0.1:1", taken.local_addr().unwrap());
    let connector = ssh(&sshd, "exec cat")
        .options(with_config(dir.path(), "ExitOnForwardFailure yes"))
        .options(["-L", &forwarding]);
    Echo::start(&connector, Attempt::Reconnect).await;
}

#[tokio::test]
async fn a_killed_session_is_a_closed_link_at_once() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    for signal in [Signal::HUP, Signal::KILL] {
        let echo = Echo::start(&ssh(&sshd, "exec cat"), Attempt::Reconnect).await;
        assert!(sshd.kill_sessions(signal).unwrap() >= 1);
        let error = echo.why_it_ended().await;
        assert_eq!(error.kind, LinkErrorKind::Closed, "{error:?}");
    }
}

#[tokio::test]
async fn a_restarted_sshd_keeps_its_sessions_and_takes_new_ones() {
    needs!("ssh", "sshd", "ps");
    let mut sshd = sshd();
    let mut before = Echo::start(&ssh(&sshd, "exec cat"), Attempt::First).await;
    sshd.restart().unwrap();
    before.say(b"still there").await;
    let after = Echo::start(&ssh(&sshd, "exec cat"), Attempt::Reconnect).await;
    assert_eq!(sshd.sessions().unwrap().len(), 2);
    sshd.kill_sessions(Signal::KILL).unwrap();
    before.why_it_ended().await;
    after.why_it_ended().await;
}

/// As the tests cut connections all the time, which newer ones would refuse after a while.
#[tokio::test]
async fn an_sshd_of_the_tests_bears_with_those_who_hang_up() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    for _ in 0..20 {
        let mut connection = TcpStream::connect(sshd.addr()).await.unwrap();
        in_time("the host's first byte", connection.read_u8()).await.unwrap();
        connection.write_all(b"SSH-2.0-gone\r\n").await.unwrap();
    }
    until("each has been seen to hang up", || sshd.sessions().unwrap().is_empty()).await;
    Echo::start(&ssh(&sshd, "exec cat"), Attempt::Reconnect).await;
}

#[tokio::test]
async fn a_reset_connection_is_a_closed_link() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let relay = Relay::start(sshd.addr()).await.unwrap();
    let connector = ssh_at(&sshd, relay.addr().port(), "exec cat");
    let echo = Echo::start(&connector, Attempt::Reconnect).await;
    relay.cut_all_reset();
    let error = echo.why_it_ended().await;
    assert_eq!(error.kind, LinkErrorKind::Closed, "{error:?}");
    assert_eq!(relay.resets(), 1);
}

#[tokio::test]
async fn connections_reset_at_random_bytes_never_hang_and_never_change_a_byte() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let relay = Relay::start(sshd.addr()).await.unwrap();
    let mut random = Random::from_env();
    let connector = ssh_at(&sshd, relay.addr().port(), "exec yes 0123456");
    for number in 1..=20 {
        relay.cut_after(1 + random.below(200_000));
        let link = connect(&connector, Attempt::Reconnect).await;
        let (mut reader, writer, guard) = link.into_parts();
        let mut heard = Vec::new();
        let _ = in_time("the end", reader.read_to_end(&mut heard)).await;
        assert!(heard.chunks(8).all(|chunk| b"0123456\n".starts_with(chunk)));
        drop((reader, writer));
        let error = in_time("the post-mortem", guard.post_mortem()).await;
        let expected =
            if heard.is_empty() { LinkErrorKind::Unreachable } else { LinkErrorKind::Closed };
        // Cut within the authentication, ssh has words of its own for it.
        assert!(error.kind == expected || heard.is_empty(), "{error:?}");
        assert_eq!(relay.resets(), number);
    }
}
