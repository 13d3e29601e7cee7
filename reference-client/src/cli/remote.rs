//! The subcommands that act on sessions that there are: `ls`, `attach`, `kill`.

use std::ffi::OsStr;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rejoin_client::{ClaimFrom, Incarnation, Session, Target, Tenure};
use rejoin_ssh::{Attempt, Connect as _, LinkError, LinkErrorKind};
use tokio::io::AsyncReadExt as _;

use super::args::{Attach, Kill, LinkOptions, List, SessionOptions};
use super::job::{self, SshLines};
use super::listing::{self, Row};
use super::run::{self, Fallible};
use super::setting::Setting;
use super::terminal::{self, Standard};
use super::words::{self, Ending};

/// No host has so many sessions.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// How long ssh's words wait for the failure that they announce.
const HELD_BACK: Duration = Duration::from_millis(700);

/// `rejoin ls`.
pub(crate) async fn ls(list: List) -> Ending {
    match rows(&list.link, &list.destination).await {
        Ok(rows) => show(&rows, list.json),
        Err(ending) => ending,
    }
}

fn show(rows: &[Row], is_json: bool) -> Ending {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let is_terminal = std::io::stdout().is_terminal();
    let text = match serde_json::to_string(rows) {
        Ok(json) if is_json => json + "\n",
        _ if rows.is_empty() => "no sessions\n".to_owned(),
        _ => listing::table(rows, now, is_terminal.then(|| usize::from(terminal::size().cols))),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ending::silent(0),
        // As a program that the signal ends: whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ending::silent(128 + 13),
        Err(error) => Ending::failed(format!("stdout cannot be written: {error}")),
    }
}

/// `rejoin attach`.
pub(crate) async fn attach(attach: Attach) -> Ending {
    match claim(attach).await {
        Ok(ending) | Err(ending) => ending,
    }
}

async fn claim(attach: Attach) -> Fallible<Ending> {
    let Attach { link, session_options, take_over, destination, session } = attach;
    let rows = rows(&link, &destination).await?;
    let row = listing::find(&rows, session.as_deref())?;
    let standard = Standard::look();
    let take_over = take_over || standard.stdin;
    is_claimable(row, take_over)?;
    let mut setting = Setting::new(&link, &destination, row.terminal, standard)?;
    setting.is_attached_to = true;
    let log = run::event_log(&session_options)?;
    let mut options = run::options(&session_options)?;
    options.session = row.id()?;
    options.take_over = take_over;
    let target = Target { expected: row.holder(), from: ClaimFrom::FirstHeld };
    let (ssh, lines) = run::connector(&link, &destination, "attach");
    let session = Session::claim(Arc::new(ssh), target, None, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    Ok(job::run(session, setting, log, lines).await)
}

fn is_claimable(row: &Row, take_over: bool) -> Fallible<()> {
    let id = words::short(&row.session);
    if row.is_dead() {
        return Err(Ending::failed(format!("{id}: the process is gone, with its server")));
    }
    if row.is_attached() && !take_over {
        let client = &row.client;
        return Err(Ending::failed(format!("{client} is attached to {id}: --take-over takes it")));
    }
    Ok(())
}

/// `rejoin kill`.
pub(crate) async fn kill(kill: Kill) -> Ending {
    match close(kill).await {
        Ok(ending) | Err(ending) => ending,
    }
}

async fn close(kill: Kill) -> Fallible<Ending> {
    let Kill { link, destination, session } = kill;
    let rows = rows(&link, &destination).await?;
    let row = listing::find(&rows, Some(&session))?;
    let mut options = run::options(&SessionOptions { events: None, give_up: None })?;
    options.session = row.id()?;
    let incarnation = Incarnation(row.incarnation.unwrap_or(0));
    let tenure = Tenure(row.tenure.unwrap_or(0));
    let (ssh, lines) = run::connector(&link, &destination, "attach");
    let chatter = tokio::spawn(pass_on(lines, link.ssh_options.has('v')));
    let mut session = Session::kill(Arc::new(ssh), incarnation, tenure, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    let mut ending = None;
    while let Some(event) = session.events.recv().await {
        ending = Ending::of(&event, "rejoin ls").or(ending);
    }
    chatter.abort();
    Ok(ending.unwrap_or_else(|| Ending::failed("it is unknown whether the session was ended")))
}

/// Asks a host for its sessions.
async fn rows(link: &LinkOptions, destination: &OsStr) -> Fallible<Vec<Row>> {
    let (ssh, lines) = run::connector(link, destination, "ls --json");
    let chatter = tokio::spawn(pass_on(lines, link.ssh_options.has('v')));
    let (answer, error) = match ssh.connect(Attempt::First).await {
        Err(error) => (String::new(), error),
        Ok(link) => {
            let (reader, writer, guard) = link.into_parts();
            drop(writer);
            let mut answer = Vec::new();
            // What is missing at the end shows when it is read.
            let _ = reader.take(MAX_ANSWER).read_to_end(&mut answer).await;
            (String::from_utf8_lossy(&answer).into_owned(), guard.post_mortem().await)
        }
    };
    chatter.abort();
    listing::parse(&answer).ok_or_else(|| no_answer(&error))
}

fn no_answer(error: &LinkError) -> Ending {
    match error.kind {
        LinkErrorKind::ServerMissing => {
            Ending::failed(words::gave_up("server_missing", &error.message))
        }
        LinkErrorKind::Closed => Ending::failed("the host did not list its sessions"),
        _ => Ending::failed(&error.message),
    }
}

/// Shows what ssh says, unless it ends at once: then its failure says it all.
async fn pass_on(mut lines: SshLines, is_verbose: bool) {
    while let Some((_, line)) = lines.recv().await {
        if !is_verbose {
            tokio::time::sleep(HELD_BACK).await;
        }
        eprintln!("{line}");
    }
}
