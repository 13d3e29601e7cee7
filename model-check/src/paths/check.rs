//! `check` for the path machine: every profile to its end, with as many worlds as there have to be.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::profile::PathProfile;
use super::search::{self, PathSearchResult};
use super::witness::PathWitness;
use super::world::PathWorld;

/// What the check of a profile came to.
#[derive(Debug)]
struct PathReport {
    profile: PathProfile,
    found: PathSearchResult,
    took: Duration,
}

impl PathReport {
    fn holds(&self, pin: bool) -> bool {
        self.found.run.is_none() && (pin || self.is_pinned())
    }

    fn is_pinned(&self) -> bool {
        crate::check::pinned(self.profile.name) == Some(self.found.worlds)
    }

    fn result(&self) -> String {
        match (&self.found.run, crate::check::pinned(self.profile.name)) {
            (Some(run), _) => format!("BROKEN: {}", run.broken),
            (None, None) => "every rule holds; the count is not pinned".to_owned(),
            (None, Some(_)) if self.is_pinned() => "every rule holds".to_owned(),
            (None, Some(pinned)) => format!("there have to be {pinned} worlds"),
        }
    }

    fn show(&self) {
        let PathSearchResult { worlds, depth, settled, run } = &self.found;
        let seconds = self.took.as_secs_f64();
        println!(
            "{:<14} {worlds:>11} {depth:>6} {seconds:>8.1} {:>9} {settled:>14}  {}",
            self.profile.name,
            "",
            self.result()
        );
        if let Some(run) = run {
            print!("\n{}\n", story(&self.profile, run));
        }
    }
}

/// A run for people: each event with its effects.
pub fn story(profile: &PathProfile, run: &search::BrokenRun) -> String {
    let mut world = PathWorld::new(profile);
    let mut text = String::new();
    for (number, action) in (1..).zip(&run.actions) {
        let effects = world.machine.clone().step(&profile.config, action.0);
        let _ = writeln!(text, "{number:>4} {action}");
        for effect in effects {
            let _ = writeln!(text, "       {effect:?}");
        }
        world.act(profile, *action);
    }
    text + &format!("broken: {}\n        ({})\n", run.broken, run.broken.rule_text())
}

/// Searches these profiles, and says how it went; with `pin`, whatever count they have is written down.
///
/// # Errors
/// The counts cannot be written.
pub fn run(profiles: Vec<PathProfile>, threads: usize, pin: bool) -> io::Result<bool> {
    let is_whole = profiles.len() == super::profile::all().len();
    let queue = Mutex::new(profiles);
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(profile) = next() {
                    let began = Instant::now();
                    let found = search::search(&profile);
                    let report = PathReport { profile, found, took: began.elapsed() };
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    report.show();
                    done.push(report);
                }
            });
        }
    });
    let reports = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if pin {
        write_pins(&reports)?;
    }
    let unseen = if is_whole { never_seen(&reports) } else { Vec::new() };
    for witness in &unseen {
        println!("never seen: {}", witness.text());
    }
    Ok(unseen.is_empty() && reports.iter().all(|report| report.holds(pin)))
}

fn never_seen(reports: &[PathReport]) -> Vec<PathWitness> {
    let has =
        |witness: &PathWitness| reports.iter().any(|it| it.profile.seen.all().contains(witness));
    PathWitness::ALL.iter().copied().filter(|witness| !has(witness)).collect()
}

fn write_pins(reports: &[PathReport]) -> io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pins.txt");
    let old = std::fs::read_to_string(path)?;
    let is_other = |line: &&str| {
        let name = line.split(' ').next();
        reports.iter().all(|report| Some(report.profile.name) != name)
    };
    let mut lines: Vec<String> = old.lines().filter(is_other).map(str::to_owned).collect();
    lines.extend(reports.iter().map(|it| format!("{} {}", it.profile.name, it.found.worlds)));
    lines.sort();
    std::fs::write(path, lines.join("\n") + "\n")
}
