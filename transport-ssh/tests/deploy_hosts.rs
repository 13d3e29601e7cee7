//! Hosts on which a server program cannot be put everywhere, or not at all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, FileTimes};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use common::deploy::{Deployed, Programs, SHORT, can_mount, in_namespace, platform, runs};
use rejoin_ssh::{Attempt, DeployEvent, LinkErrorKind};
use rejoin_testing::make_program;
use rejoin_testing::needs;

/// The folders that were refused, with their reasons.
fn refused(host: &Deployed) -> Vec<String> {
    let what = |told| match told {
        DeployEvent::Refused { what } => Some(what),
        _ => None,
    };
    host.news().into_iter().filter_map(what).collect()
}

/// With `setup` done to `~/.local/share`, the program goes to another folder.
async fn goes_elsewhere(setup: &str, padding: usize, reason: &str) {
    if !can_mount() {
        return;
    }
    let setup = format!("share=$HOME/.local/share; mkdir -p $share/rejoin; {setup}");
    let mut host = Deployed::forced(&in_namespace(&setup));
    host.programs = Programs::echo(&host.programs.folder, padding);
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    let place = runs(&connector, Attempt::First).await;
    let cache = host.sshd.home().join(".cache/rejoin");
    assert_eq!(Path::new(&place).parent(), Some(&*cache));
    assert_eq!(refused(&host), [format!("{}: {reason}", host.folder().display())]);
    assert_eq!(runs(&connector, Attempt::Reconnect).await, place);
    assert_eq!(host.first().await, place);
    assert_eq!(host.uploads(), 0);
    assert_eq!(fs::read_dir(cache).unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_is_read_only_is_passed_over() {
    needs!("ssh", "sshd", "ps", "unshare");
    goes_elsewhere("mount -t tmpfs -o ro tmpfs $share", 0, "Read-only file system").await;
    let setup = "mount -t tmpfs -o ro,mode=700 tmpfs $share/rejoin";
    goes_elsewhere(setup, 0, "Read-only file system").await;
}

#[tokio::test]
async fn a_folder_where_no_program_may_run_is_passed_over() {
    needs!("ssh", "sshd", "ps", "unshare");
    let reason = "programs cannot be run from there (noexec)";
    goes_elsewhere("mount -t tmpfs -o noexec tmpfs $share", 0, reason).await;
}

#[tokio::test]
async fn a_disk_that_is_full_before_the_end_is_passed_over_and_cleaned() {
    needs!("ssh", "sshd", "ps", "unshare");
    let reason = "No space left on device";
    goes_elsewhere("mount -t tmpfs -o size=64k tmpfs $share", 300_000, reason).await;
}

#[tokio::test]
async fn another_users_folder_is_passed_over() {
    needs!("ssh", "sshd", "ps", "unshare");
    let setup = "mount -t tmpfs tmpfs $share; mkdir $share/rejoin; chown 12345 $share/rejoin";
    goes_elsewhere(setup, 0, "it belongs to another user").await;
}

#[tokio::test]
async fn a_file_in_the_folders_place_is_passed_over() {
    needs!("ssh", "sshd", "ps", "unshare");
    let setup = "mount -t tmpfs tmpfs $share; touch $share/rejoin";
    goes_elsewhere(setup, 0, "File exists").await;
}

#[tokio::test]
async fn folders_outside_of_home_will_do_and_are_found_again() {
    needs!("ssh", "sshd", "ps", "unshare");
    if !can_mount() {
        return;
    }
    // Of a folder that every session sees: what is mounted there goes with its session.
    let setup = "mount --bind ~/tmp /var/tmp; mkdir -p ~/none; \
                 mount -t tmpfs -o ro tmpfs ~/none; export HOME=$HOME/none";
    let host = Deployed::forced(&in_namespace(setup));
    fs::create_dir(host.sshd.home().join("tmp")).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    let place = runs(&connector, Attempt::First).await;
    assert!(place.starts_with(&format!("/var/tmp/rejoin-{uid}/rejoin-server-")), "{place}");
    assert_eq!(runs(&connector, Attempt::Reconnect).await, place);
    assert_eq!(host.first().await, place);
    assert_eq!(host.uploads(), 1);
}

#[tokio::test]
async fn names_every_unsuitable_folder_with_its_reason() {
    needs!("ssh", "sshd", "ps", "unshare");
    if !can_mount() {
        return;
    }
    let setup = "mount -t tmpfs -o ro tmpfs /var/tmp; mount -t tmpfs -o noexec tmpfs /run; \
                 export XDG_RUNTIME_DIR=/run; mkdir -p ~/.cache; \
                 mount -t tmpfs -o size=16k tmpfs ~/.cache; touch ~/.rejoin ~/.local; \
                 mount -t tmpfs -o ro tmpfs /tmp";
    let mut host = Deployed::forced(&in_namespace(setup));
    host.programs = Programs::echo(&host.programs.folder, 100_000);
    let error = host.first_fails(LinkErrorKind::Undeployable).await;
    let uid = rustix::process::geteuid().as_raw();
    // Under /tmp, where the home folder of this test is, everything is hidden by then.
    for (folder, reason) in [
        (".local/share/rejoin", "Read-only file system"),
        (".cache/rejoin", "Read-only file system"),
        (".rejoin", "Read-only file system"),
        ("/run/rejoin", "programs cannot be run from there (noexec)"),
        (&format!("/var/tmp/rejoin-{uid}"), "Read-only file system"),
        (&format!("/tmp/rejoin-{uid}-bin"), "Read-only file system"),
    ] {
        let told = format!("{folder}: {reason}");
        assert!(error.message.contains(&told), "{told}\n{}", error.message);
        assert!(error.detail.iter().any(|line| line.ends_with(&told)), "{:?}", error.detail);
    }
}

#[tokio::test]
async fn a_host_of_another_kind_is_told_with_what_to_do() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced(
        "mkdir -p ~/bin; printf '#!/bin/sh\\necho Linux sparc64\\n' > ~/bin/uname; \
         chmod 755 ~/bin/uname; export PATH=~/bin:$PATH; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
    );
    let error = host.first_fails(LinkErrorKind::Undeployable).await;
    let told = "there is no server program for Linux sparc64: build one for sparc64";
    assert_eq!(error.message, told);
    assert!(host.names().is_empty());
    let mut other = host;
    other
        .programs
        .platforms
        .push(("Linux sparc64".to_owned(), other.programs.platforms[0].1.clone()));
    other.first().await;
}

#[tokio::test]
async fn reports_and_removes_a_program_that_does_not_run() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::start();
    let (_, program) = &host.programs.platforms[0];
    fs::write(program, "#!/bin/sh\necho 'no such library' >&2\nexit 1\n").unwrap();
    let error = host.first_fails(LinkErrorKind::Undeployable).await;
    assert!(error.message.contains("does not run on the host (no such library): build one"));
    common::until("nothing is left", || !host.folder().exists()).await;
}

