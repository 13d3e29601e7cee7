//! In the place of ssh: programs that bring their own protocol run over rejoin as they are, with
//! their own options, their own words and their own exit statuses, however often the connection is
//! cut meanwhile.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rejoin_testing::{Random, make_program};

use crate::output::assert_same;
use crate::support::{Host, needed, rejoin, rejoin_server};

const SIZE: usize = 50_000_000;
const CUTS: u64 = 10;
/// How much each connection carries before it is cut: what is left for the last one is more.
const BETWEEN_CUTS: u64 = 4_500_000;

/// A host whose logins are cheap: there are many of them.
fn start() -> Host {
    Host::with(|sshd| sshd.config_line("KexAlgorithms curve25519-sha256"))
}

/// A script that stands in for ssh, with what leads to the host.
fn stand_in(host: &Host, name: &str, words: &[&OsStr]) -> PathBuf {
    let options = host.options();
    let words = words.iter().copied().chain(options.iter().map(AsRef::as_ref));
    let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap());
    let line: Vec<_> = words.map(quoted).collect();
    let path = host.home().join(name);
    make_program(&path, format!("#!/bin/sh\nexec {} \"$@\"\n", line.join(" "))).unwrap();
    path
}

fn with_rejoin(host: &Host) -> PathBuf {
    let server = rejoin_server().as_os_str();
    stand_in(host, "with-rejoin", &[rejoin().as_os_str(), "--server".as_ref(), server])
}

fn with_ssh(host: &Host) -> PathBuf {
    stand_in(host, "with-ssh", &["ssh".as_ref()])
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
}

/// Data that no compression makes less of.
fn make_data(path: &Path) -> Vec<u8> {
    let mut random = Random::from_env();
    let data: Vec<u8> = (0..SIZE / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    fs::write(path, &data).unwrap();
    data
}

/// Runs it over connections of which the first ten are cut.
fn run_while_cut(host: &Host, command: &mut Command) {
    let (first, resets) = (host.relay().connections(), host.relay().resets());
    host.relay().cut_plan(move |link| (link < first + CUTS).then_some(BETWEEN_CUTS));
    run(command);
    assert_eq!(host.relay().resets() - resets, CUTS);
}

fn git(host: &Host, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.current_dir(host.home()).env("HOME", host.home());
    command.env("GIT_SSH_COMMAND", with_rejoin(host)).env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "a").env(format!("GIT_{role}_EMAIL"), "a@b");
    }
    // The data cannot be compressed, and trying takes time.
    command.args(["-c", "core.compression=0"]).args(words);
    command
}

/// Makes a repository with the data in it.
fn make_repository(host: &Host) -> Vec<u8> {
    run(&mut git(host, &["init", "-q", "--initial-branch=main", "source"]));
    let data = make_data(&host.home().join("source/data"));
    run(&mut git(host, &["-C", "source", "add", "data"]));
    run(&mut git(host, &["-C", "source", "commit", "-q", "-m", "data"]));
    data
}

#[test]
fn git_clones_while_connections_are_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    needed("git");
    let host = start();
    let data = make_repository(&host);
    run_while_cut(&host, &mut git(&host, &["clone", "-q", "127.0.0.1:source", "copy"]));
    assert_same(&fs::read(host.home().join("copy/data")).unwrap(), &data);
}

#[test]
fn git_pushes_while_connections_are_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    needed("git");
    let host = start();
    let data = make_repository(&host);
    run(&mut git(&host, &["init", "-q", "--bare", "--initial-branch=main", "bare.git"]));
    let push = ["-C", "source", "push", "-q", "127.0.0.1:bare.git", "main"];
    run_while_cut(&host, &mut git(&host, &push));
    let pushed = git(&host, &["-C", "bare.git", "show", "main:data"]).output().unwrap();
    assert_same(&pushed.stdout, &data);
}

#[test]
fn rsync_copies_while_connections_are_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "rsync");
    let host = start();
    let [from, to] = ["from", "to"].map(|name| host.home().join(name));
    let data = make_data(&from);
    let mut rsync = Command::new("rsync");
    rsync.arg("-e").arg(with_rejoin(&host)).arg("-a").arg(&from);
    run_while_cut(&host, rsync.arg(format!("127.0.0.1:{}", to.display())));
    assert_same(&fs::read(&to).unwrap(), &data);
}

#[test]
fn scp_copies_while_connections_are_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "scp");
    let host = start();
    let [from, to] = ["from", "to"].map(|name| host.home().join(name));
    let data = make_data(&from);
    let mut scp = Command::new("scp");
    scp.arg("-q").arg("-S").arg(with_rejoin(&host));
    run_while_cut(&host, scp.arg(format!("127.0.0.1:{}", from.display())).arg(&to));
    assert_same(&fs::read(&to).unwrap(), &data);
}

#[test]
fn sftp_copies_while_connections_are_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "sftp");
    let host = start();
    let [from, to, batch] = ["from", "to", "batch"].map(|name| host.home().join(name));
    let data = make_data(&from);
    fs::write(&batch, format!("put {} {}\n", from.display(), to.display())).unwrap();
    let mut sftp = Command::new("sftp");
    sftp.arg("-q").arg("-S").arg(with_rejoin(&host)).arg("-b").arg(&batch);
    run_while_cut(&host, sftp.arg("127.0.0.1"));
    assert_same(&fs::read(&to).unwrap(), &data);
}

/// Runs the command with either program in the place of ssh: both fail, and in the same way.
#[track_caller]
fn assert_fails_alike(host: &Host, command: impl Fn(&Path) -> Command) {
    let [ours, sshs]: [Output; 2] =
        [with_rejoin(host), with_ssh(host)].map(|program| command(&program).output().unwrap());
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!sshs.status.success() && sshs.status.code() != Some(255), "{}", told(&sshs));
    assert_eq!(ours.status.code(), sshs.status.code(), "{}", told(&ours));
    let words = |output: &Output| {
        let told = told(output);
        let mut lines: Vec<_> = told.lines().map(str::to_owned).collect();
        // What comes from the host and what comes from here is in no order.
        lines.sort();
        lines
    };
    assert_eq!(words(&ours), words(&sshs));
}

#[test]
fn what_is_not_there_fails_with_the_programs_own_words_and_status() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "rsync", "scp", "sftp");
    needed("git");
    let host = start();
    assert_fails_alike(&host, |program| {
        let mut git = git(&host, &["clone", "-q", "127.0.0.1:does/not/exist", "copy"]);
        git.env("GIT_SSH_COMMAND", program);
        git
    });
    assert_fails_alike(&host, |program| {
        let mut rsync = Command::new("rsync");
        rsync.arg("-e").arg(program).arg("127.0.0.1:/does/not/exist").arg(host.home());
        rsync
    });
    for protocol in ["-s", "-O"] {
        assert_fails_alike(&host, |program| {
            let mut scp = Command::new("scp");
            scp.arg(protocol).arg("-S").arg(program).arg("127.0.0.1:/does/not/exist");
            scp.arg(host.home());
            scp
        });
    }
    let batch = host.home().join("batch");
    fs::write(&batch, "get /does/not/exist\n").unwrap();
    assert_fails_alike(&host, |program| {
        let mut sftp = Command::new("sftp");
        sftp.arg("-q").arg("-S").arg(program).arg("-b").arg(&batch).arg("127.0.0.1");
        sftp
    });
}
