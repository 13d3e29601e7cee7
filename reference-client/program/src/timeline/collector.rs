//! Makes timelines of the spans in which links are opened.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::{Lane, PHASES, Phase, Timeline};

/// A timeline so far.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) timeline: Timeline,
    /// Whether nothing follows.
    pub(super) is_complete: bool,
}

/// Listens to the attempts, and to nothing else.
pub(super) struct Collector {
    found: mpsc::UnboundedSender<Found>,
}

impl Collector {
    pub(super) fn new(found: mpsc::UnboundedSender<Found>) -> Self {
        Self { found }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(TimelineBuilder::begun(fields.lane, Instant::now()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let now = Instant::now();
        let Some(span) = context.event_span(event) else { return };
        let mut extensions = span.extensions_mut();
        let Some(course) = extensions.get_mut::<TimelineBuilder>() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(found) = course.reached(&fields, now) {
            // At the end nobody wants it any more.
            let _ = self.found.send(found);
        }
    }
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "rejoin::reconnect"
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) reached: Option<usize>,
    pub(super) away: Duration,
    pub(super) is_resumed: bool,
    pub(super) lane: Lane,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "reached" => self.reached = place_of(value),
            "lane" if value == "fast" => self.lane = Lane::Fast,
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "away_micros" {
            self.away = Duration::from_micros(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "how" {
            self.is_resumed = format!("{value:?}") == "Resumed";
        }
    }
}

pub(super) fn place_of(reached: &str) -> Option<usize> {
    PHASES.iter().position(|(end, _)| *end == reached)
}

/// How far an attempt has got, and when.
#[derive(Debug)]
pub(super) struct TimelineBuilder {
    lane: Lane,
    began: Instant,
    /// When the link before was lost.
    lost: Option<Instant>,
    /// The phases that have ended, in order.
    ends: Vec<(usize, Instant)>,
    is_resumed: bool,
}

impl TimelineBuilder {
    pub(super) fn begun(lane: Lane, now: Instant) -> Self {
        Self { lane, began: now, lost: None, ends: Vec::new(), is_resumed: false }
    }

    /// What is to be told now, if anything is.
    pub(super) fn reached(&mut self, fields: &Fields, now: Instant) -> Option<Found> {
        let place = fields.reached?;
        let last = self.ends.last().map(|(last, _)| *last);
        let reached = PHASES[place].0;
        if reached == "used" {
            self.lost = now.checked_sub(fields.away);
        }
        // A link that is used from its start does not stand by; ssh's words and the host's come on two
        // pipes, and what is said twice counts once.
        let has_stood_by = reached != "used" || last == place_of("greeted");
        if !has_stood_by || last.is_some_and(|last| last >= place) {
            return None;
        }
        self.ends.push((place, now));
        self.is_resumed |= fields.is_resumed;
        let is_complete = reached == "output";
        let is_told = is_complete || reached == "answered";
        is_told.then(|| Found { timeline: self.timeline(), is_complete })
    }

    fn timeline(&self) -> Timeline {
        let start = self.lost.map_or(self.began, |lost| lost.min(self.began));
        let mut phases = Vec::new();
        let mut push = |name, from: Instant, until: Instant| {
            let (start, length) = (from.duration_since(start), until.duration_since(from));
            phases.push(Phase { name, start, length });
        };
        if self.lost.is_some_and(|lost| lost < self.began) {
            push("wait", start, self.began);
        }
        let mut from = self.began;
        for (number, (place, until)) in self.ends.iter().enumerate() {
            let is_all_of_ssh = number == 0 && PHASES[*place].0 == "greeted";
            push(if is_all_of_ssh { "connect" } else { PHASES[*place].1 }, from, *until);
            from = *until;
        }
        let length = from.duration_since(start);
        Timeline { is_resumed: self.is_resumed, lane: self.lane, length, phases }
    }
}
