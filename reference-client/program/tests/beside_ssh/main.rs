//! ssh and rejoin side by side: both are run with the same configuration, options, command, streams and
//! environment against the same sshd, and their exit statuses, stdout and stderr compared.
//!
//! A difference that is found is one more row in [`rows`]. Where rejoin differs on purpose, the row has
//! the reason, and what rejoin does instead. Such a row fails if the difference is gone.
//!
//! Needed: openssh-server, procps, util-linux.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod living;
mod program;
mod row;
mod rows;
mod stage;
#[path = "../e2e/support/wait.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod wait;

#[path = "../e2e/support/programs.rs"]
#[allow(dead_code, reason = "the end-to-end tests use all of it")]
mod programs;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use row::Row;
use stage::Stage;

/// Most of a row's time goes by while somebody waits for somebody else.
const AT_ONCE: usize = 4;

#[test]
fn rejoin_does_what_ssh_does() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "setsid");
    let (stage, rows) = (Stage::start(), rows::all());
    assert!(rows.len() >= 80, "{} rows", rows.len());
    let only = std::env::var("REJOIN_ROW").unwrap_or_default();
    let rows: Vec<_> = rows.iter().filter(|row| row.name.contains(&only)).collect();
    let complaints = compare(&stage, &rows);
    assert!(
        complaints.is_empty(),
        "{} of {} rows:\n\n{}",
        complaints.len(),
        rows.len(),
        complaints.join("\n\n")
    );
}

#[test]
fn every_row_has_a_name_of_its_own() {
    let mut names: Vec<_> = rows::all().iter().map(|row| row.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

/// What is to be said of the rows, in their order.
fn compare(stage: &Stage, rows: &[&Row]) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((number, row)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|it| Some((it, rows.get(it)?)))
        {
            if let Some(complaint) = stage.compare(row) {
                found.lock().unwrap().push((number, complaint));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    found.into_iter().map(|(_, complaint)| complaint).collect()
}
