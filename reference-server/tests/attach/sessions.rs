//! What a session does on its host, whatever becomes of its links and its server.

use std::net::Shutdown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rejoin_protocol::spec::{self, ProcessSpec, Terminal};
use rejoin_protocol::{
    AttachNumber, Epoch, ExitStatus, Frame, Incarnation, Item, Reason, Seq, Signal, Tenure,
    WindowSize,
};
use rejoin_server::registry::{Found, Record, Registry};
use rustix::process::{Pid, PidfdFlags, Resource, pidfd_open, pidfd_send_signal, prlimit};

use crate::support::{Client, Link, forbid_descriptors, input, sockets, until, until_ended};

/// A user that owns nothing.
pub(crate) const NOBODY: u32 = 65_534;

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn the_next_incarnation_starts_where_a_dead_server_left_its_socket() {
    let mut client = Client::new();
    let runs = client.registry.path().join("runs");
    let words = format!("echo run >> {}; exec sleep 1000", runs.display());
    let first = client.open(0, &words).welcomed();
    client.kill_server();
    let second = client.open(1, &words).welcomed();
    // However late it comes: what was used once is never started again.
    assert_eq!(client.open(0, &words).refusal_or_joined(), None);
    client.kill_server();
    assert_eq!(client.open(0, &words).refusal(), Reason::ProcessGone);
    assert_eq!(client.open(1, &words).refusal(), Reason::ProcessGone);
    drop((first, second));
    assert!(lines(&runs) <= 2);
}

