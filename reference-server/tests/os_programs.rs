//! What takes more than one program: becoming a server, ending descendants, dying with a parent.
//!
//! This program is its own helper: with a part to play in its environment it plays that, else it
//! runs the tests one after the other. It does without the usual harness, which would print to
//! descriptors that are handed down here.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use rejoin_protocol::server::Past;
use rejoin_protocol::spec::Command as Wanted;
use rejoin_protocol::{Epoch, Incarnation, SessionId};
use rejoin_server::marks::{INCARNATION_VARIABLE, Mark, SESSION_VARIABLE};
use rejoin_server::process::{Io, Program, Start, become_server, spawn, start_server};
use rejoin_server::reap::{ReapScope, Reaped, reap};
use rejoin_server::registry::{Lock, Registry};
use rejoin_server::termination::{Termination, TerminationStep, end_descendants};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Uid, geteuid, pidfd_open};

const PART: &str = "TEST_PART";
const SESSION_OF_TEST: &str = "TEST_SESSION";
const LONG: Duration = Duration::from_secs(20);

/// Never the same twice: tests of another run may be going on, and reaping finds all processes.
fn fresh() -> SessionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    SessionId::from_bytes(bytes)
}

/// The session of this run, which helpers learn from who started them.
fn session() -> SessionId {
    static SESSION: LazyLock<SessionId> = LazyLock::new(|| match std::env::var(SESSION_OF_TEST) {
        Ok(given) => given.parse().unwrap(),
        Err(_) => fresh(),
    });
    *SESSION
}

fn main() {
    match std::env::var(PART).as_deref() {
        Ok("server") => play_server(),
        Ok("keeper") => play_keeper(),
        Ok("reaper") => play_reaper(),
        Ok("ender") => play_ender(),
        Ok("riser") => play_riser(),
        Ok(other) => panic!("no part named {other}"),
        Err(_) => run_tests(),
    }
}

/// Understands of the harness's arguments what is needed: a filter, and `--list`.
fn run_tests() {
    let tests: [(&str, fn()); 8] = [
        (
            "a_server_is_on_its_own_and_holds_the_lock_until_it_ends",
            a_server_is_on_its_own_and_holds_the_lock_until_it_ends,
        ),
        (
            "a_server_that_cannot_be_started_leaves_the_lock",
            a_server_that_cannot_be_started_leaves_the_lock,
        ),
        ("a_process_is_killed_with_its_server", a_process_is_killed_with_its_server),
        ("reaping_spares_itself_and_its_ancestors", reaping_spares_itself_and_its_ancestors),
        (
            "a_setuid_program_does_not_make_the_marks_of_who_started_it_roots",
            a_setuid_program_does_not_make_the_marks_of_who_started_it_roots,
        ),
        ("who_ends_when_asked_is_not_killed", who_ends_when_asked_is_not_killed),
        (
            "who_does_not_end_is_killed_wherever_it_went",
            who_does_not_end_is_killed_wherever_it_went,
        ),
        ("without_children_there_is_nothing_to_end", without_children_there_is_nothing_to_end),
    ];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filter = words.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_default();
    for (name, test) in tests.iter().filter(|(name, _)| name.contains(&filter)) {
        if words.iter().any(|word| word == "--list") {
            println!("{name}: test");
        } else {
            test();
            println!("test {name} ... ok");
        }
    }
}

fn helper(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env(PART, part)
        .env(SESSION_OF_TEST, session().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Runs the helper to its end and returns what it said.
fn told(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn first_line(child: &mut Child) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    (line.trim().to_owned(), reader)
}

fn pidfd(pid: &str) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid.parse().unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

fn wait_for_end(pidfd: &OwnedFd) {
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None).unwrap();
}

fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
    (folder, registry)
}

fn lock(registry: &Registry) -> Lock {
    registry.open_lock(session(), true).unwrap().unwrap().try_lock().unwrap().got().unwrap()
}

// Servers

