//! Who can see what, and who can steer whom (SECURITY.md).

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rejoin_testing::make_program;

use crate::support::{EVIL, Host, command_lines, is_steering, rejoin, stripped, until};

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
    rejoin_testing::needs!("ssh", "sshd", "ps");
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
    rejoin_testing::needs!("ssh", "sshd", "ps");
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
    rejoin_testing::needs!("ssh", "sshd", "ps");
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
    rejoin_testing::needs!("ssh", "sshd", "ps");
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

/// The user who plants things, who owns nothing else.
const STRANGER: &str = "65534";

/// A client in a folder of its own that other users can write to, as in a folder below `/tmp`.
struct Shared<'a> {
    host: &'a Host,
    client: PathBuf,
}

impl<'a> Shared<'a> {
    fn new(host: &'a Host) -> Self {
        // What stands around it is open to others, too: they come this far.
        for folder in [host.home().parent().unwrap(), &host.home()] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let folder = host.home().join("shared");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
        let client = folder.join("rejoin");
        stripped(rejoin(), &client);
        Self { host, client }
    }

    fn path(&self) -> PathBuf {
        self.client.with_file_name("rejoin-server")
    }

    fn run(&self, command: &str) -> Output {
        let mut run = Command::new(&self.client);
        run.args(self.host.options()).arg(self.host.name()).arg(command);
        run.env("HOME", self.host.home()).env_remove("SSH_AUTH_SOCK").env_remove("REJOIN_SERVERS");
        run.output().unwrap()
    }

    /// Runs a command with the client in the place of its server: what stands beside it is not used.
    #[track_caller]
    fn assert_refused(&self, why: &str) {
        let output = self.run("echo out; exit 5");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"out\n"[..]), "{told}");
        let server = self.path();
        let line = format!(
            "rejoin: not using a server program that another user can have put there: {}: {why}",
            server.display()
        );
        assert_eq!(told.lines().filter(|said| said.starts_with(&line)).count(), 1, "{told}");
        let folder = self.host.home().join(".local/share/rejoin");
        for entry in fs::read_dir(folder).unwrap() {
            let there = fs::read(entry.unwrap().path()).unwrap();
            assert!(there == fs::read(&self.client).unwrap(), "another program is on the host");
        }
        assert!(!self.host.home().join("planted").exists(), "what was planted ran on the host");
    }
}

/// A program for this machine without libraries; it says on the host that it ran.
fn trap(to: &Path, mark: &Path) -> bool {
    let source = to.with_extension("rs");
    fs::write(
        &source,
        format!("fn main() {{ let _ = std::fs::File::create({:?}); }}", mark.to_str().unwrap()),
    )
    .unwrap();
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut compiler = Command::new("rustc");
    compiler.args(["-C", "target-feature=+crt-static", "--target", &target, "-o"]);
    compiler.arg(to).arg(&source).status().is_ok_and(|status| status.success())
}

#[test]
fn a_server_that_another_user_plants_beside_the_client_is_not_put_on_the_host() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "setpriv");
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: only root can act as another user");
        return;
    }
    let host = Host::start();
    let shared = Shared::new(&host);
    let program = host.home().join("trap");
    assert!(trap(&program, &host.home().join("planted")), "rustc makes static programs");
    let plant = |words: &[&str]| {
        let mut as_stranger = Command::new("setpriv");
        as_stranger.args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"]).args(words);
        assert!(as_stranger.status().unwrap().success(), "{words:?}");
    };
    let (program, server) = (program.to_str().unwrap(), shared.path());
    let path = server.to_str().unwrap();
    plant(&["cp", program, path]);
    shared.assert_refused(&format!("{path} belongs to another user (uid {STRANGER})"));
    plant(&["rm", path]);
    // A link to a program of the user's own, and a folder of the stranger's on the way.
    plant(&["ln", "-s", program, path]);
    shared.assert_refused(&format!("{path} belongs to another user (uid {STRANGER})"));
    plant(&["rm", path]);
    fs::copy(program, path).unwrap();
    let folder = server.parent().unwrap().display();
    shared.assert_refused(&format!("other users can write to {folder} (mode 1777; chmod go-w)"));
}
