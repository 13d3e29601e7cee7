//! The subcommands that ask a host about its sessions: `ls`, `attach`, `prune`.

pub(crate) mod kill;
pub(crate) mod listing;

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use rejoin_client::admin::{self, AdminError, SessionInfo, words};
use rejoin_client::{ClaimFrom, Session, Target};
use rejoin_ssh::LinkErrorKind;

use crate::args::ssh_request::Wishes;
use crate::args::{Attach, Question};
use crate::ending::Ending;
use crate::ending::Fallible;
use crate::host::query::HostQuery;
use crate::messages;
use crate::session::attached;
use crate::session::preferences::Preferences;
use crate::session::start;
use crate::terminal::output::say;
use crate::terminal::prompt;
use crate::terminal::text;
use crate::terminal::tty::{self, Standard};

/// `rejoin ls`.
pub(crate) async fn ls(list: Question) -> Ending {
    match rows(&mut HostQuery::new(&list.link, &list.destination)).await {
        Ok(rows) => show(&rows, list.json),
        Err(ending) => ending,
    }
}

fn show(rows: &[SessionInfo], is_json: bool) -> Ending {
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
    let followed = start::followed(&session_options, &link);
    let mut query = query.followed(followed);
    let session = Session::claim(query.attach(), row.session, target, None, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    query.next_login();
    let ssh_messages = preferences.after(query);
    Ok(attached::run(session, preferences, log, ssh_messages).await)
}

/// The session that is named, or the only one. With several and no name, a person sees them and is asked.
fn which<'a>(rows: &'a [SessionInfo], name: Option<&str>) -> Fallible<&'a SessionInfo> {
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

fn is_claimable(row: &SessionInfo, take_over: bool) -> Fallible<()> {
    let id = listing::short(row.session);
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
    let mut query = HostQuery::new(&link, &destination);
    let connect = query.asking(words::PRUNE);
    let answer = query.while_waiting(admin::prune(&*connect)).await;
    let pruned = match answered(&mut query, answer) {
        Ok(pruned) => pruned,
        Err(ending) => return ending,
    };
    let text = match serde_json::to_string(&pruned) {
        Ok(text) if json => text + "\n",
        _ => listing::pruned(&pruned),
    };
    match print(&text) {
        Ending { code: 0, .. } => listing::ending(&pruned),
        failed => failed,
    }
}

/// Asks a host for its sessions.
pub(crate) async fn rows(query: &mut HostQuery) -> Fallible<Vec<SessionInfo>> {
    let connect = query.asking(words::LIST);
    let answer = query.while_waiting(admin::list(&*connect)).await;
    answered(query, answer)
}

/// Shows what ssh said before an answer. A failure does not repeat it.
fn answered<T>(query: &mut HostQuery, answer: Result<T, AdminError>) -> Fallible<T> {
    match answer {
        Ok(answer) => {
            query.release();
            Ok(answer)
        }
        Err(error) => Err(query.said_once(no_answer(&error))),
    }
}

fn no_answer(error: &AdminError) -> Ending {
    match error {
        AdminError::NoAnswer(end) if end.kind == LinkErrorKind::ServerMissing => {
            Ending::failed(messages::gave_up("server_missing", &end.message))
        }
        _ => Ending::failed(described(error)),
    }
}

/// An error as a line that quotes no more of a host than people read.
pub(crate) fn described(error: &AdminError) -> String {
    match error {
        AdminError::Unexpected { line } => {
            AdminError::Unexpected { line: text::cut(line, 200) }.to_string()
        }
        _ => error.to_string(),
    }
}
