//! `rejoin-benches compare`: the same outages, done to rejoin and to whatever else keeps a session,
//! in turn and in one run.

mod answer;
mod cable;
mod chart;
mod datagrams;
mod machine;
mod outages;
mod processes;
mod report;
mod rivals;
mod stage;
mod steady;
mod stop;
mod terminal;
mod wire;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};

pub use self::answer::run as answer;
pub use self::rivals::Rival;

use self::machine::Machine;
use self::outages::Outage;
use self::report::{Figure, Report};
use self::stage::{LinkRoute, Stage};
use crate::programs::Programs;

/// Does the same outages to rejoin and to its rivals, in turn, and prints what each takes.
#[derive(Debug, Parser)]
#[command(name = "rejoin-benches compare")]
pub struct Compare {
    /// What to measure; all of it by default
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Whom to compare; all that are installed by default
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<Rival>,
    /// Round trip times, in milliseconds
    #[arg(long, value_delimiter = ',', default_values_t = [0, 50, 200])]
    round_trips: Vec<u64>,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Only see that everything works: a minute, once each, without a round trip time
    #[arg(long)]
    quick: bool,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE", default_value = "target/compare.json")]
    json: PathBuf,
    /// Draw the times to this file
    #[arg(long, value_name = "FILE", default_value = "target/compare.svg")]
    svg: PathBuf,
    /// Measure nothing: show what earlier runs have written, in one table
    #[arg(long, value_delimiter = ',', value_name = "FILES")]
    from: Vec<PathBuf>,
    /// Print nothing but the table, as it stands in the README
    #[arg(long)]
    markdown: bool,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// The session's connection is reset
    Reset,
    /// Nothing arrives for 3 seconds
    Silence3,
    /// Nothing arrives for 30 seconds
    Silence30,
    /// The process of sshd that serves the connection is killed
    Kill,
    /// The client sleeps for 20 seconds
    Sleep,
    /// The client's address changes
    Address,
    /// From nothing to the first word of the program on the host
    Connect,
    /// From a key to its answer
    Echo,
    /// Ctrl-C under `yes`
    Interrupt,
    /// Many bytes through pipes
    Bulk,
    /// Of an idle session
    Memory,
}

/// In the order of the table.
const ORDER: [&str; 14] = [
    "reset",
    "silence of 3 to 4 s",
    "silence of 30 to 40 s",
    "sshd killed",
    "asleep for 20 s",
    "new address",
    "first connect",
    "echo, p50",
    "echo, p99",
    "Ctrl-C under yes",
    "bulk, from the host",
    "bulk, to the host",
    "memory, client",
    "memory, host",
];

impl Scenario {
    /// Silences are a little longer in every turn, the same for all: TCP sends again after waits that
    /// double, and a silence of one length would always end at the same place between two of them.
    fn outage(self, turn: usize) -> Option<(&'static str, Outage)> {
        let seconds = Duration::from_secs;
        let more = Duration::from_millis((turn as u64 * 370) % 1000);
        Some(match self {
            Self::Reset => (ORDER[0], Outage::Reset),
            Self::Silence3 => (ORDER[1], Outage::Silence(seconds(3) + more)),
            Self::Silence30 => (ORDER[2], Outage::Silence(seconds(30) + 10 * more)),
            Self::Kill => (ORDER[3], Outage::Kill),
            Self::Sleep => (ORDER[4], Outage::Sleep(seconds(20))),
            Self::Address => (ORDER[5], Outage::Address),
            _ => return None,
        })
    }

    /// What is said of a measurement that fails.
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "first connect",
            Self::Echo => "echo, p50",
            Self::Interrupt => "Ctrl-C under yes",
            Self::Bulk => "bulk, from the host",
            Self::Memory => "memory, client",
            outage => outage.outage(0).map_or("", |(name, _)| name),
        }
    }

    /// Whether there is anything to measure of a rival.
    fn applies_to(self, rival: Rival) -> bool {
        match self {
            // Its connection is none of sshd's.
            Self::Reset => rival != Rival::Mosh,
            // What else is done to one connection is done to both.
            _ if rival == Rival::Standby => false,
            Self::Kill => rival != Rival::Mosh,
            // The others bring a screen, not bytes.
            Self::Bulk => matches!(rival, Rival::Ssh | Rival::Rejoin),
            _ => true,
        }
    }

    /// At which of the round trip times to measure: where those tell next to nothing, and where
    /// everything takes long besides, at the middle one only.
    fn is_measured_at(self, millis: u64, all: &[u64]) -> bool {
        match self {
            Self::Memory | Self::Silence30 | Self::Sleep | Self::Address => {
                all.get(all.len() / 2) == Some(&millis)
            }
            _ => true,
        }
    }
}

