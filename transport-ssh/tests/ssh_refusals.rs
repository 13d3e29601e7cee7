//! Links that ssh does not get to, and what is said about each.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use common::{connect, in_time, ssh, ssh_at, sshd, why_it_ends};
use rejoin_ssh::{Attempt, Connect as _, LinkError, LinkErrorKind, SshConnect};
use rejoin_testing::needs;
use rejoin_testing::{Relay, Sshd};

async fn refused(connector: &SshConnect, kind: LinkErrorKind) -> LinkError {
    let error = why_it_ends(connector, Attempt::Reconnect).await;
    assert_eq!(error.kind, kind, "{error:?}");
    error
}

#[tokio::test]
async fn a_server_program_that_is_not_on_the_host_is_missing() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let connector = ssh(&sshd, "rejoin-no-such-program attach");
    let error = refused(&connector, LinkErrorKind::ServerMissing).await;
    assert!(error.message.contains("rejoin-no-such-program"), "{error}");
    refused(&ssh(&sshd, "/etc/passwd"), LinkErrorKind::ServerMissing).await;
}

#[tokio::test]
async fn a_remote_failure_has_its_status_and_last_words_in_the_message() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let error = refused(&ssh(&sshd, "echo why >&2; exit 3"), LinkErrorKind::Other).await;
    assert_eq!(error.message, "the remote command ended with status 3 (why)");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    needs!("ssh", "sshd", "ps");
    let mut options = sshd().ssh_options(1);
    options.insert(0, "-v".into());
    let connector = SshConnect::new("127.0.0.1", "true").options(options);
    let error = refused(&connector, LinkErrorKind::Unreachable).await;
    assert!(error.message.ends_with("port 1: Connection refused"), "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    needs!("ssh", "sshd", "ps");
    let options = ["-F", "none"];
    let connector = SshConnect::new("no-such-host.invalid", "true").options(options);
    refused(&connector, LinkErrorKind::Unreachable).await;
}

#[tokio::test]
async fn a_host_that_closes_before_the_handshake_is_unreachable() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let relay = Relay::start(sshd.addr()).await.unwrap();
    relay.refuse(true);
    let connector = ssh_at(&sshd, relay.addr().port(), "true");
    refused(&connector, LinkErrorKind::Unreachable).await;
}

#[tokio::test]
async fn a_silent_host_is_given_up_in_the_time_that_is_set() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let relay = Relay::start(sshd.addr()).await.unwrap();
    relay.silence();
    let connector = ssh_at(&sshd, relay.addr().port(), "true");
    let connector = connector.connect_timeout(Duration::from_secs(1));
    let error = refused(&connector, LinkErrorKind::Unreachable).await;
    assert!(error.message.contains("timed out"), "{error}");
}

#[tokio::test]
async fn reports_a_changed_host_key_and_does_not_bypass_it() {
    needs!("ssh", "sshd", "ps");
    let (known, other) = (sshd(), sshd());
    let connector = ssh_at(&known, other.addr().port(), "true");
    let error = refused(&connector, LinkErrorKind::HostKey).await;
    assert!(error.message.contains("has changed"), "{error}");
    assert!(error.message.contains("known_hosts"), "{error}");
}

#[tokio::test]
async fn reports_an_unknown_host_key_without_asking() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let asking = ["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=ask"];
    let connector = SshConnect::new(sshd.destination(), "true")
        .options(asking)
        .options(sshd.ssh_options(sshd.addr().port()));
    let error = refused(&connector, LinkErrorKind::HostKey).await;
    assert!(error.message.contains("is unknown"), "{error}");
}

#[tokio::test]
async fn a_reconnect_without_a_key_needs_the_user() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let connector = SshConnect::new(sshd.destination(), "true")
        .options(["-o", "IdentityFile=none", "-o", "PubkeyAuthentication=no"])
        .options(sshd.ssh_options(sshd.addr().port()));
    let error = refused(&connector, LinkErrorKind::NeedsUser).await;
    assert!(error.message.contains("Permission denied"), "{error}");
}

