//! The key exchanges: elliptic curves, and the two hybrids that a quantum computer does not break.

mod ephemeral;
mod method;
#[cfg(any(test, feature = "testing"))]
mod respond;
mod secrets;

pub use ephemeral::EphemeralKey;
pub use method::Kex;
#[cfg(any(test, feature = "testing"))]
pub(crate) use respond::respond;
pub(crate) use secrets::{ExchangeSecrets, ExchangeTranscript, Sender};
#[cfg(test)]
#[path = "kex/kex_tests.rs"]
mod tests;
