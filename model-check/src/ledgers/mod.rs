//! The ledgers: what must hold for every step of a machine, with any driver.
//!
//! A ledger follows one machine from outside: it gets each event and the effects of that event, and
//! nothing else. From these it derives what is true, and judges what the machine sends and does.
//! Ledgers do not look into a machine, and do not depend on the model's world, so that they could
//! judge a recording, too.

pub mod absent;
pub mod client;
mod client_positions;
mod client_says;
pub mod log;
pub mod server;
mod server_says;

use rejoin_protocol::Timer;

use crate::rules::Violation;
use crate::timers::Timers;

/// Whether a property holds.
pub type LedgerResult = Result<(), Violation>;

/// A property: what is wrong if it does not hold, and which rule that breaks.
pub(crate) fn require(holds: bool, rule: u8, what: &'static str) -> LedgerResult {
    if holds { Ok(()) } else { Err(Violation { rule, what }) }
}

/// Whether exactly these of the listed timers run.
pub(crate) fn runs_exactly(timers: Timers, listed: &[(Timer, bool)]) -> bool {
    listed.iter().all(|(timer, runs)| timers.has(*timer) == *runs)
}
