//! Output pacing: limits the output in flight to what the client's link can carry.
//!
//! A window has to be large enough for the fastest link with the longest delay. On slower links, a
//! full window would fill buffers on the way, and the effect of an interrupt would only be visible
//! after all of it. So the server reads the process no faster than the link carries its output. The
//! limit is twice the product of the rate of acknowledgements and the delay of an acknowledgement
//! on a quiet link, which keeps the link busy. One output at a time is measured, as TCP did with
//! its segments. The limit never exceeds the window of SPEC section 5.3.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum limit, in bytes: acknowledgements cover several items at a time.
const LEAST: u64 = 256 * 1024;
/// The limit while measuring the delay on a quiet link, in bytes.
const LITTLE: u64 = 32 * 1024;
/// The minimum delay: the programs on the way need time to be scheduled.
const TURNS: Duration = Duration::from_millis(2);
/// How long the shortest measured delay counts. The path may become longer.
const MEMORY: Duration = Duration::from_secs(10);

/// The limit for one link, derived from its acknowledgements.
#[derive(Debug)]
pub(super) struct OutputPacer {
    limit: u64,
    acknowledged: u64,
    probe: Option<Probe>,
    shortest: Option<Shortest>,
    /// The previous limit, while little is sent to measure the delay of a quiet link.
    resting: Option<u64>,
}

/// An output that is being timed.
#[derive(Debug)]
struct Probe {
    since: Instant,
    /// The bytes acknowledged when it was sent, and when it is acknowledged.
    from: u64,
    until: u64,
    /// Whether the limit kept more output from being sent.
    is_limited: bool,
}

/// The shortest delay of an acknowledgement, and when it was measured.
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

    /// How many more bytes may be sent while `in_flight` are in flight.
    pub(super) fn room(&mut self, in_flight: u64) -> u64 {
        let room = self.limit.saturating_sub(in_flight);
        if let Some(probe) = self.probe.as_mut().filter(|_| room == 0) {
            probe.is_limited = true;
        }
        room
    }

    /// Output was sent, so that `in_flight` bytes are in flight.
    pub(super) fn sent(&mut self, in_flight: u64, now: Instant) {
        self.probe.get_or_insert_with(|| Probe {
            since: now,
            from: self.acknowledged,
            until: self.acknowledged + in_flight,
            is_limited: false,
        });
    }

    /// More bytes were acknowledged.
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
        // One slow acknowledgement does not mean a slow link.
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

    /// Simulates a link with this rate in bytes per second and this delay of acknowledgements.
    /// Sends as much as allowed for some seconds, and returns the bytes carried and the bytes in
    /// flight at the end.
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
    fn fills_a_long_fast_link() {
        let (rate, delay) = (40_000_000, Duration::from_millis(200));
        let (carried, _) = flood(&mut OutputPacer::new(), rate, delay, 30);
        assert!(carried > rate * 30 * 9 / 10, "{carried}");
    }

    #[test]
    fn keeps_little_in_flight_on_a_slow_link() {
        let (rate, delay) = (1_000_000, Duration::from_millis(20));
        let (carried, in_flight) = flood(&mut OutputPacer::new(), rate, delay, 30);
        assert!(carried > rate * 29, "{carried}");
        assert!(in_flight <= LEAST, "{in_flight}");
    }

    #[test]
    fn keeps_in_flight_output_near_the_links_capacity() {
        let (rate, delay) = (40_000_000, Duration::from_millis(100));
        let (_, in_flight) = flood(&mut OutputPacer::new(), rate, delay, 35);
        let held = rate / 10;
        assert!(in_flight < 3 * held, "{in_flight} where {held} would do");
    }

    #[test]
    fn adapts_to_a_longer_path() {
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
    fn never_delays_a_quiet_process() {
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
