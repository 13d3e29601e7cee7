//! `rejoin-protocol` with every mutant of its machines in it.
//!
//! The build script copies `protocol/src`, and gives each function that mutants change one more
//! body for each of them (`rejoin-edits`). [`mutant::select`] says which one runs. While none is
//! selected, every function has the body that ships.
#![forbid(unsafe_code)]
// The source is judged where it stands. What a mutant leaves unused or cannot reach is its fault.
#![allow(unused, unexpected_cfgs, clippy::all, clippy::pedantic)]

pub mod mutant;

include!(concat!(env!("OUT_DIR"), "/machines/lib.rs"));
