//! The server of rejoin. It keeps exactly one remote process, with its terminal or pipes, its
//! replay log and its exit status, while connections to it come and go.
//!
//! The public modules know nothing of frames: [`registry`] stores what a host knows about its
//! sessions, [`process`] starts processes and servers, [`termination`] ends processes while their
//! server lives and [`reap`] after it has died; [`host`] identifies the host, and [`log`] writes
//! log files. [`admin`] lists, ends and removes sessions.

pub mod admin;
mod attach;
mod cli;
mod fd_pass;
mod fnv;
pub mod host;
pub mod log;
pub mod marks;
mod mux;
mod peer;
pub mod process;
mod procfs;
pub mod reap;
#[cfg(feature = "record")]
mod recorder;
pub mod registry;
mod retry;
mod serve;
mod server_process;
pub mod termination;

pub use cli::run;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
