//! The program that an exec channel runs. It is short-lived and stateless, without threads or
//! timers.
//!
//! It sends the Greeting and reads the client's Hello. If no server lives, it answers with the same
//! machine that a server runs. Otherwise it passes the client's channel to the session's server,
//! and sleeps until the server closes it. It never passes the channel to a second server.

mod decide;
mod stream;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use rejoin_protocol::codec::{self, CLIENT_MAGIC};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Greeting, Hello, Wish};
use rejoin_protocol::{Frame, VersionRange};

pub(crate) use decide::{AttachContext, Decision, Joined, config, decide};
use stream::StandardInput;
pub(crate) use stream::{HelloReader, StreamError, bye, first_word, invalid, time_for_rest, word};

use crate::fd_pass::{self, pass_channel};
use crate::host;
use crate::registry::Registry;

/// How long an attach program may look for its session: a client gives up long before. For a Hello
/// that starts or ends something, the time runs from the Greeting, because a late Open must start
/// nothing. For other Hellos it runs from the Hello, because a standby link may send its Hello
/// late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one exec channel on standard input and output. The end of the channel is never an error.
/// With `tells_detached`, it reports on standard error how many sessions are detached.
///
/// # Errors
/// Standard input and output are not a channel, the client broke the protocol, or the system
/// failed.
pub(crate) fn run(context: &AttachContext, tells_detached: bool) -> io::Result<()> {
    fd_pass::require_channel()?;
    host::require_descriptors()?;
    match serve(context, tells_detached) {
        Err(StreamError::Client(what)) => stream::say_bye(what).and(Err(misbehaved(what))),
        Err(StreamError::Io(error)) => Err(error),
        Ok(()) => Ok(()),
    }
    .or_else(|error| if is_end(&error) { Ok(()) } else { Err(error) })
}

/// The start of the line on standard error. Clients look for it.
const DETACHED: &str = "rejoin-server: detached sessions: ";

/// `None` if the registry cannot be read.
fn count_detached(context: &AttachContext) -> Option<usize> {
    let registry = Registry::open_existing(context.registry.as_deref()).ok()??;
    Some(registry.list().ok()?.iter().filter(|listed| listed.is_detached()).count())
}

fn misbehaved(what: Misbehaviour) -> io::Error {
    let message = format!("the client broke the protocol ({what}); its link is closed");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Whether an error only means that the other side has closed the connection.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn serve(context: &AttachContext, tells_detached: bool) -> Result<(), StreamError> {
    let greeted = Instant::now();
    let mut client = StandardInput::new();
    stream::say(&first_word(greeting()?)?)?;
    // This delays nothing: the client's answer takes a round trip.
    if tells_detached && let Some(count @ 1..) = count_detached(context) {
        // The count is optional: a failed write is ignored.
        let _ = writeln!(io::stderr(), "{DETACHED}{count}");
    }
    while let Some(hello) = client.next_hello()? {
        let since = if is_effect(&hello) { greeted } else { Instant::now() };
        match decide(context, &hello, since + PATIENCE) {
            Decision::Answer(frame) => stream::say(&word(&frame)?)?,
            Decision::Join(Joined { server, .. }) => {
                return Ok(pass_channel(server, &first_bytes(&hello, client.into_unread())?)?);
            }
            Decision::TooLate => return Ok(()),
        }
    }
    Ok(())
}

pub(crate) fn is_effect(hello: &Hello) -> bool {
    matches!(hello.wish, Wish::Open { .. } | Wish::Close { .. })
}

pub(crate) fn greeting() -> io::Result<Greeting> {
    Ok(Greeting {
        versions: VersionRange::SUPPORTED,
        host: host::host_id()?,
        host_name: host::host_name(),
    })
}

/// The first bytes that the server reads: everything that the client sent, from its magic on.
pub(crate) fn first_bytes(hello: &Hello, unread: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
    let encoded = codec::encode(&Frame::Hello(hello.clone())).map_err(invalid)?;
    Ok([&CLIENT_MAGIC[..], &encoded.head, &encoded.payload, unread.as_ref()].concat())
}