/// A host whose `PATH` has these programs and no others.
fn host_with(programs: &[&str]) -> Deployed {
    let host = Deployed::forced("export PATH=$HOME/bin; eval \"$SSH_ORIGINAL_COMMAND\"");
    let bin = host.sshd.home().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in programs {
        let places = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(program));
        let place = places.into_iter().find(|path| path.exists());
        symlink(place.unwrap_or_else(|| panic!("{program}")), bin.join(program)).unwrap();
    }
    host
}

const LEAST: [&str; 17] = [
    "ls", "id", "uname", "dd", "head", "cat", "wc", "sleep", "mkdir", "chmod", "rm", "mv", "find",
    "touch", "env", "grep", "sh",
];

#[tokio::test]
async fn a_host_without_gzip_gets_the_bytes_as_they_are() {
    needs!("ssh", "sshd", "ps", "sha256sum");
    host_with(&[&LEAST[..], &["sha256sum"]].concat()).first().await;
}

#[tokio::test]
async fn any_program_for_sha_256_will_do() {
    needs!("ssh", "sshd", "ps", "openssl");
    let host = host_with(&[&LEAST[..], &["openssl", "gzip"]].concat());
    let place = host.first().await;
    assert_eq!(host.first().await, place);
    assert_eq!(host.uploads(), 1);
}

#[tokio::test]
async fn nothing_is_put_where_it_cannot_be_checked() {
    needs!("ssh", "sshd", "ps");
    let host = host_with(&LEAST);
    let error = host.first_fails(LinkErrorKind::Undeployable).await;
    assert!(error.message.contains("install sha256sum, shasum or openssl"), "{error}");
    assert!(host.names().is_empty());
}

/// Stands in for a home folder on a file server, which no test can count on.
#[tokio::test]
async fn where_other_hosts_may_run_them_other_versions_stay() {
    needs!("ssh", "sshd", "ps", "sha256sum");
    let host = host_with(&[&LEAST[..], &["sha256sum"]].concat());
    let stat = host.sshd.home().join("bin/stat");
    make_program(&stat, "#!/bin/sh\necho nfs\n").unwrap();
    fs::create_dir_all(host.folder()).unwrap();
    fs::set_permissions(host.folder(), fs::Permissions::from_mode(0o700)).unwrap();
    let other = host.folder().join("rejoin-server-0.9.0-0123456789abcdef");
    let leftover = host.folder().join(".rejoin-1-abc");
    for path in [&other, &leftover] {
        let file = fs::File::create(path).unwrap();
        let then = file.metadata().unwrap().modified().unwrap() - Duration::from_hours(100);
        file.set_times(FileTimes::new().set_modified(then)).unwrap();
    }
    host.first().await;
    assert!(other.exists() && !leftover.exists());
}

