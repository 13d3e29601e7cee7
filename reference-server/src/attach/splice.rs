//! Copies bytes between the exec channel and the session's server until either side ends.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::stream::retry;

const BUFFER: usize = 64 * 1024;
/// How long a client that reads nothing more may take to bring what it had sent.
const FAREWELL: Duration = Duration::from_secs(1);

/// Sends `first` to the server, then copies in both directions. The end of either is the end of
/// both: the client drops a link whole, and a server that closes has said everything. But what had
/// come from the client before still counts, and is often noticed later than its reader's end.
pub(super) fn splice(server: UnixStream, first: &[u8]) -> io::Result<()> {
    let mut upstream = server.try_clone()?;
    let first = first.to_vec();
    let (end, ended) = mpsc::channel::<()>();
    thread::Builder::new().name(String::from("upstream")).spawn(move || {
        // Whatever ends it, the other direction is told by the shutdown.
        let _ = upstream.write_all(&first).and_then(|()| from_client(&mut upstream));
        let _ = upstream.shutdown(Shutdown::Both);
        drop(end);
    })?;
    to_client(server, &ended)
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

fn to_client(mut server: UnixStream, upstream_ended: &mpsc::Receiver<()>) -> io::Result<()> {
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
            match retry(|| rustix::io::write(rustix::stdio::stdout(), rest)) {
                Ok(written) => rest = &rest[written..],
                Err(error) => {
                    // Ended or not, there is nothing more to wait for after this.
                    let _ = upstream_ended.recv_timeout(FAREWELL);
                    return Err(error);
                }
            }
        }
    }
}
