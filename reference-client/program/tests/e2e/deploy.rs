//! Hosts that have never seen rejoin.

use std::fs::{self, File, FileTimes};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rejoin_testing::{Signal, make_program};

use crate::life::assert_one_line;
use crate::support::{Client, Host, Tmux, needed, rejoin, rejoin_server, stripped};

/// Answers every line with its pid.
const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

/// A folder on the host with server programs for hosts: that of this machine.
pub(crate) struct ServerStore(pub(crate) PathBuf);

impl ServerStore {
    pub(crate) fn new(host: &Host) -> Self {
        let folder = host.home().join("servers");
        fs::create_dir(&folder).unwrap();
        let shelf = Self(folder);
        stripped(rejoin_server(), &shelf.program());
        shelf
    }

    fn program(&self) -> PathBuf {
        self.0.join(format!("rejoin-server-linux-{}", machine()))
    }

    /// Makes another program of it, which does the same.
    fn renew(&self) {
        File::options().append(true).open(self.program()).unwrap().write_all(b"new").unwrap();
    }
}

/// What this machine is, as `uname -m` prints it.
fn machine() -> String {
    let printed = Command::new("uname").arg("-m").output().unwrap().stdout;
    String::from_utf8(printed).unwrap().trim().to_owned()
}

/// The programs on the host, in the order of their names.
fn deployed(host: &Host) -> Vec<PathBuf> {
    let folder = host.home().join(".local/share/rejoin");
    let Ok(listed) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[track_caller]
fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[track_caller]
fn assert_answers(client: &mut Client, line: usize) {
    let pid = client.line(1);
    client.write(format!("word {line}\n"));
    assert_eq!(client.line(line), format!("{pid} word {line}"));
}

#[test]
fn the_first_run_brings_the_server_and_the_next_one_finds_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let mut first = host.plan().deploying(&shelf.0).run(ECHO);
    let pid = first.number(1);
    host.cut();
    first.nth_event("attached", 2);
    assert_answers(&mut first, 2);
    assert_eq!(first.number(1), pid);
    assert_eq!(first.finish().0, 0);
    assert_one_line(&first, "installing rejoin-server");
    let [program] = &deployed(&host)[..] else { panic!("{:?}", deployed(&host)) };
    assert!(fs::read(program).unwrap() == fs::read(shelf.program()).unwrap());
    assert_eq!((mode(program), mode(program.parent().unwrap())), (0o700, 0o700));
    let before = fs::metadata(program).unwrap().permissions();
    let mut second = host.plan().deploying(&shelf.0).run("exit 3");
    assert_eq!((second.finish().0, second.stderr()), (3, String::new()));
    assert_eq!(fs::metadata(program).unwrap().permissions(), before);
}

#[test]
fn every_subcommand_brings_the_server() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let plan = || host.plan().deploying(&shelf.0);
    let forget = || fs::remove_dir_all(host.home().join(".local")).unwrap();
    let mut ls = plan().subcommand("ls").run_words::<&str>([]);
    assert_eq!(ls.finish(), (0, b"no sessions\n".to_vec()));
    assert_one_line(&ls, "installing rejoin-server");
    let mut client = plan().run(ECHO);
    client.line(1);
    client.signal(Signal::TERM);
    assert_eq!(client.status(), 128 + 15);
    forget();
    let mut attach = plan().subcommand("attach").run_words::<&str>([]);
    attach.event("attached");
    attach.write("again\n");
    assert!(attach.line(1).ends_with(" again"));
    attach.signal(Signal::TERM);
    attach.status();
    forget();
    let mut kill = plan().with(["-q"]).subcommand("kill").run(&client.session()[..8]);
    assert_eq!((kill.finish().0, kill.stderr()), (0, String::new()));
    assert_eq!(deployed(&host).len(), 1);
}

#[test]
fn a_server_that_is_damaged_or_removed_meanwhile_is_brought_again() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let mut client = host.plan().deploying(&shelf.0).run(ECHO);
    client.line(1);
    let program = deployed(&host).remove(0);
    let whole = fs::read(&program).unwrap();
    let damages: [&dyn Fn(); 3] = [
        &|| fs::remove_dir_all(program.parent().unwrap()).unwrap(),
        // In the place of the old file, which runs and cannot be written to.
        &|| {
            fs::remove_file(&program).unwrap();
            make_program(&program, &whole[..whole.len() / 2]).unwrap();
        },
        &|| {
            fs::remove_file(&program).unwrap();
            make_program(&program, "echo something else entirely\n").unwrap();
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        damage();
        host.cut();
        client.nth_event("attached", number + 2);
        assert_answers(&mut client, number + 2);
        assert!(fs::read(&program).unwrap() == whole);
    }
    assert_eq!((client.count("replaced"), client.count("notice")), (0, 0));
    assert_eq!(client.finish().0, 0);
}

