//! The version of the answers (SPEC section 14.3).

use core::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A version of the answers. It is counted apart from the [protocol's](crate::Version).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AdminVersion(pub u32);

impl AdminVersion {
    /// The version that this crate reads and writes.
    pub const CURRENT: Self = Self(1);

    /// Whether this crate can read an answer of this version. It refuses a newer one, in which
    /// known fields may mean something else.
    pub fn is_known(self) -> bool {
        self <= Self::CURRENT
    }
}

impl Default for AdminVersion {
    /// An answer without a version is of version 1.
    fn default() -> Self {
        Self(1)
    }
}

impl fmt::Display for AdminVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of an answer, read without the rest of it: an object names it in its field `admin`, a
/// list in the entries. The newest counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerVersion(pub AdminVersion);

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    admin: AdminVersion,
}

impl<'de> Deserialize<'de> for AnswerVersion {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Heads).map(Self)
    }
}

struct Heads;

impl<'de> Visitor<'de> for Heads {
    type Value = AdminVersion;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<AdminVersion, A::Error> {
        Head::deserialize(MapAccessDeserializer::new(access)).map(|head| head.admin)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<AdminVersion, A::Error> {
        let mut newest = AdminVersion::default();
        while let Some(head) = access.next_element::<Head>()? {
            newest = newest.max(head.admin);
        }
        Ok(newest)
    }
}
