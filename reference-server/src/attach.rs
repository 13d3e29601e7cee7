//! What the exec channel runs: short-lived, stateless, without a thread or a timer of its own.
//!
//! It greets, reads what the client wishes, and either answers - where no server lives, with the
//! same machine that a server runs - or gives the client's channel to the session's server, and
//! sleeps until that lets go of it. The channel is never given to another server afterwards.

mod decide;
mod stream;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use rejoin_protocol::codec::{self, CLIENT_MAGIC};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Greeting, Hello, Wish};
use rejoin_protocol::{Frame, VersionRange};

pub(crate) use decide::{Decision, Joined, Place, config, decide};
use stream::Standard;
pub(crate) use stream::{Fault, Hellos, bye, first_word, invalid, time_for_rest, word};

use crate::handover::{self, give_channel};
use crate::host;
use crate::registry::Registry;

/// How long an attach may look for its session: a client has given up long before. For what starts or
/// ends something it is counted from the Greeting, since an Open that comes later than that must
/// start nothing; for the rest, from the Hello, which may be long in coming on a link that stands by.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one exec channel on standard input and output. A channel that ends is no error,
/// wherever it ends. With `tells_detached`, it says on standard error how many sessions are detached.
///
/// # Errors
/// The channel is none, or did not carry the protocol; or the system failed.
pub(crate) fn run(place: &Place, tells_detached: bool) -> io::Result<()> {
    handover::require_channel()?;
    host::require_descriptors()?;
    match serve(place, tells_detached) {
        Err(Fault::Client(what)) => stream::say_bye(what).and(Err(misbehaved(what))),
        Err(Fault::Io(error)) => Err(error),
        Ok(()) => Ok(()),
    }
    .or_else(|error| if is_end(&error) { Ok(()) } else { Err(error) })
}

/// The line on standard error begins with this; a client looks for it.
const DETACHED: &str = "rejoin-server: detached sessions: ";

/// None where that cannot be found out.
fn count_detached(place: &Place) -> Option<usize> {
    let registry = Registry::open_existing(place.registry.as_deref()).ok()??;
    Some(registry.list().ok()?.iter().filter(|listed| listed.is_detached()).count())
}

fn misbehaved(what: Misbehaviour) -> io::Error {
    let message = format!("the client broke the protocol ({what}); its link is closed");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// Whether an error only says that the other side has gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn serve(place: &Place, tells_detached: bool) -> Result<(), Fault> {
    let greeted = Instant::now();
    let mut client = Standard::new();
    stream::say(&first_word(greeting()?)?)?;
    // It takes no time: the client's answer is a round trip away.
    if tells_detached && let Some(count @ 1..) = count_detached(place) {
        // A client that cannot be told does without it.
        let _ = writeln!(io::stderr(), "{DETACHED}{count}");
    }
    while let Some(hello) = client.next_hello()? {
        let since = if is_effect(&hello) { greeted } else { Instant::now() };
        match decide(place, &hello, since + PATIENCE) {
            Decision::Answer(frame) => stream::say(&word(&frame)?)?,
            Decision::Join(Joined { server, .. }) => {
                return Ok(give_channel(server, &first_bytes(&hello, client.into_unread())?)?);
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

/// What the server reads first: what the client sent, from its magic on.
pub(crate) fn first_bytes(hello: &Hello, unread: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
    let encoded = codec::encode(&Frame::Hello(hello.clone())).map_err(invalid)?;
    Ok([&CLIENT_MAGIC[..], &encoded.head, &encoded.payload, unread.as_ref()].concat())
}
