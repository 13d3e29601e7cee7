//! What was measured, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::rivals::Rival;

/// One measured number.
pub(super) struct Figure {
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) value: f64,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Millis,
    /// KiB.
    #[serde(rename = "KiB")]
    Kib,
    /// Megabytes a second.
    #[serde(rename = "MB/s")]
    Rate,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Kib => "KiB",
            Self::Rate => "MB/s",
        }
    }
}

impl Figure {
    pub(super) fn millis(what: &'static str, time: Duration) -> Self {
        Self { what, unit: Unit::Millis, value: time.as_secs_f64() * 1000.0 }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn kib(what: &'static str, bytes: u64) -> Self {
        Self { what, unit: Unit::Kib, value: bytes as f64 / 1024.0 }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn rate(what: &'static str, bytes: u64, time: Duration) -> Self {
        Self { what, unit: Unit::Rate, value: bytes as f64 / 1e6 / time.as_secs_f64() }
    }
}

/// All that a run has found.
#[derive(Deserialize, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) repetitions: usize,
    /// How the network was played.
    pub(super) network: String,
    pub(super) rows: Vec<Row>,
}

/// One thing measured, of every rival.
#[derive(Deserialize, Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) round_trip_millis: u128,
    pub(super) unit: Unit,
    pub(super) cells: BTreeMap<Rival, Cell>,
}

/// What was measured of one rival.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct Cell {
    /// Sorted.
    pub(super) values: Vec<f64>,
    pub(super) failures: Vec<String>,
    pub(super) median: Option<f64>,
}

impl Report {
    pub(super) fn add(&mut self, figure: &Figure, round_trip: Duration, rival: Rival) {
        let cell = self.cell(figure.what, figure.unit, round_trip, rival);
        cell.values.push(figure.value);
        cell.settle();
    }

    pub(super) fn failed(&mut self, what: &str, round_trip: Duration, rival: Rival, why: String) {
        let cell = self.cell(what, Unit::Millis, round_trip, rival);
        cell.failures.push(why);
        cell.settle();
    }

    /// Takes what another run has found besides. The machine stays that of this one.
    pub(super) fn merge(&mut self, other: Self) {
        self.repetitions = self.repetitions.min(other.repetitions);
        for row in other.rows {
            let round_trip = Duration::from_millis(row.round_trip_millis.try_into().unwrap_or(0));
            for (rival, cell) in row.cells {
                let into = self.cell(&row.what, row.unit, round_trip, rival);
                into.values.extend(cell.values);
                into.failures.extend(cell.failures);
                into.settle();
            }
        }
    }

    /// Of whom there is anything.
    pub(super) fn rivals(&self) -> Vec<Rival> {
        let is_there = |rival: &Rival| self.rows.iter().any(|row| row.cells.contains_key(rival));
        Rival::ALL.into_iter().filter(is_there).collect()
    }

    fn cell(&mut self, what: &str, unit: Unit, round_trip: Duration, rival: Rival) -> &mut Cell {
        let round_trip_millis = round_trip.as_millis();
        let found = self
            .rows
            .iter()
            .position(|row| row.what == what && row.round_trip_millis == round_trip_millis);
        let at = found.unwrap_or_else(|| {
            let (what, cells) = (what.to_owned(), BTreeMap::new());
            self.rows.push(Row { what, round_trip_millis, unit, cells });
            self.rows.len() - 1
        });
        self.rows[at].cells.entry(rival).or_default()
    }

    /// The first measurement of a rival that failed.
    pub(super) fn failure(&self, rival: Rival) -> Option<String> {
        let failures = self.rows.iter().flat_map(|row| {
            let cell = row.cells.get(&rival);
            cell.into_iter()
                .flat_map(|cell| &cell.failures)
                .map(|why| format!("{}: {why}", row.what))
        });
        failures.into_iter().next()
    }

