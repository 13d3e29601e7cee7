//! What the driver tells the application.

use std::time::Duration;

use rejoin_protocol::client::{Notice, Patience};
use rejoin_protocol::codec::{MAX_NOISE, Noise};
use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::paths::{Need, Story, Urgency};
use rejoin_protocol::{ClientName, Tenure};
use rejoin_ssh::{LinkError, LinkErrorKind};
use tokio::time::Instant;

use super::Driver;
use crate::attachment::LinkLane;
use crate::event::{Event, Forward, Replaced};
use crate::link::MAX_QUOTED;
use crate::output::Output;
use crate::paths::ForwardStory;

/// How long a timeline waits for the first output. What comes later is not a part of the connection.
const FIRST_OUTPUT: Duration = Duration::from_secs(1);

impl Driver {
    /// Nobody has to listen.
    pub(super) fn tell(&mut self, event: Event) {
        // What went before is reported before.
        self.tell_timeline();
        tracing::debug!(?event);
        if event.is_end() {
            self.told.end.send_replace(Some(event.clone()));
        }
        let _ = self.told.event.send(event);
    }

    /// Reports the timeline that waited for the first output, if there is one.
    pub(super) fn tell_timeline(&mut self) {
        if let Some((timeline, _)) = self.timeline.take() {
            self.tell(Event::Timeline(timeline));
        }
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Attached { .. } => self.attached(&notice),
            Notice::Detached(loss) => {
                self.words.detached();
                if self.words.last_loss.is_empty() {
                    self.words.last_loss = loss.to_string();
                }
                self.tell(Event::Detached { reason: self.words.last_loss.clone() });
            }
            Notice::Replaced { old, new, reason, unacknowledged_input, next_output } => {
                self.open_ends = None;
                // Also on the way from one link to another: which process it has now is told.
                self.words.is_attached = false;
                if self.words.has_booted {
                    let message = format!("{} has booted since", self.words.destination);
                    self.tell(Event::Notice { message });
                }
                let numbers = (old, new);
                self.replaced(Replaced::new(numbers, &reason, unacknowledged_input, next_output));
            }
            Notice::Lost { reason, replacements, unacknowledged_input, next_output } => {
                let mut lost =
                    Event::lost(&reason, replacements, unacknowledged_input, next_output);
                if let Event::Lost { message, .. } = &mut lost
                    && self.words.has_booted
                {
                    message.push_str(", which has booted since");
                }
                self.tell(lost);
            }
            Notice::Refused(reason) => self.tell(Event::refused(&reason)),
            Notice::Hindered(reason) => self.hindered(&reason),
            Notice::Superseded { by, name } => self.superseded(by, &name),
            Notice::Exited { status, unacknowledged_input } => {
                self.tell(Event::exited(status, unacknowledged_input));
            }
            Notice::Closed { ended } => self.tell(Event::Closed { ended }),
            Notice::GaveUp(Patience::Hindrance) if self.words.hindrance.is_some() => {
                self.hindered_for_good();
            }
            Notice::GaveUp(Patience::Link) => self.gave_up(),
            Notice::GaveUp(patience) => self.tell(Event::gave_up(patience)),
        }
    }

    fn attached(&mut self, notice: &Notice) {
        let Notice::Attached { how, epoch, incarnation, host, .. } = notice else { return };
        let timeline = self.link.as_mut().map(|live| live.progress().answered((*how).into()));
        let timeline = timeline.map(|timeline| (timeline, Instant::now() + FIRST_OUTPUT));
        self.open_ends = None;
        let (is_move, millis) = (self.words.is_attached, millis(self.words.away()));
        self.words.attached();
        self.paths.attached();
        self.publish_state();
        let host = self.words.host_name.clone().or_else(|| host.map(|host| host.to_string()));
        self.tell(if is_move {
            Event::Moved { lane: self.lane(), millis }
        } else {
            Event::Attached {
                session: self.config.session.to_string(),
                incarnation: incarnation.0,
                epoch: epoch.to_string(),
                host: host.unwrap_or_default(),
                how: (*how).into(),
                millis,
            }
        });
        self.timeline = timeline;
    }

    fn lane(&self) -> LinkLane {
        if self.paths.is_on_fast_lane() { LinkLane::Fast } else { LinkLane::Ssh }
    }

    /// There was no link, and nobody looks for one any more.
    fn gave_up(&mut self) {
        let (reason, message) = match self.words.given_up {
            Some(Urgency::First) => (self.words.last_kind, self.words.last_loss.as_str()),
            _ => ("timeout", "no connection came about in time"),
        };
        self.tell(Event::GaveUp { reason: reason.to_owned(), message: message.to_owned() });
    }

    pub(super) fn tell_story(&mut self, story: Story) {
        match story {
            Story::Waiting => self.tell_attempt(),
            Story::Needs(_) => self.tell_need(),
            // They end with their processes, and that is told.
            Story::Ends if self.machine.replacements() > 0 => {}
            Story::Ends => {
                let destination = &self.words.destination;
                let message = format!(
                    "{destination} ends each connection as soon as the server program has started there: look \
                     at its start-up files; the last reason: {}",
                    self.words.last_loss
                );
                self.tell(Event::Notice { message });
            }
        }
    }

    pub(super) fn tell_forward(&mut self, story: ForwardStory) {
        self.tell(match story {
            ForwardStory::Missing(missing, is_retried) => {
                Event::forward_missing(&missing, is_retried)
            }
            ForwardStory::Made(made) => Event::ForwardMade(Forward::of(&made)),
        });
    }

    fn tell_need(&mut self) {
        let Some(message) = self.words.need.as_ref().and_then(|error| self.diagnosis(error)) else {
            return;
        };
        let message = if self.machine.is_attached() {
            format!("{message}; the session goes on without ssh")
        } else {
            message
        };
        self.tell(Event::Notice { message });
    }

    /// Tells it twice: at once, and behind all output of the old process.
    fn replaced(&mut self, replaced: Replaced) {
        self.offer(None, Output::Replaced(replaced.clone()));
        self.tell(Event::Replaced(replaced));
    }

    fn superseded(&mut self, by: Tenure, name: &ClientName) {
        let name = name.to_printable();
        let by = if name.is_empty() { format!("another client (tenure {by})") } else { name };
        self.tell(Event::Superseded { by });
    }

    fn tell_attempt(&mut self) {
        if std::mem::take(&mut self.words.is_beginning) {
            return;
        }
        self.words.attempts += 1;
        self.tell(Event::Reconnecting {
            attempt: self.words.attempts,
            delay_millis: millis(self.paths.pause()),
            reason: self.words.last_loss.clone(),
            needs_user: self.paths.machine().need() == Some(Need::Login),
        });
    }

    /// Noise is worth a word only where it is worth a look: it delays every connection.
    pub(super) fn tell_noise(&mut self, noise: &Noise) {
        if noise.skipped > 0 {
            let start = rejoin_text::printable_bytes(&noise.start, MAX_QUOTED);
            self.tell(Event::Notice {
                message: format!(
                    "{} bytes that the host's login shell printed were skipped: {start}",
                    noise.skipped
                ),
            });
        }
    }

    /// What only a person can mend, in words.
    fn diagnosis(&self, error: &LinkError) -> Option<String> {
        let advice = match error.kind {
            LinkErrorKind::NeedsUser => "needs you: unlock the key, or be there to be asked",
            LinkErrorKind::HostKey => "needs you: look at the host's key with ssh",
            LinkErrorKind::Refused => "needs you: the account may not run the server any more",
            LinkErrorKind::ServerMissing => "needs you: the server program is missing on the host",
            LinkErrorKind::Undeployable => "needs you: no server program can be put on the host",
            _ => return None,
        };
        let destination = &self.words.destination;
        self.machine.has_asked().then(|| format!("{destination} {advice} ({error})"))
    }
}

/// What a link is closed for. Noise without end counts as none of the protocol, and is the login shell's.
pub(super) fn misbehaved(what: Misbehaviour, noise: &Noise) -> String {
    let Misbehaviour::Frame(FrameError::NoMagic) = what else { return what.to_string() };
    let (limit, start) = (MAX_NOISE / 1024, rejoin_text::printable_bytes(&noise.start, MAX_QUOTED));
    format!(
        "the host's login shell printed more than {limit} KiB before the server began, and rejoin skips no \
         more: look at its start-up files; it printed: {start}"
    )
}

/// Why a link is given up that has not brought an answer, behind this noise.
pub(super) fn unanswered(noise: Option<&str>) -> String {
    match noise {
        None => "the host did not answer in time".to_owned(),
        Some(noise) => format!(
            "the host's login shell did not start the server in time: look at its start-up files; it printed: \
             {noise}"
        ),
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
