//! Texts for people, from another machine.

use alloc::string::String;
use core::fmt;
use core::ops::Deref;

use rejoin_text::printable;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

/// A text for people: one line, safe to print on a terminal, of at most [`Text::MAX_LEN`] bytes.
///
/// It is [`printable`] however it was made, also when it was read from an answer. It proves nothing.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Text(String);

impl Text {
    /// The longest text that is kept, in bytes. A longer one is cut off at a character.
    pub const MAX_LEN: usize = 2000;

    /// Takes `text`, made [`printable`] and cut to [`Self::MAX_LEN`].
    pub fn new(text: &str) -> Self {
        Self(printable(text, Self::MAX_LEN))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Printable)
    }
}

struct Printable;

impl Visitor<'_> for Printable {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text::new(text))
    }
}
