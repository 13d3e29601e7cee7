//! The path machine together with the client machine and the server machine: moves, second links and links that
//! stand by, under cuts, kills of the server and a takeover. The session's rules 1, 10, 15 and 16 have to hold.
//!
//! Smaller than the world of [`crate::world`]: one client, one host that answers at once, one item each way.

mod act;
mod search;
mod world;

pub use act::DuoAction;
pub use search::{DuoSearchResult, run, search};
pub use world::{DuoProfile, DuoWorld, profiles};
