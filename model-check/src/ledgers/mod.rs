//! What has to hold of every single step of a machine, whoever drives it.
//!
//! A ledger follows one machine from outside: it gets each event and the effects of that event, and
//! nothing else. From what it has seen it knows what is true, and judges what the machine says and
//! does. Ledgers do not look into a machine, and know nothing of the model's world: the same ones
//! can judge a recording.

pub mod absent;
pub mod client;
mod client_says;
mod client_streams;
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
