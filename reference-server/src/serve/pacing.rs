//! How much output may be under way to a client: what its link carries, and no more.
//!
//! A window has to be large enough for the fastest link with the longest delay. On any other, all of it
//! would lie in buffers in between, and whatever a person does - an interrupt above all - would be
//! seen only behind that. So the process is read no faster than the link takes it: twice the product
//! of the rate at which output is acknowledged and of the time that takes on a quiet link, which is
//! what keeps the link busy. Measured is with one output at a time, as TCP used to time its segments.
//! SPEC section 5.3 has the window; this only stays below it.

use std::time::Duration;

use tokio::time::Instant;

/// What may be under way in any case, in bytes: acknowledgements come for several items at a time.
const LEAST: u64 = 256 * 1024;
/// What may be while the time of an acknowledgement is taken that waits behind nothing.
const LITTLE: u64 = 32 * 1024;
/// How long the programs on the way may take to get their turn, however short the way is.
const TURNS: Duration = Duration::from_millis(2);
/// How long the shortest time to an acknowledgement counts. A path may have become longer.
const MEMORY: Duration = Duration::from_secs(10);

/// The limit for one link, from what was acknowledged on it.
#[derive(Debug)]
pub(super) struct OutputPacer {
    limit: u64,
    acknowledged: u64,
    probe: Option<Probe>,
    shortest: Option<Shortest>,
    /// The limit from before, while little is sent to see how long an acknowledgement takes then.
    resting: Option<u64>,
}

/// An output that is timed.
#[derive(Debug)]
struct Probe {
    since: Instant,
    /// What was acknowledged when it was sent, and what is when it is.
    from: u64,
    until: u64,
    /// Whether more would have been sent, had it been allowed.
    is_limited: bool,
}

/// The shortest time to an acknowledgement, and when it was seen.
#[derive(Clone, Copy, Debug)]
struct Shortest {
    time: Duration,
    seen: Instant,
}

impl OutputPacer {
    /// For a new link.
    pub(super) fn new() -> Self {
        Self { limit: LITTLE, acknowledged: 0, probe: None, shortest: None, resting: Some(LEAST) }
    }

    /// How many more bytes may be sent, of which `in_flight` are under way.
    pub(super) fn room(&mut self, in_flight: u64) -> u64 {
        let room = self.limit.saturating_sub(in_flight);
        if let Some(probe) = self.probe.as_mut().filter(|_| room == 0) {
            probe.is_limited = true;
        }
        room
    }

    /// Output was sent, with which `in_flight` bytes are under way.
    pub(super) fn sent(&mut self, in_flight: u64, now: Instant) {
        self.probe.get_or_insert_with(|| Probe {
            since: now,
            from: self.acknowledged,
            until: self.acknowledged + in_flight,
            is_limited: false,
        });
    }

    /// So many more bytes were acknowledged.
    pub(super) fn acknowledged(&mut self, bytes: u64, now: Instant) {
        self.acknowledged += bytes;
        if let Some(probe) = self.probe.take_if(|probe| probe.until <= self.acknowledged) {
            self.measured(&probe, now);
        }
    }

    fn measured(&mut self, probe: &Probe, now: Instant) {
        let took = now.duration_since(probe.since).max(Duration::from_micros(1));
        if let Some(limit) = self.resting.take() {
            self.limit = limit;
            self.shortest = Some(Shortest { time: took, seen: now });
            return;
        }
        let shortest = match self.shortest {
            Some(shortest) if shortest.time < took => shortest,
            _ => Shortest { time: took, seen: now },
        };
        self.shortest = Some(shortest);
        if !probe.is_limited {
            return;
        }
        let bytes = self.acknowledged - probe.from;
        let carried = u128::from(bytes) * shortest.time.max(TURNS).as_nanos() / took.as_nanos();
        // One slow acknowledgement is no slow link.
        let least = (self.limit - self.limit / 4).max(LEAST);
        self.limit = u64::try_from(2 * carried).unwrap_or(u64::MAX).max(least);
        if now.duration_since(shortest.seen) > MEMORY {
            self.resting = Some(std::mem::replace(&mut self.limit, LITTLE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that carries so many bytes a second, at the other end of which they are acknowledged so
    /// much later. Sends as much as it may for some seconds, and says what was carried and what
    /// was under way at the end.
    fn flood(pacing: &mut OutputPacer, rate: u64, delay: Duration, seconds: u64) -> (u64, u64) {
        let tick = Duration::from_micros(500);
        let per_tick = rate / 2000;
        let start = Instant::now();
        let (mut queued, mut carried, mut in_flight) = (0, 0, 0);
        let mut on_the_way = std::collections::VecDeque::new();
        for ticks in 0..seconds * 2000 {
            let now = start + tick * u32::try_from(ticks).unwrap();
            while on_the_way.front().is_some_and(|(due, _)| *due <= now) {
                let (_, bytes) = on_the_way.pop_front().unwrap();
                in_flight -= bytes;
                pacing.acknowledged(bytes, now);
            }
            let room = pacing.room(in_flight);
            if room > 0 {
                queued += room;
                in_flight += room;
                pacing.sent(in_flight, now);
            }
            let bytes = queued.min(per_tick);
            queued -= bytes;
            carried += bytes;
            on_the_way.push_back((now + delay, bytes));
        }
        (carried, in_flight)
    }

    #[test]
    fn a_long_fast_link_is_filled() {
        let (rate, delay) = (40_000_000, Duration::from_millis(200));
        let (carried, _) = flood(&mut OutputPacer::new(), rate, delay, 30);
        assert!(carried > rate * 30 * 9 / 10, "{carried}");
    }

    #[test]
    fn on_a_slow_link_little_is_under_way() {
        let (rate, delay) = (1_000_000, Duration::from_millis(20));
        let (carried, in_flight) = flood(&mut OutputPacer::new(), rate, delay, 30);
        assert!(carried > rate * 29, "{carried}");
        assert!(in_flight <= LEAST, "{in_flight}");
    }

    #[test]
    fn what_is_under_way_stays_near_what_the_link_holds() {
        let (rate, delay) = (40_000_000, Duration::from_millis(100));
        let (_, in_flight) = flood(&mut OutputPacer::new(), rate, delay, 35);
        let held = rate / 10;
        assert!(in_flight < 3 * held, "{in_flight} where {held} would do");
    }

    #[test]
    fn a_path_that_becomes_longer_is_filled_again() {
        let mut pacing = OutputPacer::new();
        let rate = 40_000_000;
        flood(&mut pacing, rate, Duration::from_millis(5), 5);
        pacing.probe = None;
        flood(&mut pacing, rate, Duration::from_millis(200), 30);
        pacing.probe = None;
        let (carried, _) = flood(&mut pacing, rate, Duration::from_millis(200), 30);
        assert!(carried > rate * 30 * 8 / 10, "{carried}");
    }

    #[test]
    fn a_process_that_says_little_is_never_held_up() {
        let mut pacing = OutputPacer::new();
        let mut now = Instant::now();
        for _ in 0..1000 {
            assert!(pacing.room(0) >= LITTLE);
            pacing.sent(100, now);
            now += Duration::from_millis(30);
            pacing.acknowledged(100, now);
        }
    }
}
