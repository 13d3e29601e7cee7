//! What a started process finds: its terminal or pipes, its environment, its signals; and how a
//! start that fails is told.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rejoin_protocol::spec::{Command, Terminal};
use rejoin_protocol::{Epoch, Incarnation, SessionId, Signal, SpawnErrorKind, WindowSize};
use rejoin_server::marks::Mark;
use rejoin_server::process::{Io, Start, Started, set_window, signal_foreground, spawn};
use rustix::process::{WaitOptions, WaitStatus, waitpid};

const SIZE: WindowSize = WindowSize { rows: 33, cols: 77, xpixel: 0, ypixel: 0 };

fn exec(words: &[&str]) -> Start {
    Start {
        command: Command::Exec(words.iter().map(|word| word.as_bytes().to_vec()).collect()),
        directory: Some(b"/".to_vec()),
        environment: Vec::new(),
        terminal: None,
        mark: Mark {
            session: SessionId::from_bytes([0xd1; 16]),
            incarnation: Incarnation(3),
            epoch: Epoch::from_bytes([0xd2; 16]),
            registry: "/nowhere".into(),
        },
        umask: 0o027,
    }
}

fn script(text: &str) -> Start {
    exec(&["/bin/sh", "-c", text])
}

fn in_terminal(start: Start) -> Start {
    with_modes(start, &[])
}

fn with_modes(start: Start, modes: &[(u8, u32)]) -> Start {
    let terminal = Terminal { term: "vt100".into(), size: SIZE, modes: modes.to_vec() };
    Start { terminal: Some(terminal), ..start }
}

/// Our end, made to wait.
fn file(fd: OwnedFd) -> File {
    rustix::io::ioctl_fionbio(&fd, false).unwrap();
    File::from(fd)
}

/// A terminal reports its end as an error.
fn read_all(mut from: File) -> String {
    let mut text = Vec::new();
    match from.read_to_end(&mut text) {
        Err(error) if error.raw_os_error() != Some(5) => panic!("{error}"),
        _ => String::from_utf8(text).unwrap().replace('\r', ""),
    }
}

fn read_line(from: &mut File) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.extend(byte);
    }
    String::from_utf8(line).unwrap().replace('\r', "")
}

fn pipes(started: Started) -> [File; 3] {
    match started.io {
        Io::Pipes { stdin, stdout, stderr } => [stdin, stdout, stderr].map(file),
        Io::Terminal { .. } => panic!("a terminal was not asked for"),
    }
}

fn master(started: &Started) -> &OwnedFd {
    match &started.io {
        Io::Terminal { master } => master,
        Io::Pipes { .. } => panic!("a terminal was asked for"),
    }
}

fn status(pid: rustix::process::Pid) -> WaitStatus {
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1
}

/// Runs it to its end, and returns its standard output or terminal output.
fn output(start: &Start) -> String {
    let started = spawn(start).unwrap();
    let pid = started.pid;
    let text = match started.io {
        Io::Terminal { master } => read_all(file(master)),
        Io::Pipes { stdin, stdout, .. } => {
            drop(stdin);
            read_all(file(stdout))
        }
    };
    status(pid);
    text
}

fn failure(start: &Start) -> (SpawnErrorKind, String) {
    let error = spawn(start).unwrap_err();
    (error.kind, error.message)
}

#[test]
fn in_a_terminal_a_process_sees_its_size_its_name_and_its_type() {
    let text = output(&in_terminal(script("stty size; tty; echo $SSH_TTY; echo $TERM")));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[0], lines[3]), ("33 77", "vt100"));
    assert!(lines[1].starts_with("/dev/pts/"));
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn in_a_terminal_a_process_finds_the_modes_that_the_client_asks_for() {
    let plain = output(&in_terminal(script("stty -a")));
    for default in ["intr = ^C;", "erase = ^?;", " -iutf8", " icrnl", " onlcr", " echo ", " -ixany"]
    {
        assert!(plain.contains(default), "{default}: {plain}");
    }
    // No interrupt; ^H erases; also an opcode and a character that there are not.
    let modes = [(1, 255), (3, 8), (42, 1), (72, 0), (53, 0), (39, 1), (160, 1), (4, 256)];
    let speeds = [(129, 9600), (128, 9600)];
    let changed = output(&with_modes(script("stty -a"), &[&modes[..], &speeds].concat()));
    let expected = ["intr = <undef>;", "erase = ^H;", "kill = ^U;", " iutf8", " icrnl", " -onlcr"];
    for mode in expected.into_iter().chain([" -echo ", " ixany", "speed 9600 baud;"]) {
        assert!(changed.contains(mode), "{mode}: {changed}");
    }
}

#[test]
fn in_a_terminal_a_process_leads_its_session_and_its_foreground_group() {
    let started = spawn(&in_terminal(exec(&["cat", "/proc/self/stat"]))).unwrap();
    let pid = started.pid.as_raw_nonzero().to_string();
    let Io::Terminal { master } = started.io else { panic!("a terminal was asked for") };
    let text = read_all(file(master));
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    let [group, session, terminal, foreground] = fields[2..6].try_into().unwrap();
    assert_eq!([group, session, foreground], [&pid; 3]);
    assert_ne!(terminal, "0");
    status(started.pid);
}

