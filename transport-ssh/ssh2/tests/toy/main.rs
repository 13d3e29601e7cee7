//! Against a server in the same process, which says what no good server would.
#![allow(clippy::unwrap_used)]

mod driver;
mod faults;
mod flow;
mod fuzz;
mod hostbound;
mod hurry;
mod unproved;
