//! Reads one answer of a server program.

use std::time::Duration;

use rejoin_protocol::admin::{AnswerVersion, MAX_ANSWER};
use rejoin_ssh::{Attempt, Connect, LinkError, LinkErrorKind};
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt as _;

use super::error::{AdminError, printable};

/// How long a host may take to answer, from the open link on: somebody may have to look up a password.
/// Time asleep does not count.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Opens a link, and reads the answer that comes on it.
pub(super) async fn ask<T: DeserializeOwned>(connect: &dyn Connect) -> Result<T, AdminError> {
    let (text, end) = read(connect).await?;
    match parse(&text)? {
        Some(answer) => Ok(answer),
        None => Err(no_answer(&text, end)),
    }
}

/// What the host printed until the link ended, and how the link ended.
async fn read(connect: &dyn Connect) -> Result<(String, LinkError), AdminError> {
    let link = connect.connect(Attempt::First).await.map_err(AdminError::NoAnswer)?;
    let (reader, writer, guard) = link.into_parts();
    drop(writer);
    let mut text = Vec::new();
    let mut reader = reader.take(MAX_ANSWER as u64 + 1);
    // A read error is an end, which the guard explains.
    let read = reader.read_to_end(&mut text);
    if tokio::time::timeout(PATIENCE, read).await.is_err() {
        return Err(AdminError::TimedOut);
    }
    drop(reader);
    if text.len() > MAX_ANSWER {
        return Err(AdminError::TooLong);
    }
    Ok((String::from_utf8_lossy(&text).into_owned(), guard.post_mortem().await))
}

/// The last line that is an answer, if any is: a login shell may print lines around it.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<Option<T>, AdminError> {
    let mut refused = None;
    for line in text.lines().rev() {
        let Ok(AnswerVersion(version)) = serde_json::from_str(line) else { continue };
        if !version.is_known() {
            return Err(AdminError::TooNew { version });
        }
        match serde_json::from_str(line) {
            Ok(answer) => return Ok(Some(answer)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) => Err(AdminError::Malformed { why: printable(&error.to_string()) }),
        None => Ok(None),
    }
}

/// Without an answer, the end of the link is the error. If the link ended as if all was well, it is what
/// the host printed instead.
fn no_answer(text: &str, end: LinkError) -> AdminError {
    let line = text.lines().map(printable).find(|line| !line.trim().is_empty());
    match line {
        Some(line) if end.kind == LinkErrorKind::Closed => AdminError::Unexpected { line },
        _ => AdminError::NoAnswer(end),
    }
}