    /// In the order of what is measured, not of when.
    pub(super) fn sort(&mut self, order: &[&'static str]) {
        let place = |what: &str| order.iter().position(|name| *name == what);
        self.rows.sort_by_key(|row| (place(&row.what), row.round_trip_millis));
    }

    /// The table, with what has to be said about it.
    pub(super) fn markdown(&self, rivals: &[Rival]) -> String {
        let mut text = String::new();
        let names: Vec<_> = rivals.iter().map(|rival| rival.name()).collect();
        let _ = writeln!(text, "| | round trip, ms | {} |", names.join(" | "));
        let _ = writeln!(text, "| --- | --- | {} |", vec!["---"; names.len()].join(" | "));
        for row in &self.rows {
            let cells: Vec<_> = rivals.iter().map(|rival| row.show(*rival)).collect();
            let (what, unit) = (&row.what, row.unit.name());
            let round_trip = row.round_trip_millis;
            let _ = writeln!(text, "| {what}, {unit} | {round_trip} | {} |", cells.join(" | "));
        }
        let _ = writeln!(
            text,
            "\nMedians of {}; in parentheses, times what ssh takes. {}, Linux {}, {}, {}; load {} when \
             it began, {} when it ended.",
            self.repetitions,
            self.machine.processor(),
            self.machine.kernel,
            self.machine.openssh,
            self.network,
            self.machine.load_before,
            self.machine.load_after,
        );
        text
    }
}

impl Cell {
    /// A figure that is missing is worse than any.
    fn settle(&mut self) {
        self.values.sort_by(f64::total_cmp);
        let of = self.values.len() + self.failures.len();
        self.median = of.checked_sub(1).and_then(|last| self.values.get(last / 2)).copied();
    }
}

impl Row {
    fn show(&self, rival: Rival) -> String {
        let Some(cell) = self.cells.get(&rival) else { return "-".to_owned() };
        let Some(median) = cell.median else {
            let all = cell.values.len() + cell.failures.len();
            return format!("not back ({} of {all})", cell.failures.len());
        };
        let shown = short(median);
        let floor = self.cells.get(&Rival::Ssh).and_then(|cell| cell.median);
        match floor.filter(|floor| *floor > 0.0 && rival != Rival::Ssh) {
            Some(floor) if median / floor < 0.005 => format!("{shown} (<0.01)"),
            Some(floor) => format!("{shown} ({:.2})", median / floor),
            None => shown,
        }
    }
}

/// Three digits are more than such figures are worth.
fn short(value: f64) -> String {
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let (machine, rows) = (Machine::look(), Vec::new());
        Report { machine, repetitions: 3, network: "none".to_owned(), rows }
    }

    #[test]
    fn what_several_runs_found_stands_in_one_table() {
        let (mut all, mut other) = (report(), report());
        all.add(&Figure::millis("reset", Duration::from_millis(10)), Duration::ZERO, Rival::Ssh);
        other.add(&Figure::millis("reset", Duration::from_millis(30)), Duration::ZERO, Rival::Ssh);
        other.add(&Figure::kib("memory", 2048), Duration::ZERO, Rival::Rejoin);
        let written = serde_json::to_string(&other).unwrap();
        all.merge(serde_json::from_str(&written).unwrap());
        assert_eq!(all.rivals(), [Rival::Ssh, Rival::Rejoin]);
        assert_eq!(all.rows[0].cells[&Rival::Ssh].values, [10.0, 30.0]);
        assert_eq!(all.rows[1].cells[&Rival::Rejoin].median, Some(2.0));
    }

    #[test]
    fn a_figure_that_is_missing_counts_as_the_worst() {
        let mut report = report();
        for (millis, rival) in [(100, Rival::Ssh), (40, Rival::Rejoin), (20, Rival::Rejoin)] {
            let figure = Figure::millis("reset", Duration::from_millis(millis));
            report.add(&figure, Duration::ZERO, rival);
        }
        report.failed("reset", Duration::ZERO, Rival::Rejoin, "lost".into());
        report.failed("reset", Duration::ZERO, Rival::Dtach, "lost".into());
        let table = report.markdown(&[Rival::Ssh, Rival::Rejoin, Rival::Dtach, Rival::Mosh]);
        let row = table.lines().nth(2).unwrap();
        assert_eq!(row, "| reset, ms | 0 | 100 | 40.0 (0.40) | not back (1 of 1) | - |");
        assert_eq!(report.failure(Rival::Rejoin).unwrap(), "reset: lost");
        assert_eq!(report.failure(Rival::Ssh), None);
    }
}