/// Tells about itself on the stream, and ends when that does.
fn play_server() {
    let inherited = become_server().unwrap();
    let mut stream = inherited.stream;
    let own = std::process::id();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find(|line| line.starts_with("SigIgn:")).unwrap();
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let led = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap();
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let folder = std::env::current_dir().unwrap();
    let is_marked = std::env::var_os(SESSION_VARIABLE).is_some();
    let lock = Lock::from_fd(
        Registry::open(Some(Path::new(&std::env::args().nth(1).unwrap()))).unwrap(),
        session(),
        inherited.lock,
    );
    println!("nobody reads this");
    let is_leader = led == own.to_string();
    let is_current = lock.is_current().unwrap();
    let past = Past { used: Some(Incarnation(1)), ..Past::default() };
    lock.write_tombstone(&past).unwrap();
    writeln!(
        stream,
        "{own} {is_leader} {is_current} {is_marked} {descriptors} {} {ignored}",
        folder.display()
    )
    .unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

fn a_server_is_on_its_own_and_holds_the_lock_until_it_ends() {
    let (_folder, registry) = registry();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let careless = File::open("/").unwrap();
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
    let program = std::env::current_exe().unwrap();
    let lock = lock(&registry);
    let through_env = Program::at("/usr/bin/env");
    let arguments = [
        format!("{PART}=server").into(),
        format!("{SESSION_OF_TEST}={}", session()).into(),
        program.into_os_string(),
        registry.dir().as_os_str().to_owned(),
    ];
    let mut started = start_server(&through_env, arguments, theirs, &lock).unwrap();
    drop(lock);
    assert!(registry.is_alive(session()).unwrap());
    let mut line = String::new();
    BufReader::new(ours.try_clone().unwrap()).read_line(&mut line).unwrap();
    let (own, rest) = line.trim().split_once(' ').unwrap();
    // Six descriptors: the standard ones, stream, lock, and the one that lists these.
    let (facts, ignored) = rest.split_once(" SigIgn:").unwrap();
    assert_eq!(facts, "true true false 6 /");
    // SIGHUP and SIGPIPE, and nothing that was inherited.
    assert_eq!(ignored.trim(), "0000000000001001");
    assert!(registry.is_alive(session()).unwrap());
    let server = pidfd(own);
    drop(ours);
    wait_for_end(&server);
    assert!(!registry.is_alive(session()).unwrap());
    let lock = self::lock(&registry);
    let tombstone = lock.read_tombstone().unwrap().whole().unwrap();
    assert_eq!(tombstone.used, Some(Incarnation(1)));
    started.wait().unwrap();
}

fn a_server_that_cannot_be_started_leaves_the_lock() {
    let (_folder, registry) = registry();
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let lock = lock(&registry);
    start_server(&Program::at("/no/such"), [""; 0], theirs, &lock).unwrap_err();
    assert!(registry.is_alive(session()).unwrap());
    lock.remove_file().unwrap();
    assert_eq!(fs::read_dir(registry.dir()).unwrap().count(), 0);
}

// Death of a server

fn start(script: &str) -> Start {
    Start {
        command: Wanted::Exec(
            ["/bin/sh", "-c", script].map(|word| word.as_bytes().to_vec()).into(),
        ),
        directory: None,
        environment: Vec::new(),
        terminal: None,
        mark: Mark {
            session: session(),
            incarnation: Incarnation(2),
            epoch: Epoch::from_bytes([1; 16]),
            registry: "/nowhere".into(),
        },
        umask: 0o022,
    }
}

/// Starts a process that ignores what it can, tells its pid, and waits to be killed.
fn play_keeper() {
    let started =
        spawn(&start("trap '' HUP TERM PIPE; echo; while :; do sleep 1000; done")).unwrap();
    let Io::Pipes { stdout, .. } = &started.io else { panic!("pipes were asked for") };
    poll(&mut [PollFd::new(stdout, PollFlags::IN)], None).unwrap();
    println!("{}", started.pid.as_raw_nonzero());
    loop {
        std::thread::park();
    }
}

fn a_process_is_killed_with_its_server() {
    let mut keeper = helper("keeper").spawn().unwrap();
    let (pid, _reader) = first_line(&mut keeper);
    let process = pidfd(&pid);
    keeper.kill().unwrap();
    wait_for_end(&process);
    keeper.wait().unwrap();
    // The children of the process are left to reaping.
    reap(session(), &ReapScope::Session, LONG).unwrap();
}

// Reaping

/// Reaps the session whose mark it carries itself, with a child that carries it too.
fn play_reaper() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let reaped = reap(session(), &ReapScope::Session, LONG).unwrap();
    child.wait().unwrap();
    println!("killed {} highest {:?}", reaped.killed, reaped.highest);
}

