//! Recordings of a run, which can be stepped again (feature `record`).
//!
//! A machine is a function of its state and its events. So its first state and all of its events determine
//! its effects; a recording has the effects too, so that a reader can compare. This module does no I/O: the
//! driver writes, in any format that serde supports. The drivers of this workspace write lines of JSON: one
//! [`Header`], then one [`Step`] per line, each before its effects are carried out. A driver that is killed
//! leaves every step that can have had a visible effect. A driver that stops recording ends with [`CUT`].
//!
//! A recording contains everything that was typed and printed.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{client, server};

/// The version of the format. It rises when older recordings cannot be read any more.
pub const FORMAT: u32 = 1;

/// The last line of a recording that ended before its run because it reached its length limit. What happened
/// later is unknown.
pub const CUT: &[u8] = b"\"cut\"";

/// What precedes the steps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`] at the time of writing.
    pub format: u32,
    /// The machine that was stepped.
    pub start: Start,
}

impl Header {
    /// The header of a new recording.
    pub fn new(start: Start) -> Self {
        Self { format: FORMAT, start }
    }
}

/// A machine before its first step, and its driver.
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
    /// A server's, which carries out the machine's effects.
    Server {
        /// Its configuration.
        config: server::Config,
        /// Its first state.
        state: server::Server,
    },
    /// The attach program's, for one decision about a session without a server. It does not carry out a Start
    /// itself: the server that it makes way for does.
    Attach {
        /// Its configuration.
        config: server::Config,
        /// Its only state.
        state: server::Server,
    },
}

/// One step: the event, and all of its effects. Either may be a reference when it is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step<Event, Effects> {
    /// The event.
    pub event: Event,
    /// The effects, in order.
    pub effects: Effects,
}

/// A step of a client.
pub type ClientStep = Step<client::Event, Vec<client::Effect>>;

/// A step of a server, or of the attach program.
pub type ServerStep = Step<server::Event, Vec<server::Effect>>;

/// Payloads as text, one character per byte. So readable text stays readable, and all other bytes survive
/// unchanged.
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

    /// The same for an optional payload.
    pub(crate) mod optional {
        use alloc::string::String;

        use bytes::Bytes;
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        // serde passes a reference to the field.
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