/// The `ls` of busybox prints `?` for every byte of such a name.
#[tokio::test]
async fn a_home_with_an_umlaut_in_its_name_will_do_for_any_ls() {
    needs!("ssh", "sshd", "ps", "busybox");
    let host = Deployed::forced(
        "export PATH=$HOME/bin:$PATH HOME=$HOME/jörg; mkdir -p $HOME; eval \"$SSH_ORIGINAL_COMMAND\"",
    );
    let bin = host.sshd.home().join("bin");
    fs::create_dir(&bin).unwrap();
    make_program(&bin.join("ls"), "#!/bin/sh\nexec busybox ls \"$@\"\n").unwrap();
    let deployment = host.deployment();
    let place = runs(&host.connector(&deployment), Attempt::First).await;
    assert!(place.contains("/jörg/"), "{place}");
    assert_eq!(runs(&host.connector(&deployment), Attempt::Reconnect).await, place);
    assert_eq!(host.first().await, place);
    assert_eq!(host.uploads(), 1);
}

/// Puts the stand-in for a server into a host's `PATH`, which calls itself of this version.
fn installed(host: &Deployed, version: &str, program: &Path) {
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = version ]; then echo '{{\"version\":\"{version}\"}}'; exit; fi\n"
    );
    let program = fs::read_to_string(program).unwrap();
    let path = host.sshd.home().join("bin/rejoin-server");
    make_program(&path, script + &program).unwrap();
}

#[tokio::test]
async fn a_program_from_path_is_the_last_resort_and_only_of_the_same_version() {
    needs!("ssh", "sshd", "ps", "sha256sum");
    let mut host = host_with(&[&LEAST[..], &["sha256sum"]].concat());
    let (_, program) = host.programs.platforms[0].clone();
    installed(&host, common::deploy::VERSION, &program);
    assert_eq!(host.first().await, host.file().to_str().unwrap());
    host.programs.platforms.clear();
    host.news();
    let deployment = host.deployment();
    let connector = host.connector(&deployment);
    let place = runs(&connector, Attempt::First).await;
    assert!(place.ends_with("bin/rejoin-server"), "{place}");
    assert_eq!(host.news(), [DeployEvent::FromPath]);
    assert_eq!(runs(&connector, Attempt::Reconnect).await, place);
    installed(&host, "1.2.4", &program);
    let error = host.first_fails(LinkErrorKind::Undeployable).await;
    let told = format!("there is no server program for {}", platform());
    assert!(error.message.starts_with(&told), "{error}");
}

#[tokio::test]
async fn quotes_the_refusal_of_an_account_without_commands() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("printf 'This account is \\033[1mcurrently not available.\\n'");
    let error = host.first_fails(LinkErrorKind::Closed).await;
    let told = "ended with only this output: This account is [1mcurrently not available.";
    assert!(error.message.ends_with(told), "{error}");
    let host = Deployed::forced("echo This account is currently not available.; exit 1");
    host.first_fails(LinkErrorKind::Refused).await;
    let host = Deployed::forced("echo why >&2; exit 3");
    let error = host.first_fails(LinkErrorKind::Other).await;
    assert_eq!(error.message, "the remote command ended with status 3 (why)");
}

#[tokio::test]
async fn an_account_that_only_prints_back_what_it_is_asked_gets_nothing() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("echo \"not allowed: $SSH_ORIGINAL_COMMAND\"; exit 1");
    let error = host.first_fails(LinkErrorKind::Other).await;
    assert!(error.message.contains("not allowed"), "{error}");
}

#[tokio::test]
async fn a_host_that_never_runs_the_command_is_given_up() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("echo please wait; exec sleep 1000");
    let error = host.fails(&host.patient(SHORT), LinkErrorKind::Other).await;
    let told = "the login shell did not run the command within 1 seconds; it printed: please wait";
    assert_eq!(error.message, told);
    let host = Deployed::forced("exec yes");
    let error = host.first_fails(LinkErrorKind::Other).await;
    assert!(error.message.contains("y / y"), "{error}");
}

#[tokio::test]
async fn a_host_that_stops_in_the_middle_is_given_up() {
    needs!("ssh", "sshd", "ps");
    // The script that installs is the second thing that is read.
    let host = Deployed::forced(
        "dd() { sleep 1000; }; command=${SSH_ORIGINAL_COMMAND#*\\'}; eval \"${command%\\'*}\"",
    );
    let error = host.fails(&host.patient(SHORT), LinkErrorKind::Other).await;
    let told = "the installation on the host made no progress within 1 seconds";
    assert_eq!(error.message, told);
}

#[tokio::test]
async fn a_shell_that_takes_its_time_is_waited_for() {
    needs!("ssh", "sshd", "ps");
    let host = Deployed::forced("sleep 1.5; exec sh -c \"$SSH_ORIGINAL_COMMAND\"");
    host.first().await;
}
