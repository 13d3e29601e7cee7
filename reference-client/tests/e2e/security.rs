//! Who can see what, and who can steer whom (SECURITY.md).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rejoin_ssh::testing::make_program;

use crate::support::{EVIL, Host, command_lines, is_steering, rejoin, until};

/// Everything in a folder, itself included, with its permissions.
fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    found.push((folder.display().to_string(), mode(folder)));
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            modes(&path, found);
        } else {
            found.push((path.display().to_string(), mode(&path)));
        }
    }
}

#[test]
fn what_a_session_leaves_on_disk_is_its_users_alone() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("umask; cat");
    let umask = client.line(1);
    let mut found = Vec::new();
    modes(&host.registry(), &mut found);
    assert!(found.len() >= 4, "a folder, a lock, a record and a socket: {found:?}");
    for (path, mode) in &found {
        assert_eq!(mode & 0o077, 0, "{path} has mode {mode:o}");
    }
    let own = fs::metadata(host.home()).unwrap().uid();
    assert_eq!(fs::metadata(host.registry()).unwrap().uid(), own);
    assert_ne!(umask, "0077", "the process keeps its login's umask");
    assert_eq!(client.finish().0, 0);
}

#[test]
fn no_command_line_shows_what_a_session_is_given() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let secret = format!("secret-{}", std::process::id());
    let give = |command: &mut std::process::Command| {
        command.env("TOKEN", &secret);
    };
    let plan = host.plan().with(["--env", "TOKEN"]).change(give);
    let mut client = plan.run("read -r word; echo \"$TOKEN $word\"; read -r end");
    client.write(format!("typed-{secret}\n"));
    assert_eq!(client.line(1), format!("{secret} typed-{secret}"));
    let shown: Vec<_> = command_lines().into_iter().filter(|line| line.contains(&secret)).collect();
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(client.finish().0, 1);
}

/// As a server would list its sessions if somebody had changed it.
#[test]
fn a_listing_cannot_steer_the_terminal() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut listed: serde_json::Value = {
        let mut client = host.plan().run("cat");
        client.session();
        let listed = serde_json::Value::Array(host.sessions());
        client.finish();
        listed
    };
    for name in ["command", "client"] {
        listed[0][name] = format!("evil{EVIL}[2J\u{9b}31m\u{202e}\u{7}\r\nmore").into();
    }
    let listing = host.home().join("listing");
    fs::write(&listing, listed.to_string()).unwrap();
    let program = host.home().join("lists");
    let script = format!("#!/bin/sh\nprintf 'noise\\033[2J\\n'\ncat {}\n", listing.display());
    make_program(&program, script).unwrap();
    let plan = host.plan().program(rejoin()).subcommand("ls");
    let (status, output) = plan.server(program.to_str().unwrap()).run_words::<&str>([]).finish();
    let output = String::from_utf8(output).unwrap();
    assert_eq!(status, 0, "{output}");
    assert!(output.contains("evil"), "{output}");
    assert!(!output.contains(is_steering), "{output:?}");
    assert!(!output.lines().any(|line| line.trim() == "more"), "{output:?}");
}

/// On stdout in front of the server program's words, on stderr, and with -v everything that ssh says.
#[test]
fn what_a_host_prints_cannot_steer_the_terminal() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let octal: Vec<_> = EVIL.bytes().map(|byte| format!("\\{byte:03o}")).collect();
    let octal = octal.concat();
    let prints = format!("printf 'Welcome {octal}home\\n'; printf 'News {octal}here\\n' >&2");
    let command = format!("{prints}; exec sh -c \"$SSH_ORIGINAL_COMMAND\"");
    let host = Host::with(|sshd| sshd.force_command(&command));
    let mut client = host.plan().with(["-v"]).run("cat");
    client.session();
    until("the line of stderr", || client.stderr().contains("News here\n"));
    let notice = client.event("notice")["message"].as_str().unwrap().to_owned();
    assert!(notice.ends_with("were skipped: Welcome home"), "{notice:?}");
    assert_eq!(client.finish().0, 0);
    let told = client.stderr();
    assert!(told.contains(&notice) && !told.contains(is_steering), "{told:?}");
}
