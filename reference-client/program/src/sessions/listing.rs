//! The sessions of a host as a person names and sees them.

use std::time::Duration;

use rejoin_client::SessionId;
use rejoin_client::admin::{PruneProblem, PruneReport, SessionInfo};
use unicode_width::UnicodeWidthStr as _;

use crate::ending::Ending;

/// Ends as a failure if anything could not be removed.
pub(crate) fn ending(report: &PruneReport) -> Ending {
    let Some(PruneProblem { session, error }) = report.problems.first() else {
        return Ending::silent(0);
    };
    let count = report.problems.len();
    Ending::failed(format!("{count} could not be removed, such as {session}: {error}"))
}

/// Says what was removed.
pub(crate) fn pruned(pruned: &PruneReport) -> String {
    let removed = [
        (pruned.dead.len() as u64, "dead session"),
        (pruned.killed, "leftover process"),
        (pruned.tombstones.len() as u64, "old tombstone"),
    ];
    let words: Vec<_> = removed.into_iter().filter(|(count, _)| *count > 0).map(counted).collect();
    match words.as_slice() {
        [] => "nothing was there to be removed\n".to_owned(),
        words => format!("removed: {}\n", words.join(", ")),
    }
}

fn counted((count, what): (u64, &str)) -> String {
    let plural = match what.strip_suffix('s') {
        _ if count == 1 => "",
        Some(_) => "es",
        None => "s",
    };
    format!("{count} {what}{plural}")
}

/// The one session that a row's number or the beginning of an id names; without either, the only
/// one there is.
pub(crate) fn find<'a>(
    rows: &'a [SessionInfo],
    name: Option<&str>,
) -> Result<&'a SessionInfo, Ending> {
    match name.and_then(row_number) {
        Some(number) => number.checked_sub(1).and_then(|index| rows.get(index)).ok_or_else(|| {
            let count = rows.len();
            Ending::failed(format!("there is no row {number}: rejoin ls shows {count}"))
        }),
        None => by_digits(rows, name),
    }
}

/// The sessions that rows' numbers and the beginnings of ids name, once each.
pub(crate) fn named<'a>(
    rows: &'a [SessionInfo],
    names: &[String],
) -> Result<Vec<&'a SessionInfo>, Ending> {
    let mut found: Vec<&SessionInfo> = Vec::new();
    for name in names {
        let row = find(rows, Some(name))?;
        if !found.contains(&row) {
            found.push(row);
        }
    }
    Ok(found)
}

/// Whether this is the number of a row. What stands there may be another session by now: nothing is ended
/// by its number without being shown first.
pub(crate) fn is_row_number(name: &str) -> bool {
    row_number(name).is_some()
}

/// No host shows a thousand sessions, and no id is given with so few digits.
fn row_number(name: &str) -> Option<usize> {
    let is_short = (1..=3).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_digit());
    is_short.then(|| name.parse().ok()).flatten()
}

fn by_digits<'a>(rows: &'a [SessionInfo], prefix: Option<&str>) -> Result<&'a SessionInfo, Ending> {
    let prefix = prefix.map(str::to_ascii_lowercase).unwrap_or_default();
    let found: Vec<&SessionInfo> =
        rows.iter().filter(|row| row.session.to_string().starts_with(&prefix)).collect();
    match (found.as_slice(), prefix.as_str()) {
        ([row], _) => Ok(row),
        ([], "") => Err(Ending::failed("there are no sessions on this host")),
        ([], _) => Err(Ending::failed(format!(
            "no session begins with {prefix}: rejoin ls lists those that there are"
        ))),
        (several, "") => Err(Ending::failed(format!(
            "there are {} sessions: add the number of one, or the first digits of its id",
            several.len()
        ))),
        (several, _) => {
            Err(Ending::failed(format!("several sessions begin with {prefix}: {}", names(several))))
        }
    }
}

fn names(rows: &[&SessionInfo]) -> String {
    let names: Vec<String> = rows
        .iter()
        .take(10)
        .map(|row| format!("{} ({})", short(row.session), cut(&row.command, 30)))
        .collect();
    names.join(", ")
}

/// What tells a person which session it is.
pub(crate) fn description(row: &SessionInfo) -> String {
    let started = row.age_seconds.map(|age| format!(", started {} ago", roughly(age)));
    let (id, command) = (short(row.session), cut(&row.command, 60));
    let command = if command.is_empty() { "login shell" } else { &command };
    format!("session {id} ({command}{})", started.unwrap_or_default())
}

fn roughly(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The table, with lines of this width at most.
pub(crate) fn table(rows: &[SessionInfo], width: Option<usize>) -> String {
    table_of(rows, &rows.iter().collect::<Vec<_>>(), width)
}

/// The table of some of the rows, with the numbers that they have among all.
pub(crate) fn table_of(
    rows: &[SessionInfo],
    chosen: &[&SessionInfo],
    width: Option<usize>,
) -> String {
    let length = distinct(rows);
    let mut cells = vec![HEADER.map(str::to_owned)];
    let numbered = rows.iter().zip(1..).filter(|(row, _)| chosen.contains(row));
    cells.extend(numbered.map(|(row, number)| cells_of(row, number, length)));
    let widths: Vec<usize> = (0..HEADER.len() - 1)
        .map(|column| cells.iter().map(|row| row[column].width()).max().unwrap_or(0))
        .collect();
    cells.iter().map(|row| line(row, &widths, width)).collect()
}

const HEADER: [&str; 7] = ["#", "SESSION", "STATE", "AGE", "IDLE", "ATTACHED BY", "COMMAND"];

fn cells_of(row: &SessionInfo, number: usize, length: usize) -> [String; HEADER.len()] {
    let by = if row.is_attached() { cell(&row.client) } else { String::new() };
    let rounded = |seconds| crate::terminal::text::round(Duration::from_secs(seconds));
    let idle = match row.idle_seconds {
        // It is known to a minute.
        Some(0..120) => "<2m".to_owned(),
        idle => idle.map(rounded).unwrap_or_default(),
    };
    [
        number.to_string(),
        digits(row.session, length),
        cell(row.status.as_str()),
        row.age_seconds.map(rounded).unwrap_or_default(),
        idle,
        by,
        row.command.to_string(),
    ]
}

/// What stands in front of another column: each row is filled up to the longest.
fn cell(text: &str) -> String {
    cut(text, 40)
}

fn line(cells: &[String; HEADER.len()], widths: &[usize], width: Option<usize>) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
    }
    line.push_str(&cells[HEADER.len() - 1]);
    let line = width.map_or(line.clone(), |width| cut(&line, width));
    line.trim_end().to_owned() + "\n"
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = crate::terminal::text::cut(text, width.saturating_sub(1));
    cut.push('…');
    cut
}

/// How many digits tell these sessions apart.
fn distinct(rows: &[SessionInfo]) -> usize {
    let is_enough = |length: &usize| {
        let mut ids: Vec<String> = rows.iter().map(|row| digits(row.session, *length)).collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    };
    (8..32).find(is_enough).unwrap_or(32)
}

/// As many digits of an id as usually tell sessions apart.
pub(crate) fn short(session: SessionId) -> String {
    digits(session, 8)
}

fn digits(session: SessionId, length: usize) -> String {
    let mut digits = session.to_string();
    digits.truncate(length);
    digits
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
