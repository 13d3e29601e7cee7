//! The state machines of `rejoin-protocol`, checked.
//!
//! A [`world::World`] has clients, links, hosts with their registries, and everything that can go
//! wrong between them. It steps the very machines that ship, carries out their effects, and judges
//! each by history that only it sees. [`model::Session`] is that world for Stateright to search.
//! What is proved, and what is not, stands in this crate's README.

pub mod budget;
pub mod check;
pub mod files;
pub mod ledgers;
pub mod model;
pub mod mutants;
pub mod names;
pub mod pairs;
pub mod paths;
pub mod probes;
pub mod profile;
pub mod profiles;
pub mod properties;
pub mod recording;
pub mod rules;
pub mod search;
pub mod settle;
pub mod shared;
pub mod show;
pub mod simulate;
pub mod trace;
pub mod twist;
pub mod witness;
pub mod world;
