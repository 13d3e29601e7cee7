//! A child's stderr: always read, reported line by line, and its last lines kept.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_text::printable_bytes;
use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::process::ChildStderr;
use tokio::sync::oneshot;

use super::connect::Attempt;

/// Called with each line, made printable.
pub(crate) type OnStderr = Arc<dyn Fn(Attempt, &str) + Send + Sync>;

/// Classifies the lines of a child's stderr.
pub(crate) trait LineFilter: Send {
    /// Classifies this line, which arrived as these bytes.
    fn sort(&mut self, line: &str, bytes: &[u8]) -> LineUse;

    /// All lines were sorted that the child had written before the first bytes on its stdout.
    fn opened(&mut self) {}
}

/// How a line is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineUse {
    /// It is hidden.
    Hidden,
    /// It is shown, but does not explain the end of the child.
    Shown,
    /// It is shown, and may explain the end of the child.
    Kept,
}

/// All lines are kept.
pub(crate) struct KeepAllLines;

impl LineFilter for KeepAllLines {
    fn sort(&mut self, _: &str, _: &[u8]) -> LineUse {
        LineUse::Kept
    }
}

const MAX_LINES: usize = 20;
const MAX_BYTES: usize = 8 * 1024;
const MAX_LINE: usize = 1024;

/// The last lines, shared between the task that reads them and whoever asks why the link ended.
#[derive(Clone, Default)]
pub(crate) struct StderrTail(Arc<Mutex<TailLines>>);

#[derive(Default)]
struct TailLines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl StderrTail {
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

/// The reading end of a child's stderr.
pub(crate) trait StderrStream: AsyncRead + Send + Unpin + 'static {
    /// How many bytes were written and not read.
    fn unread(&self) -> usize;
}

impl StderrStream for ChildStderr {
    fn unread(&self) -> usize {
        unread(self)
    }
}

impl StderrStream for OwnedReadHalf {
    fn unread(&self) -> usize {
        unread(self.as_ref())
    }
}

/// The number of unread bytes; 0 if the system does not report it.
fn unread(file: impl AsFd) -> usize {
    ioctl_fionread(file).ok().and_then(|count| count.try_into().ok()).unwrap_or_default()
}

/// Reads until the end, so the child never blocks on its stderr. `opened` completes when the first bytes have
/// arrived on its stdout.
pub(crate) async fn drain(
    mut from: impl StderrStream,
    mut lines: LineSink,
    mut opened: oneshot::Receiver<()>,
) {
    let mut chunk = [0; 4096];
    let mut is_open = false;
    loop {
        tokio::select! {
            read = from.read(&mut chunk) => match read {
                Ok(length @ 1..) => lines.feed(&chunk[..length]),
                _ => break,
            },
            opened_first = &mut opened, if !is_open => {
                is_open = true;
                if opened_first.is_ok() {
                    lines.opens_behind(from.unread());
                }
            }
        }
    }
    lines.finish();
}

/// Splits bytes into lines.
pub(crate) struct LineSink {
    line: Vec<u8>,
    attempt: Attempt,
    tail: StderrTail,
    on_stderr: Option<OnStderr>,
    filter: Box<dyn LineFilter>,
    /// How many bytes are still to come that were written before the first ones on stdout.
    before: Option<usize>,
}

impl LineSink {
    pub(crate) fn new(
        attempt: Attempt,
        tail: StderrTail,
        on_stderr: Option<OnStderr>,
        filter: Box<dyn LineFilter>,
    ) -> Self {
        Self { line: Vec::new(), attempt, tail, on_stderr, filter, before: None }
    }

    /// The first bytes have come on stdout, and so many that were written before are still unread.
    pub(crate) fn opens_behind(&mut self, unread: usize) {
        self.before = Some(unread);
        self.open();
    }

    fn open(&mut self) {
        if self.before == Some(0) {
            self.filter.opened();
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let length = self.before.unwrap_or(bytes.len()).min(bytes.len());
        let (before, behind) = bytes.split_at(length);
        self.feed_lines(before);
        self.before = self.before.map(|left| left - length);
        if !behind.is_empty() || self.before == Some(0) {
            self.open();
            self.feed_lines(behind);
        }
    }

    fn feed_lines(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let room = MAX_LINE - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.finish_line();
            }
        }
    }

    /// The last line may have no end.
    pub(crate) fn finish(&mut self) {
        if !self.line.is_empty() {
            self.finish_line();
        }
    }

    fn finish_line(&mut self) {
        let line = printable_bytes(&self.line, MAX_LINE);
        let line_use = self.filter.sort(&line, &self.line);
        let is_blank = matches!(self.line[..], [b'\n'] | [b'\r', b'\n']);
        self.line.clear();
        if line_use == LineUse::Hidden || (line.is_empty() && !is_blank) {
            return;
        }
        if let Some(on_stderr) = &self.on_stderr {
            on_stderr(self.attempt, &line);
        }
        if !is_blank && line_use == LineUse::Kept {
            self.tail.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(chunks: &[&[u8]]) -> Vec<String> {
        let tail = StderrTail::default();
        let mut sink = LineSink::new(Attempt::First, tail.clone(), None, Box::new(KeepAllLines));
        for chunk in chunks {
            sink.feed(chunk);
        }
        sink.finish();
        tail.lines()
    }

    #[test]
    fn lines_are_joined_over_chunks_and_the_last_needs_no_newline() {
        assert_eq!(fed(&[b"one\r\ntw", b"o\n\nthree"]), ["one", "two", "three"]);
    }

    #[test]
    fn shows_blank_lines_but_does_not_keep_them() {
        let opened_first = Arc::new(Mutex::new(Vec::new()));
        let (tail, all) = (StderrTail::default(), Arc::clone(&opened_first));
        let tell: OnStderr =
            Arc::new(move |_, line: &str| all.lock().unwrap().push(line.to_owned()));
        let mut sink =
            LineSink::new(Attempt::First, tail.clone(), Some(tell), Box::new(KeepAllLines));
        for chunk in [&b"one\n"[..], b"\n", b"\r\ntwo\n", b"\x1b\n"] {
            sink.feed(chunk);
        }
        sink.finish();
        assert_eq!(*opened_first.lock().unwrap(), ["one", "", "", "two"]);
        assert_eq!(tail.lines(), ["one", "two"]);
    }

    #[test]
    fn a_line_cannot_steer_the_terminal_reorder_text_or_hide_in_it() {
        let evil = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
        let said = format!("{evil}[2Jone{evil}\r\n{evil}\ntw{evil}o\tthree");
        assert_eq!(fed(&[said.as_bytes()]), ["[2Jone", "two three"]);
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
}
