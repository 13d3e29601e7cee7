//! `rejoin kill`.

use rejoin_client::admin::{self, KillError, SessionInfo};

use crate::args::{Kill, SessionOptions, WhichLane};
use crate::ending::Ending;
use crate::ending::Fallible;
use crate::host::query::HostQuery;
use crate::session::start;
use crate::sessions::listing;
use crate::sessions::{print, rows};
use crate::terminal::output::say;
use crate::terminal::prompt;

/// `rejoin kill`.
pub(crate) async fn kill(kill: Kill) -> Ending {
    match end(kill).await {
        Ok(ending) | Err(ending) => ending,
    }
}

async fn end(kill: Kill) -> Fallible<Ending> {
    let Kill { link, all, yes, destination, sessions } = kill;
    let has_numbers = sessions.iter().any(|name| listing::is_row_number(name));
    let is_asked = all && !yes || has_numbers;
    if is_asked && !prompt::is_somebody_there() {
        return Err(Ending::failed(if all {
            "--all asks first, and there is no terminal: add --yes"
        } else {
            "a row number asks first, and there is no terminal: use the first digits of the id"
        }));
    }
    let mut query = HostQuery::new(&link, &destination);
    let rows = rows(&mut query).await?;
    let doomed = if all { rows.iter().collect() } else { listing::named(&rows, &sessions)? };
    if doomed.is_empty() {
        return Ok(print("no sessions\n"));
    }
    if is_asked && !is_wanted(&rows, &doomed, &destination.to_string_lossy()) {
        return Err(Ending::failed("nothing was ended"));
    }
    let mut ending = Ending::silent(0);
    for row in doomed {
        let outcome = close(&mut query, row).await;
        ending = told(row, outcome, ending);
    }
    Ok(ending)
}

/// Says how one of them ended. Of several failures each is said, and the last one is the end.
fn told(row: &SessionInfo, outcome: Fallible<u32>, before: Ending) -> Ending {
    let id = listing::short(row.session);
    let failed = match outcome {
        Ok(processes) => {
            let noun = if processes == 1 { "process" } else { "processes" };
            let printed = print(&format!("{id} ended ({processes} {noun})\n"));
            return if before.code == 0 { printed } else { before };
        }
        Err(failed) => failed,
    };
    if let Some(line) = before.line {
        say(format_args!("rejoin: {line}\n"));
    }
    Ending::told(failed.code, format!("{id}: {}", failed.line.unwrap_or_default()))
}

fn is_wanted(rows: &[SessionInfo], doomed: &[&SessionInfo], destination: &str) -> bool {
    let destination = crate::terminal::quote::shown(destination);
    say(listing::table_of(rows, doomed, None));
    let what = match doomed.len() {
        1 => "this session".to_owned(),
        count => format!("these {count} sessions"),
    };
    prompt::is_confirmed(&format!("End {what} on {destination}, with everything started there?"))
}

/// Ends one of them; how many processes that were.
async fn close(query: &mut HostQuery, row: &SessionInfo) -> Fallible<u32> {
    let options = start::options(&SessionOptions {
        events: None,
        standby: false,
        lane: WhichLane::Ssh,
        give_up: None,
    });
    let ended = admin::kill_listed(query.attach(), row, options);
    query.while_waiting(ended).await.map_err(|error| not_ended(&error))
}

fn not_ended(error: &KillError) -> Ending {
    let event = match error {
        KillError::NotEnded(event) => Ending::of(event, "rejoin ls"),
        _ => None,
    };
    event.unwrap_or_else(|| Ending::failed(error.to_string()))
}
