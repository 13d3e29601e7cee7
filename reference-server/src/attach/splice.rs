//! Copies bytes between the exec channel and the session's server until either side ends.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;

use super::stream::retry;

const BUFFER: usize = 64 * 1024;

/// Sends `first` to the server, then copies in both directions. The end of either is the end of
/// both: the client drops a link whole, and a server that closes has said everything.
pub(super) fn splice(server: UnixStream, first: &[u8]) -> io::Result<()> {
    let mut upstream = server.try_clone()?;
    let first = first.to_vec();
    thread::Builder::new().name(String::from("upstream")).spawn(move || {
        // Whatever ends it, the other direction is told by the shutdown.
        let _ = upstream.write_all(&first).and_then(|()| from_client(&mut upstream));
        let _ = upstream.shutdown(Shutdown::Both);
    })?;
    to_client(server)
    // The process ends with this; the other thread may be waiting for a client that says nothing.
}

fn from_client(server: &mut UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = retry(|| rustix::io::read(rustix::stdio::stdin(), &mut buffer[..]))?;
        if count == 0 {
            return Ok(());
        }
        server.write_all(&buffer[..count])?;
    }
}

fn to_client(mut server: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match server.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = retry(|| rustix::io::write(rustix::stdio::stdout(), rest))?;
            rest = &rest[written..];
        }
    }
}
