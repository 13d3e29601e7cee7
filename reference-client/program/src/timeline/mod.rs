//! Where the time goes until a session is back: phases, one behind the other, without a gap.

mod collector;
mod table;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt as _;

use collector::{Collector, Found};
pub(crate) use table::table;

use crate::session::attached::at;

/// What reached there ends which phase, in order. Where the end of a phase is not told, the
/// next one whose end is has its time.
const PHASES: &[(&str, &str)] = &[
    ("resolved", "start"),
    ("connected", "dial"),
    ("keys_exchanged", "key_exchange"),
    ("authenticated", "login"),
    ("command_sent", "channel"),
    ("greeted", "attach"),
    ("used", "stand_by"),
    ("answered", "hello"),
    ("output", "first_byte"),
];

/// How long the first output is waited for. What comes later is no part of the way back.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the time went. From the loss of the link before, or from when this one was begun if that was
/// earlier.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Timeline {
    /// Whether a session went on that was attached before.
    #[serde(skip)]
    pub(crate) is_resumed: bool,
    pub(crate) lane: Lane,
    /// All of it.
    #[serde(rename = "millis", serialize_with = "millis")]
    pub(crate) length: Duration,
    pub(crate) phases: Vec<Phase>,
}

/// Over what a session was come back to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lane {
    /// The client's own.
    Fast,
    #[default]
    Ssh,
}

impl Lane {
    fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Ssh => "ssh",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Fast => "over the fast lane",
            Self::Ssh => "over ssh",
        }
    }
}

/// A part of it, which follows on the one before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Phase {
    #[serde(rename = "phase")]
    pub(crate) name: &'static str,
    #[serde(rename = "start_millis", serialize_with = "millis")]
    pub(crate) start: Duration,
    #[serde(rename = "millis", serialize_with = "millis")]
    pub(crate) length: Duration,
}

/// A line of `--events`.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    timeline: &'a Timeline,
}

/// With three places: microseconds are what there is to tell apart.
#[expect(clippy::cast_precision_loss, reason = "of a length within a few thousand years")]
fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

impl Timeline {
    pub(crate) fn told(&self) -> Told<'_> {
        Told { event: "timeline", timeline: self }
    }

    /// What it was for a person who waited: a link that stood by had the rest behind it.
    pub(crate) fn words(&self) -> String {
        let stood_by = self.phases.iter().position(|phase| phase.name == "stand_by");
        let phases = &self.phases[stood_by.map_or(0, |at| at + 1)..];
        let length: Duration = phases.iter().map(|phase| phase.length).sum();
        let mut words = format!("back after {} ms: ", rounded(length));
        for (number, phase) in phases.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let name = phase.name.replace('_', " ");
            let _ = write!(words, "{comma}{name} {}", rounded(phase.length));
        }
        let stood_by = if stood_by.is_some() { ", whose connection stood by" } else { "" };
        words + &format!(" ({}{stood_by})", self.lane.words())
    }
}

fn rounded(time: Duration) -> u128 {
    (time.as_micros() + 500) / 1000
}

/// The timelines of this process's sessions, as they come about.
#[derive(Debug)]
pub(crate) struct Timelines {
    /// None where nobody listens.
    found: Option<mpsc::UnboundedReceiver<Found>>,
    /// One that may go on to the first output, until then.
    open: Option<(Timeline, Instant)>,
}

impl Timelines {
    /// Nobody wants any: nothing is collected.
    pub(crate) fn unwanted() -> Self {
        Self { found: None, open: None }
    }

    /// Has them collected from now on, in all of this process.
    pub(crate) fn collected() -> Self {
        let (sender, found) = mpsc::unbounded_channel();
        let subscriber = tracing_subscriber::registry().with(Collector::new(sender));
        // If somebody listens already, there are none to be had.
        let is_first = tracing::subscriber::set_global_default(subscriber).is_ok();
        Self { found: is_first.then_some(found), open: None }
    }

    /// The next one that is complete. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Timeline {
        loop {
            let due = self.open.as_ref().map(|(_, due)| (*due).into());
            tokio::select! {
                found = receive(&mut self.found) => if let Some(done) = self.take(found) {
                    return done;
                },
                () = at(due) => if let Some((done, _)) = self.open.take() {
                    return done;
                },
            }
        }
    }

    /// The next one at once, as far as it has got.
    pub(crate) fn ready(&mut self) -> Option<Timeline> {
        while let Some(found) = self.found.as_mut().and_then(|found| found.try_recv().ok()) {
            if let Some(done) = self.take(found) {
                return Some(done);
            }
        }
        self.open.take().map(|(done, _)| done)
    }

    /// What is complete with this.
    fn take(&mut self, Found { timeline, is_complete }: Found) -> Option<Timeline> {
        let before = self.open.take();
        if is_complete {
            return before.map(|_| timeline);
        }
        self.open = Some((timeline, Instant::now() + PATIENCE));
        before.map(|(before, _)| before)
    }
}

async fn receive(found: &mut Option<mpsc::UnboundedReceiver<Found>>) -> Found {
    if let Some(receiver) = found
        && let Some(found) = receiver.recv().await
    {
        return found;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests;
