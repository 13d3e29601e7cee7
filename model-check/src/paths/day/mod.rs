//! Rule P8, with the times that a driver has: a host that counts how logins fail never refuses a healthy user
//! for what the machine gave up.
//!
//! A day is simulated for one user with a session, and a host that counts as OpenSSH's `PerSourcePenalties` and
//! `MaxStartups` do, or fail2ban. A seed is a day.

pub mod drive;
pub mod host;
pub mod times;
pub mod user;

use rejoin_protocol::paths::Config;

use super::profile;
use drive::{DayDriver, DayOutcome};
use host::{BANS, DEFAULTS, FEW, LoginLimits, STRICT};
use times::Times;

/// How many days there are of each kind.
const DAYS: u64 = 20;

/// The sum of many days.
pub fn days(config: Config, strictness: LoginLimits, times: Times) -> DayOutcome {
    let mut sum = DayOutcome::default();
    for seed in 1..=DAYS {
        let day = DayDriver::new(config, strictness, times, seed).run();
        sum.dials += day.dials;
        sum.given_up += day.given_up;
        sum.refused += day.refused;
        sum.own += day.own;
        sum.away += day.away;
    }
    sum
}

/// Simulates them all, and says how it went.
pub fn run() -> bool {
    println!(
        "{:<26} {:<14} {:>7} {:>8} {:>8} {:>5} {:>9}",
        "host", "paths", "dials", "given up", "refused", "for it", "away"
    );
    let mut holds = true;
    for strictness in [DEFAULTS, STRICT, BANS, FEW] {
        for name in ["path-plain", "path-exclusive", "path-bridge", "path-stay", "path-held"] {
            let Some(profile) = profile::named(name) else { continue };
            let sum = days(profile.config, strictness, Times::REFERENCE);
            let DayOutcome { dials, given_up, refused, own, away } = sum;
            let seconds = away / DAYS / 1000;
            println!(
                "{:<26} {name:<14} {dials:>7} {given_up:>8} {refused:>8} {own:>5} {seconds:>7} s",
                strictness.name
            );
            holds &= own == 0;
        }
    }
    holds
}
