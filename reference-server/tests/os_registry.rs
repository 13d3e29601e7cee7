//! Locks and processes: what keeps a session alive, and what a sweep does to processes.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use rejoin_protocol::{Epoch, Incarnation, SessionId, Tenure};
use rejoin_server::marks::{INCARNATION_VARIABLE, KEEPER_VARIABLE, Mark, SESSION_VARIABLE};
use rejoin_server::registry::{Lock, Record, Registry, sweep};
use tempfile::TempDir;

/// A process that another test forks would hold this one's locks until its exec.
static SERIAL: Mutex<()> = Mutex::new(());

static SESSION: LazyLock<SessionId> = LazyLock::new(fresh);

/// Never the same twice: tests of another run may be going on, and reaping finds all processes.
fn fresh() -> SessionId {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    SessionId::from_bytes(bytes)
}

fn registry() -> (MutexGuard<'static, ()>, TempDir, Registry) {
    let turn = SERIAL.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
    (turn, folder, registry)
}

fn lock(registry: &Registry) -> Lock {
    registry.open_lock(*SESSION, true).unwrap().unwrap().try_lock().unwrap().got().unwrap()
}

/// A process that says when it runs, and whose output ends when it does.
fn marked(session: SessionId, keeper: &str) -> Child {
    let stubborn = "trap '' HUP TERM; echo; while :; do sleep 1000; done";
    started(&mut script_of(session, keeper, stubborn))
}

fn script_of(session: SessionId, keeper: &str, script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .env(SESSION_VARIABLE, session.to_string())
        .env(INCARNATION_VARIABLE, "6")
        .env(KEEPER_VARIABLE, keeper)
        .current_dir("/")
        .stdout(Stdio::piped());
    command
}

fn started(command: &mut Command) -> Child {
    let mut child = command.spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    child
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

/// Ends the child and what it started, which inherits its marks.
fn end(mut child: Child, session: SessionId) {
    rejoin_server::reap::reap(
        session,
        &rejoin_server::reap::ReapScope::Session,
        std::time::Duration::from_secs(20),
    )
    .unwrap();
    child.wait().unwrap();
}

fn dead_keeper(registry: &Path) -> String {
    format!("1.1.{}", registry.display())
}

#[test]
fn a_lock_handed_to_a_child_keeps_the_session_alive_until_the_child_ends() {
    let (_turn, _folder, registry) = registry();
    let lock = lock(&registry);
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(lock.into_fd()))
        .spawn()
        .unwrap();
    assert!(registry.is_alive(*SESSION).unwrap());
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(!registry.is_alive(*SESSION).unwrap());
}

#[test]
fn a_program_that_is_executed_does_not_keep_the_lock() {
    let (_turn, _folder, registry) = registry();
    let lock = lock(&registry);
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    drop(lock);
    assert!(!registry.is_alive(*SESSION).unwrap());
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_sweep_leaves_alone_a_process_of_whose_session_nothing_is_known() {
    let (_turn, _folder, registry) = registry();
    let mut orphan = marked(*SESSION, &dead_keeper(registry.dir()));
    let swept = sweep(&registry).unwrap();
    assert_eq!((swept.killed, swept.buried.len(), swept.problems.len()), (0, 0, 0));
    assert!(is_running(&mut orphan));
    assert!(!registry.is_alive(*SESSION).unwrap());
    end(orphan, *SESSION);
}

#[test]
fn a_sweep_spares_processes_of_another_registry_of_a_living_server_and_of_a_held_lock() {
    let (_turn, folder, registry) = registry();
    let [foreign, kept, held] = [fresh(), fresh(), *SESSION];
    let mark = Mark {
        session: kept,
        incarnation: Incarnation(0),
        epoch: Epoch::from_bytes([0; 16]),
        registry: registry.dir().into(),
    };
    // The last variable names this very process as the server.
    let living = mark.variables()[3].1.clone().into_string().unwrap();
    let mut spared = [
        (foreign, marked(foreign, &dead_keeper(folder.path()))),
        (kept, marked(kept, &living)),
        (held, marked(held, &dead_keeper(registry.dir()))),
    ];
    let _lock = lock(&registry);
    let swept = sweep(&registry).unwrap();
    assert_eq!((swept.killed, swept.buried.len()), (0, 0));
    assert!(spared.iter_mut().all(|(_, child)| is_running(child)));
    for (session, child) in spared {
        end(child, session);
    }
}

#[test]
fn a_sweep_takes_no_higher_incarnation_from_a_process_than_its_record_has() {
    let (_turn, _folder, registry) = registry();
    let record = Record::reserved(Incarnation(4), Tenure(0), "", "");
    lock(&registry).write_record(&record.starting(Epoch::from_bytes([0; 16]))).unwrap();
    let mut leftover = marked(*SESSION, &dead_keeper(registry.dir()));
    let swept = sweep(&registry).unwrap();
    assert!(swept.killed >= 1 && swept.problems.is_empty());
    leftover.wait().unwrap();
    let tombstone = lock(&registry).read_tombstone().unwrap().whole().unwrap();
    assert_eq!(tombstone.used, Some(Incarnation(4)));
}

#[test]
fn a_sweep_buries_no_session_that_only_another_user_claims_to_have() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("passed over: only root can read the environment of another user's process");
        return;
    }
    let (_turn, _folder, registry) = registry();
    let keeper = dead_keeper(registry.dir());
    let mut forged = script_of(*SESSION, &keeper, "echo; exec sleep 1000");
    let mut forged = started(forged.uid(65_534).gid(65_534));
    let swept = sweep(&registry).unwrap();
    assert_eq!((swept.killed, swept.buried), (0, Vec::new()));
    assert_eq!(std::fs::read_dir(registry.dir()).unwrap().count(), 0);
    assert!(is_running(&mut forged));
    forged.kill().unwrap();
    forged.wait().unwrap();
}
