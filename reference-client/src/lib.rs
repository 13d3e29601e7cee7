//! Remote processes that outlive their connections.
//!
//! A [`Session`] is one process on another machine, with its input, its output, and events. When the
//! connection is lost, the session reconnects, and the application sees one stream without gaps. When the
//! process is lost, the session says so, and what was lost with it.
//!
//! # Quick start
//!
//! [`Remote`] is a host. It runs the system's `ssh`, with the user's own configuration, and puts the server
//! program on the host if it is missing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use rejoin_client::Remote;
//! use rejoin_client::spec::{Command, ProcessSpec};
//!
//! let remote = Remote::ssh("user@host");
//! let session = remote.open(&ProcessSpec::new(Command::Shell(b"make -j".to_vec())))?;
//! let output = session.into_streams().wait_with_output().await?;
//! println!("{}", output.status);
//! # Ok(())
//! # }
//! ```
//!
//! Everything runs on [tokio](https://docs.rs/tokio), with its I/O and time drivers enabled. The session's
//! driver is a task of the runtime in which the session was opened.
//!
//! # Three levels
//!
//! - [`Session::into_streams`] gives [`Streams`]: standard input, output and error as [`AsyncWrite`] and
//!   [`AsyncRead`], as those of a child process. Choose this to replace `ssh` in an application.
//! - [`Session::output`] gives [`Output`] items with their numbers, one at a time. Each item is acknowledged when
//!   the application takes it. Choose this to handle every item exactly once, also across restarts of the
//!   application: [`SessionState`] is the position to save, and [`Remote::resume`] continues there.
//! - [`Host`] carries many sessions over one connection: one login, and one reconnect for all of them.
//!
//! [`Session::events`] reports attachments, losses and ends as [`Event`]s, which have a form as JSON.
//! [`Remote::list`], [`Remote::kill`] and the module [`admin`] look after the sessions of a host.
//!
//! # Ids
//!
//! A session has a [`SessionId`], random for each new session ([`new_session_id`]). The host starts one process
//! for an id, however often it is asked. With the id, [`Remote::attach`] finds the session again, also from
//! another machine. At any time one client holds the session; who takes it over gets it, and the other client is
//! told by [`Event::Superseded`].
//!
//! # Guarantees
//!
//! - Output arrives in order, without gaps and without repetition, as long as the process lives.
//!   [`Output::Gap`] occurs only if the [`ProcessSpec`](spec::ProcessSpec) allows the host to drop output.
//! - Input reaches one process, in order and once. Input that was not acknowledged when the process was lost is
//!   counted in the event, and never reaches another process.
//! - A lost process is replaced only if [`Options::on_loss`] says so, and [`Output::Replaced`] stands between
//!   the output of the two.
//!
//! The state machines that decide about all of this are in
//! [`rejoin-protocol`](https://docs.rs/rejoin-protocol); they are model-checked.
//!
//! # Other transports
//!
//! [`Remote::new`] takes any command or connection that runs `rejoin-server`, and
//! [`Connect`](rejoin_ssh::Connect) of [`rejoin-ssh`](rejoin_ssh) is the trait behind it. Without the default features,
//! this crate compiles neither cryptography nor compression.
//!
//! # Features
//!
//! - `deploy` (default): puts the server program on hosts that lack it ([`Remote::ssh`], [`servers`]).
//! - `fast` (default): the fast lane, which reconnects in three round trips ([`Lane`]).
//! - `record`: with `REJOIN_RECORD=FOLDER` in the environment, writes what each session does to a file there, for
//!   the model checker. The files contain everything that is typed and printed.
//!
//! # Examples
//!
//! The folder `examples` has applications: `run` (a command, as with ssh), `survive` (opens, loses, lists and
//! resumes a session, and brings its own server), `restart` (exactly once across restarts), `events` (JSON),
//! `own_transport` (containers) and `fifty_sessions` (one connection).
//!
//! [`AsyncRead`]: tokio::io::AsyncRead
//! [`AsyncWrite`]: tokio::io::AsyncWrite

pub mod admin;
mod attachment;
mod driver;
mod event;
mod host;
mod link;
mod options;
mod os;
mod output;
mod paths;
mod ports;
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

pub use attachment::{How, LinkLane};
pub use bytes::Bytes;
pub use event::{Event, Forward, ForwardSide, Replaced};
pub use host::{Host, HostOptions};
pub use options::{Lane, OpenError, Options, Timing, new_session_id};
pub use output::{Output, Outputs};
pub use rejoin_protocol::client::OnLoss;
pub use rejoin_protocol::frame::From as ClaimFrom;
pub use rejoin_protocol::{
    ClientName, Epoch, ExitStatus, Holder, HostId, Incarnation, Seq, SessionId, Signal, Stream,
    Tenure, WindowSize, spec,
};
/// The connectors: ssh, commands, Unix sockets, memory, and the trait that they implement.
pub use rejoin_ssh as transport;
pub use remote::{Remote, Transport};
pub use session::{Control, Ended, Events, Input, Session, Target};
pub use state::SessionState;
pub use streams::{Exit, ProcessOutput, Reader, Stdin, StreamError, Streams};
pub use timeline::{Phase, PhaseKind, Timeline};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
