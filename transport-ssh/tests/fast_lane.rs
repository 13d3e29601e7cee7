//! Links over the fast lane, to a private sshd, with a private agent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::process::Command;

use common::lane::{Lane, OURS, echo, failure};
use common::{Echo, in_time, ssh_at, until, wild_bytes};
use rejoin_ssh::{Attempt, Connect as _, FastLaneEvent, Ineligible, LinkErrorKind};
use rejoin_testing::needs;
use rejoin_testing::{Direction, Fault, Piece, Random, Sshd, make_program};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_link_over_the_fast_lane_carries_any_bytes_both_ways() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    assert!(connector.fast().is_none(), "nothing is predicted before it was learnt");
    lane.learn(&connector).await;
    assert_eq!(lane.logins(), 1);
    let mut echo = echo(&connector).await;
    echo.say(&wild_bytes(3 << 20, &mut Random::from_env())).await;
    lane.until_logged(OURS, 2).await;
    drop(echo);
    until("the connection ends", || lane.sshd.sessions().unwrap().is_empty()).await;
}

#[tokio::test]
async fn reports_the_end_of_a_fast_link_like_that_of_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let (told, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let connector = lane
        .connector("echo on stderr >&2; cat; echo the end; exit 127")
        .on_stderr(move |attempt, line| drop(told.send((attempt, line.to_owned()))));
    lane.learn(&connector).await;
    let Echo { mut reader, mut writer, guard } = echo(&connector).await;
    let expected = (Attempt::Reconnect, "on stderr".to_owned());
    // This sshd, which logs much, logs to the same place.
    while in_time("a line on stderr", lines.recv()).await.unwrap() != expected {}
    writer.write_all(b"hello ").await.unwrap();
    writer.shutdown().await.unwrap();
    let mut said = String::new();
    in_time("the end", reader.read_to_string(&mut said)).await.unwrap();
    assert_eq!(said, "hello the end\n");
    let error = in_time("the post-mortem", guard.post_mortem()).await;
    assert_eq!(error.kind, LinkErrorKind::ServerMissing, "{error:?}");
    let mut cut = echo(&connector).await;
    cut.say(b"started").await;
    lane.relay.cut_all_reset();
    let error = cut.why_it_ended().await;
    assert_eq!(error.kind, LinkErrorKind::Closed, "{error:?}");
}

#[tokio::test]
async fn sends_only_a_key_exchange_to_another_host_key_and_forgets_the_host() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let mut lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.sshd.change_host_key().unwrap();
    let before = lane.sshd.log().len();
    let error = failure(&connector).await;
    assert_eq!(error.message, "the host key differs from the one that ssh accepted");
    assert!(connector.fast().is_none());
    until("the connection ends", || lane.sshd.sessions().unwrap().is_empty()).await;
    let log = lane.sshd.log().split_off(before);
    assert!(log.iter().any(|line| line.contains(OURS)), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("userauth")), "{log:#?}");
    assert_eq!(lane.news()[1], FastLaneEvent::OtherHost);
    // Once: it is not learnt again for a while.
    connector.learn();
    assert_eq!(lane.news().len(), 2);
}

#[tokio::test]
async fn distrusts_a_host_key_that_ssh_no_longer_accepts() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let mut lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.sshd.change_host_key().unwrap();
    let error = common::why_it_ends(&connector, Attempt::Reconnect).await;
    assert_eq!(error.kind, LinkErrorKind::HostKey, "{error:?}");
    assert!(connector.fast().is_none());
}

#[tokio::test]
async fn forgets_a_server_with_other_methods() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let mut lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.sshd.reconfigure("KexAlgorithms ecdh-sha2-nistp256").unwrap();
    failure(&connector).await;
    assert!(connector.fast().is_none());
    // What is left to ssh works as ever.
    Echo::start(&connector, Attempt::Reconnect).await;
}

#[tokio::test]
async fn fails_before_contacting_the_host_if_the_agent_is_slow_or_gone() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.agent.set_stopped(true).unwrap();
    let error = failure(&connector).await;
    assert!(error.message.starts_with("the key did not sign: the ssh agent: "), "{error}");
    lane.agent.set_stopped(false).unwrap();
    echo(&connector).await.say(b"the agent is back").await;
    fs::remove_file(lane.agent.socket()).unwrap();
    let error = failure(&connector).await;
    assert!(error.message.starts_with("the key did not sign: the ssh agent: "), "{error}");
    lane.until_logged(OURS, 2).await;
    assert_eq!(lane.logins(), 2);
    // It has the key in a file, too.
    Echo::start(&connector, Attempt::Reconnect).await;
}

#[tokio::test]
async fn without_an_agent_a_key_in_a_file_signs() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let lane = Lane::start().await;
    let connector = lane.configured("exec cat", &["-o", "IdentityAgent=none"]);
    lane.learn(&connector).await;
    echo(&connector).await.say(b"signed").await;
    // With a passphrase it is of use to ssh alone, which nobody could tell beforehand.
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(lane.sshd.user_key());
    assert!(command.status().unwrap().success());
    let error = failure(&connector).await;
    assert!(error.message.contains("it has a passphrase"), "{error}");
    assert_eq!(lane.logins(), 2);
}

