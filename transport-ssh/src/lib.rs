//! Byte streams between a client and its server.
//!
//! A [`Link`] is one ordered, reliable byte stream that can be cut at any time. A [`Connect`] starts
//! links: [`SshConnect`] through the system's `ssh` program, [`DeployConnect`] in the same way to a
//! program that it uploads first if the host lacks it, [`CommandConnect`] through a local command,
//! [`UnixConnect`] through a Unix socket, and [`memory()`] within one program. This crate does not know
//! what the bytes mean or what a session is.
//!
//! ```no_run
//! # async fn example() {
//! use rejoin_ssh::{Attempt, Connect, SshConnect};
//!
//! let ssh = SshConnect::new("user@host", "rejoin-server attach");
//! match ssh.connect(Attempt::First).await {
//!     Err(error) => eprintln!("{error}"),
//!     Ok(link) => {
//!         let (reader, writer, guard) = link.into_parts();
//!         // ... use `reader` and `writer` until the stream ends, then ask why it ended:
//!         drop((reader, writer));
//!         eprintln!("{}", guard.post_mortem().await);
//!     }
//! }
//! # }
//! ```
//!
//! Every connector needs a tokio runtime with its I/O and time drivers. Timeouts use the monotonic
//! clock, which stands still while the machine sleeps.
#![cfg_attr(
    not(all(feature = "deploy", feature = "fast")),
    allow(dead_code, reason = "parts of `link` and `ssh` serve these features alone")
)]

#[cfg(feature = "deploy")]
mod deploy;
#[cfg(feature = "fast")]
mod fast;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod link;
mod ssh;

#[cfg(feature = "deploy")]
pub use deploy::{
    DeployConnect, DeployEvent, DeployTimeouts, Deployment, Platform, ServerFile, Servers,
};
#[cfg(feature = "fast")]
pub use fast::{FastLaneEvent, Ineligible};
pub use link::clock::boottime;
pub use link::command::CommandConnect;
pub use link::connect::{Attempt, Connect};
pub use link::error::{LinkError, LinkErrorKind};
pub use link::forwards::{ForwardKind, ForwardOutcome, Forwards, ListenAddress, MissingForward};
pub use link::memory::{MemoryConnect, MemoryListener, memory};
pub use link::milestones::{Milestone, Milestones};
pub use link::stream::{BoxFuture, Link, LinkGuard, LinkReader, LinkWriter};
pub use link::unix::UnixConnect;
pub use ssh::arguments::THEN_EXIT;
pub use ssh::builder::SshConnect;
pub use ssh::fd_pass::pass_fd;
pub use ssh::resolve::{SshConfig, SshConfigError};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
