//! A next version of the protocol, to prove that two versions live side by side (SPEC section 9).
//!
//! The tests add this file to a copy of `protocol/src`, which `edits.diff` changes to use it. The
//! next version says the same as the present one in other bytes: a mark stands before the wish of a
//! Hello and behind a Welcome, so that whoever reads one version as the other fails.

use bytes::{Bytes, BytesMut};

use super::{Encoded, finish, kind, whole, with_payload};
use crate::error::FrameError;
use crate::frame::{Frame, Welcome};
use crate::version::Version;

/// No wish of the present version starts with it.
pub(super) const MARK: u8 = 0x7f;

/// Whether a frame of this version has marks.
pub(super) fn is_spoken(version: Version) -> bool {
    version >= Version::CURRENT
}

pub(super) fn behind_mark(version: Version, body: &Bytes) -> Result<Bytes, FrameError> {
    match (is_spoken(version), body.first()) {
        (false, _) => Ok(body.clone()),
        (true, Some(&MARK)) => Ok(body.slice(1..)),
        (true, _) => Err(FrameError::BadHeader(kind::HELLO)),
    }
}

pub(super) fn encode_welcome(
    welcome: &Welcome,
    heads: &mut BytesMut,
) -> Result<Encoded, FrameError> {
    finish(kind::WELCOME, &(welcome, MARK), Bytes::new(), heads)
}

pub(super) fn decode_welcome(body: &Bytes) -> Result<Frame, FrameError> {
    let (welcome, rest): (Welcome, Bytes) = with_payload(kind::WELCOME, body)?;
    match (is_spoken(welcome.version), &rest[..]) {
        (false, []) | (true, [MARK]) => {
            whole(kind::WELCOME, &body.slice(..body.len() - rest.len()))
        }
        _ => Err(FrameError::BadHeader(kind::WELCOME)),
    }
    .map(Frame::Welcome)
}
