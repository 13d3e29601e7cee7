//! How long each part of a connection took, until the session was attached.

use std::fmt;
use std::time::{Duration, Instant};

use rejoin_ssh::{Milestone, Milestones};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::attachment::{How, LinkLane};

/// How long each part of a connection took. It begins when the previous link was lost, or when the new
/// link was begun if that was earlier. The phases follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// How the client came to its process.
    pub how: How,
    /// Over which lane.
    pub lane: LinkLane,
    /// All phases together, in microseconds; as JSON in milliseconds.
    #[serde(rename = "millis", with = "millis")]
    pub length: Duration,
    /// The parts, in order.
    pub phases: Vec<Phase>,
}

/// A part of a [`Timeline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What was done.
    #[serde(rename = "phase")]
    pub kind: PhaseKind,
    /// When it began, from the beginning of the timeline.
    #[serde(rename = "start_millis", with = "millis")]
    pub start: Duration,
    /// How long it took.
    #[serde(rename = "millis", with = "millis")]
    pub length: Duration,
}

/// What is done in a part of a [`Timeline`]. A phase whose end is unknown is counted in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PhaseKind {
    /// The pause before the attempt.
    Wait,
    /// Everything until the server speaks, where no part of it is known.
    Connect,
    /// Until the address of the host is known.
    Start,
    /// Until there is a connection.
    Dial,
    /// The SSH key exchange.
    KeyExchange,
    /// The SSH login.
    Login,
    /// Until the host has been asked to run the command.
    Channel,
    /// Until the server on the host speaks.
    Attach,
    /// The link was ready and waited to be used.
    StandBy,
    /// Until the session is attached.
    Hello,
    /// Until the first output of the process.
    FirstByte,
    /// A part that a newer version knows.
    #[serde(other)]
    Other,
}

impl PhaseKind {
    /// All that this version knows, in order.
    pub const ALL: [Self; 11] = [
        Self::Wait,
        Self::Connect,
        Self::Start,
        Self::Dial,
        Self::KeyExchange,
        Self::Login,
        Self::Channel,
        Self::Attach,
        Self::StandBy,
        Self::Hello,
        Self::FirstByte,
    ];
}

impl fmt::Display for PhaseKind {
    /// In words, such as `key exchange`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Wait => "wait",
            Self::Connect => "connect",
            Self::Start => "start",
            Self::Dial => "dial",
            Self::KeyExchange => "key exchange",
            Self::Login => "login",
            Self::Channel => "channel",
            Self::Attach => "attach",
            Self::StandBy => "stand by",
            Self::Hello => "hello",
            Self::FirstByte => "first byte",
            Self::Other => "other",
        })
    }
}

impl From<Milestone> for PhaseKind {
    /// The phase that ends with a milestone.
    fn from(milestone: Milestone) -> Self {
        match milestone {
            Milestone::Resolved => Self::Start,
            Milestone::Connected => Self::Dial,
            Milestone::KeysExchanged => Self::KeyExchange,
            Milestone::Authenticated => Self::Login,
            Milestone::CommandSent => Self::Channel,
            _ => Self::Other,
        }
    }
}

/// Durations as milliseconds with three decimal places.
mod millis {
    use super::{Deserialize, Deserializer, Duration, Serializer};

    #[expect(clippy::cast_precision_loss, reason = "exact for lengths of up to 285 years")]
    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_micros() as f64 / 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let millis = f64::deserialize(from)?;
        let time =
            Duration::try_from_secs_f64(millis / 1000.0).map_err(serde::de::Error::custom)?;
        // To the microsecond, as it was written.
        let micros = (time.as_nanos() + 500) / 1000;
        Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

/// What a link has reached, and when.
#[derive(Clone, Debug)]
pub(crate) struct LinkProgress {
    lane: LinkLane,
    began: Instant,
    milestones: Milestones,
    /// The phases that have ended here, in order.
    ends: Vec<(PhaseKind, Instant)>,
    /// When the link before was lost.
    lost: Option<Instant>,
    how: Option<How>,
}

impl LinkProgress {
    /// A link is begun now. What the connector reaches is noted in `milestones`.
    pub(crate) fn begin(lane: LinkLane, milestones: Milestones) -> Self {
        Self { lane, began: Instant::now(), milestones, ends: Vec::new(), lost: None, how: None }
    }

    /// The server began to speak.
    pub(crate) fn greeted(&mut self, at: Instant) {
        self.end(PhaseKind::Attach, at);
    }

    /// The session uses the link from now on; it has been without a link for so long.
    pub(crate) fn used(&mut self, away: Duration) {
        self.used_at(away, Instant::now());
    }

    fn used_at(&mut self, away: Duration, now: Instant) {
        self.lost = now.checked_sub(away);
        // A link that is used before it is ready does not stand by.
        if self.ends.last().is_some_and(|(last, _)| *last == PhaseKind::Attach) {
            self.end(PhaseKind::StandBy, now);
        }
    }

    /// The session is attached; the timeline so far.
    pub(crate) fn answered(&mut self, how: How) -> Timeline {
        self.answered_at(how, Instant::now())
    }

    fn answered_at(&mut self, how: How, now: Instant) -> Timeline {
        self.how = Some(how);
        self.end(PhaseKind::Hello, now);
        self.timeline(how)
    }

    /// The process wrote something: the whole timeline, if this is the first output since the answer.
    pub(crate) fn output(&mut self) -> Option<Timeline> {
        self.output_at(Instant::now())
    }

    fn output_at(&mut self, now: Instant) -> Option<Timeline> {
        let how = self.how.take()?;
        self.end(PhaseKind::FirstByte, now);
        Some(self.timeline(how))
    }

    fn end(&mut self, kind: PhaseKind, at: Instant) {
        if self.ends.last().is_none_or(|(last, _)| *last < kind) {
            self.ends.push((kind, at));
        }
    }

    /// The ends of all phases. What ssh says and what the host says arrives on two pipes: what is late is
    /// left out.
    fn all_ends(&self) -> Vec<(PhaseKind, Instant)> {
        let milestones = self.milestones.reached();
        let mut all: Vec<_> = milestones.into_iter().map(|(it, at)| (it.into(), at)).collect();
        let first = self.ends.first().map(|(_, at)| *at);
        all.retain(|(_, at)| first.is_none_or(|first| *at <= first));
        all.extend(&self.ends);
        all
    }

    fn timeline(&self, how: How) -> Timeline {
        let start = self.lost.map_or(self.began, |lost| lost.min(self.began));
        let mut phases = Vec::new();
        let mut push = |kind, from: Instant, until: Instant| {
            let (start, length) = (from.duration_since(start), until.duration_since(from));
            phases.push(Phase { kind, start: micros(start), length: micros(length) });
        };
        if start < self.began {
            push(PhaseKind::Wait, start, self.began);
        }
        let mut from = self.began;
        for (number, (kind, until)) in self.all_ends().into_iter().enumerate() {
            let is_whole = number == 0 && kind == PhaseKind::Attach;
            push(if is_whole { PhaseKind::Connect } else { kind }, from, until);
            from = until;
        }
        Timeline { how, lane: self.lane, length: micros(from.duration_since(start)), phases }
    }
}

fn micros(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
