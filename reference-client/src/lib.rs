//! Remote processes that outlive their connections: the client library of rejoin.
//!
//! A [`Session`] is one remote process with its input, its output and the events of its life. It
//! reconnects by itself; what the application sees is a gapless stream, or a clear word about what
//! was lost.
//!
//! Where the links come from is rejoin-ssh's part; its `DeployConnect` brings the server program along
//! to hosts that lack it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use rejoin_client::{Options, Output, Session, new_session_id};
//! use rejoin_client::spec::{Command, ProcessSpec};
//! use rejoin_ssh::SshConnect;
//!
//! let ssh = Arc::new(SshConnect::new("user@host", "rejoin-server attach"));
//! let spec = ProcessSpec::new(Command::Shell(b"make -j".to_vec()));
//! let mut session = Session::open(ssh, new_session_id()?, &spec, Options::default())?;
//! while let Some(output) = session.output.recv().await {
//!     match output {
//!         Output::Data { data, .. } => print!("{}", String::from_utf8_lossy(&data)),
//!         Output::Gap { from, next, .. } => println!("[{} items were dropped]", next.since(from)),
//!         Output::Exit { status, .. } => println!("[{status}]"),
//!         Output::Replaced(replaced) => println!("[process {} follows]", replaced.new),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each session has a connection of its own that way. An application with many sessions on one
//! host opens them through a [`Host`]: they share one connection, and are back together after it
//! was lost. `examples/fifty_sessions.rs` is such an application.
//!
//! The module [`admin`] lists, ends and removes the sessions of a host.
//!
//! Where the time goes until a session is attached, `tracing` tells with the target
//! `rejoin::reconnect`: a span `attempt` for each link that is opened, whose field `lane` says `fast` or
//! `ssh`, as [`Lane`] tells them apart, and in it debug events whose field `reached` says `used` (no other link is used from now on; with `away_micros`, since when there
//! was none), `greeted` (the server program on the host has begun to speak), `answered` (the session is
//! attached; with `how`) and `output` (the first that the process wrote since); between them what
//! `SshConnect::timeline` of rejoin-ssh adds.

pub mod admin;
mod driver;
mod event;
mod host;
mod link;
mod options;
mod os;
mod paths;
#[cfg(feature = "record")]
mod record;
mod remote;
#[cfg(feature = "deploy")]
pub mod servers;
mod session;
mod state;
mod streams;
mod timeline;
mod timers;
mod wake;

pub use event::{Event, Forward, ForwardSide, How, LinkLane, Replaced};
pub use host::{Host, HostOptions};
pub use options::{Lane, OpenError, Options, Timing, new_session_id};
pub use rejoin_protocol::client::OnLoss;
pub use rejoin_protocol::frame::From as ClaimFrom;
pub use rejoin_protocol::{
    ClientName, ExitStatus, Holder, Incarnation, Seq, SessionId, Signal, Stream, Tenure,
    WindowSize, spec,
};
pub use remote::{Remote, Transport};
pub use session::{Control, Ended, Events, Input, Output, Outputs, Session, Target};
pub use state::SessionState;
pub use streams::{Exit, ProcessOutput, Reader, Stdin, StreamError, Streams};
pub use timeline::{Phase, PhaseKind, Timeline};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
