//! The subcommands that ask a host about its sessions: `ls`, `attach`, `prune`.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use rejoin_client::{ClaimFrom, Session, Target};
use rejoin_ssh::{Attempt, Connect, LinkError, LinkErrorKind};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;

use crate::args::ssh_request::Wishes;
use crate::args::{Attach, Question};
use crate::host::listing::{self, Pruned, Row};
use crate::host::query::HostQuery;
use crate::session::attached;
use crate::session::messages::{self, Ending};
use crate::session::preferences::Preferences;
use crate::session::start::{self, Fallible};
use crate::session::status;
use crate::terminal::output::say;
use crate::terminal::prompt;
use crate::terminal::quote::shown;
use crate::terminal::tty::{self, Standard};

/// No host has so many sessions.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;
/// How long an answer may take: somebody may have to be found who knows the password.
const PATIENCE: Duration = Duration::from_mins(3);

/// `rejoin ls`.
pub(crate) async fn ls(list: Question) -> Ending {
    match rows(&mut HostQuery::new(&list.link, &list.destination)).await {
        Ok(rows) => show(&rows, list.json),
        Err(ending) => ending,
    }
}

fn show(rows: &[Row], is_json: bool) -> Ending {
    let is_terminal = std::io::stdout().is_terminal();
    let text = match serde_json::to_string(rows) {
        Ok(json) if is_json => json + "\n",
        _ if rows.is_empty() => "no sessions\n".to_owned(),
        _ => listing::table(rows, is_terminal.then(|| usize::from(tty::size().cols))),
    };
    print(&text)
}

/// Prints what a command is for.
pub(crate) fn print(text: &str) -> Ending {
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
    let mut query = HostQuery::new(&link, &destination);
    let rows = rows(&mut query).await?;
    let row = which(&rows, session.as_deref())?;
    let standard = Standard::look();
    let take_over = take_over || standard.stdin;
    is_claimable(row, take_over)?;
    let wishes = Wishes::of(&link.ssh_options, &query.configuration().await)?;
    let mut preferences = Preferences::new(&link, &destination, &wishes, row.terminal, standard);
    preferences.attached_to = Some(listing::description(row));
    let log = start::event_log(&session_options)?;
    let mut options = start::options(&session_options);
    options.take_over = take_over;
    let target = Target { expected: row.holder(), from: ClaimFrom::FirstHeld };
    let (timelines, followed) = start::timelines(&session_options, &link);
    let mut query = query.followed(followed);
    let session = Session::claim(query.attach(), row.id()?, target, None, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    query.next_login();
    let ssh_messages = query.into_messages(&mut preferences);
    Ok(attached::run(session, preferences, log, (ssh_messages, timelines)).await)
}

/// The session that is named, or the only one. With several and no name, a person sees them and is asked.
fn which<'a>(rows: &'a [Row], name: Option<&str>) -> Fallible<&'a Row> {
    if name.is_some() || rows.len() < 2 {
        return listing::find(rows, name);
    }
    let is_terminal = std::io::stderr().is_terminal();
    say(listing::table(rows, is_terminal.then(|| usize::from(tty::size().cols))));
    if !prompt::is_somebody_there() {
        return listing::find(rows, None);
    }
    match prompt::ask(&format!("Attach to which session? [1-{}] ", rows.len())).as_str() {
        "" => Err(Ending::failed("no session was chosen")),
        answer => listing::find(rows, Some(answer)),
    }
}

fn is_claimable(row: &Row, take_over: bool) -> Fallible<()> {
    let id = messages::short(&row.session);
    if row.is_dead() {
        return Err(Ending::failed(format!("{id}: the process is gone, with its server")));
    }
    if row.is_attached() && !take_over {
        let client = &row.client;
        return Err(Ending::failed(format!("{client} is attached to {id}: --take-over takes it")));
    }
    Ok(())
}

/// `rejoin prune`.
pub(crate) async fn prune(prune: Question) -> Ending {
    let Question { link, json, destination } = prune;
    let answer = ask(&mut HostQuery::new(&link, &destination), "prune --json").await;
    let pruned = match answer.map(Pruned::printable) {
        Ok(pruned) => pruned,
        Err(ending) => return ending,
    };
    let text = match serde_json::to_string(&pruned) {
        Ok(text) if json => text + "\n",
        _ => listing::pruned(&pruned),
    };
    match print(&text) {
        Ending { code: 0, .. } => pruned.ending(),
        failed => failed,
    }
}

/// Asks a host for its sessions.
pub(crate) async fn rows(query: &mut HostQuery) -> Fallible<Vec<Row>> {
    let rows: Vec<Row> = ask(query, "ls --json").await?;
    Ok(rows.into_iter().map(Row::printable).collect())
}

/// Runs the server program with these words, and reads its answer.
async fn ask<T: DeserializeOwned>(query: &mut HostQuery, words: &str) -> Fallible<T> {
    let connect = query.asking(words);
    let (answer, error) = query.while_waiting(answer(&*connect)).await?;
    match listing::parse(&answer) {
        Some(parsed) => {
            query.release();
            Ok(parsed)
        }
        None => Err(query.said_once(no_answer(&answer, &error))),
    }
}

/// What the server program says to its end, and how its link ended.
pub(crate) async fn answer(connect: &dyn Connect) -> Fallible<(String, LinkError)> {
    let link = match connect.connect(Attempt::First).await {
        Err(error) => return Ok((String::new(), error)),
        Ok(link) => link,
    };
    let (reader, writer, guard) = link.into_parts();
    drop(writer);
    let mut answer = Vec::new();
    // What is missing at the end shows when it is read.
    let mut reader = reader.take(MAX_ANSWER);
    let read = reader.read_to_end(&mut answer);
    // Not counting what was put on the host before the link was there.
    if tokio::time::timeout(PATIENCE, read).await.is_err() {
        return Err(Ending::failed("the host did not answer in time"));
    }
    Ok((String::from_utf8_lossy(&answer).into_owned(), guard.post_mortem().await))
}

fn no_answer(answer: &str, error: &LinkError) -> Ending {
    match error.kind {
        LinkErrorKind::ServerMissing => {
            Ending::failed(messages::gave_up("server_missing", &error.message))
        }
        LinkErrorKind::Closed => Ending::failed(misunderstood(answer, error)),
        _ => Ending::failed(&error.message),
    }
}

/// Told of an answer that is none, on a link that ended as if all was well: a host may have its own
/// things to say to whoever logs in.
pub(crate) fn misunderstood(answer: &str, error: &LinkError) -> String {
    match answer.lines().map(shown).find(|line| !line.trim().is_empty()) {
        Some(line) => {
            let line = status::cut(&line, 200);
            format!("the host answered something else than it was asked: {line}")
        }
        None => format!("the host did not answer: {}", error.message),
    }
}
