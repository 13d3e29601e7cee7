//! The spans in which links are opened: where the time goes until a session is back.

use std::time::Duration;

use rejoin_protocol::Link;
use tracing::Span;

use crate::event::How;
use crate::link::Way;

/// Whoever wants to know listens to this target.
const TARGET: &str = "rejoin::reconnect";

/// What a link reaches. Everything behind it costs nothing while nobody listens.
#[derive(Debug)]
pub(crate) struct LinkTrace {
    span: Span,
    /// Whether the first output since the answer is still to come.
    is_output_due: bool,
}

impl LinkTrace {
    /// An attempt begins now. Its link is opened within the span.
    pub(crate) fn begin(link: Link, way: Way) -> Self {
        let (link, attempt, lane) = (link.0, way.attempt(), way.lane());
        let span = tracing::debug_span!(target: TARGET, "attempt", link, ?attempt, lane);
        Self { span, is_output_due: false }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The session has no other link from now on; it has been without one for so long.
    pub(crate) fn used(&self, away: Duration) {
        let away_micros = u64::try_from(away.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(target: TARGET, parent: &self.span, reached = "used", away_micros);
    }

    /// The session is attached.
    pub(crate) fn answered(&mut self, how: How) {
        self.is_output_due = true;
        tracing::debug!(target: TARGET, parent: &self.span, reached = "answered", ?how);
    }

    /// Something that the process wrote was handed out.
    pub(crate) fn output(&mut self) {
        if std::mem::take(&mut self.is_output_due) {
            tracing::debug!(target: TARGET, parent: &self.span, reached = "output");
        }
    }
}

/// The host has begun to speak, on the link that is opened within the present span.
pub(crate) fn greeted() {
    tracing::debug!(target: TARGET, reached = "greeted");
}
