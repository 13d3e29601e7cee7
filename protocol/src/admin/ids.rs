//! Ids as 32 hexadecimal digits, as people see them. In frames they are 16 bytes.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::ident::ParseIdError;

pub(super) fn serialize<S: Serializer, T: fmt::Display>(id: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(id)
}

pub(super) fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = ParseIdError>,
{
    Id::deserialize(from).map(|Id(id)| id)
}

/// An id that may be absent.
pub(super) mod option {
    use super::{Deserialize, Deserializer, FromStr, Id, ParseIdError, Serialize, Serializer, fmt};

    #[expect(clippy::ref_option, reason = "serde passes fields so")]
    pub(in super::super) fn serialize<S: Serializer, T: fmt::Display>(
        id: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        id.as_ref().map(Id).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err = ParseIdError>,
    {
        Option::deserialize(from).map(|id: Option<Id<T>>| id.map(|Id(id)| id))
    }
}

/// A list of ids, bounded as every list.
pub(super) mod list {
    use super::super::bounds;
    use super::{Deserializer, FromStr, Id, ParseIdError, Serializer, Vec, fmt};

    pub(in super::super) fn serialize<S: Serializer, T: fmt::Display>(
        ids: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(ids.iter().map(Id))
    }

    pub(in super::super) fn deserialize<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: FromStr<Err = ParseIdError>,
    {
        bounds::list(from).map(|ids| ids.into_iter().map(|Id(id)| id).collect())
    }
}

struct Id<T>(T);

impl<T: fmt::Display> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err = ParseIdError>> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(Digits(PhantomData)).map(Self)
    }
}

struct Digits<T>(PhantomData<T>);

impl<T: FromStr<Err = ParseIdError>> Visitor<'_> for Digits<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
