//! What a host says about its sessions, and the table that a person sees.

use rejoin_client::{Holder, Incarnation, SessionId, Tenure};
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

use super::quote::shown;
use super::words::Ending;

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
    pub(crate) client: String,
}

impl Row {
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

/// Reads the answer, behind whatever the login shell printed.
pub(crate) fn parse(answer: &str) -> Option<Vec<Row>> {
    answer.lines().rev().find_map(|line| serde_json::from_str(line).ok())
}

/// The one session that the beginning of an id names; without it, the only one there is.
pub(crate) fn find<'a>(rows: &'a [Row], prefix: Option<&str>) -> Result<&'a Row, Ending> {
    let prefix = prefix.map(str::to_ascii_lowercase).unwrap_or_default();
    let found: Vec<&Row> = rows.iter().filter(|row| row.session.starts_with(&prefix)).collect();
    match (found.as_slice(), prefix.as_str()) {
        ([row], _) => Ok(row),
        ([], "") => Err(Ending::failed("there are no sessions on this host")),
        ([], _) => Err(Ending::failed(format!(
            "no session begins with {prefix}: rejoin ls lists those that there are"
        ))),
        (several, "") => Err(Ending::failed(format!("which one? {}", names(several)))),
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

/// The table, with lines of this width at most, at this time.
pub(crate) fn table(rows: &[Row], now: u64, width: Option<usize>) -> String {
    let length = distinct(rows);
    let header = ["SESSION", "STATE", "AGE", "ATTACHED BY", "COMMAND"].map(str::to_owned);
    let mut cells = vec![header];
    cells.extend(rows.iter().map(|row| cells_of(row, now, length)));
    let widths: Vec<usize> = (0..4)
        .map(|column| cells.iter().map(|row| row[column].width()).max().unwrap_or(0))
        .collect();
    cells.iter().map(|row| line(row, &widths, width)).collect()
}

fn cells_of(row: &Row, now: u64, length: usize) -> [String; 5] {
    let by = if row.is_attached() { shown(&row.client) } else { String::new() };
    let age = row.started.map(|started| {
        super::status::round(std::time::Duration::from_secs(now.saturating_sub(started)))
    });
    [
        digits(&row.session, length),
        shown(&row.state),
        age.unwrap_or_default(),
        by,
        shown(&row.command),
    ]
}

fn line(cells: &[String; 5], widths: &[usize], width: Option<usize>) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
    }
    line.push_str(&cells[4]);
    let line = width.map_or(line.clone(), |width| cut(&line, width));
    line.trim_end().to_owned() + "\n"
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = super::status::cut(text, width.saturating_sub(1));
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
mod tests {
    use super::*;

    fn row(session: &str, state: &str, command: &str) -> Row {
        Row {
            session: session.to_owned(),
            state: state.to_owned(),
            incarnation: Some(1),
            epoch: Some("00112233445566778899aabbccddeeff".to_owned()),
            tenure: Some(2),
            command: command.to_owned(),
            terminal: true,
            started: Some(1000),
            client: "me@desk:42".to_owned(),
        }
    }

    const FIRST: &str = "1a2b3c4d000000000000000000000000";
    const SECOND: &str = "1a2bffff000000000000000000000000";

    #[test]
    fn an_answer_is_found_behind_what_a_login_shell_prints() {
        let rows = vec![row(FIRST, "attached", "bash")];
        let json = serde_json::to_string(&rows).unwrap();
        assert_eq!(parse(&format!("Welcome!\n[1] 42\n{json}\n")), Some(rows));
        assert_eq!(parse("[]\n"), Some(vec![]));
        assert_eq!(parse("Welcome!\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn an_answer_may_say_more_and_less_than_this_version_knows() {
        let json = r#"[{"session":"ab","state":"starting","incarnation":null,"epoch":null,
            "tenure":null,"started":null,"mood":"good"}]"#
            .replace('\n', " ");
        let rows = parse(&json).unwrap();
        assert_eq!((rows[0].holder(), rows[0].terminal), (None, false));
        assert!(rows[0].id().is_err());
    }

    #[test]
    fn a_session_is_found_by_its_first_digits_or_by_being_the_only_one() {
        let rows = [row(FIRST, "attached", "bash"), row(SECOND, "detached", "vim")];
        assert_eq!(find(&rows, Some("1a2b3")).unwrap().session, FIRST);
        assert_eq!(find(&rows, Some("1A2BF")).unwrap().session, SECOND);
        assert_eq!(find(&rows[..1], None).unwrap().session, FIRST);
        let line = |found: Result<&Row, Ending>| found.unwrap_err().line.unwrap();
        assert_eq!(line(find(&rows, None)), "which one? 1a2b3c4d (bash), 1a2bffff (vim)");
        assert!(line(find(&rows, Some("1a2b"))).starts_with("several sessions begin with 1a2b"));
        assert!(line(find(&rows, Some("9"))).contains("no session begins with 9"));
        assert!(line(find(&[], None)).contains("no sessions"));
    }

    #[test]
    fn the_table_is_aligned_and_cut_to_the_terminal() {
        let rows = [row(FIRST, "attached", "make -j8"), row(SECOND, "detached", "bash")];
        assert_eq!(
            table(&rows, 4661, None),
            "SESSION   STATE     AGE    ATTACHED BY  COMMAND\n\
             1a2b3c4d  attached  1h01m  me@desk:42   make -j8\n\
             1a2bffff  detached  1h01m               bash\n"
        );
        assert_eq!(
            table(&rows[..1], 1003, Some(45)),
            "SESSION   STATE     AGE  ATTACHED BY  COMMAND\n\
             1a2b3c4d  attached  3s   me@desk:42   make -…\n"
        );
    }

    #[test]
    fn ids_get_as_many_digits_as_tell_them_apart() {
        let rows = [row("1a2b3c4d1", "dead", ""), row("1a2b3c4d2", "dead", "")];
        assert!(table(&rows, 0, None).contains("1a2b3c4d1  dead"));
    }

    #[test]
    fn a_hosts_words_cannot_steer_the_terminal() {
        let mut evil = row("\x1b[2J1", "at\x1btached", "rm\r\x1b]0;x\x07");
        evil.client = "a\nb".to_owned();
        assert!(!table(&[evil], 0, None).replace('\n', "").contains(char::is_control));
    }
}
