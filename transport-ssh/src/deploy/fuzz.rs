//! For the fuzz targets: what is understood of a host's answers.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::reply::{ReplyReader, ScriptReply};
use super::script::ReplyMarker;
use crate::fuzz::now;

/// What was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptReplies {
    /// The answers, each in the way that Rust shows them.
    pub answers: Vec<String>,
    /// The folders and reasons within them.
    pub texts: Vec<String>,
    /// What was no answer, for a message.
    pub noise: String,
    /// What came behind the last answer, if that was that the server speaks next.
    pub rest: Option<Vec<u8>>,
    /// Whether it was given up for too much noise.
    pub is_given_up: bool,
}

/// What is understood of the answers to a script whose lines begin with `rejoin-mark `, when they come in these
/// pieces.
pub fn script_replies<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> ScriptReplies {
    let pieces = ChunkReader(pieces.into_iter().map(<[u8]>::to_vec).collect());
    let mut answers = ReplyReader::new(pieces, &ReplyMarker::of("mark"));
    let (mut said, mut texts, mut is_ready) = (Vec::new(), Vec::new(), false);
    let is_given_up = loop {
        match now(answers.next()) {
            Ok(Some(answer)) => {
                said.push(format!("{answer:?}"));
                is_ready = matches!(answer, ScriptReply::Ready { .. });
                texts.extend(text(answer));
                if is_ready {
                    break false;
                }
            }
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    let noise = answers.noise();
    let rest = is_ready.then(|| {
        let (mut rest, pieces) = answers.into_parts();
        rest.extend(pieces.0.into_iter().flatten());
        rest
    });
    ScriptReplies { answers: said, texts, noise, rest, is_given_up }
}

fn text(answer: ScriptReply) -> Option<String> {
    match answer {
        ScriptReply::Send { folder: text }
        | ScriptReply::No { what: text }
        | ScriptReply::Broken { why: text } => Some(text),
        _ => None,
    }
}

/// A stream that has all of its pieces from the start.
struct ChunkReader(VecDeque<Vec<u8>>);

impl AsyncRead for ChunkReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.0.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}
