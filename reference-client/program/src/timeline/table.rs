//! Timelines side by side, for people.

use std::fmt::Write as _;
use std::time::Duration;

use rejoin_client::{LinkLane, PhaseKind, Timeline};

/// What is done within that is not worth a word.
const QUICK: Duration = Duration::from_millis(100);

/// A line for the lane and for each phase, a column for each of these, and what takes most of the last one, where that
/// can be said and is worth it.
pub(crate) fn table(ways: &[(&str, &Timeline)]) -> String {
    let widths: Vec<_> = ways.iter().map(|(name, _)| name.len().max(8)).collect();
    let row = |text: &mut String, name: &str, cells: Vec<String>| {
        let _ = write!(text, "{name:<12}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    };
    let mut text = String::new();
    row(&mut text, "ms", ways.iter().map(|(name, _)| (*name).to_owned()).collect());
    row(&mut text, "lane", ways.iter().map(|(_, way)| lane(way).to_owned()).collect());
    for kind in PhaseKind::ALL {
        let lengths: Vec<_> = ways.iter().map(|(_, way)| length_of(way, kind)).collect();
        if lengths.iter().any(Option::is_some) {
            let cell = |length: Option<Duration>| length.map_or("-".to_owned(), tenths);
            row(&mut text, &kind.to_string(), lengths.into_iter().map(cell).collect());
        }
    }
    row(&mut text, "in all", ways.iter().map(|(_, way)| tenths(way.length)).collect());
    if let Some(advice) = ways.last().and_then(|(_, way)| advice(way)) {
        let _ = writeln!(text, "\n{advice}");
    }
    text
}

fn lane(timeline: &Timeline) -> &'static str {
    match timeline.lane {
        LinkLane::Fast => "fast",
        LinkLane::Ssh => "ssh",
    }
}

fn length_of(timeline: &Timeline, kind: PhaseKind) -> Option<Duration> {
    let phase = timeline.phases.iter().find(|phase| phase.kind == kind);
    phase.map(|phase| phase.length)
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
    Some(match most.kind {
        PhaseKind::Start => {
            "the start takes most: what ssh does before it dials, its configuration and the look-up \
             of the host's name"
        }
        PhaseKind::Dial => {
            "the dialling takes most: the way to the host is long, loses packets, or has a login of its \
             own at a jump host"
        }
        PhaseKind::KeyExchange => {
            "the key exchange takes most: a few times the way to the host and back, and the work for \
             the keys"
        }
        PhaseKind::Login => {
            "the login takes most: keys that are tried in vain, an agent, or what the host does \
             before it lets you in"
        }
        PhaseKind::Channel => {
            "the channel takes most: what the host does to open a login's session"
        }
        PhaseKind::Attach => {
            "the attach takes most: what the login shell on the host runs before its command, or \
             the start of the server program"
        }
        _ => return None,
    })
}
