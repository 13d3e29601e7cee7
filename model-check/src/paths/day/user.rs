//! What happens in a day of somebody whose laptop moves, sleeps and locks its keys.

use super::host::Millis;

/// A source of numbers that is the same in every run.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// One seed is one day.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// Any number (xorshift).
    pub fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from `least` up to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.any() % (most - least + 1)
    }
}

/// Something that happens to the user.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    /// Every connection is reset, and none can be made for a while.
    Cut(Millis),
    /// Nothing arrives for a while; connections outlive that.
    Silence(Millis),
    /// Another address: connections are dead, and nobody says so. Nothing arrives for a while.
    Move(Millis),
    /// The laptop sleeps for a while; connections are dead.
    Sleep(Millis),
    /// Logins take long for a while.
    Slow(Millis),
    /// The key agent is locked for a while; at its end, whether the user asks for an attempt.
    Lock(Millis, bool),
}

/// All that happens in a day, in order.
pub fn day(rng: &mut Rng) -> Vec<(Millis, Trouble)> {
    const HOUR: Millis = 3_600_000;
    let mut troubles = Vec::new();
    let mut at = 60_000;
    while at < 24 * HOUR {
        let trouble = match rng.between(0, 19) {
            0..=4 => Trouble::Cut(rng.between(0, 30_000)),
            5..=8 => Trouble::Silence(rng.between(500, 40_000)),
            9..=12 => Trouble::Move(rng.between(0, 5000)),
            13..=15 => Trouble::Sleep(rng.between(30_000, HOUR)),
            16..=17 => Trouble::Slow(rng.between(60_000, 900_000)),
            _ => Trouble::Lock(rng.between(60_000, HOUR), rng.any().is_multiple_of(2)),
        };
        troubles.push((at, trouble));
        // Troubles come in bursts.
        at += match rng.between(0, 3) {
            0 => rng.between(10, 2000),
            1 => rng.between(1000, 30_000),
            _ => rng.between(60_000, HOUR),
        };
    }
    troubles
}
