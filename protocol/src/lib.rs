//! The rejoin protocol: frames, and the state machines that speak them.
//!
//! A remote process that outlives its connection needs two parties that agree, after any cut, on which
//! process exists and which bytes each side has. This crate is that agreement and nothing else: no I/O, no
//! clock, no randomness. Every machine takes events and returns effects; your driver carries the effects out.
//! `SPEC.md` beside this crate is the normative text. The documentation here refers to its sections.
//!
//! - [`client::Client`] and [`server::Server`] speak the protocol over a link.
//! - [`paths::Paths`] decides when a client opens which link, and which one it uses (section 7.9).
//! - The machines of [`registry`] are the programs on a host: how they find, start and end a server
//!   (sections 11.2 to 11.6).
//! - [`admin`] has what a server program answers to `ls`, `kill`, `prune` and `doctor` (section 14).
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod admin;
pub mod client;
pub mod codec;
pub mod error;
pub mod forwards;
pub mod frame;
#[cfg(feature = "codec")]
pub mod framed;
pub mod ident;
pub mod item;
pub mod machine;
#[cfg(feature = "termios")]
mod modes;
pub mod mux;
pub mod paths;
pub mod preamble;
pub mod reason;
pub mod receive;
#[cfg(feature = "record")]
pub mod record;
pub mod registry;
pub mod replay;
pub mod seq;
pub mod server;
pub mod spec;
pub mod version;

pub use client::Client;
pub use frame::Frame;
pub use ident::{
    AttachNumber, ClientInstance, ClientName, Counter, Epoch, Holder, HostId, Incarnation,
    SessionId, Tenure,
};
pub use item::{ExitStatus, Item, Signal, Stream, WindowSize};
pub use machine::{Link, Timer};
pub use reason::{Reason, SpawnError, SpawnErrorKind};
pub use seq::Seq;
pub use server::Server;
pub use version::{Capabilities, Version, VersionRange};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
