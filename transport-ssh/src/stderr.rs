//! What a child says on its stderr: always read, offered line by line, and its end remembered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::Attempt;
use crate::error::printable;

/// Told each line, without its control characters.
pub(crate) type OnStderr = Arc<dyn Fn(Attempt, &str) + Send + Sync>;

const MAX_LINES: usize = 20;
const MAX_BYTES: usize = 8 * 1024;
const MAX_LINE: usize = 1024;

/// The last lines, shared between the task that reads them and whoever asks why the link ended.
#[derive(Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn lines(&self) -> Vec<String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.lines.iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.bytes += line.len();
        inner.lines.push_back(line);
        while inner.lines.len() > MAX_LINES || inner.bytes > MAX_BYTES {
            let dropped = inner.lines.pop_front().map_or(0, |line| line.len());
            inner.bytes -= dropped;
        }
    }
}

/// Reads until the end, so that the child is never blocked by what it has to say.
pub(crate) async fn drain(mut from: impl AsyncRead + Unpin, mut lines: LineSink) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        lines.feed(&chunk[..length]);
    }
    lines.finish_line();
}

/// Cuts bytes into lines and hands them on.
pub(crate) struct LineSink {
    line: Vec<u8>,
    attempt: Attempt,
    tail: Tail,
    on_stderr: Option<OnStderr>,
}

impl LineSink {
    pub(crate) fn new(attempt: Attempt, tail: Tail, on_stderr: Option<OnStderr>) -> Self {
        Self { line: Vec::new(), attempt, tail, on_stderr }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let line = printable(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        if line.is_empty() {
            return;
        }
        if let Some(on_stderr) = &self.on_stderr {
            on_stderr(self.attempt, &line);
        }
        // With -v there are hundreds of these: they would push out what matters.
        if !is_debug_output(&line) {
            self.tail.push(line);
        }
    }
}

fn is_debug_output(line: &str) -> bool {
    ["debug1: ", "debug2: ", "debug3: "].iter().any(|prefix| line.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(chunks: &[&[u8]]) -> Vec<String> {
        let tail = Tail::default();
        let mut sink = LineSink::new(Attempt::First, tail.clone(), None);
        for chunk in chunks {
            sink.feed(chunk);
        }
        sink.finish_line();
        tail.lines()
    }

    #[test]
    fn lines_are_joined_over_chunks_and_the_last_needs_no_newline() {
        assert_eq!(fed(&[b"one\r\ntw", b"o\n\nthree"]), ["one", "two", "three"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let lines: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
        let kept = fed(&[lines.join("\n").as_bytes()]);
        assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "980", "999"));
    }

    #[test]
    fn an_endless_line_is_cut_and_the_next_one_is_whole() {
        let kept = fed(&[&vec![b'x'; 100_000], b"\nnext\n"]);
        assert_eq!((kept[0].len(), kept[1].as_str()), (MAX_LINE, "next"));
    }

    #[test]
    fn long_lines_are_bounded_in_sum() {
        let line = [vec![0xff; 1000], vec![b'\n']].concat();
        let kept = fed(&[&line.repeat(20)]);
        assert!(kept.iter().map(String::len).sum::<usize>() <= MAX_BYTES);
        assert!(!kept.is_empty());
    }

    #[test]
    fn debug_lines_are_shown_but_do_not_push_out_the_reason() {
        let kept = fed(&[b"the reason\n", b"debug1: Exit status 255\n".repeat(50).as_slice()]);
        assert_eq!(kept, ["the reason"]);
    }
}
