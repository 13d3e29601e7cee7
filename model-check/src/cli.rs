//! The command line.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use rejoin_model_check::check::{self, ProfileReport, ProfileVerdict};
use rejoin_model_check::model::SessionModel;
use rejoin_model_check::paths;
use rejoin_model_check::profile::Profile;
use rejoin_model_check::recording::{self, Recording};
use rejoin_model_check::saved_run::{SavedRun, Script};
use rejoin_model_check::trace::Trace;
use rejoin_model_check::world::Cx;
use rejoin_model_check::{profiles, simulate};
use stateright::Model;

use crate::hunt;

/// Checks the state machines of rejoin-protocol, as they ship, in a world that does its worst.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Search profiles to their end, and compare how many worlds they have.
    Check {
        /// Which profile; those of CI if none is named.
        profile: Option<String>,
        /// Search the deeper profiles, which take most of an hour.
        #[arg(long)]
        nightly: bool,
        /// How many profiles are searched at once.
        #[arg(long, default_value_t = threads())]
        threads: usize,
        /// Write the counts that are found to pins.txt.
        #[arg(long)]
        pin: bool,
    },
    /// Look for every mistake that was made on purpose, and fail if one is not caught.
    Mutants {
        /// Which ones; all if none is named.
        names: Vec<String>,
        /// Look in every profile, and write down where each was caught.
        #[arg(long)]
        pin: bool,
    },
    /// Walk through a profile's worlds in a browser.
    Explore {
        /// Which profile.
        #[arg(default_value = "hunt-cuts")]
        profile: String,
        /// Where the browser finds it.
        #[arg(long, default_value = "localhost:3000")]
        address: String,
    },
    /// Run worlds with large budgets at random.
    Simulate {
        /// The seed of the first run; the clock's if none is given.
        #[arg(long)]
        seed: Option<u64>,
        /// How long to go on with the seeds after it; 0 for one run only.
        #[arg(long, default_value_t = 0)]
        seconds: u64,
        /// How many steps a run may take.
        #[arg(long, default_value_t = 2000)]
        steps: usize,
    },
    /// Show a run that was kept in a file, step by step; or judge a recording of a real one.
    Replay {
        /// The file.
        file: PathBuf,
        /// As a Mermaid sequence diagram.
        #[arg(long)]
        mermaid: bool,
    },
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Runs the program.
pub(crate) fn run() -> ExitCode {
    let went_well = match Arguments::parse().command {
        Command::Check { profile, nightly, threads, pin } => {
            check(profile.as_deref(), nightly, threads, pin)
        }
        Command::Mutants { names, pin } => hunt::hunt(&names, pin),
        Command::Explore { profile, address } => explore(&profile, &address),
        Command::Simulate { seed, seconds, steps } => Ok(simulate(seed, seconds, steps)),
        Command::Replay { file, mermaid } => replay(&file, mermaid),
    };
    match went_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("rejoin-model-check: {message}");
            ExitCode::from(2)
        }
    }
}

/// Whether all went as it has to.
pub(crate) type CommandResult = Result<bool, String>;

fn progress(name: &str, unique: usize, took: Duration) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{name}: {unique} worlds, {} s ", took.as_secs());
        let _ = std::io::stderr().flush();
    }
}

fn end_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn chosen(profile: Option<&str>, nightly: bool) -> Result<Vec<Profile>, String> {
    match profile {
        Some(name) => match profiles::named(name) {
            Some(profile) => Ok(vec![profile]),
            None => Err(format!("there is no profile \"{name}\"; there are {}", all_names())),
        },
        None if nightly => Ok(profiles::NIGHTLY.to_vec()),
        None => Ok(profiles::checked()),
    }
}

fn all_names() -> String {
    let all = profiles::checked().into_iter().chain(profiles::NIGHTLY.iter().copied());
    let paths = paths::profile::all().into_iter().map(|profile| profile.name);
    all.map(|profile| profile.name).chain(paths).collect::<Vec<_>>().join(", ")
}

fn check(profile: Option<&str>, nightly: bool, threads: usize, pin: bool) -> CommandResult {
    let of_paths = |chosen| {
        paths::check::run(chosen, threads, pin).map_err(|error| format!("pins.txt: {error}"))
    };
    if let Some(profile) = profile.and_then(paths::profile::named) {
        return of_paths(vec![profile]);
    }
    let chosen = chosen(profile, nightly)?;
    println!(
        "{:<14} {:>11} {:>6} {:>8} {:>9} {:>14}  result",
        "profile", "worlds", "depth", "seconds", "per second", "settled in"
    );
    let began = Instant::now();
    let reports = check_all(&chosen, threads, pin)?;
    let unseen = check::never_seen(&reports);
    let is_whole = profile.is_none() && !nightly;
    summarise(&reports, began.elapsed());
    if is_whole {
        for witness in &unseen {
            println!("never seen: {}", witness.text());
        }
    }
    let holds = |report: &ProfileReport| match report.result {
        ProfileVerdict::Holds => true,
        ProfileVerdict::OtherCount(_) => pin,
        ProfileVerdict::Broken(_) | ProfileVerdict::Crowded => false,
    };
    let paths_hold =
        !is_whole || (of_paths(paths::profile::all())? & paths::duo::run() & paths::day::run());
    Ok(reports.iter().all(holds) && (!is_whole || unseen.is_empty()) && paths_hold)
}

