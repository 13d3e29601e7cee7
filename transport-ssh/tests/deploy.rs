//! A server program that is put on a host over a real sshd.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, File, FileTimes};
use std::process::Command;
use std::time::Duration;

use common::deploy::{Deployed, Programs, assert_private, runs, through};
use common::in_time;
use rejoin_ssh::{Attempt, Connect as _, DeployEvent, LinkErrorKind};
use rejoin_testing::needs;
use rejoin_testing::{Relay, are_installed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn uploads_with_the_first_link_and_only_runs_later() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let deployment = host.deployment();
    let place = runs(&host.connector(&deployment), Attempt::First).await;
    assert_eq!(place, host.file().to_str().unwrap());
    let folder = host.folder().to_str().unwrap().to_owned();
    let total = fs::metadata(host.file()).unwrap().len();
    assert_eq!(host.news(), [DeployEvent::Installing { folder, total }, DeployEvent::Installed]);
    for attempt in [Attempt::First, Attempt::Reconnect] {
        assert_eq!(runs(&host.connector(&deployment), attempt).await, place);
    }
    assert_eq!(host.first().await, place);
    assert_eq!(host.news(), []);
    assert_eq!(host.sshd.log().iter().filter(|line| line.contains("Accepted")).count(), 4);
    assert_private(&host.file());
    assert_private(&host.folder());
}

#[tokio::test]
async fn every_login_shell_will_do_and_may_print_what_it_likes() {
    needs!("ssh", "sshd", "ps");
    for shell in ["sh", "bash", "dash", "zsh", "fish", "csh", "tcsh"] {
        if !are_installed(&[shell]) {
            continue;
        }
        let host = Deployed::forced(&format!(
            "printf 'hello\\nrejoin-0 ready 0 Linux x\\n\\033]0;x\\007no end'; echo oh >&2; \
             exec {shell} -c \"$SSH_ORIGINAL_COMMAND\""
        ));
        let deployment = host.deployment();
        let first = runs(&host.connector(&deployment), Attempt::First).await;
        assert_eq!(first, host.file().to_str().unwrap(), "{shell}");
        assert_eq!(runs(&host.connector(&deployment), Attempt::Reconnect).await, first, "{shell}");
        assert_eq!(host.uploads(), 1, "{shell}");
    }
}

/// Each as `/bin/sh`, whose place the command names.
#[tokio::test]
async fn every_bourne_shell_can_read_the_scripts() {
    needs!("ssh", "sshd", "ps");
    for shell in ["dash", "bash", "busybox sh"] {
        if !are_installed(&[shell.split(' ').next().unwrap()]) {
            continue;
        }
        let host = Deployed::forced(&through(shell));
        let deployment = host.deployment();
        let first = runs(&host.connector(&deployment), Attempt::First).await;
        assert_eq!(runs(&host.connector(&deployment), Attempt::Reconnect).await, first, "{shell}");
        fs::write(host.file(), "exit 7").unwrap();
        assert_eq!(host.first().await, first, "{shell}");
        assert_eq!(host.uploads(), 2, "{shell}");
    }
}

#[tokio::test]
async fn a_file_that_has_the_name_and_not_the_content_is_replaced() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let place = host.first().await;
    let whole = fs::read(host.file()).unwrap();
    let altered = [&whole[..whole.len() - 1], b"x"].concat();
    for content in [&b""[..], &whole[..20], &altered, b"\x7fELF", &[0; 500]] {
        host.news();
        fs::write(host.file(), content).unwrap();
        assert_eq!(host.first().await, place);
        assert_eq!(host.uploads(), 1);
        assert!(fs::read(host.file()).unwrap() == whole);
    }
}

#[tokio::test]
async fn a_program_that_does_not_speak_is_looked_at_by_the_next_link() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("echo noise; exec sh -c \"$SSH_ORIGINAL_COMMAND\"");
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    let place = runs(&connector, Attempt::First).await;
    let whole = fs::read(host.file()).unwrap();
    let broken: [&dyn Fn(); 5] = [
        &|| fs::remove_file(&place).unwrap(),
        &|| fs::write(&place, "").unwrap(),
        &|| fs::write(&place, "#!/bin/sh\nkill -SEGV $$\n").unwrap(),
        &|| fs::write(&place, "#!/no/such/loader\n").unwrap(),
        &|| fs::write(&place, "\x7fELF").unwrap(),
    ];
    for damage in broken {
        host.news();
        damage();
        let link = in_time("connect", connector.connect(Attempt::Reconnect)).await.unwrap();
        let (mut reader, writer, guard) = link.into_parts();
        let mut heard = Vec::new();
        in_time("the end", reader.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, b"noise\n");
        drop((reader, writer));
        in_time("the post-mortem", guard.post_mortem()).await;
        assert_eq!(runs(&connector, Attempt::Reconnect).await, place);
        assert_eq!(host.uploads(), 1);
        assert!(fs::read(&place).unwrap() == whole);
    }
}

#[tokio::test]
async fn a_program_that_is_gone_is_no_matter_for_a_person() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    fs::remove_file(runs(&connector, Attempt::First).await).unwrap();
    let error = common::why_it_ends(&connector, Attempt::Reconnect).await;
    assert_eq!(error.kind, LinkErrorKind::Closed);
    assert!(error.message.contains("rejoin-server-1.2.3-"), "{error}");
    assert!(error.message.ends_with("rejoin uploads it again on the next connection"), "{error}");
}

