//! The times as bars, in SVG.

use std::fmt::Write as _;

use super::report::{Report, Row, Unit};
use super::rivals::Rival;

const LEFT: f64 = 190.0;
const WIDTH: f64 = 520.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
const HEAD: f64 = 46.0;
/// The ends of the axis, as powers of ten of milliseconds.
const DECADES: (i32, i32) = (-1, 5);
const COLOURS: [(Rival, &str); 7] = [
    (Rival::Ssh, "#9aa0a6"),
    (Rival::Autossh, "#c58af9"),
    (Rival::Mosh, "#78d9ec"),
    (Rival::Dtach, "#fcad70"),
    (Rival::Shpool, "#fdd663"),
    (Rival::Rejoin, "#1a73e8"),
    (Rival::Standby, "#0b3d91"),
];

/// One group of bars for each row of times. The axis is logarithmic: from a key's echo to a session
/// that is given up lie five powers of ten.
pub(super) fn svg(report: &Report) -> String {
    let rows: Vec<&Row> = report.rows.iter().filter(|row| row.unit == Unit::Millis).collect();
    let height = HEAD + rows.iter().map(|row| group_height(row)).sum::<f64>() + 24.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 70.0
    );
    legend(&mut text);
    axis(&mut text, height);
    let mut y = HEAD;
    for row in rows {
        group(&mut text, row, y);
        y += group_height(row);
    }
    text.push_str("</svg>\n");
    text
}

#[allow(clippy::cast_precision_loss)]
fn group_height(row: &Row) -> f64 {
    row.cells.len() as f64 * BAR + GAP
}

#[allow(clippy::cast_precision_loss)]
fn legend(text: &mut String) {
    for (place, (rival, colour)) in COLOURS.iter().enumerate() {
        let x = 10.0 + place as f64 * 120.0;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"8\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"17\">{}</text>",
            x + 14.0,
            rival.name()
        );
    }
}

fn axis(text: &mut String, height: f64) {
    for decade in DECADES.0..=DECADES.1 {
        let millis = 10_f64.powi(decade);
        let (x, bottom) = (place(millis), height - 18.0);
        let label =
            if millis < 1000.0 { format!("{millis} ms") } else { format!("{} s", millis / 1e3) };
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            HEAD - 10.0,
            height - 6.0
        );
    }
}

fn group(text: &mut String, row: &Row, top: f64) {
    let title = format!("{}, round trip {} ms", row.what, row.round_trip_millis);
    let middle = top + (group_height(row) - GAP) / 2.0 + 4.0;
    let _ = writeln!(
        text,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{title}</text>",
        LEFT - 8.0
    );
    let mut y = top;
    for (rival, cell) in &row.cells {
        let colour = COLOURS.iter().find(|(of, _)| of == rival).map_or("black", |found| found.1);
        let (end, label) = match cell.median {
            Some(median) => (place(median), format!("{median:.1}")),
            None => (LEFT + WIDTH, "not back".to_owned()),
        };
        let _ = writeln!(
            text,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{label}</text>",
            end - LEFT,
            BAR - 2.0,
            end + 4.0,
            y + BAR - 3.0
        );
        y += BAR;
    }
}

/// Where on the axis a time is.
fn place(millis: f64) -> f64 {
    let (from, to) = (f64::from(DECADES.0), f64::from(DECADES.1));
    let share = (millis.max(0.1).log10() - from) / (to - from);
    LEFT + WIDTH * share.clamp(0.0, 1.0)
}
