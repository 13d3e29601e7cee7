//! The server of rejoin: keeps exactly one remote process - its terminal or pipes, its replay log,
//! its exit status - while connections to it come and go.
//!
//! The modules here are the ground it stands on, and know nothing of frames: [`registry`] (what is
//! true about a session on its host), [`process`] (starting processes and servers), [`ending`] and
//! [`reap`] (ending them, while their server lives and after), [`host`], [`log`]. [`admin`] lists, ends
//! and removes sessions.

pub mod admin;
mod attach;
mod cli;
pub mod ending;
mod fnv;
mod handover;
pub mod host;
pub mod log;
pub mod marks;
mod mux;
mod peer;
pub mod process;
mod procfs;
pub mod reap;
#[cfg(feature = "record")]
mod record;
pub mod registry;
mod retry;
mod serve;

pub use cli::run;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
