//! What a host says about its sessions, and the table that a person sees.

use std::time::Duration;

use rejoin_client::{Holder, Incarnation, SessionId, Tenure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

use crate::session::messages::Ending;
use crate::terminal::quote::shown;

/// A session, as `rejoin-server ls --json` tells it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) session: String,
    pub(crate) state: String,
    pub(crate) incarnation: Option<u64>,
    pub(crate) epoch: Option<String>,
    pub(crate) tenure: Option<u64>,
    #[serde(default)]
    pub(crate) command: String,
    #[serde(default)]
    pub(crate) terminal: bool,
    /// In seconds since 1970.
    pub(crate) started: Option<u64>,
    #[serde(default)]
    pub(crate) age_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) idle_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) client: String,
}

impl Row {
    /// The same without what could steer a terminal: JSON is looked at, too.
    pub(crate) fn printable(mut self) -> Self {
        let texts = [&mut self.session, &mut self.state, &mut self.command, &mut self.client];
        for text in texts.into_iter().chain(&mut self.epoch) {
            *text = shown(text);
        }
        self
    }

    pub(crate) fn id(&self) -> Result<SessionId, Ending> {
        let told = format!("{}: the host tells an id that is none", shown(&self.session));
        self.session.parse().map_err(|_| Ending::failed(told))
    }

    /// Who a claim takes the session from.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Some(Holder {
            epoch: self.epoch.as_deref()?.parse().ok()?,
            incarnation: Incarnation(self.incarnation?),
            tenure: Tenure(self.tenure?),
        })
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.state == "attached"
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state == "dead"
    }
}

/// What `rejoin-server prune --json` tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Pruned {
    /// The sessions whose server was dead.
    #[serde(default)]
    dead: Vec<String>,
    /// How many processes of theirs were ended.
    killed: u64,
    /// The sessions that ended long ago.
    #[serde(default)]
    tombstones: Vec<String>,
    /// What could not be removed.
    #[serde(default)]
    problems: Vec<Problem>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Problem {
    session: String,
    error: String,
}

impl Pruned {
    /// The same without what could steer a terminal.
    pub(crate) fn printable(mut self) -> Self {
        let problems = self.problems.iter_mut().flat_map(|it| [&mut it.session, &mut it.error]);
        for text in self.dead.iter_mut().chain(&mut self.tombstones).chain(problems) {
            *text = shown(text);
        }
        self
    }

    /// Whatever could not be removed is a failure.
    pub(crate) fn ending(&self) -> Ending {
        let Some(Problem { session, error }) = self.problems.first() else {
            return Ending::silent(0);
        };
        let count = self.problems.len();
        Ending::failed(format!("{count} could not be removed, such as {session}: {error}"))
    }
}

/// Reads the answer, behind whatever the login shell printed.
pub(crate) fn parse<T: DeserializeOwned>(answer: &str) -> Option<T> {
    answer.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

/// What a person is told of it.
pub(crate) fn pruned(pruned: &Pruned) -> String {
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
pub(crate) fn find<'a>(rows: &'a [Row], name: Option<&str>) -> Result<&'a Row, Ending> {
    match name.and_then(row_number) {
        Some(number) => number.checked_sub(1).and_then(|index| rows.get(index)).ok_or_else(|| {
            let count = rows.len();
            Ending::failed(format!("there is no row {number}: rejoin ls shows {count}"))
        }),
        None => by_digits(rows, name),
    }
}

/// The sessions that rows' numbers and the beginnings of ids name, once each.
pub(crate) fn named<'a>(rows: &'a [Row], names: &[String]) -> Result<Vec<&'a Row>, Ending> {
    let mut found: Vec<&Row> = Vec::new();
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

fn by_digits<'a>(rows: &'a [Row], prefix: Option<&str>) -> Result<&'a Row, Ending> {
    let prefix = prefix.map(str::to_ascii_lowercase).unwrap_or_default();
    let found: Vec<&Row> = rows.iter().filter(|row| row.session.starts_with(&prefix)).collect();
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

fn names(rows: &[&Row]) -> String {
    let names: Vec<String> = rows
        .iter()
        .take(10)
        .map(|row| format!("{} ({})", digits(&row.session, 8), cut(&shown(&row.command), 30)))
        .collect();
    names.join(", ")
}

/// What tells a person which session it is.
pub(crate) fn description(row: &Row) -> String {
    let started = row.age_seconds.map(|age| format!(", started {} ago", roughly(age)));
    let (id, command) = (digits(&row.session, 8), cut(&shown(&row.command), 60));
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
pub(crate) fn table(rows: &[Row], width: Option<usize>) -> String {
    table_of(rows, &rows.iter().collect::<Vec<_>>(), width)
}

/// The table of some of the rows, with the numbers that they have among all.
pub(crate) fn table_of(rows: &[Row], chosen: &[&Row], width: Option<usize>) -> String {
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

fn cells_of(row: &Row, number: usize, length: usize) -> [String; HEADER.len()] {
    let by = if row.is_attached() { cell(&row.client) } else { String::new() };
    let rounded = |seconds| crate::session::status::round(Duration::from_secs(seconds));
    let idle = match row.idle_seconds {
        // It is known to a minute.
        Some(0..120) => "<2m".to_owned(),
        idle => idle.map(rounded).unwrap_or_default(),
    };
    [
        number.to_string(),
        digits(&row.session, length),
        cell(&row.state),
        row.age_seconds.map(rounded).unwrap_or_default(),
        idle,
        by,
        shown(&row.command),
    ]
}

/// What stands in front of another column: each row is filled up to the longest.
fn cell(text: &str) -> String {
    cut(&shown(text), 40)
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
    let mut cut = crate::session::status::cut(text, width.saturating_sub(1));
    cut.push('…');
    cut
}

/// How many digits tell these sessions apart.
fn distinct(rows: &[Row]) -> usize {
    let is_enough = |length: &usize| {
        let mut ids: Vec<String> = rows.iter().map(|row| digits(&row.session, *length)).collect();
        ids.sort_unstable();
        ids.windows(2).all(|pair| pair[0] != pair[1])
    };
    (8..32).find(is_enough).unwrap_or(32)
}

fn digits(session: &str, length: usize) -> String {
    shown(session).chars().take(length).collect()
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
