//! A Unix socket as a link.

use std::io;
use std::path::PathBuf;

use tokio::net::UnixStream;

use super::connect::{Attempt, Connect};
use super::stream::BoxFuture;
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::stream::Link;

/// Starts links by connecting to the Unix socket at a path.
#[derive(Clone, Debug)]
pub struct UnixConnect {
    path: PathBuf,
}

impl UnixConnect {
    /// Links to whoever listens at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn start(&self) -> Result<Link, LinkError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.failed(&error))?;
        let (reader, writer) = stream.into_split();
        Ok(Link::new(reader, writer))
    }

    fn failed(&self, error: &io::Error) -> LinkError {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                LinkError::new(LinkErrorKind::Unreachable, format!("{path}: no such socket"))
            }
            io::ErrorKind::ConnectionRefused => LinkError::new(
                LinkErrorKind::Unreachable,
                format!("{path}: nothing listens on this socket"),
            ),
            io::ErrorKind::PermissionDenied => LinkError::new(
                LinkErrorKind::Refused,
                format!("{path}: you have no permission to connect"),
            ),
            _ => LinkError::new(LinkErrorKind::Other, format!("{path}: {error}")),
        }
    }
}

impl Connect for UnixConnect {
    fn connect(&self, _: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.start())
    }

    fn destination(&self) -> String {
        printable(&self.path.to_string_lossy())
    }
}
