//! What must hold of a host's registry.
//!
//! # Errors
//! Each function returns the property that the facts break, if they break one.
// Said once, above.
#![allow(clippy::missing_errors_doc)]

use super::{Property, PropertyResult, require};

/// An answer is given that only a tombstone keeps true, and the tombstone says so or does not.
pub fn relied(is_remembered: bool) -> PropertyResult {
    require(is_remembered, Property::TombstoneFirst, || {
        String::from("an answer relies on a tombstone that is not written")
    })
}
