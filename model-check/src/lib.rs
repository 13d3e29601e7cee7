//! A model check of the state machines of `rejoin-protocol`.
//!
//! A [`world::World`] has clients, links, hosts with their registries, and everything that can go
//! wrong between them. It steps the machines that ship, carries out their effects, and judges each
//! effect by ghost state. [`model::SessionModel`] is that world for Stateright to search. This
//! crate's README lists the guarantees and limitations.

pub mod action;
pub mod budget;
pub mod check;

pub mod driver_mutant;
pub mod ledgers;
pub mod model;
pub mod mutants;
pub mod names;
pub mod notes;
pub mod paths;
pub mod probes;
pub mod profile;
pub mod profiles;
pub mod properties;
pub mod recording;
pub mod rules;
pub mod saved_run;
pub mod search;
pub mod settle;
pub mod shared;
pub mod show;
pub mod simulate;
pub mod statistics;
pub mod step_text;
pub mod timers;
pub mod trace;
pub mod witness;
pub mod world;