impl Link {
    /// The reason, or none if the living incarnation was joined.
    fn refusal_or_joined(&self) -> Option<Reason> {
        match self.next() {
            Frame::Refused(refused) => Some(refused.reason),
            Frame::Welcome(welcome) => {
                assert_eq!(welcome.incarnation, Incarnation(1));
                None
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_sent_right_before_hanging_up_arrives() {
    let mut client = Client::new();
    let file = client.registry.path().join("file");
    let done = client.registry.path().join("done");
    let words = format!("cat > {}; echo > {}", file.display(), done.display());
    let mut link = client.open(0, &words).welcomed();
    for seq in 0..40 {
        link.send(&input(seq, vec![b'x'; 65_536]));
    }
    link.send(&Frame::Item { seq: Seq(40), item: Item::InputEnd });
    link.send(&Frame::Detach);
    link.hang_up();
    let mut back = client.open(0, &words).welcomed();
    assert_eq!(back.until_exit().1, ExitStatus::Code(0));
    back.send(&Frame::Close);
    assert!(done.exists());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 40 * 65_536);
}

#[test]
fn input_that_a_process_did_not_take_before_its_end_is_not_acknowledged() {
    let mut client = Client::new();
    let mut link = client.open(0, "exec sleep 1000").welcomed();
    // More than a pipe holds, so that some of it waits when the process ends.
    for seq in 0..5 {
        link.send(&input(seq, vec![b'x'; 65_536]));
    }
    link.send(&Frame::Item { seq: Seq(5), item: Item::Signal(Signal::KILL) });
    link.send(&input(6, "too late"));
    let (_, status, acknowledged) = link.until_exit();
    assert_eq!(status, ExitStatus::Signal(Signal::KILL));
    assert!(acknowledged < Seq(5), "{acknowledged}");
}

#[test]
fn the_end_of_input_on_a_terminal_counts_behind_an_unfinished_line_too() {
    for text in ["abc", "abc\n"] {
        let mut client = Client::new();
        let mut spec = ProcessSpec::new(spec::Command::Shell(b"exec cat".to_vec()));
        let size = WindowSize { rows: 24, cols: 80, ..WindowSize::default() };
        spec.terminal = Some(Terminal { term: String::from("dumb"), size, modes: Vec::new() });
        let mut link = client.open_spec(0, &spec).welcomed();
        link.send(&input(0, text));
        link.send(&Frame::Item { seq: Seq(1), item: Item::InputEnd });
        assert_eq!(link.until_exit().1, ExitStatus::Code(0), "{text:?}");
    }
}

#[test]
fn kill_wants_a_name_that_is_no_slip() {
    let mut client = Client::new();
    let link = client.open(0, "exec sleep 1000").welcomed();
    for name in ["", "0", &client.session.to_string()[..3]] {
        assert!(!client.server().args(["kill", name]).output().unwrap().status.success());
    }
    // It lives, and is shown to once the client has its answer.
    until("it is listed as attached", || {
        let listed = client.server().args(["ls", "--json"]).output().unwrap();
        String::from_utf8_lossy(&listed.stdout).contains("\"state\":\"attached\"")
    });
    drop(link);
}

#[test]
fn what_a_client_wrote_when_nobody_read_its_answers_arrives() {
    const ITEMS: u64 = 10;
    let mut client = Client::new();
    let file = client.registry.path().join("file");
    let words = format!("cat > {}", file.display());
    let mut link = client.open(0, &words).welcomed();
    let size = || std::fs::metadata(&file).map_or(0, |file| file.len());
    // The acknowledgement of the first item cannot be written any more; the others follow it.
    link.stdout.shutdown(Shutdown::Both).unwrap();
    for seq in 0..ITEMS {
        link.send(&input(seq, vec![b'x'; 16_384]));
        until("the first item is taken", || size() > 0);
    }
    link.send(&Frame::Item { seq: Seq(ITEMS), item: Item::InputEnd });
    link.stdin = None;
    link.child.wait().unwrap();
    let back = client.open(0, &words).welcomed();
    assert_eq!(back.until_exit().1, ExitStatus::Code(0));
    assert_eq!(size(), ITEMS * 16_384);
}

#[test]
fn a_link_that_was_replaced_and_is_never_read_is_let_go_of() {
    let mut client = Client::new();
    let done = client.registry.path().join("done");
    let words = format!("head -c 3000000 /dev/zero; echo > {}; exec sleep 1000", done.display());
    client.open(0, &words).welcomed().hang_up();
    until("all is written", || done.exists());
    // More than a socket holds waits for the reader.
    let _stalled = client.open(0, &words).welcomed();
    let server = client.server_pid();
    let before = sockets(server);
    let _second = client.open(0, &words).welcomed();
    until("the first link is closed", || !sockets(server).is_superset(&before));
}

#[test]
fn a_server_writes_its_record_again_when_it_is_gone() {
    let mut client = Client::new();
    client.open(0, "exec sleep 1000").welcomed();
    let registry = Registry::open(Some(&client.folder())).unwrap();
    let epoch = || match registry.read_record(client.session).unwrap() {
        Found::Whole(record) => record.epoch,
        _ => None,
    };
    let first = epoch();
    assert!(first.is_some());
    std::fs::remove_file(registry.dir().join(client.session.to_string()).join("record")).unwrap();
    until("the record is there again", || epoch() == first);
}

#[test]
fn a_server_whose_name_another_one_took_ends_and_leaves_the_entry_alone() {
    let mut client = Client::new();
    let link = client.open(0, "echo $$; exec sleep 1000").welcomed();
    let Frame::Item { item: Item::Output { data, .. }, .. } = link.next() else {
        panic!("the process tells its pid")
    };
    let process = String::from_utf8_lossy(&data).trim().parse().ok().and_then(Pid::from_raw);
    let [server, process] = [client.server_pid(), process.unwrap()]
        .map(|pid| pidfd_open(pid, PidfdFlags::empty()).unwrap());
    let registry = Registry::open(Some(&client.folder())).unwrap();
    // The server may be the first to make the missing file again: then it is removed once more.
    let lock = loop {
        std::fs::remove_file(registry.lock_path(client.session)).unwrap();
        let made = registry.open_lock(client.session, true).unwrap().unwrap();
        if let Some(lock) = made.try_lock().unwrap().got() {
            break lock;
        }
    };
    let epoch = Epoch::from_bytes([9; 16]);
    let record = Record::reserved(Incarnation(0), Tenure(0), "another", "another").starting(epoch);
    lock.write_record(&record).unwrap();
    until_ended(&server);
    until_ended(&process);
    assert!(lock.is_current().unwrap());
    match registry.read_record(client.session).unwrap() {
        Found::Whole(found) => assert_eq!(found.epoch, Some(epoch)),
        _ => panic!("the record of the other server is gone"),
    }
}

#[test]
fn a_host_that_is_short_of_descriptors_is_busy_and_forbids_nothing() {
    let mut client = Client::new();
    let mut link = client.link();
    forbid_descriptors(link.pid());
    client.ask(&mut link, 0, &ProcessSpec::new(spec::Command::Shell(b"exec sleep 1000".to_vec())));
    assert_eq!(link.refusal(), Reason::Unresponsive);
    client.open(0, "exec sleep 1000").welcomed();
}

#[test]
fn a_server_that_cannot_accept_a_link_goes_on_and_accepts_it_later() {
    let mut client = Client::new();
    let first = client.open(0, "exec sleep 1000").welcomed();
    let server = client.server_pid();
    let usual = forbid_descriptors(server);
    let second = client.open(0, "exec sleep 1000");
    let registry = Registry::open(Some(&client.folder())).unwrap();
    until("the server cannot accept", || {
        let log = std::fs::read_to_string(registry.log_path(client.session));
        log.is_ok_and(|log| log.contains("cannot accept"))
    });
    prlimit(Some(server), Resource::Nofile, usual).unwrap();
    second.welcomed();
    assert_eq!(client.server_pid(), server);
    drop(first);
}

#[test]
fn a_mark_of_another_user_does_not_keep_roots_session_from_starting_again() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: only root can read the environment of another user's process");
        return;
    }
    let mut client = Client::new();
    let _first = client.open(0, "exec sleep 1000").welcomed();
    let mut forged = Command::new("sleep")
        .arg("1000")
        .env("REJOIN_SESSION", client.session.to_string())
        .env("REJOIN_INCARNATION", u64::MAX.to_string())
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .spawn()
        .unwrap();
    client.kill_server();
    client.open(1, "exec sleep 1000").welcomed();
    assert!(forged.try_wait().unwrap().is_none());
    forged.kill().unwrap();
    forged.wait().unwrap();
}

#[test]
fn a_descendant_that_became_another_user_does_not_keep_a_session_from_ending() {
    let mut client = Client::new();
    let folder = client.registry.path().to_owned();
    let become_root = folder.join("setpriv");
    if !rustix::process::geteuid().is_root() || !install_setuid("setpriv", &become_root) {
        eprintln!("passed over: needs root, setpriv and a folder for temporary files with setuid");
        return;
    }
    let program = folder.join("rejoin-server");
    assert!(install(env!("CARGO_BIN_EXE_rejoin-server"), &program, "755"));
    std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    (client.program, client.user) = (program, Some(NOBODY));
    let file = folder.join("pid");
    let words = format!(
        "{} --reuid=0 sh -c 'echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000' \
         < /dev/null > /dev/null 2>&1 & until [ -e {pid} ]; do sleep 0.01; done",
        become_root.display(),
        pid = file.display(),
    );
    let mut link = client.open(0, &words).welcomed();
    assert_eq!(link.until_exit().1, ExitStatus::Code(0));
    let pid = std::fs::read_to_string(&file).unwrap().trim().parse().ok().and_then(Pid::from_raw);
    let roots = pidfd_open(pid.unwrap(), PidfdFlags::empty()).unwrap();
    link.send(&Frame::Close);
    link.until(&Frame::Closed { attach: AttachNumber(1), ended: 0 });
    // It lives on, or this has proved nothing.
    pidfd_send_signal(&roots, rustix::process::Signal::KILL).unwrap();
    until_ended(&roots);
}

/// By a program: a file that this process has open for writing cannot be executed while another
/// test's child, just forked, has it open, too.
pub(crate) fn install(from: &str, to: &Path, mode: &str) -> bool {
    let installed = Command::new("install").args(["-m", mode, from]).arg(to).status();
    installed.is_ok_and(|status| status.success())
}

/// Whether the copy makes a root out of nobody.
fn install_setuid(name: &str, to: &Path) -> bool {
    let places = ["/usr/bin", "/bin"].map(|place| format!("{place}/{name}"));
    let Some(from) = places.iter().find(|path| Path::new(path).exists()) else { return false };
    // The folder is its owner's alone so far.
    let folder = to.parent().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder, open).unwrap();
    let mut tried = Command::new(to);
    tried.args(["--reuid=0", "true"]).uid(NOBODY).gid(NOBODY);
    install(from, to, "4755") && tried.status().is_ok_and(|status| status.success())
}

