//! The fast lane: a link in three round trips, to a known host.
//!
//! An ordinary login takes a dozen round trips, most of which bring nothing new. So when a session is up
//! and quiet, the fast lane *learns* its host ([`learn`]): ssh logs in once more without asking the user
//! anything, and shows which host key it accepts and which user key it uses ([`ssh_login`]). Then the SSH
//! client of `rejoin-ssh2` logs in step by step, and remembers the server's properties ([`host_cache`]). With
//! these it can send everything at once when a fast link is needed ([`handshake`]).
//!
//! The fast lane trusts exactly what the user's ssh trusts: the host key that it accepted for this
//! connector, the key exchange that it would choose, and the key that it logs in with. If ssh does
//! anything that is not supported here, the fast lane is not used ([`Ineligible`]), and such a host is not
//! tried again. The fast lane forgets a host that has changed or ends a connection, because hosts count
//! such connections against the client's address. It learns the host again later, with a growing pause.

mod agent;
mod agent_proxy;
mod connect;
mod eligibility;
mod event;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod handshake;
mod host_cache;
mod identities;
mod key_file;
mod lane;
mod learn;
mod public_key;
mod pump;
mod signer;
mod ssh_login;

pub use eligibility::Ineligible;
pub use event::FastLaneEvent;
