//! The examples, run against a real sshd as a reader of the documentation would run them.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        let environment = format!("SetEnv HOME={path} REJOIN_REGISTRY={path}/registry");
        let sshd = Sshd::builder().config_line(environment).start().unwrap();
        let account = Self { sshd, folder };
        let mut script = String::from("#!/bin/sh\nexec /usr/bin/ssh");
        for option in account.sshd.ssh_options(account.sshd.addr().port()) {
            write!(script, " '{}'", option.to_str().unwrap()).unwrap();
        }
        script.push_str(" \"$@\"\n");
        make_program(&account.folder.path().join("ssh"), script).unwrap();
        account
    }

    /// What an example prints.
    fn run(&self, example: &str) -> String {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new(program(example))
            .arg(self.sshd.destination())
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
    let printed = Account::new().run("survive");
    let expected = "\
before the loss: line 1
sessions there: 1
after the loss: line 2; line 3; line 4; line 5; exit status 0
";
    assert_eq!(printed, expected);
}
