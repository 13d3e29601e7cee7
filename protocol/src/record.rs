//! What a driver writes down of a run, so that the run can be stepped again (feature `record`).
//!
//! A machine is a function of its state and its events. Its first state and all of its events
//! therefore say what it must have answered; the effects are written down beside them, so that
//! whoever reads a recording can compare. No I/O is done here: the driver writes, in a format of
//! its choice that serde has. The drivers of this workspace write lines of JSON: one [`Header`],
//! then a [`Step`] a line, each before its effects are carried out. A driver that is killed leaves
//! every step of which anything can have been seen. A driver that records no further ends with [`CUT`].
//!
//! A recording contains everything that was typed and printed.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{client, server};

/// How recordings are written. It rises when an older one cannot be read any more.
pub const FORMAT: u32 = 1;

/// The last line of a recording that was ended before its run, since it had reached the length that
/// somebody allowed. What happened later is not known.
pub const CUT: &[u8] = b"\"cut\"";

/// What stands in front of the steps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`], when it was written.
    pub format: u32,
    /// What was stepped.
    pub start: Start,
}

impl Header {
    /// The header of a recording that starts now.
    pub fn new(start: Start) -> Self {
        Self { format: FORMAT, start }
    }
}

/// A machine before its first step, and who drives it.
// One exists per recording.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Start {
    /// A client's.
    Client {
        /// Its configuration.
        config: client::Config,
        /// Its first state.
        state: client::Client,
    },
    /// A server's, which carries out what the machine says.
    Server {
        /// Its configuration.
        config: server::Config,
        /// Its first state.
        state: server::Server,
    },
    /// The attach program's, for one look at a session that has no server: a Start is not its own
    /// to carry out, but the server's that it makes way for.
    Attach {
        /// Its configuration.
        config: server::Config,
        /// Its only state.
        state: server::Server,
    },
}

/// One step: what happened, and all that the machine said to it. Either may be a reference, where
/// it is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step<Event, Effects> {
    /// What happened.
    pub event: Event,
    /// What was to be done, in order.
    pub effects: Effects,
}

/// A step of a client.
pub type ClientStep = Step<client::Event, Vec<client::Effect>>;

/// A step of a server, or of the attach program.
pub type ServerStep = Step<server::Event, Vec<server::Effect>>;

/// Payloads as text, one character for a byte: what a person can read stays readable, and what is
/// no text comes back unchanged.
pub(crate) mod payload {
    use alloc::string::String;

    use bytes::Bytes;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(data: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        data.iter().copied().map(char::from).collect::<String>().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        bytes_of(&String::deserialize(from)?)
    }

    fn bytes_of<E: Error>(text: &str) -> Result<Bytes, E> {
        let bytes = text.chars().map(u8::try_from).collect::<Result<alloc::vec::Vec<u8>, _>>();
        bytes.map(Bytes::from).map_err(|_| E::custom("a payload holds a character beyond U+00FF"))
    }

    /// The same where there may be none.
    pub(crate) mod optional {
        use alloc::string::String;

        use bytes::Bytes;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        // serde hands over a reference to the field.
        #[allow(clippy::ref_option)]
        pub(crate) fn serialize<S: Serializer>(
            data: &Option<Bytes>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            let text = |data: &Bytes| data.iter().copied().map(char::from).collect::<String>();
            data.as_ref().map(text).serialize(to)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Bytes>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.map(|text| super::bytes_of(&text)).transpose()
        }
    }
}