#[test]
fn an_upload_that_is_cut_is_told_and_the_next_run_makes_it_whole() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    host.relay().cut_plan(|link| (link == 0).then_some(200_000));
    let mut cut = host.plan().with(["-q"]).deploying(&shelf.0).run("true");
    assert_eq!(cut.finish().0, 255);
    assert_one_line(&cut, "");
    assert!(!host.registry().exists());
    let mut whole = host.plan().deploying(&shelf.0).run("exit 4");
    assert_eq!(whole.finish().0, 4);
    crate::support::until("nothing is left of the first", || deployed(&host).len() == 1);
}

#[test]
fn a_session_outlives_a_new_version_of_the_server() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let old = host.plan().deploying(&shelf.0).run(ECHO);
    let pid = old.number(1);
    let file = File::open(&deployed(&host)[0]).unwrap();
    let then = file.metadata().unwrap().modified().unwrap() - Duration::from_hours(100);
    file.set_times(FileTimes::new().set_modified(then)).unwrap();
    shelf.renew();
    let mut new = host.plan().deploying(&shelf.0).run(ECHO);
    assert_ne!(new.number(1), pid);
    assert_eq!(deployed(&host).len(), 2, "the old one still runs");
    let id = old.session();
    let claim = ["--take-over"];
    let mut claimed =
        host.plan().deploying(&shelf.0).with(claim).subcommand("attach").run(&id[..8]);
    claimed.event("attached");
    old.event("superseded");
    claimed.write("to the same\n");
    assert_eq!(claimed.line(1), format!("{pid} to the same"));
    host.cut();
    claimed.nth_event("attached", 2);
    assert_eq!(claimed.finish().0, 0);
    new.nth_event("attached", 2);
    assert_eq!(new.finish().0, 0);
    host.until_clean();
    shelf.renew();
    assert_eq!(host.plan().deploying(&shelf.0).run("true").finish().0, 0);
    assert_eq!(deployed(&host).len(), 2, "the first one has ended and is gone");
}

#[test]
fn where_there_is_no_server_for_the_host_the_command_to_build_one_is_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::with(|sshd| {
        sshd.force_command(
            "mkdir -p ~/bin; printf '#!/bin/sh\\necho Linux riscv64\\n' > ~/bin/uname; \
             chmod 755 ~/bin/uname; PATH=~/bin:$PATH exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
        )
    });
    let shelf = ServerStore::new(&host);
    let wrong = shelf.0.join("rejoin-server-linux-riscv64");
    fs::rename(shelf.program(), &wrong).unwrap();
    for subcommand in [None, Some("ls")] {
        let plan = host.plan().deploying(&shelf.0);
        let mut client = match subcommand {
            Some(name) => plan.subcommand(name).run_words::<&str>([]),
            None => plan.run("true"),
        };
        assert_eq!(client.finish().0, 255);
        let build = "cargo build --release -p rejoin-server --target riscv64gc-unknown-linux-musl";
        assert_one_line(&client, build);
        let why = format!("rejoin-server-linux-riscv64: it is a program for {}", machine());
        assert_one_line(&client, &why);
    }
    assert!(deployed(&host).is_empty());
}

#[test]
fn without_a_server_at_hand_the_client_goes_itself() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let client = host.home().join("client");
    stripped(rejoin(), &client);
    let run = |words: &[&str]| {
        let mut command = Command::new(&client);
        command.args(host.options()).arg(host.name()).args(words);
        command.env("HOME", host.home()).env_remove("SSH_AUTH_SOCK");
        command.output().unwrap()
    };
    let output = run(&["echo out; exit 5"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"out\n"[..]), "{told}");
    assert!(fs::read(&deployed(&host)[0]).unwrap() == fs::read(&client).unwrap());
    assert_eq!(run(&["exit 6"]).stderr, b"");
}

#[test]
fn a_terminal_is_clean_when_the_server_is_there() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    needed("tmux");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let words = |words: &[&str]| {
        let options = host.options();
        let words = words.iter().map(AsRef::as_ref);
        let all = [rejoin().as_os_str()].into_iter().chain(options.iter().map(AsRef::as_ref));
        let all = all.chain(["-n".as_ref(), host.name().as_ref()]).chain(words);
        let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
        let home = host.home();
        let (home, shelf) = (home.display(), shelf.0.display());
        let line: Vec<_> = all.map(quoted).collect();
        format!("HOME={home} REJOIN_SERVERS={shelf} {}", line.join(" "))
    };
    let line =
        format!("{}; status=$?; read line; exit $status", words(&["echo only this; exit 7"]));
    let tmux = Tmux::plain(&host, &line);
    tmux.until_seen("only this");
    assert_eq!(tmux.screen().trim_end(), "only this");
    tmux.keys(&["Enter"]);
    tmux.until_ended_with(7);
    assert_eq!(deployed(&host).len(), 1);
}
