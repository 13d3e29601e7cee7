//! Running a program with a row's streams.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::row::Stdin;

/// What takes longer has not ended.
const LIMIT: Duration = Duration::from_secs(40);
const PAUSE: Duration = Duration::from_millis(5);

/// How a program ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// 128 + n after signal n; none if it had to be killed.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs it to its end. It is not to be the command itself that has a terminal's session.
pub(crate) fn run(command: Command, stdin: &Stdin) -> Outcome {
    match stdin {
        Stdin::Pipe(bytes) => run_with_pipe(command, bytes.clone()),
        Stdin::Terminal(turns) => run_with_terminal(&command, turns.clone()),
    }
}

fn run_with_pipe(mut command: Command, bytes: Vec<u8>) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let stdout = child.stdout.take().unwrap();
    finish(child, move || read_all(stdout))
}

fn run_with_terminal(inner: &Command, turns: Vec<(&'static str, &'static str)>) -> Outcome {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    let mut open = OpenOptions::new();
    open.read(true).write(true);
    // Not to become the terminal of the tests.
    let no_owner = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let line = std::os::unix::fs::OpenOptionsExt::custom_flags(&mut open, no_owner).open(name);
    let line = line.unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(line.try_clone().unwrap()).stdout(line).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Its copies of the line would keep the terminal open.
    drop(command);
    let person = File::from(person);
    finish(child, move || converse(person, turns))
}

/// Types what is to be typed, and reads to the end.
fn converse(mut person: File, turns: Vec<(&'static str, &'static str)>) -> Vec<u8> {
    let (mut seen, mut turns) = (Vec::new(), turns.into_iter().peekable());
    let mut chunk = [0; 4096];
    // Reading fails when nobody has the other side any more.
    while let Ok(length) = person.read(&mut chunk) {
        seen.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        while let Some((_, typed)) = turns.next_if(|(shown, _)| text.contains(shown)) {
            let _ = person.write_all(typed.as_bytes());
        }
        if length == 0 {
            break;
        }
    }
    seen
}

fn finish(mut child: Child, read: impl FnOnce() -> Vec<u8> + Send + 'static) -> Outcome {
    let stderr = child.stderr.take().unwrap();
    let stdout = std::thread::spawn(read);
    let stderr = std::thread::spawn(move || read_all(stderr));
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.code().or_else(|| Some(128 + status.signal()?)),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(PAUSE),
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
        // What it has started may hold the streams open.
        return Outcome { status, stdout: String::new(), stderr: "did not end".to_owned() };
    }
    Outcome { status, stdout: text(stdout.join().unwrap()), stderr: text(stderr.join().unwrap()) }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = from.read_to_end(&mut read);
    read
}

/// Bytes that are no text stay apart from each other.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| error.into_bytes().escape_ascii().to_string())
}
