//! The whole transition table of both machines: every event in every representative state.
//!
//! `UPDATE_SNAPSHOTS=1` writes `tests/snapshots/` anew; the difference is what has to be reviewed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use common::check_file;
use table::{Line, text};

/// The picture: the machine's state names, and on each arrow the events that lead along it.
fn dot(machine: &str, lines: &[Line]) -> String {
    let mut arrows: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.name != line.after) {
        arrows.entry((line.name, line.after)).or_default().insert(&line.event);
    }
    let mut dot = format!("digraph {machine} {{\n  node [shape=box, style=rounded];\n");
    for ((from, to), events) in arrows {
        let label = events.into_iter().collect::<Vec<_>>().join("\\l");
        let _ = writeln!(dot, "  {from} -> {to} [label=\"{label}\\l\"];");
    }
    dot + "}\n"
}

fn check(machine: &str, lines: &[Line]) {
    let path = |extension: &str| format!("tests/snapshots/{machine}.{extension}");
    check_file(&path("txt"), "UPDATE_SNAPSHOTS", &text(lines));
    check_file(&path("dot"), "UPDATE_SNAPSHOTS", &dot(machine, lines));
}

#[test]
fn the_client_goes_where_its_table_says() {
    check("client", &table::client::lines());
}

#[test]
fn the_server_goes_where_its_table_says() {
    check("server", &table::server::lines());
}

#[test]
fn the_tables_know_every_state_by_name() {
    let names = |lines: Vec<Line>| lines.iter().map(|line| line.name).collect::<BTreeSet<_>>();
    assert_eq!(
        names(table::client::lines()).into_iter().collect::<Vec<_>>(),
        ["Attached", "Attaching", "Closing", "Detached", "Dialing", "Ended", "Greeting"]
    );
    assert_eq!(
        names(table::server::lines()).into_iter().collect::<Vec<_>>(),
        ["Absent", "Attached", "Detached", "Ending", "Exited", "Gone", "Starting"]
    );
}
