//! What a session is like while nothing goes wrong.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::processes;
use super::report::Figure;
use super::rivals::{Rival, Running, run};
use super::stage::{LinkRoute, Stage};
use super::terminal::within;

/// For anything that works.
const LIMIT: Duration = Duration::from_mins(1);
const PROMPT: &str = "@@@";

/// From the start of the client to the first word of the program on the host.
pub(super) fn connect(stage: &Stage, course: &LinkRoute, rival: Rival) -> io::Result<Vec<Figure>> {
    let running = Running::start(stage, course, rival)?;
    Ok(vec![Figure::millis("first connect", running.connected)])
}

/// From a typed key to its answer on the screen.
pub(super) fn echo(
    stage: &Stage,
    course: &LinkRoute,
    rival: Rival,
    is_quick: bool,
) -> io::Result<Vec<Figure>> {
    let mut running = Running::start(stage, course, rival)?;
    let mut times = Vec::new();
    for round in 0..if is_quick { 20 } else { 100 } {
        let since = Instant::now();
        let number = running.type_number()?;
        let Some(at) = running.answer(number, within(LIMIT))? else {
            return Err(io::Error::other("a key is not answered"));
        };
        times.push(at - since);
        // As a person types, and in no step with anybody's clock.
        thread::sleep(Duration::from_millis(20 + round * 7 % 13));
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    Ok(vec![Figure::millis("echo, p50", at(50)), Figure::millis("echo, p99", at(99))])
}

/// From a typed Ctrl-C under `yes` to the shell's next prompt on the screen.
pub(super) fn interrupt(
    stage: &Stage,
    course: &LinkRoute,
    rival: Rival,
) -> io::Result<Vec<Figure>> {
    let shell = format!("env ENV= PS1={PROMPT} sh -i");
    let (mut terminal, _datagrams) = run(stage, course, rival, &shell)?;
    let is_prompt = |screen: &vt100::Screen| {
        let (row, _) = screen.cursor_position();
        let line = screen.rows(0, u16::MAX).nth(row.into()).unwrap_or_default();
        (line.trim_end() == PROMPT).then_some(())
    };
    let failed = |what: &str| io::Error::other(what.to_owned());
    terminal.find(within(LIMIT), is_prompt).ok_or_else(|| failed("no prompt appears"))?;
    terminal.write(b"yes\r")?;
    let is_flooded = |screen: &vt100::Screen| {
        let rows = screen.rows(0, u16::MAX).filter(|row| row.trim_end() == "y");
        (rows.count() > 10).then_some(())
    };
    terminal.find(within(LIMIT), is_flooded).ok_or_else(|| failed("yes says nothing"))?;
    thread::sleep(Duration::from_secs(1));
    let since = Instant::now();
    terminal.write(b"\x03")?;
    let ((), at) = terminal
        .find(within(LIMIT), is_prompt)
        .ok_or_else(|| failed("Ctrl-C does not bring back the prompt"))?;
    Ok(vec![Figure::millis("Ctrl-C under yes", at - since)])
}

/// The private memory of a session that does nothing.
pub(super) fn memory(stage: &Stage, course: &LinkRoute, rival: Rival) -> io::Result<Vec<Figure>> {
    let running = Running::start(stage, course, rival)?;
    thread::sleep(Duration::from_secs(2));
    let sum = |pids: Vec<u32>| -> io::Result<u64> {
        pids.into_iter().filter(|pid| !is_payload(*pid)).map(processes::private_bytes).sum()
    };
    let (client, host) = (sum(running.terminal.processes())?, sum(stage.host_processes())?);
    Ok(vec![Figure::kib("memory, client", client), Figure::kib("memory, host", host)])
}

/// Whether a process is the program that a session is for, or the shell that only waits for it.
fn is_payload(pid: u32) -> bool {
    let words = processes::words(pid);
    let is_answer = words.len() == 2 && words.last().is_some_and(|word| word == "answer");
    is_answer || words.get(1).is_some_and(|word| word == "-c")
}

/// Bytes through pipes, both ways: of those compared, only ssh and rejoin have them.
pub(super) fn bulk(
    stage: &Stage,
    course: &LinkRoute,
    rival: Rival,
    is_quick: bool,
) -> io::Result<Vec<Figure>> {
    let bytes: u64 = if is_quick { 16 << 20 } else { 256 << 20 };
    let down = format!("head -c {bytes} /dev/zero");
    let mut client = piped(stage, course, rival, &down)?;
    let time = drain(&mut client, bytes)?;
    let down = Figure::rate("bulk, from the host", bytes, time);
    let mut client = piped(stage, course, rival, "echo a; cat >/dev/null; echo z")?;
    let time = fill(&mut client, bytes)?;
    Ok(vec![down, Figure::rate("bulk, to the host", bytes, time)])
}

fn piped(stage: &Stage, course: &LinkRoute, rival: Rival, command: &str) -> io::Result<Child> {
    let mut words = stage.prefix(course);
    if rival == Rival::Rejoin {
        words.push(stage.programs.client.clone().into());
        words.push("--server".into());
        words.push(stage.programs.server.clone().into());
    } else {
        words.push("ssh".into());
    }
    words.extend(stage.ssh_words(course));
    words.push(OsString::from(command));
    Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

/// From the first byte to the last.
fn drain(client: &mut Child, bytes: u64) -> io::Result<Duration> {
    drop(client.stdin.take());
    let mut stdout = client.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut chunk = vec![0; 64 * 1024];
    stdout.read_exact(&mut chunk[..1])?;
    let (since, mut got) = (Instant::now(), 1);
    loop {
        let count = stdout.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        got += count as u64;
    }
    let time = since.elapsed();
    client.wait()?;
    if got == bytes { Ok(time) } else { Err(io::Error::other(format!("{got} bytes of {bytes}"))) }
}

/// From the first word of the program that takes it to the last.
fn fill(client: &mut Child, bytes: u64) -> io::Result<Duration> {
    let mut stdin = client.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut stdout = client.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut word = [0; 2];
    stdout.read_exact(&mut word)?;
    let (since, chunk) = (Instant::now(), vec![0; 64 * 1024]);
    for _ in 0..bytes / chunk.len() as u64 {
        stdin.write_all(&chunk)?;
    }
    drop(stdin);
    stdout.read_exact(&mut word)?;
    let time = since.elapsed();
    client.wait()?;
    Ok(time)
}
