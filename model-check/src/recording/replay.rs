//! Steps the shipped machines through what happened.

use std::fmt::{self, Debug};

use rejoin_protocol::client::{self, Client};
use rejoin_protocol::record::Step;
use rejoin_protocol::server::{self, Server};

use super::{RecordedRun, Recording, Report, Track, shown};

/// The machine says something else than it is recorded to have said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which recording.
    pub recording: String,
    /// Which step, from 1; it stands on the line after this number.
    pub step: usize,
    /// The machine's state before it, by its name.
    pub state: &'static str,
    /// What happened.
    pub event: String,
    /// What the machine says to it.
    pub expected: Vec<String>,
    /// What is recorded.
    pub got: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recording, step, state, event, expected, got } = self;
        writeln!(f, "{recording}, step {step} (line {}): the effects differ", step + 1)?;
        writeln!(f, "  in {state}: {event}")?;
        let same = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
        for effect in &expected[..same] {
            writeln!(f, "    both      {effect}")?;
        }
        for effect in &expected[same..] {
            writeln!(f, "    machine   {effect}")?;
        }
        for effect in &got[same..] {
            writeln!(f, "    recording {effect}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Difference {}

/// Steps the machine through a recording, and requires the very same effects of every step.
///
/// # Errors
/// The first [`Difference`].
pub fn replay(recording: &Recording) -> Result<Report, Difference> {
    let done = match &recording.run {
        RecordedRun::Client(track) => replay_track(track),
        RecordedRun::Server(track) | RecordedRun::Attach(track) => replay_track(track),
    };
    done.map_err(|difference| Difference { recording: recording.name.clone(), ..difference })?;
    Ok(Report::of(recording))
}

/// What both machines are.
trait Machine: Clone {
    type Config;
    type Event: Clone + Debug;
    type Effect: PartialEq + Debug;

    fn step(&mut self, config: &Self::Config, event: Self::Event) -> Vec<Self::Effect>;
    fn name(&self) -> &'static str;
}

impl Machine for Client {
    type Config = client::Config;
    type Event = client::Event;
    type Effect = client::Effect;

    fn step(&mut self, config: &client::Config, event: client::Event) -> client::Effects {
        Client::step(self, config, event)
    }

    fn name(&self) -> &'static str {
        Client::name(self)
    }
}

impl Machine for Server {
    type Config = server::Config;
    type Event = server::Event;
    type Effect = server::Effect;

    fn step(&mut self, config: &server::Config, event: server::Event) -> server::Effects {
        Server::step(self, config, event)
    }

    fn name(&self) -> &'static str {
        Server::name(self)
    }
}

type StepOf<M> = Step<<M as Machine>::Event, Vec<<M as Machine>::Effect>>;

fn replay_track<M: Machine>(track: &Track<M::Config, M, StepOf<M>>) -> Result<(), Difference> {
    let mut machine = track.state.clone();
    for (index, Step { event, effects }) in track.steps.iter().enumerate() {
        let state = machine.name();
        let expected = machine.step(&track.config, event.clone());
        if expected != *effects {
            return Err(Difference {
                recording: String::new(),
                step: index + 1,
                state,
                event: shown(event),
                expected: expected.iter().map(shown).collect(),
                got: effects.iter().map(shown).collect(),
            });
        }
    }
    Ok(())
}
