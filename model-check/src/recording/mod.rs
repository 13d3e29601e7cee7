//! Recordings of real runs, stepped again and judged.
//!
//! The machines can be checked in every state that a model reaches. Whether the drivers feed them
//! as the model assumes, and carry out what they say, is seen on real runs only: the drivers write
//! down each event with the effects that came of it (feature `record` of the programs), and here
//!
//! - [`replay`] steps the shipped machine from the recorded state through the recorded events, and
//!   requires the very same effects;
//! - [`check`] looks at the events and effects of one run, or of all programs that had a part in a
//!   session, and requires what the protocol's rules promise and what a driver owes its machine.
//!   They are the model's [`properties`](crate::properties). The facts come from an account of its own of
//!   what was delivered, taken and acknowledged: of the machines it asks for nothing but how much
//!   room there was, and which process a client begins with.

mod client_side;
mod links;
mod read;
mod replay;
mod report;
mod server_effects;
mod server_side;
mod session;
mod typed_input;
mod violation;

use rejoin_protocol::client::{self, Client};
use rejoin_protocol::record::{ClientStep, ServerStep};
use rejoin_protocol::server::{self, Server};

use crate::properties::shown;
pub use read::ReadError;
pub use replay::{Difference, replay};
pub use report::Report;
pub use session::check;
pub use violation::RecordingViolation;

/// What one program wrote down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// What to call it: the file's name.
    pub name: String,
    /// Who was stepped, and how.
    pub run: RecordedRun,
    /// How many bytes of an unfinished last line were left out. A program that is killed while it
    /// writes leaves one; nothing of that step was carried out.
    pub torn: Option<usize>,
    /// Whether it was cut at the length that was allowed: what happened later is not known.
    pub is_cut: bool,
}

/// Who was stepped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordedRun {
    /// A client.
    Client(Track<client::Config, Client, ClientStep>),
    /// A server.
    Server(Track<server::Config, Server, ServerStep>),
    /// An attach program, on a session without a server.
    Attach(Track<server::Config, Server, ServerStep>),
}

/// A machine before its first step, and its steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track<Config, State, Step> {
    /// What did not change.
    pub config: Config,
    /// What the machine was before its first step.
    pub state: State,
    /// What happened, and what was said to it.
    pub steps: Vec<Step>,
}

impl RecordedRun {
    /// How many steps there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Client(track) => track.steps.len(),
            Self::Server(track) | Self::Attach(track) => track.steps.len(),
        }
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