/// As a deployment starts it: in the folder that it lies in.
#[test]
fn a_server_is_the_file_that_runs_and_neither_it_nor_its_process_stays_in_that_files_folder() {
    let mut client = Client::new();
    let folder = client.registry.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let program = folder.join("rejoin-server");
    assert!(install(env!("CARGO_BIN_EXE_rejoin-server"), &program, "755"));
    let usual = std::mem::replace(&mut client.program, program.clone());
    client.directory = Some(folder.clone());
    let mut link = client.link();
    (client.program, client.directory) = (usual, None);
    let home = std::fs::canonicalize(std::env::var_os("HOME").unwrap()).unwrap();
    assert_eq!(of_process(link.pid(), "cwd"), home);

    let moved = client.registry.path().join("moved");
    std::fs::rename(&folder, &moved).unwrap();
    std::fs::create_dir(&folder).unwrap();
    assert!(install("/bin/false", &program, "755"));
    let spec = ProcessSpec::new(spec::Command::Shell(b"readlink /proc/$$/cwd; exec cat".to_vec()));
    client.ask(&mut link, 0, &spec);
    let mut link = link.welcomed();
    let server = client.server_pid();
    assert_eq!(of_process(server, "exe"), moved.join("rejoin-server"));
    assert_eq!(of_process(server, "cwd"), Path::new("/"));
    let name = std::fs::read(format!("/proc/{}/comm", server.as_raw_nonzero())).unwrap();
    assert_eq!(name, b"rejoin-server\n");
    link.send(&Frame::Item { seq: Seq(0), item: Item::InputEnd });
    let (output, status, _) = link.until_exit();
    assert_eq!(status, ExitStatus::Code(0));
    assert_eq!(String::from_utf8_lossy(&output).trim_end(), home.to_str().unwrap());
}

/// What a link in the process's folder in `/proc` leads to.
fn of_process(pid: Pid, link: &str) -> PathBuf {
    std::fs::read_link(format!("/proc/{}/{link}", pid.as_raw_nonzero())).unwrap()
}
