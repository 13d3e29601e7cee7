//! `rejoin kill`.

use rejoin_client::{Event, Incarnation, Session, Tenure};

use crate::args::{Kill, SessionOptions, WhichLane};
use crate::host::listing::{self, Row};
use crate::host::query::HostQuery;
use crate::host::sessions::{print, rows};
use crate::session::messages::{self, Ending};
use crate::session::start::{self, Fallible};
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
        let (ended, processes) = close(&mut query, row).await.unwrap_or_else(|failed| (failed, 0));
        ending = told(row, &ended, processes, ending);
    }
    Ok(ending)
}

/// Says how one of them ended. Of several failures each is said, and the last one is the end.
fn told(row: &Row, ended: &Ending, processes: u32, before: Ending) -> Ending {
    let id = messages::short(&row.session);
    let Some(line) = &ended.line else {
        let noun = if processes == 1 { "process" } else { "processes" };
        let printed = print(&format!("{id} ended ({processes} {noun})\n"));
        return if before.code == 0 { printed } else { before };
    };
    if let Some(line) = before.line {
        say(format_args!("rejoin: {line}\n"));
    }
    Ending::told(ended.code, format!("{id}: {line}"))
}

fn is_wanted(rows: &[Row], doomed: &[&Row], destination: &str) -> bool {
    let destination = crate::terminal::quote::shown(destination);
    say(listing::table_of(rows, doomed, None));
    let what = match doomed.len() {
        1 => "this session".to_owned(),
        count => format!("these {count} sessions"),
    };
    prompt::is_confirmed(&format!("End {what} on {destination}, with everything started there?"))
}

/// How one of them ended, and how many processes that were.
async fn close(query: &mut HostQuery, row: &Row) -> Fallible<(Ending, u32)> {
    let options = start::options(&SessionOptions {
        events: None,
        standby: false,
        lane: WhichLane::Ssh,
        give_up: None,
    });
    let incarnation = Incarnation(row.incarnation.unwrap_or(0));
    let tenure = Tenure(row.tenure.unwrap_or(0));
    let mut session = Session::kill(query.attach(), row.id()?, incarnation, tenure, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    let ended = async {
        let (mut ending, mut processes) = (None, 0);
        while let Some(event) = session.events.recv().await {
            if let Event::Closed { ended } = event {
                processes = ended;
            }
            ending = Ending::of(&event, "rejoin ls").or(ending);
        }
        (ending, processes)
    };
    let (ending, processes) = query.while_waiting(ended).await;
    let unknown = || Ending::failed("it is unknown whether the session was ended");
    Ok((ending.unwrap_or_else(unknown), processes))
}
