//! How long the path machine's timers run.

use std::time::Duration;

use rejoin_protocol::paths::{Class, Timer};

use super::PathOptions;
use crate::options::Timing;

/// Between two dials of a better path beside a link that works: doubled with each, up to a bound.
const ASIDE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(2));
/// Between two dials of a link that only stands by.
const STANDBY: Duration = Duration::from_mins(1);
/// The longest pause where a person is needed.
const LONGEST_PERSON: Duration = Duration::from_hours(1);
/// How much later than the quick path the usual one is dialled. Coming back is to take no more than 50 ms
/// longer than over that alone, whatever becomes of the quick link.
const HEAD_START: Duration = Duration::from_millis(40);
/// A login that takes longer than this many of the last one's time leads nowhere.
const PATIENCE: u32 = 3;
/// How long one may take in any case: a host may be busy, and counts logins that are given up.
const LEAST_LOGIN: Duration = Duration::from_secs(30);
/// What a login is taken to last before one was made.
const FIRST_LOGIN: Duration = Duration::from_secs(1);
/// The longest time that a link has to answer.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// How long a link has in any case that is suspected: its other end may be busy.
const LEAST_GRACE: Duration = Duration::from_millis(100);
/// How long a session has to be attached before its host is learnt: what is in a hurry comes first.
const CALM: Duration = Duration::from_secs(5);
/// How much longer it takes some sessions: those that are back together do not log in together again.
const SPREAD: Duration = Duration::from_secs(5);
/// How often the host may be learnt anew, if it has to be. The connector has a bound of its own.
const REVIEW: Duration = Duration::from_mins(5);

/// The durations of one session.
#[derive(Debug)]
pub(super) struct Times {
    timing: Timing,
    /// How long the last login took, if there was one.
    login: Option<Duration>,
    learning: Duration,
}

impl Times {
    pub(super) fn new(options: &PathOptions) -> Self {
        let learning = CALM + SPREAD * u32::from(options.spread) / u32::from(u8::MAX);
        Self { timing: options.timing, login: None, learning }
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(super) fn login_took(&mut self, time: Duration) {
        self.login = Some(time);
    }

    /// How long a timer runs.
    pub(super) fn of(&self, timer: Timer, class: Class, step: u8) -> Duration {
        let timing = &self.timing;
        match class {
            Class::Retry => jittered(doubled(timing.backoff_start, step, timing.backoff_cap)),
            Class::Aside => doubled(ASIDE.0, step, ASIDE.1),
            Class::Standby => STANDBY,
            Class::Person => doubled(timing.needs_user, step, LONGEST_PERSON),
            Class::HeadStart => HEAD_START,
            Class::Login => self.login_limit(step),
            Class::Asking => timing.asking,
            Class::Answer if timer == Timer::Answer => self.answer().saturating_sub(self.grace()),
            Class::Answer => doubled(self.answer(), step, LONGEST_ANSWER),
            Class::Suspicious => self.moment(),
            Class::Usual => self.usual(timer, step),
        }
    }

    fn usual(&self, timer: Timer, step: u8) -> Duration {
        let timing = &self.timing;
        match timer {
            Timer::Calm => timing.stable,
            Timer::Settled => timing.doubt,
            Timer::Silence => self.silence(),
            Timer::Hold => timing.silent.saturating_sub(timing.doubt),
            Timer::Patience => timing.give_up.unwrap_or(Duration::MAX),
            Timer::Learn if step > 0 => REVIEW,
            Timer::Learn => self.learning,
            Timer::Question | Timer::Answer | Timer::Doubt | Timer::Pause(_) | Timer::Dial(_) => {
                self.grace()
            }
        }
    }

    /// How long nothing may come until a link is suspected.
    pub(super) fn silence(&self) -> Duration {
        self.timing.doubt.saturating_sub(self.grace())
    }

    /// How long nothing may come that an answer could be behind.
    pub(super) fn quiet(&self) -> Duration {
        self.timing.unanswered / 2
    }

    /// An answer takes one round trip, and a login about twelve.
    fn answer(&self) -> Duration {
        self.timing.unanswered.max(self.login.unwrap_or(FIRST_LOGIN) / 2)
    }

    /// How long a link has that is suspected, or that something was said on.
    fn grace(&self) -> Duration {
        self.timing.doubt / 8
    }

    /// How long it has where it is probably dead.
    fn moment(&self) -> Duration {
        (self.login.unwrap_or(FIRST_LOGIN) / 6).max(LEAST_GRACE).min(self.grace())
    }

    /// Where nothing is known about logins, one has as long as any may take.
    fn login_limit(&self, step: u8) -> Duration {
        let most = self.timing.login;
        match self.login {
            None => most,
            Some(login) => {
                let usual = (login * PATIENCE).max(LEAST_LOGIN.min(most));
                doubled(usual, step, most.max(usual))
            }
        }
    }
}

/// This long, doubled so many times, and no longer than `most`.
fn doubled(least: Duration, step: u8, most: Duration) -> Duration {
    least.saturating_mul(1 << step.min(16)).min(most)
}

/// Between half of `delay` and all of it, so that many clients of one host do not come back at the same
/// moment. Without randomness there is no jitter, and no harm.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    delay / 2 + (delay / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