#[tokio::test]
async fn a_reconnect_with_a_key_that_has_a_passphrase_needs_the_user_and_asks_nobody() {
    needs!("ssh", "sshd", "ps");
    let sshd = sshd();
    let mut options = sshd.ssh_options(sshd.addr().port());
    let key = options.iter().position(|option| option == "-i").unwrap() + 1;
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    fs::copy(&options[key], &locked).unwrap();
    let keygen = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "secret", "-f"])
        .arg(&locked)
        .status();
    assert!(keygen.unwrap().success());
    options[key] = locked.into();
    let connector = SshConnect::new(sshd.destination(), "true").options(options);
    refused(&connector, LinkErrorKind::NeedsUser).await;
}

#[tokio::test]
async fn reports_a_missing_ssh_at_once() {
    needs!("ssh", "sshd", "ps");
    let connector = SshConnect::new("127.0.0.1", "true").program("/nonexistent/ssh");
    let error = connector.connect(Attempt::First).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::ProgramMissing);
    assert!(error.message.contains("/nonexistent/ssh"), "{error}");
}

#[tokio::test]
async fn an_account_for_file_transfer_only_is_refused_or_closed_without_harm() {
    needs!("ssh", "sshd", "ps");
    let forced = "printf 'This service allows sftp connections only.\\n' >&2; exit 1";
    let sshd = Sshd::builder().force_command(forced).start().unwrap();
    refused(&ssh(&sshd, "rejoin-server attach"), LinkErrorKind::Refused).await;
}

#[tokio::test]
async fn a_destination_is_never_taken_for_an_option() {
    needs!("ssh", "sshd", "ps");
    let dir = tempfile::tempdir().unwrap();
    let witness = dir.path().join("witness");
    let destination = format!("-oProxyCommand=touch {}", witness.display());
    let connector = SshConnect::new(destination, "true").options(["-F", "none"]);
    why_it_ends(&connector, Attempt::Reconnect).await;
    assert!(!witness.exists());
}

/// A fifo, what a shell does to hold it open for as long as it lives, and its end of file as an event.
struct Witness {
    dir: tempfile::TempDir,
}

impl Witness {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new("mkfifo").arg(dir.path().join("fifo")).status();
        assert!(made.unwrap().success());
        Self { dir }
    }

    /// A proxy that says nothing and outlasts what the test waits for.
    fn hanging_proxy(&self) -> [String; 2] {
        let fifo = self.dir.path().join("fifo");
        ["-o".into(), format!("ProxyCommand=sleep 60 3>{}", fifo.display())]
    }

    /// Ends once a proxy has started, and yields what ends once it is gone.
    async fn started(&self) -> impl Future<Output = ()> + use<> {
        let path = self.dir.path().join("fifo");
        let opened = tokio::task::spawn_blocking(|| fs::File::open(path));
        let mut fifo = in_time("the proxy", opened).await.unwrap().unwrap();
        let ended = tokio::task::spawn_blocking(move || fifo.read_to_end(&mut Vec::new()));
        async { assert_eq!(in_time("the end of the proxy", ended).await.unwrap().unwrap(), 0) }
    }
}

#[tokio::test]
async fn a_proxy_that_hangs_is_given_up_in_the_time_that_is_set_and_ends() {
    needs!("ssh", "sshd", "ps");
    let witness = Witness::new();
    let connector = SshConnect::new("host", "true")
        .options(["-F", "none"])
        .options(witness.hanging_proxy())
        .connect_timeout(Duration::from_secs(1));
    let (ended, _) =
        tokio::join!(witness.started(), refused(&connector, LinkErrorKind::Unreachable));
    ended.await;
}

#[tokio::test]
async fn a_link_dropped_while_its_proxy_hangs_leaves_no_proxy() {
    needs!("ssh", "sshd", "ps");
    let witness = Witness::new();
    let connector =
        SshConnect::new("host", "true").options(["-F", "none"]).options(witness.hanging_proxy());
    let link = connect(&connector, Attempt::Reconnect).await;
    let ended = witness.started().await;
    drop(link);
    ended.await;
}
