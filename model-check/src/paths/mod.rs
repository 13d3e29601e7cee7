//! The path machine of `rejoin-protocol`, against an adversarial network and host.
//!
//! A [`world::PathWorld`] has the machine, the links that it has opened, and the session that uses one of
//! them. Whatever a link, a timer, a person or the operating system can report comes in every order, within
//! the bounds of a [`profile::PathProfile`]. The effects are carried out and judged by rules P1 to P10 of
//! SPEC section 7.9.
#![allow(clippy::similar_names, reason = "a line is the driver's side of a link")]

mod act;
pub mod action;
pub mod check;
pub mod day;
pub mod duo;
pub mod ghost;
mod judge;
pub mod mutants;
mod offer;
pub mod profile;
pub mod rules;
pub mod search;
pub mod settle;
pub mod witness;
pub mod world;
