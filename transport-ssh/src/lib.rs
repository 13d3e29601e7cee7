//! Byte streams between a client and its server, and nothing else.
//!
//! A [`Link`] is one ordered, reliable byte stream that can be cut at any time. A [`Connect`] starts
//! links: [`SshConnect`] through the system's own `ssh` program, [`DeployConnect`] in the same way to a
//! program that it puts on the host first, [`CommandConnect`] through a local command, [`UnixConnect`]
//! through a Unix socket, and [`memory()`] within one program. Nothing in this crate knows what the bytes
//! mean or what a session is.
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
//!         // ... speak over `reader` and `writer` until the stream ends, then ask why it did:
//!         drop((reader, writer));
//!         eprintln!("{}", guard.post_mortem().await);
//!     }
//! }
//! # }
//! ```
//!
//! Every connector needs a tokio runtime with its I/O and time drivers. Time is measured on the
//! monotonic clock, which stands still while the machine sleeps: a night asleep uses up no timeout.
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
pub use deploy::{DeployConnect, DeployNews, Deployment, Patience, Platform, ServerFile, Servers};
#[cfg(feature = "fast")]
pub use fast::{FastNews, Ineligible, report_host_key};
pub use link::command::CommandConnect;
pub use link::connect::{Attempt, BoxFuture, Connect};
pub use link::error::{LinkError, LinkErrorKind};
pub use link::forwards::{Forwards, Listen, Making, Side, Unforwarded};
pub use link::memory::{MemoryConnect, MemoryListener, memory};
pub use link::milestones::{Milestone, Milestones};
pub use link::unix::UnixConnect;
pub use link::{Link, LinkGuard, LinkReader, LinkWriter};
pub use ssh::fd_pass::hand_over;
pub use ssh::resolve::{Resolved, Unresolved};
pub use ssh::{AND_WAIT, SshConnect};