#[tokio::test]
async fn an_rsa_key_in_a_file_signs_by_the_scheme_that_ssh_is_allowed() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let lane = Lane::start().await;
    let key = lane.sshd.user_key().with_file_name("rsa_key");
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f"]).arg(&key);
    assert!(command.status().unwrap().success());
    fs::copy(key.with_extension("pub"), key.with_file_name("authorized_keys")).unwrap();
    let identity = format!("IdentityFile={}", key.display());
    let options = ["IdentityAgent=none", "PubkeyAcceptedAlgorithms=rsa-sha2-256", &identity];
    let options = options.map(|option| ["-o", option]);
    let connector = lane.configured("exec cat", options.as_flattened());
    lane.learn(&connector).await;
    echo(&connector).await.say(b"signed").await;
}

#[tokio::test]
async fn learns_again_without_contacting_the_host_when_the_key_left_the_agent() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.agent.remove_all().unwrap();
    let error = failure(&connector).await;
    assert_eq!(error.message, "the key is no longer available");
    assert!(connector.fast().is_none());
    assert_eq!(lane.logins(), 1);
}

#[tokio::test]
async fn a_host_that_takes_no_key_is_tried_once() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let builder = Sshd::builder().config_line("PubkeyAuthentication no");
    let lane = Lane::to(builder.config_line("PasswordAuthentication yes")).await;
    let connector = lane.connector("exec cat");
    let why = in_time("a check", connector.check_fast_lane()).await.unwrap_err();
    assert!(matches!(why, Ineligible::Login(_)), "{why:?}");
    connector.learn();
    assert_eq!((lane.news().len(), lane.logins()), (1, 0));
}

#[tokio::test]
async fn learns_a_server_with_better_methods_again_and_sends_it_nothing() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let plain = "curve25519-sha256";
    let builder = Sshd::builder().config_line(format!("KexAlgorithms {plain}"));
    let mut lane = Lane::to(builder).await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    let better = format!("KexAlgorithms sntrup761x25519-sha512@openssh.com,{plain}");
    lane.sshd.reconfigure(&better).unwrap();
    let before = lane.sshd.log().len();
    let error = failure(&connector).await;
    assert_eq!(error.message, "the host's ssh server has changed");
    assert!(connector.fast().is_none());
    until("the connection ends", || lane.sshd.sessions().unwrap().is_empty()).await;
    let log = lane.sshd.log().split_off(before);
    assert!(!log.iter().any(|line| line.contains("userauth")), "{log:#?}");
}

/// Another one of the user's keys, which the host admits, too.
#[tokio::test]
async fn a_host_cannot_name_a_key_that_ssh_would_not_use_with_it() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let dir = tempfile::tempdir().unwrap();
    let (other, say) = (dir.path().join("other"), dir.path().join("say"));
    let run = |words: &[&str]| Command::new("ssh-keygen").args(words).output().unwrap().stdout;
    run(&["-q", "-t", "ed25519", "-N", "", "-f", other.to_str().unwrap()]);
    let told = run(&["-l", "-f", other.to_str().unwrap()]);
    let fingerprint = str::from_utf8(&told).unwrap().split(' ').nth(1).unwrap();
    let accepted = format!("debug1: Server accepts key: {} ED25519 {fingerprint}", other.display());
    for place in ["", " agent"] {
        let lane = Lane::to(Sshd::builder().force_command(&format!("sh {}", say.display()))).await;
        fs::write(&say, format!("echo '{accepted}{place}' >&2")).unwrap();
        let authorized = lane.sshd.user_key().with_file_name("authorized_keys");
        let admitted =
            [&authorized, &other.with_extension("pub")].map(|path| fs::read(path).unwrap());
        fs::write(&authorized, admitted.concat()).unwrap();
        lane.agent.add(&other).unwrap();
        let connector = lane.connector("exec cat");
        connector.learn();
        until("it is told", || !lane.news().is_empty()).await;
        assert_eq!(lane.news()[..], [FastLaneEvent::Ineligible(Ineligible::NoKey)], "{place}");
        assert_eq!(lane.logins(), 0);
    }
}

/// What a host runs here sees what any account of this machine does.
#[tokio::test]
async fn keeps_the_secret_word_off_command_lines() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let dir = tempfile::tempdir().unwrap();
    let (seen, look) = (dir.path().join("seen"), dir.path().join("look"));
    fs::write(&look, format!("ps -A -ww -o args= >>'{}'", seen.display())).unwrap();
    let lane = Lane::to(Sshd::builder().force_command(&format!("sh {}", look.display()))).await;
    lane.learn(&lane.connector("exec cat")).await;
    let seen = fs::read_to_string(&seen).unwrap();
    assert!(seen.contains("KnownHostsCommand="), "{seen}");
    let is_word = |word: &&str| word.len() >= 32 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let of_ssh = seen.lines().filter(|line| line.contains("KnownHostsCommand="));
    let words = of_ssh.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
    assert_eq!(words.filter(is_word).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn a_connection_that_is_refused_or_never_answered_says_nothing_about_the_host() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.relay.silence();
    let error = failure(&connector).await;
    assert_eq!(error.kind, LinkErrorKind::Unreachable, "{error:?}");
    lane.relay.resume();
    echo(&connector).await.say(b"still known").await;
}

