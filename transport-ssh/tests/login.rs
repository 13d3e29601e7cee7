//! Hosts that let their user in, and do not run the command.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::deploy::Deployed;
use common::{Echo, ssh, sshd, until, why_it_ends};
use rejoin_ssh::{Attempt, DeployTimeouts, LinkErrorKind};
use rejoin_testing::needs;
use rejoin_testing::{Sshd, make_program};

const SHORT: Duration = Duration::from_secs(1);
/// Long enough for a look or two at what ssh does.
const LOOKS: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn gives_up_a_host_that_is_silent_after_the_login() {
    needs!("ssh", "sshd", "ps");
    // sshd leaves the command running, and this one wants a whole processor.
    let greedy = "exec </dev/zero; exec timeout 20 cat >/dev/null";
    for start_up in ["exec sleep 1000", greedy, "exec sh"] {
        let sshd = Sshd::builder().force_command(start_up).start().unwrap();
        let logins = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&logins);
        let connector =
            ssh(&sshd, "echo there").login_timeout(SHORT).on_slow_start(SHORT / 2, move || {
                told.fetch_add(1, Ordering::Relaxed);
            });
        let error = why_it_ends(&connector, Attempt::First).await;
        assert_eq!(error.kind, LinkErrorKind::Other, "{start_up}");
        let told = "you are logged in, but the login shell did not run the command in time";
        assert!(error.message.starts_with(told), "{start_up}: {}", error.message);
        assert_eq!(logins.load(Ordering::Relaxed), 1, "{start_up}");
    }
}

#[tokio::test]
async fn a_question_of_sshs_is_no_silence_of_the_host() {
    needs!("ssh", "sshd", "ps", "ssh-keygen");
    let sshd = sshd();
    let home = sshd.home();
    let [ask, asked, go, program] = ["ask", "asked", "go", "ssh"].map(|name| home.join(name));
    let (waits, says) = (go.display(), asked.display());
    let script = format!(
        "#!/bin/sh\n: > '{says}'\nuntil [ -e '{waits}' ]; do sleep 0.05; done\necho secret\n"
    );
    make_program(&ask, script).unwrap();
    let exports = format!("export SSH_ASKPASS='{}' SSH_ASKPASS_REQUIRE=force", ask.display());
    make_program(&program, format!("#!/bin/sh\n{exports}\nexec ssh \"$@\"\n")).unwrap();
    let key = home.with_file_name("user_key");
    let mut keygen = std::process::Command::new("ssh-keygen");
    let locked = keygen.args(["-q", "-p", "-P", "", "-N", "secret", "-f"]).arg(&key).status();
    assert!(locked.unwrap().success());
    let is_early = Arc::new(AtomicUsize::new(0));
    let (early, waits) = (Arc::clone(&is_early), go.clone());
    let connector = ssh(&sshd, "exec cat").program(&program).login_timeout(SHORT);
    let connector = connector.on_slow_start(Duration::ZERO, move || {
        early.fetch_add(usize::from(!waits.exists()), Ordering::Relaxed);
    });
    let question = async {
        until("ssh asks", || asked.exists()).await;
        let since = Instant::now();
        until("ssh was looked at", || since.elapsed() > LOOKS).await;
        fs::write(&go, "").unwrap();
    };
    let (mut echo, ()) = tokio::join!(Echo::start(&connector, Attempt::First), question);
    echo.say(b"there").await;
    assert_eq!(is_early.load(Ordering::Relaxed), 0, "nobody was let in before the answer");
}

#[tokio::test]
async fn noise_of_a_login_shell_that_runs_nothing_is_waited_for_as_long_as_any_login() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("echo noise; exec sleep 1000");
    let patience = DeployTimeouts { login: SHORT, ..DeployTimeouts::default() };
    let error = host.fails(&host.patient(patience), LinkErrorKind::Other).await;
    let told = "the login shell did not run the command within ";
    assert!(error.message.starts_with(told), "{}", error.message);
    assert!(error.message.ends_with("it printed: noise"), "{}", error.message);
}

#[tokio::test]
async fn noise_beyond_the_limit_names_the_limit() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced(
        "head -c 200000 /dev/zero | tr '\\0' x; echo; eval \"$SSH_ORIGINAL_COMMAND\"",
    );
    let error = host.first_fails(LinkErrorKind::Other).await;
    let told = "the login shell printed more than 64 KiB before it ran the command";
    assert!(
        error.message.starts_with(told) && error.message.ends_with("xxxx"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_program_is_put_on_a_host_whose_start_up_files_lose_the_path() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("PATH=~/few; eval \"$SSH_ORIGINAL_COMMAND\"");
    let few = host.sshd.home().join("few");
    fs::create_dir(&few).unwrap();
    // What the program itself needs.
    for name in ["cat", "env", "grep"] {
        make_program(&few.join(name), format!("#!/bin/sh\nexec /usr/bin/{name} \"$@\"\n")).unwrap();
    }
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    let place = common::deploy::runs(&connector, Attempt::First).await;
    assert_eq!(common::deploy::runs(&connector, Attempt::Reconnect).await, place);
}

#[tokio::test]
async fn explains_problems_of_start_up_files() {
    needs!("ssh", "sshd", "ps");
    for (start_up, told) in [
        ("exec </dev/null", "the login shell gives its commands no input"),
        ("ulimit -n 16", "the host allows only 16 open files, and rejoin-server needs 32"),
        ("ulimit -n 6", "the host allows only 6 open files, and rejoin-server needs 32"),
    ] {
        let host = Deployed::forced(&format!("{start_up}; eval \"$SSH_ORIGINAL_COMMAND\""));
        let error = host.first_fails(LinkErrorKind::Other).await;
        assert!(error.message.starts_with(told), "{start_up}: {}", error.message);
    }
}
