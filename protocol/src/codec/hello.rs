//! The Hello. Every version can read the fields before the wish, so that a peer that speaks another version
//! gets an answer (SPEC section 9).

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Encoded, finish, kind, with_payload};
use crate::error::FrameError;
use crate::frame::{Frame, From, Hello, Scope, Wish};
use crate::ident::{
    AttachNumber, ClientInstance, ClientName, Epoch, Holder, HostId, Incarnation, SessionId, Tenure,
};
use crate::seq::Seq;
use crate::version::{Version, VersionRange};

#[derive(Serialize, Deserialize)]
struct Start {
    version: Version,
    session: SessionId,
    instance: ClientInstance,
    name: ClientName,
    attach: AttachNumber,
    tenure: Tenure,
}

#[derive(Serialize, Deserialize)]
enum WishHeader {
    Open { incarnation: Incarnation, host: HostId },
    Resume { incarnation: Incarnation, epoch: Epoch, next_output: Seq },
    Claim { expected: Option<Holder>, from: From },
    Close { incarnation: Incarnation, scope: Scope },
}

pub(super) fn encode(hello: &Hello, heads: &mut BytesMut) -> Result<Encoded, FrameError> {
    let start = Start {
        version: hello.version,
        session: hello.session,
        instance: hello.instance,
        name: hello.name.clone(),
        attach: hello.attach,
        tenure: hello.tenure,
    };
    let (wish, payload) = header(&hello.wish)?;
    finish(kind::HELLO, &(start, wish), payload, heads)
}

fn header(wish: &Wish) -> Result<(WishHeader, Bytes), FrameError> {
    let header = match wish {
        Wish::Open { incarnation, host, spec } => {
            let header = WishHeader::Open { incarnation: *incarnation, host: *host };
            return Ok((header, spec.clone()));
        }
        Wish::Resume { incarnation, epoch, next_output } => WishHeader::Resume {
            incarnation: *incarnation,
            epoch: *epoch,
            next_output: *next_output,
        },
        Wish::Claim { expected, from } => WishHeader::Claim { expected: *expected, from: *from },
        Wish::Close { incarnation, scope } => {
            WishHeader::Close { incarnation: *incarnation, scope: *scope }
        }
        Wish::Unreadable => return Err(FrameError::BadHeader(kind::HELLO)),
    };
    Ok((header, Bytes::new()))
}

pub(super) fn decode(body: &Bytes) -> Result<Frame, FrameError> {
    let (start, rest): (Start, Bytes) = with_payload(kind::HELLO, body)?;
    let wish = match decode_wish(&rest) {
        Err(_) if !VersionRange::SUPPORTED.contains(start.version) => Wish::Unreadable,
        wish => wish?,
    };
    Ok(Frame::Hello(Hello {
        version: start.version,
        session: start.session,
        instance: start.instance,
        name: start.name,
        attach: start.attach,
        tenure: start.tenure,
        wish,
    }))
}

fn decode_wish(body: &Bytes) -> Result<Wish, FrameError> {
    let (header, payload) = with_payload(kind::HELLO, body)?;
    Ok(match header {
        WishHeader::Open { incarnation, host } => Wish::Open { incarnation, host, spec: payload },
        _ if !payload.is_empty() => return Err(FrameError::UnexpectedPayload(kind::HELLO)),
        WishHeader::Resume { incarnation, epoch, next_output } => {
            Wish::Resume { incarnation, epoch, next_output }
        }
        WishHeader::Claim { expected, from } => Wish::Claim { expected, from },
        WishHeader::Close { incarnation, scope } => Wish::Close { incarnation, scope },
    })
}