/// Each thread searches a profile of its own: two that share one get in each other's way.
fn check_all(chosen: &[Profile], threads: usize, pin: bool) -> Result<Vec<ProfileReport>, String> {
    let mut queue = chosen.to_vec();
    // The large ones first, so that no thread is left alone with one at the end.
    queue.sort_by_key(|profile| check::pinned(profile.name).unwrap_or(usize::MAX));
    let queue = Mutex::new(queue);
    // Pins are written one by one: what was counted is kept, however the rest goes.
    let done = Mutex::new((Vec::new(), Ok(())));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, chosen.len()) {
            scope.spawn(|| {
                while let Some(profile) = next() {
                    let report = check::check(&profile, &progress);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    end_progress();
                    show_report(&report);
                    if let ProfileVerdict::Broken(found) = &report.result {
                        let session = SessionModel::new(Cx::new(profile, None));
                        show_counterexample(&session, &report, found);
                    }
                    if pin {
                        done.1 = done.1.clone().and(write_pin(&report));
                    }
                    done.0.push(report);
                }
            });
        }
    });
    let (reports, pinned) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    pinned.map(|()| reports)
}

fn show_report(report: &ProfileReport) {
    let seconds = report.took.as_secs_f64();
    let result = match &report.result {
        ProfileVerdict::Holds => "every rule holds".to_owned(),
        ProfileVerdict::OtherCount(None) => "every rule holds; the count is not pinned".to_owned(),
        ProfileVerdict::OtherCount(Some(pinned)) => format!("there have to be {pinned} worlds"),
        ProfileVerdict::Crowded => "not exhaustive: the world has too few places".to_owned(),
        ProfileVerdict::Broken(found) => format!("BROKEN: {}", found.violation),
    };
    #[allow(clippy::cast_precision_loss)]
    let rate = report.unique as f64 / seconds.max(0.001);
    println!(
        "{:<14} {:>11} {:>6} {:>8.1} {:>9.0} {:>7.1} / {:>3}  {result}",
        report.name, report.unique, report.depth, seconds, rate, report.settled.0, report.settled.1
    );
}

fn summarise(reports: &[ProfileReport], took: Duration) {
    let unique: usize = reports.iter().map(|report| report.unique).sum();
    let seconds = took.as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let rate = unique as f64 / seconds.max(0.001);
    println!("{unique} worlds in {seconds:.0} s, {rate:.0} a second; {}", memory());
}

/// The most memory that this process had, as the kernel counts it.
pub(crate) fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(
        || "memory unknown".to_owned(),
        |peak| format!("at most {} of memory", peak.trim()),
    )
}

fn show_counterexample(
    session: &SessionModel,
    report: &ProfileReport,
    found: &rejoin_model_check::search::Counterexample,
) {
    let kept =
        SavedRun { profile: report.name.to_owned(), mutant: None, counterexample: found.clone() };
    print!("\n{}\n{kept}\n", Trace::of(session, &found.actions).text());
}

pub(crate) fn own_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn write_pin(report: &ProfileReport) -> Result<(), String> {
    let path = own_file("pins.txt");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let is_other = |line: &&str| line.split(' ').next() != Some(report.name);
    let mut lines: Vec<String> = old.lines().filter(is_other).map(str::to_owned).collect();
    lines.push(format!("{} {}", report.name, report.unique));
    lines.sort();
    write(&path, &(lines.join("\n") + "\n"))
}

fn explore(profile: &str, address: &str) -> CommandResult {
    let profile = chosen(Some(profile), false)?[0];
    println!("http://{address} shows the worlds of \"{}\": {}", profile.name, profile.about);
    SessionModel::new(Cx::new(profile, None)).checker().serve(address);
    Ok(true)
}

#[expect(clippy::disallowed_methods, reason = "any number is a seed")]
fn simulate(seed: Option<u64>, seconds: u64, steps: usize) -> bool {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first = seed.unwrap_or_else(|| clock.map_or(0, |now| now.as_secs()));
    println!("from seed {first} on, at most {steps} steps each");
    let began = Instant::now();
    let (mut runs, mut all) = (0, 0);
    for seed in first.. {
        let (session, run) = simulate::run(seed, steps);
        runs += 1;
        match run {
            simulate::RandomRun::Holds(steps) => all += steps,
            simulate::RandomRun::Broken(found) => {
                let text = Trace::of(&session, &found.actions).text();
                let kept = SavedRun {
                    profile: format!("seed {seed}"),
                    mutant: None,
                    counterexample: found,
                };
                print!("{text}\n{kept}\nseed {seed} breaks {}\n", kept.counterexample.violation);
                return false;
            }
        }
        progress("simulate", all, began.elapsed());
        if began.elapsed().as_secs() >= seconds {
            break;
        }
    }
    end_progress();
    println!("{runs} runs, {all} steps, {} s: every rule holds", began.elapsed().as_secs());
    true
}

fn replay(file: &std::path::Path, mermaid: bool) -> CommandResult {
    let text =
        std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if text.starts_with('{') {
        return replay_recording(file);
    }
    let script = Script::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let profile = script.profile().ok_or(format!("there is no profile \"{}\"", script.profile))?;
    if let Some(name) = &script.mutant {
        return hunt::replay(&text, name, mermaid);
    }
    let session = SessionModel::new(Cx::new(profile, None));
    let trace = Trace::of(&session, &script.actions);
    print!("{}", if mermaid { trace.mermaid() } else { trace.text() });
    Ok(trace.violation.is_none())
}

/// A recording of a real run: stepped again, and judged.
fn replay_recording(file: &std::path::Path) -> CommandResult {
    let recording = Recording::read(file).map_err(|error| error.to_string())?;
    match recording::replay(&recording) {
        Ok(report) => println!("the machine does the same again: {report}"),
        Err(difference) => {
            println!("{difference}");
            return Ok(false);
        }
    }
    match recording::check(std::slice::from_ref(&recording)) {
        Ok(report) => println!("no rule is broken: {report}"),
        Err(violation) => {
            println!("{violation}");
            return Ok(false);
        }
    }
    Ok(true)
}
