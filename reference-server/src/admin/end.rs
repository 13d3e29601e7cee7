//! Sessions are ended as a Close does it (SPEC section 7.5).

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rejoin_protocol::admin::{EndProblem, EndedSession, MAX_ENTRIES, Text};
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC};
use rejoin_protocol::frame::{Hello, Refused, Scope, Wish};
use rejoin_protocol::{
    AttachNumber, ClientInstance, ClientName, Frame, Incarnation, SessionId, Tenure, Version,
};

use crate::attach::{AttachContext, Decision, Joined, decide, first_bytes};
use crate::registry::{Listed, Registry};

/// How long a session may take to end.
const PATIENCE: Duration = Duration::from_secs(15);
/// With fewer digits, a slip ends the wrong session.
const SHORTEST_NAME: usize = 4;

/// Ends the sessions with these names, each when the iterator comes to it. A name is an id or its first
/// digits. A session that cannot be ended does not stop the others from being ended.
///
/// # Errors
/// The registry cannot be used or read, or there are more names than an answer holds. Then nothing
/// is ended.
pub(crate) fn end_each<'a>(
    context: &'a AttachContext,
    names: &'a [String],
) -> io::Result<impl Iterator<Item = Result<EndedSession, EndProblem>> + use<'a>> {
    if names.len() > MAX_ENTRIES {
        return Err(io::Error::other(format!(
            "at most {MAX_ENTRIES} sessions can be ended at once"
        )));
    }
    let registry =
        Registry::open_existing(context.registry.as_deref()).map_err(io::Error::other)?;
    let listed = registry.map(|registry| registry.list()).transpose()?.unwrap_or_default();
    Ok(names.iter().map(move |name| {
        find(&listed, name)
            .and_then(|found| end(context, found))
            .map_err(|error| EndProblem { name: Text::new(name), error: Text::new(&error) })
    }))
}

fn find<'a>(listed: &'a [Listed], name: &str) -> Result<&'a Listed, String> {
    if name.len() < SHORTEST_NAME {
        return Err(format!("{name:?} is too short for a session; see `rejoin-server ls`"));
    }
    let mut found = listed.iter().filter(|listed| listed.session.to_string().starts_with(name));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!("there is no session {name}; see `rejoin-server ls`")),
        (Some(_), Some(_)) => Err(format!("more than one session begins with {name}")),
    }
}

fn end(context: &AttachContext, listed: &Listed) -> Result<EndedSession, String> {
    let record = listed.record.as_ref();
    let incarnation = record.map_or(Incarnation(0), |record| record.incarnation);
    let tenure = record.map_or(Tenure(0), |record| record.tenure);
    let session = listed.session;
    let hello = close(session, incarnation, tenure).map_err(|error| error.to_string())?;
    let answer = match decide(context, &hello, Instant::now() + PATIENCE) {
        Decision::Answer(frame) => frame,
        Decision::Join(Joined { server, .. }) => {
            ask(server, &hello).map_err(|error| format!("{session} did not answer: {error}"))?
        }
        Decision::TooLate => return Err(format!("{session} did not end in time")),
    };
    match answer {
        Frame::Closed { ended, .. } => Ok(EndedSession { session, processes: ended }),
        Frame::Refused(Refused { reason, .. }) => Err(format!("{session}: {reason}")),
        _ => Err(format!("{session} did not end")),
    }
}

fn close(
    session: SessionId,
    incarnation: Incarnation,
    tenure: Tenure,
) -> Result<Hello, getrandom::Error> {
    let mut instance = [0; 16];
    getrandom::fill(&mut instance)?;
    Ok(Hello {
        version: Version::CURRENT,
        session,
        instance: ClientInstance::from_bytes(instance),
        name: ClientName::new("rejoin-server kill"),
        attach: AttachNumber(1),
        tenure,
        wish: Wish::Close { incarnation, scope: Scope::Session },
    })
}

/// Asks a living server. It greets nobody, since attach programs have done so before.
fn ask(mut server: UnixStream, hello: &Hello) -> io::Result<Frame> {
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(&first_bytes(hello, [])?)?;
    let mut decoder = Decoder::of_server();
    let mut buffer = BytesMut::from(&SERVER_MAGIC[..]);
    loop {
        match decoder.decode(&mut buffer) {
            Ok(Some(frame @ (Frame::Closed { .. } | Frame::Refused(_)))) => return Ok(frame),
            Ok(Some(_)) => {}
            Ok(None) => {
                let mut chunk = [0; 4096];
                let count = server.read(&mut chunk)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                buffer.extend_from_slice(&chunk[..count]);
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}