#[test]
fn a_window_change_is_told_also_when_the_size_stays_the_same() {
    let text = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done";
    let started = spawn(&in_terminal(script(text))).unwrap();
    let mut screen = file(master(&started).try_clone().unwrap());
    assert_eq!(read_line(&mut screen), "ready");
    for size in [SIZE, WindowSize { rows: 50, cols: 120, ..SIZE }] {
        set_window(master(&started), started.pid, size).unwrap();
        assert_eq!(read_line(&mut screen), format!("{} {}", size.rows, size.cols));
    }
    signal_foreground(Some(master(&started).as_fd()), started.pid, Signal::KILL).unwrap();
    assert_eq!(status(started.pid).terminating_signal(), Some(9));
}

#[test]
fn without_a_terminal_the_three_streams_are_separate_and_end() {
    let started = spawn(&script("echo to-err >&2; cat; echo end")).unwrap();
    let pid = started.pid;
    let [mut stdin, stdout, stderr] = pipes(started);
    stdin.write_all(b"through\n").unwrap();
    drop(stdin);
    assert_eq!(read_all(stdout), "through\nend\n");
    assert_eq!(read_all(stderr), "to-err\n");
    assert_eq!(status(pid).exit_status(), Some(0));
}

#[test]
fn without_a_terminal_a_signal_reaches_the_whole_group() {
    let started = spawn(&script("trap 'exit 3' USR1; echo; while :; do sleep 0.02; done")).unwrap();
    let pid = started.pid;
    let [_stdin, mut stdout, _stderr] = pipes(started);
    read_line(&mut stdout);
    signal_foreground(None, pid, Signal(10)).unwrap();
    assert_eq!(status(pid).exit_status(), Some(3));
    let unknown = signal_foreground(None, pid, Signal(200)).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidInput);
}

#[test]
fn our_ends_do_not_block() {
    let started = spawn(&exec(&["cat"])).unwrap();
    let Io::Pipes { stdin, stdout, .. } = started.io else { panic!("pipes were asked for") };
    let error = File::from(stdout).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    drop(stdin);
    status(started.pid);
}

#[test]
fn no_signal_is_ignored_or_blocked() {
    let text = output(&exec(&["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]));
    assert_eq!(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn no_descriptor_leaks_also_one_that_was_opened_carelessly() {
    let flags = rustix::fs::OFlags::RDONLY;
    let _careless = rustix::fs::open("/", flags, rustix::fs::Mode::empty()).unwrap();
    for start in [exec(&["ls", "/proc/self/fd"]), in_terminal(exec(&["ls", "-1", "/proc/self/fd"]))]
    {
        // The fourth is the folder that is being listed.
        assert_eq!(output(&start).split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    }
}

#[test]
fn marks_and_folder_are_in_the_environment_and_the_client_cannot_forge_marks() {
    let mut start = script("echo $REJOIN_SESSION $REJOIN_INCARNATION $REJOIN_EPOCH $PWD $A; umask");
    start.environment =
        vec![(b"A".to_vec(), b"b c".to_vec()), (b"REJOIN_SESSION".to_vec(), b"forged".to_vec())];
    start.directory = Some(b"/tmp".to_vec());
    let mark = &start.mark;
    let expected = format!("{} 3 {} /tmp b c\n0027\n", mark.session, mark.epoch);
    assert_eq!(output(&start), expected);
    start.environment = vec![(b"A=B".to_vec(), Vec::new())];
    assert_eq!(failure(&start).0, SpawnErrorKind::Other);
}

#[test]
fn the_users_shell_runs_words_and_a_login_shell_reads_them() {
    let words = Start { command: Command::Shell(b"echo $((40 + 2))".to_vec()), ..exec(&[]) };
    assert_eq!(output(&words), "42\n");
    let started = spawn(&Start { command: Command::LoginShell, ..exec(&[]) }).unwrap();
    let pid = started.pid;
    let [mut stdin, stdout, _stderr] = pipes(started);
    stdin.write_all(b"tr '\\0' '\\n' < /proc/$$/cmdline; exit 4\n").unwrap();
    assert!(read_all(stdout).starts_with('-'));
    assert_eq!(status(pid).exit_status(), Some(4));
}

#[test]
fn a_missing_program_is_told() {
    assert_eq!(
        failure(&exec(&["no-such-program"])),
        (SpawnErrorKind::NotFound, "no-such-program: no such program".into())
    );
    assert_eq!(failure(&in_terminal(exec(&["/no/such"]))).0, SpawnErrorKind::NotFound);
}

#[test]
fn a_program_that_may_not_be_executed_or_lacks_its_interpreter_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script");
    // Not by this process, of which another thread may start one that then has the file open.
    let write = ["-c", "echo '#!/no/such/interpreter' >\"$0\""];
    let written = std::process::Command::new("sh").args(write).arg(&path).status();
    assert!(written.unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let start = exec(&[path.to_str().unwrap()]);
    assert_eq!(failure(&start).0, SpawnErrorKind::PermissionDenied);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    let (kind, message) = failure(&start);
    assert_eq!(kind, SpawnErrorKind::NotFound);
    assert!(message.contains("interpreter"), "{message}");
}

#[test]
fn a_bad_folder_is_told_and_not_taken_for_a_missing_program() {
    let mut start = exec(&["true"]);
    start.directory = Some(Path::new("/no/such/folder").as_os_str().as_bytes().to_vec());
    let (kind, message) = failure(&start);
    assert_eq!(kind, SpawnErrorKind::BadDirectory);
    assert!(message.contains("/no/such/folder"), "{message}");
}

#[test]
fn a_command_line_of_a_mebibyte_is_told() {
    let (kind, message) = failure(&script(&"x".repeat(1 << 20)));
    assert_eq!(kind, SpawnErrorKind::Other);
    assert!(message.contains("too long"), "{message}");
}
