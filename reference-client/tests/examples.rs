//! The examples, run against a real sshd as a reader of the documentation would run them.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_client::Event;
use rejoin_testing::{Sshd, are_installed, make_program};

/// An account of its own on an sshd of its own, and an ssh that leads there.
struct Account {
    sshd: Sshd,
    folder: tempfile::TempDir,
}

impl Account {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display();
        let environment = format!(
            "SetEnv HOME={path} REJOIN_REGISTRY={path}/registry PATH={path}/bin:/usr/bin:/bin"
        );
        let sshd = Sshd::builder().config_line(environment).start().unwrap();
        let account = Self { sshd, folder };
        let mut script = String::from("#!/bin/sh\nexec /usr/bin/ssh");
        for option in account.sshd.ssh_options(account.sshd.addr().port()) {
            write!(script, " '{}'", option.to_str().unwrap()).unwrap();
        }
        script.push_str(" \"$@\"\n");
        make_program(&account.folder.path().join("ssh"), script).unwrap();
        // The examples that bring no server find this one in the PATH of the host.
        let server = program("survive");
        let script = format!("#!/bin/sh\nexec {} server \"$@\"\n", server.display());
        fs::create_dir(account.folder.path().join("bin")).unwrap();
        make_program(&account.folder.path().join("bin/rejoin-server"), script).unwrap();
        account
    }

    /// What an example prints that gets this host and these arguments.
    fn run(&self, example: &str, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(program(example))
            .arg(self.sshd.destination())
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{example}: {stdout}{stderr}");
        stdout
    }
}

/// Cargo builds the examples beside the tests, unless it is asked for this test alone.
fn program(example: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    if !path.exists() {
        let cargo = Command::new(env!("CARGO")).args(["build", "--example", example]).status();
        assert!(cargo.unwrap().success());
    }
    path
}

#[test]
fn an_application_opens_loses_lists_and_resumes_a_session() {
    if !are_installed(&["sshd"]) {
        return;
    }
    let printed = Account::new().run("survive", &[]);
    let expected = "\
before the loss: line 1
sessions there: 1
after the loss: line 2; line 3; line 4; line 5; exit status 0
";
    assert_eq!(printed, expected);
}

#[test]
fn an_application_that_stops_at_any_item_handles_each_one_once() {
    if !are_installed(&["sshd"]) {
        return;
    }
    let account = Account::new();
    let mut printed = account.run("restart", &["state", "2"]);
    printed.push_str(&account.run("restart", &["state", "1"]));
    printed.push_str(&account.run("restart", &["state"]));
    assert_eq!(printed, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

#[test]
fn a_command_has_its_output_and_its_exit_status() {
    if !are_installed(&["sshd"]) {
        return;
    }
    assert_eq!(Account::new().run("run", &["echo out; echo err >&2"]), "out\n");
}

#[test]
fn events_are_printed_as_lines_of_json_that_the_library_reads() {
    if !are_installed(&["sshd"]) {
        return;
    }
    let printed = Account::new().run("events", &["echo out"]);
    let events: Vec<Event> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(matches!(events[0], Event::Connecting), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Attached { .. })), "{events:?}");
    assert!(events.iter().any(|event| matches!(event, Event::Timeline(_))), "{events:?}");
    let end = events.last().unwrap();
    assert!(matches!(end, Event::Exited { status: Some(0), .. }), "{events:?}");
}

#[test]
fn any_command_that_runs_the_server_is_a_transport() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(program("own_transport"))
        .arg(program("survive"))
        .arg("server")
        .env("REJOIN_REGISTRY", folder.path().join("registry"))
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed, "\"hello\\n\", exit status 3\n", "{output:?}");
}
