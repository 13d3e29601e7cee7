//! Timelines in words, for people.

mod table;

use std::fmt::Write as _;
use std::time::Duration;

use rejoin_client::{LinkLane, PhaseKind, Timeline};

pub(crate) use table::table;

/// One line. It leaves out what happened before somebody waited: a link that stood by was ready by then.
pub(crate) fn words(timeline: &Timeline) -> String {
    let stood_by = timeline.phases.iter().position(|phase| phase.kind == PhaseKind::StandBy);
    let phases = &timeline.phases[stood_by.map_or(0, |at| at + 1)..];
    let length: Duration = phases.iter().map(|phase| phase.length).sum();
    let mut words = format!("back after {} ms: ", rounded(length));
    for (number, phase) in phases.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        let _ = write!(words, "{comma}{} {}", phase.kind, rounded(phase.length));
    }
    let lane = match timeline.lane {
        LinkLane::Fast => "over the fast lane",
        LinkLane::Ssh => "over ssh",
    };
    let stood_by = if stood_by.is_some() { ", whose connection stood by" } else { "" };
    words + &format!(" ({lane}{stood_by})")
}

fn rounded(time: Duration) -> u128 {
    (time.as_micros() + 500) / 1000
}

#[cfg(test)]
mod tests;