impl Compare {
    /// Measures, prints and writes.
    ///
    /// # Errors
    /// What everything needs is missing: an sshd, the programs of this workspace, a file to write.
    /// A measurement that fails is told in the table; it is an error only if it is rejoin's, and all
    /// was to be quick.
    pub fn run(mut self) -> io::Result<()> {
        if !self.from.is_empty() {
            let report = read(&self.from)?;
            self.rivals = report.rivals();
            return self.tell(&report);
        }
        self.settle();
        let mut stage = Stage::new(Programs::built()?, rivals::which("shpool"))?;
        let network = stage.network().to_owned();
        if !stage.can_choose() {
            self.rivals.retain(|rival| *rival != Rival::Standby);
        }
        let (machine, rows) = (Machine::look(), Vec::new());
        eprintln!("{}, Linux {}, {network}", machine.processor(), machine.kernel);
        let mut report = Report { machine, repetitions: self.repetitions, network, rows };
        // That there is no place for the figures is to be known before an hour of measuring.
        self.write(&report)?;
        for millis in self.round_trips.clone() {
            let course = stage.course(Duration::from_millis(millis))?;
            for scenario in self.scenarios.clone() {
                if scenario.is_measured_at(millis, &self.round_trips) {
                    self.measure(&mut stage, &course, scenario, &mut report)?;
                    // What a run has found that is ended before it is over.
                    self.write(&report)?;
                }
            }
        }
        report.machine.load_after = machine::load();
        report.sort(&ORDER);
        self.tell(&report)?;
        match report.failure(Rival::Rejoin).filter(|_| self.quick) {
            Some(failure) => Err(io::Error::other(failure)),
            None => Ok(()),
        }
    }

    fn settle(&mut self) {
        if self.scenarios.is_empty() {
            self.scenarios = Scenario::value_variants().to_vec();
            if self.quick {
                let is_long = |scenario: &Scenario| {
                    matches!(scenario, Scenario::Silence30 | Scenario::Sleep | Scenario::Address)
                };
                self.scenarios.retain(|scenario| !is_long(scenario));
            }
        }
        if self.quick {
            self.repetitions = 1;
            self.round_trips = vec![0];
        }
        self.repetitions = self.repetitions.max(1);
        if self.rivals.is_empty() {
            self.rivals = Rival::ALL.to_vec();
        }
        self.rivals.retain(|rival| {
            let missing = rival.missing();
            if let Some(install) = missing {
                eprintln!("left out: {}, which is not installed ({install})", rival.name());
            }
            missing.is_none()
        });
    }

    /// Each rival in turn, so that whatever disturbs the machine meanwhile disturbs all of them.
    fn measure(
        &self,
        stage: &mut Stage,
        course: &LinkRoute,
        scenario: Scenario,
        report: &mut Report,
    ) -> io::Result<()> {
        for turn in 0..self.repetitions {
            for rival in self.rivals.iter().copied().filter(|rival| scenario.applies_to(*rival)) {
                let measured = self.once(stage, course, scenario, rival, turn);
                stage.clear()?;
                stage.stop.check()?;
                note(scenario, rival, course.round_trip, &measured);
                match measured {
                    Ok(figures) => {
                        for figure in figures {
                            report.add(&figure, course.round_trip, rival);
                        }
                    }
                    Err(error) => {
                        let why = error.to_string();
                        report.failed(scenario.name(), course.round_trip, rival, why);
                    }
                }
            }
        }
        Ok(())
    }

    fn once(
        &self,
        stage: &mut Stage,
        course: &LinkRoute,
        scenario: Scenario,
        rival: Rival,
        turn: usize,
    ) -> io::Result<Vec<Figure>> {
        if let Some((name, outage)) = scenario.outage(turn) {
            let time = outages::measure(stage, course, rival, outage)?;
            return Ok(vec![Figure::millis(name, time)]);
        }
        match scenario {
            Scenario::Echo => steady::echo(stage, course, rival, self.quick),
            Scenario::Interrupt => steady::interrupt(stage, course, rival),
            Scenario::Bulk => steady::bulk(stage, course, rival, self.quick),
            Scenario::Memory => steady::memory(stage, course, rival),
            _ => steady::connect(stage, course, rival),
        }
    }

    fn write(&self, report: &Report) -> io::Result<()> {
        write(&self.json, &serde_json::to_vec_pretty(report)?)
    }

    fn tell(&self, report: &Report) -> io::Result<()> {
        let table = report.markdown(&self.rivals);
        println!("{}", table.trim_end());
        self.write(report)?;
        write(&self.svg, chart::svg(report).as_bytes())?;
        if !self.markdown {
            println!("\nAll figures: {}; drawn: {}", self.json.display(), self.svg.display());
        }
        Ok(())
    }
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let named = |error| io::Error::other(format!("{}: {error}", file.display()));
    fs::write(file, bytes).map_err(named)
}

/// What several runs have found.
fn read(files: &[PathBuf]) -> io::Result<Report> {
    let mut all: Option<Report> = None;
    for file in files {
        let named = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("{}: {error}", file.display()))
        };
        let text = fs::read(file).map_err(|error| named(&error))?;
        let report: Report = serde_json::from_slice(&text).map_err(|error| named(&error))?;
        match &mut all {
            None => all = Some(report),
            Some(all) => all.merge(report),
        }
    }
    let mut all = all.ok_or(io::ErrorKind::NotFound)?;
    all.sort(&ORDER);
    Ok(all)
}

/// For whoever watches.
fn note(
    scenario: Scenario,
    rival: Rival,
    round_trip: Duration,
    measured: &io::Result<Vec<Figure>>,
) {
    let what = match measured {
        Ok(figures) => {
            let values = figures.iter().map(|figure| format!("{:.2}", figure.value));
            values.collect::<Vec<_>>().join(", ")
        }
        Err(error) => format!("FAILED: {error}"),
    };
    let (scenario, millis) = (scenario.name(), round_trip.as_millis());
    eprintln!("{scenario}, round trip {millis} ms, {}: {what}", rival.name());
}