#[tokio::test]
async fn others_files_and_links_are_no_programs() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let place = host.first().await;
    let elsewhere = host.sshd.home().join("elsewhere");
    let spoil: [&dyn Fn(); 3] = [
        &|| {
            fs::rename(&place, &elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        },
        &|| run("chmod", &["g+w", &place]),
        &|| run("chmod", &["a-x", &place]),
    ];
    for spoil in spoil {
        host.news();
        spoil();
        assert_eq!(host.first().await, place);
        assert_eq!(host.uploads(), 1);
        assert_private(&host.file());
        assert!(!host.file().is_symlink());
    }
    for (spoil, reason) in [
        ("chmod g+w \"$0\"", "other users may write there"),
        ("mv \"$0\" \"$0\"-; ln -s \"$0\"- \"$0\"", "it is a symbolic link"),
    ] {
        host.news();
        run("sh", &["-c", spoil, host.folder().to_str().unwrap()]);
        let other = host.first().await;
        assert!(other.starts_with(host.sshd.home().join(".cache/rejoin/").to_str().unwrap()));
        let what = format!("{}: {reason}", host.folder().display());
        assert!(host.news().contains(&DeployEvent::Refused { what }));
        fs::remove_dir_all(host.sshd.home().join(".cache")).unwrap();
    }
}

#[track_caller]
fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().unwrap().success());
}

#[tokio::test]
async fn clients_that_come_at_once_all_succeed() {
    needs!("ssh", "sshd", "ps");
    let mut host = Deployed::start();
    host.programs = Programs::echo(&host.programs.folder, 300_000);
    let places = tokio::join!(host.first(), host.first(), host.first());
    assert_eq!(places, (places.0.clone(), places.0.clone(), places.0.clone()));
    assert_eq!(places.0, host.file().to_str().unwrap());
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_nothing_and_is_made_again() {
    needs!("ssh", "sshd", "ps");
    let mut host = Deployed::start();
    host.programs = Programs::echo(&host.programs.folder, 2_000_000);
    let relay = Relay::start(host.sshd.addr()).await.unwrap();
    host.port = relay.addr().port();
    relay.cut_plan(|link| (link == 0).then_some(700_000));
    let error = host.connector(&host.deployment());
    let error = in_time("the cut", error.connect(Attempt::First)).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::Closed, "{error:?}");
    assert_eq!(host.uploads(), 1);
    common::until("the temporary file is gone", || host.names().is_empty()).await;
    assert_eq!(host.first().await, host.file().to_str().unwrap());
}

#[tokio::test]
async fn a_client_that_gives_up_leaves_nothing() {
    needs!("ssh", "sshd", "ps");
    let mut host = Deployed::start();
    host.programs = Programs::echo(&host.programs.folder, 2_000_000);
    let relay = Relay::start(host.sshd.addr()).await.unwrap();
    host.port = relay.addr().port();
    let connector = host.connector(&host.deployment());
    let mut connect = connector.connect(Attempt::First);
    let is_begun = common::until("a temporary file is there", || !host.names().is_empty());
    tokio::select! {
        _ = &mut connect => panic!("it was to be seen before its end"),
        () = is_begun => relay.silence(),
    }
    drop(connect);
    relay.resume();
    relay.cut_all_reset();
    common::until("the temporary file is gone", || {
        host.names().iter().all(|name| !name.starts_with('.'))
    })
    .await;
}

#[tokio::test]
async fn other_versions_are_removed_unless_they_run_or_were_used_lately() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    fs::create_dir_all(host.folder()).unwrap();
    run("chmod", &["700", host.folder().to_str().unwrap()]);
    let aged = |name: &str, hours: u64| {
        let path = host.folder().join(name);
        run("cp", &["/bin/sleep", path.to_str().unwrap()]);
        let file = File::open(&path).unwrap();
        let then = file.metadata().unwrap().modified().unwrap() - Duration::from_hours(hours);
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
        path
    };
    let running = aged("rejoin-server-0.9.0-0123456789abcdef", 100);
    aged("rejoin-server-0.9.1-0123456789abcdef", 100);
    aged("rejoin-server-0.9.2-0123456789abcdef", 1);
    aged(".rejoin-1-abc", 2);
    aged(".rejoin-2-abc", 0);
    aged("notes", 100);
    let mut child = Command::new(running).arg("1000").spawn().unwrap();
    let place = host.first().await;
    child.kill().unwrap();
    child.wait().unwrap();
    let name = place.rsplit('/').next().unwrap();
    let left = [
        ".rejoin-2-abc",
        "notes",
        "rejoin-server-0.9.0-0123456789abcdef",
        "rejoin-server-0.9.2-0123456789abcdef",
        name,
    ];
    assert_eq!(host.names(), left);
}

#[tokio::test]
async fn what_is_written_before_the_program_runs_waits_for_it() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let link = host.connector(&host.deployment()).connect(Attempt::Reconnect).await.unwrap();
    let (mut reader, mut writer, _guard) = link.into_parts();
    let bytes = common::wild_bytes(100_000, &mut rejoin_testing::Random::from_env());
    let mut back = vec![0; bytes.len()];
    let both = async {
        let mut greeting = Vec::new();
        while !greeting.ends_with(b"\n") {
            greeting.push(reader.read_u8().await?);
        }
        tokio::try_join!(writer.write_all(&bytes), reader.read_exact(&mut back))
    };
    in_time("the echo", both).await.unwrap();
    assert!(back == bytes);
}
