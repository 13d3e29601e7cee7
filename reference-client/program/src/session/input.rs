//! What is typed or piped in, on its way to the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rejoin_client::{Ended, Input};
use tokio::sync::mpsc;

use crate::session::escape::{Escapes, Request};
use crate::session::stdin::{Chunk, Chunks};

/// What the main task has to know of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A person asks something of rejoin itself.
    Request(Request),
    /// The terminal is gone.
    Hangup,
}

/// How a terminal's keys are looked at.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) escapes: Escapes,
    /// Whether there is no connection.
    pub(crate) is_away: Arc<AtomicBool>,
    pub(crate) heard: mpsc::UnboundedSender<Heard>,
}

/// Sends everything up to its end; without anything to read, only that.
pub(crate) async fn pipe(chunks: Option<Chunks>, mut input: Input) -> Result<(), Ended> {
    if let Some(mut chunks) = chunks {
        while let Some(chunk) = chunks.recv().await {
            input.send(chunk.data).await?;
        }
    }
    input.end().await
}

/// Sends keys. A terminal has no end of input: when it ends, it is gone.
///
/// What follows a request that gives the terminal to the local shell is thrown away, until the
/// terminal is taken again: it was typed for the process, which does not get what the person left
/// behind, and the shell must not run it.
pub(crate) async fn keys(
    mut chunks: Chunks,
    mut input: Input,
    mut keys: Keys,
) -> Result<(), Ended> {
    let mut given_away = None;
    while let Some(Chunk { turn, data }) = chunks.recv().await {
        if given_away == Some(turn) {
            continue;
        }
        let mut rest = &data[..];
        while !rest.is_empty() {
            let typed = keys.escapes.feed(rest, keys.is_away.load(Ordering::Relaxed));
            rest = &rest[typed.length..];
            if !typed.keys.is_empty() {
                input.send(Bytes::from(typed.keys)).await?;
            }
            if let Some(request) = typed.request {
                // The main task listens as long as the session lasts.
                let _ = keys.heard.send(Heard::Request(request));
                if request.gives_terminal_away() {
                    given_away = Some(turn);
                    break;
                }
            }
        }
    }
    let _ = keys.heard.send(Heard::Hangup);
    Ok(())
}
