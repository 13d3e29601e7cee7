//! Timelines side by side, for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::{PHASES, Timeline};

/// What is done within that is not worth a word.
const QUICK: Duration = Duration::from_millis(100);

/// A line for the lane and for each phase, a column for each of these, and what takes most of the last one, where that
/// can be said and is worth it.
pub(crate) fn table(ways: &[(&str, &Timeline)]) -> String {
    let widths: Vec<_> = ways.iter().map(|(name, _)| name.len().max(8)).collect();
    let row = |text: &mut String, name: &str, cells: Vec<String>| {
        let _ = write!(text, "{:<12}", name.replace('_', " "));
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    };
    let mut text = String::new();
    row(&mut text, "ms", ways.iter().map(|(name, _)| (*name).to_owned()).collect());
    row(&mut text, "lane", ways.iter().map(|(_, way)| way.lane.name().to_owned()).collect());
    for name in names() {
        let lengths: Vec<_> = ways.iter().map(|(_, way)| way.phase(name)).collect();
        if lengths.iter().any(Option::is_some) {
            let cell = |length: Option<Duration>| length.map_or("-".to_owned(), tenths);
            row(&mut text, name, lengths.into_iter().map(cell).collect());
        }
    }
    row(&mut text, "in all", ways.iter().map(|(_, way)| tenths(way.length)).collect());
    if let Some(advice) = ways.last().and_then(|(_, way)| advice(way)) {
        let _ = writeln!(text, "\n{advice}");
    }
    text
}

/// All that a phase can be called, in order.
fn names() -> impl Iterator<Item = &'static str> {
    ["wait", "connect"].into_iter().chain(PHASES.iter().map(|(_, name)| *name))
}

impl Timeline {
    fn phase(&self, name: &str) -> Option<Duration> {
        let phase = self.phases.iter().find(|phase| phase.name == name);
        phase.map(|phase| phase.length)
    }
}

fn tenths(time: Duration) -> String {
    let tenths = (time.as_micros() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// About a phase that takes more than all others together.
fn advice(way: &Timeline) -> Option<&'static str> {
    let most = way.phases.iter().max_by_key(|phase| phase.length)?;
    if way.length < QUICK || most.length * 2 <= way.length {
        return None;
    }
    Some(match most.name {
        "start" => {
            "the start takes most: what ssh does before it dials, its configuration and the look-up \
             of the host's name"
        }
        "dial" => {
            "the dialling takes most: the way to the host is long, loses packets, or has a login of its \
             own at a jump host"
        }
        "key_exchange" => {
            "the key exchange takes most: a few times the way to the host and back, and the work for \
             the keys"
        }
        "login" => {
            "the login takes most: keys that are tried in vain, an agent, or what the host does \
             before it lets you in"
        }
        "channel" => "the channel takes most: what the host does to open a login's session",
        "attach" => {
            "the attach takes most: what the login shell on the host runs before its command, or \
             the start of the server program"
        }
        _ => return None,
    })
}