fn reaping_spares_itself_and_its_ancestors() {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "\"$0\"; echo still here"])
        .arg(std::env::current_exe().unwrap())
        .env(PART, "reaper")
        .env(SESSION_OF_TEST, session().to_string())
        .env(SESSION_VARIABLE, session().to_string())
        .env(INCARNATION_VARIABLE, "7");
    assert_eq!(told(&mut shell), "killed 1 highest Some(Incarnation(7))\nstill here\n");
}

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

/// A setuid program that makes itself root's altogether, as some do, and tells whose it is then.
fn play_riser() {
    let risen = rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT);
    println!("{}", risen.is_ok());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn a_setuid_program_does_not_make_the_marks_of_who_started_it_roots() {
    if !geteuid().is_root() {
        eprintln!("passed over: only root can read the environment of another user's process");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("riser");
    // By a program: a file that this process has open for writing cannot be executed.
    let mut install = Command::new("install");
    install.args(["-m", "4755"]).arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(install.status().unwrap().success());
    let mut riser = Command::new(&program)
        .env(PART, "riser")
        .env(SESSION_VARIABLE, session().to_string())
        .env(INCARNATION_VARIABLE, u64::MAX.to_string())
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (is_root, _reader) = first_line(&mut riser);
    if is_root == "true" {
        assert_eq!(reap(session(), &ReapScope::Session, LONG).unwrap(), Reaped::default());
        assert!(riser.try_wait().unwrap().is_none());
    } else {
        eprintln!("passed over: the folder for temporary files has no setuid programs");
    }
    drop(riser.stdin.take());
    riser.wait().unwrap();
}

// Ending

/// Starts the script given, and ends what it became within the grace given.
fn play_ender() {
    let words: Vec<String> = std::env::args().collect();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let started = spawn(&start(&words[1])).unwrap();
    let Io::Pipes { stdout, stdin, .. } = started.io else { panic!("pipes were asked for") };
    poll(&mut [PollFd::new(&stdout, PollFlags::IN)], None).unwrap();
    let mut first = None;
    let mut others = 0;
    end_descendants(Duration::from_millis(words[2].parse().unwrap()), &mut |pid, status| {
        if pid == started.pid { first = Some(status) } else { others += 1 }
    })
    .unwrap();
    let first = first.unwrap();
    drop(stdin);
    rustix::io::ioctl_fionbio(stdout.as_fd(), false).unwrap();
    let mut text = String::new();
    File::from(stdout).read_to_string(&mut text).unwrap();
    println!("{:?} {:?} {others}", first.exit_status(), first.terminating_signal());
}

fn ended(script: &str, grace_millis: &str) -> String {
    told(helper("ender").args([script, grace_millis]))
}

fn who_ends_when_asked_is_not_killed() {
    let polite = "trap '' HUP; trap 'exit 7' TERM; echo; while :; do sleep 0.02; done";
    assert!(ended(polite, "60000").starts_with("Some(7) None "));
    let stopped =
        "trap '' HUP; trap 'exit 8' TERM; echo; kill -STOP $$; while :; do sleep 0.02; done";
    assert!(ended(stopped, "60000").starts_with("Some(8) None "));
}

fn who_does_not_end_is_killed_wherever_it_went() {
    let stubborn = "trap '' HUP TERM
        (setsid sh -c '(while :; do sleep 1000; done) & echo; wait' &)
        while :; do sleep 1000; done";
    let told = ended(stubborn, "20");
    let (how, others) = told.trim().rsplit_once(' ').unwrap();
    assert_eq!(how, "None Some(9)");
    assert!(others.parse::<u32>().unwrap() >= 3, "{told}");
}

fn without_children_there_is_nothing_to_end() {
    let mut termination = Termination::begin(LONG);
    assert_eq!(termination.step(&mut |_, _| panic!("a child")).unwrap(), TerminationStep::Done);
}
