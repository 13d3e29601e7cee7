//! What is done to a connection, and how long it takes until something new comes from the host.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rejoin_testing::Signal;

use super::processes;
use super::rivals::{Rival, Running};
use super::stage::{LinkRoute, Stage};
use super::terminal::within;

/// For a session to be back.
const LIMIT: Duration = Duration::from_secs(90);
/// Between two tries of somebody who waits for an answer: what the figures are exact to, where
/// what is typed during an outage is lost.
const TRY: Duration = Duration::from_millis(25);
/// The same while there is nothing to expect.
const IDLE: Duration = Duration::from_millis(250);

/// An outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The connection that the session has is reset, as by a router that forgot it.
    Reset,
    /// Nothing arrives for a while.
    Silence(Duration),
    /// The process of sshd that serves the connection is killed.
    Kill,
    /// The client's machine sleeps: its processes are stopped, and nothing arrives there.
    Sleep(Duration),
    /// The client's address changes.
    Address,
}

/// Milliseconds from the outage, or from its end where it has one, to the first answer to something
/// that was typed since it began.
pub(super) fn measure(
    stage: &mut Stage,
    course: &LinkRoute,
    rival: Rival,
    outage: Outage,
) -> io::Result<Duration> {
    if !rival.keeps_sessions() {
        return fresh_echo(stage, course);
    }
    let logins = stage.logins();
    let mut running = Running::start(stage, course, rival)?;
    let number = running.type_number()?;
    if running.answer(number, within(LIMIT))?.is_none() {
        return Err(io::Error::other("it does not answer"));
    }
    if rival == Rival::Standby {
        stage.wait_for_standby(course)?;
    }
    if let Some(more) = rival.learning_logins() {
        stage.wait_for_logins(course, logins + more)?;
    }
    // What came with the start has to be over: acknowledgements, a first redraw.
    thread::sleep(Duration::from_millis(500));
    let first = number + 1;
    let since = happen(stage, course, &mut running, outage)?;
    let deadline = since + LIMIT;
    while Instant::now() < deadline {
        running.type_number()?;
        if let Some(at) = running.answer(first, within(TRY))? {
            return Ok(at.saturating_duration_since(since));
        }
    }
    let text = running.terminal.text();
    Err(io::Error::other(format!("not back after {LIMIT:?}; its screen: {text}")))
}

/// Does it, and says from when on to count.
fn happen(
    stage: &mut Stage,
    course: &LinkRoute,
    running: &mut Running,
    outage: Outage,
) -> io::Result<Instant> {
    match outage {
        Outage::Reset => stage.reset(course),
        Outage::Kill => stage.kill_connections(),
        Outage::Silence(time) => {
            stage.silence(course, running.datagrams.as_ref(), true)?;
            let end = within(time);
            while Instant::now() < end {
                running.type_number()?;
                thread::sleep(IDLE.min(end.saturating_duration_since(Instant::now())));
            }
            stage.silence(course, running.datagrams.as_ref(), false)?;
            Ok(Instant::now())
        }
        Outage::Sleep(time) => {
            let all = running.terminal.processes();
            processes::signal(&all, Signal::STOP);
            stage.silence(course, running.datagrams.as_ref(), true)?;
            thread::sleep(time);
            stage.silence(course, running.datagrams.as_ref(), false)?;
            let at = Instant::now();
            processes::signal(&all, Signal::CONT);
            Ok(at)
        }
        Outage::Address => {
            stage.change_address(course)?;
            Ok(Instant::now())
        }
    }
}

/// From nothing to the first byte of a fresh `ssh host echo x`: what a person waits for who does it
/// all by hand, and has nothing to come back to.
fn fresh_echo(stage: &Stage, course: &LinkRoute) -> io::Result<Duration> {
    let mut words = stage.prefix(course);
    words.push("ssh".into());
    words.extend(stage.ssh_words(course));
    words.push(OsString::from("echo x"));
    let since = Instant::now();
    let mut ssh = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut byte = [0];
    let read = ssh.stdout.as_mut().map(|stdout| stdout.read_exact(&mut byte));
    let elapsed = since.elapsed();
    ssh.wait()?;
    read.transpose()?;
    Ok(elapsed)
}
