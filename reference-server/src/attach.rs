//! What the exec channel runs: short-lived, stateless, without a thread or a timer of its own
//! until it copies bytes.
//!
//! It greets, reads what the client wishes, and either answers - where no server lives, with the
//! same machine that a server runs - or joins the client's stream to the session's server and
//! copies bytes until one side ends. The stream is never joined to another server afterwards.

mod decide;
mod splice;
mod stream;

use std::io;
use std::time::{Duration, Instant};

use rejoin_protocol::codec::{self, CLIENT_MAGIC};
use rejoin_protocol::frame::{Greeting, Hello};
use rejoin_protocol::{Frame, VersionRange};

pub(crate) use decide::{Decision, Joined, Place, config, decide};
use stream::Standard;
pub(crate) use stream::{Hellos, first_word, invalid, word};

use crate::host;

/// How long an attach may look for its session, counted from its Greeting: a client has given up
/// long before, and an Open that comes later than that must start nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one exec channel on standard input and output. A channel that ends is no error,
/// wherever it ends.
///
/// # Errors
/// The channel did not carry the protocol, or the system failed.
pub(crate) fn run(place: &Place) -> io::Result<()> {
    match serve(place) {
        Err(error) if is_end(&error) => Ok(()),
        other => other,
    }
}

/// Whether an error only says that the other side has gone.
pub(crate) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn serve(place: &Place) -> io::Result<()> {
    let mut client = Standard::new(Instant::now() + PATIENCE);
    stream::say(&first_word(greeting()?)?)?;
    while let Some(hello) = client.next_hello()? {
        match decide(place, &hello, client.deadline()) {
            Decision::Answer(frame) => stream::say(&word(&frame)?)?,
            Decision::Join(Joined { server, .. }) => {
                return splice::splice(server, &first_bytes(&hello, client.into_unread())?);
            }
            Decision::TooLate => return Ok(()),
        }
    }
    Ok(())
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