#[tokio::test]
async fn a_host_that_is_too_busy_to_identify_itself_is_still_known() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let mut lane = Lane::start().await;
    let connector = lane.connector("exec cat");
    lane.learn(&connector).await;
    lane.sshd.reconfigure("MaxStartups 1").unwrap();
    // Somebody who has the only place, and does not log in.
    let place = tokio::net::TcpStream::connect(lane.sshd.addr()).await.unwrap();
    for _ in 0..4 {
        failure(&connector).await;
    }
    drop(place);
    lane.sshd.reconfigure("MaxStartups 10").unwrap();
    echo(&connector).await.say(b"still known").await;
}

#[tokio::test]
async fn a_connection_that_is_lost_says_nothing_about_the_host_until_the_third_in_a_row() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    // Within what the server is like, and within its half of the key exchange.
    for bytes in [100, 1500] {
        let lane = Lane::start().await;
        let connector = lane.connector("exec cat");
        let cut = move |piece: &mut Piece| {
            (piece.way == Direction::ToClient && piece.ends_at(bytes)).then_some(Fault::Reset)
        };
        lane.learn(&connector).await;
        for _ in 0..2 {
            lane.relay.intercept(cut);
            let error = failure(&connector).await;
            assert_eq!(error.kind, LinkErrorKind::Unreachable, "{error:?}");
            lane.relay.intercept(|_| None);
        }
        echo(&connector).await.say(b"as if nothing had been").await;
        // A reset may be faster than what the host has said, and then it is as if it had said nothing.
        let mut failures = 0;
        lane.relay.intercept(cut);
        while connector.fast().is_some() {
            failure(&connector).await;
            failures += 1;
        }
        assert!(failures >= 3, "{failures}");
        lane.relay.intercept(|_| None);
        Echo::start(&connector, Attempt::Reconnect).await;
    }
}

async fn why_not(lane: &Lane, options: &[&str]) -> Ineligible {
    let connector = lane.configured("exec cat", options);
    in_time("a check", connector.check_fast_lane()).await.unwrap_err()
}

#[tokio::test]
async fn reports_unsupported_settings_and_uses_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let options = |setting| ["-o", setting];
    assert_eq!(why_not(&lane, &["-J", "gate"]).await, Ineligible::Route);
    assert_eq!(why_not(&lane, &options("CheckHostIP=yes")).await, Ineligible::Route);
    let keyless = ["-o", "IdentityAgent=none", "-o", "IdentityFile=/none"];
    let keyless = lane.without_file("exec cat", &keyless);
    let why = in_time("a check", keyless.check_fast_lane()).await;
    assert_eq!(why, Err(Ineligible::NoAgent));
    let own = options("KnownHostsCommand=/bin/true %H");
    assert_eq!(why_not(&lane, &own).await, Ineligible::Setting("KnownHostsCommand"));
    let old = options("KexAlgorithms=diffie-hellman-group14-sha256");
    assert_eq!(why_not(&lane, &old).await, Ineligible::Methods);
    let strict = options("HostKeyAlias=somebody-else");
    assert!(matches!(why_not(&lane, &strict).await, Ineligible::Login(_)));
    assert_eq!(lane.logins(), 0);
    let off = ssh_at(&lane.sshd, lane.sshd.addr().port(), "exec cat");
    assert_eq!(off.check_fast_lane().await, Err(Ineligible::Off));
}

#[tokio::test]
async fn reports_an_ssh_without_known_hosts_command() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let lane = Lane::start().await;
    let old = lane.sshd.home().join("ssh");
    // As 8.4 tells its configuration.
    let script = "#!/bin/sh\nssh \"$@\" | sed '/^pubkeyacceptedalgorithms/d; s/^checkhostip.*/checkhostip yes/'\n";
    make_program(&old, script).unwrap();
    let connector = lane.connector("exec cat").program(old);
    let why = in_time("a check", connector.check_fast_lane()).await;
    assert_eq!(why, Err(Ineligible::NoPin));
}

#[tokio::test]
async fn a_host_that_wants_more_than_a_key_is_left_to_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let builder = Sshd::builder().config_line("AuthenticationMethods publickey,publickey");
    let lane = Lane::to(builder).await;
    let why = why_not(&lane, &[]).await;
    assert!(matches!(why, Ineligible::Login(_) | Ineligible::Learning(_)), "{why:?}");
}

#[tokio::test]
async fn a_plain_curve_is_used_where_ssh_uses_one_and_a_host_that_wants_new_keys_ends_the_link() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let builder = Sshd::builder().config_line("RekeyLimit 1M");
    let lane = Lane::to(builder.config_line("KexAlgorithms curve25519-sha256")).await;
    let connector = lane.connector("head -c 4000000 /dev/zero; exec cat");
    lane.learn(&connector).await;
    let error = echo(&connector).await.why_it_ended().await;
    assert_eq!(error.message, "the host requested new keys, which only ssh can negotiate");
}
