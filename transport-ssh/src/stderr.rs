//! What a child says on its stderr: always read, offered line by line, and its end remembered.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_text::printable_bytes;
use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::process::ChildStderr;
use tokio::sync::oneshot;

use crate::Attempt;
use crate::details::{Details, Follower, is_detail};
use crate::forwards::Watch;

/// Told each line, made printable.
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

/// What a child writes its stderr to.
pub(crate) trait Stderr: AsyncRead + Send + Unpin + 'static {
    /// How many bytes were written and not read.
    fn unread(&self) -> usize;
}

impl Stderr for ChildStderr {
    fn unread(&self) -> usize {
        unread(self)
    }
}

impl Stderr for OwnedReadHalf {
    fn unread(&self) -> usize {
        unread(self.as_ref())
    }
}

/// None, where the system does not tell.
fn unread(file: impl AsFd) -> usize {
    ioctl_fionread(file).ok().and_then(|count| count.try_into().ok()).unwrap_or_default()
}

/// Reads until the end, so that the child is never blocked by what it has to say. `opened` tells that the
/// first bytes have come on its stdout.
pub(crate) async fn drain(
    mut from: impl Stderr,
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
            told = &mut opened, if !is_open => {
                is_open = true;
                if told.is_ok() {
                    lines.opens_behind(from.unread());
                }
            }
        }
    }
    lines.finish();
}

/// Cuts bytes into lines and hands them on.
pub(crate) struct LineSink {
    line: Vec<u8>,
    attempt: Attempt,
    tail: Tail,
    on_stderr: Option<OnStderr>,
    follower: Follower,
    forwards: Option<Watch>,
    /// How many bytes are still to come that were written before the first ones on stdout.
    before: Option<usize>,
}

impl LineSink {
    pub(crate) fn new(attempt: Attempt, tail: Tail, on_stderr: Option<OnStderr>) -> Self {
        let follower = Follower::new(Details::Plain);
        Self { line: Vec::new(), attempt, tail, on_stderr, follower, forwards: None, before: None }
    }

    pub(crate) fn details(self, details: Details) -> Self {
        Self { follower: Follower::new(details), ..self }
    }

    pub(crate) fn forwards(self, forwards: Option<Watch>) -> Self {
        Self { forwards, ..self }
    }

    /// The first bytes have come on stdout, and so many that were written before are still unread.
    fn opens_behind(&mut self, unread: usize) {
        self.before = Some(unread);
        self.open();
    }

    fn open(&mut self) {
        if let (Some(0), Some(forwards)) = (self.before, &mut self.forwards) {
            forwards.opened();
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
        let is_kept = self.follower.keeps(&line, &self.line)
            || self.forwards.as_mut().is_some_and(|forwards| forwards.keeps(&line));
        let is_blank = matches!(self.line[..], [b'\n'] | [b'\r', b'\n']);
        self.line.clear();
        if is_kept || (line.is_empty() && !is_blank) {
            return;
        }
        if let Some(on_stderr) = &self.on_stderr {
            on_stderr(self.attempt, &line);
        }
        // With -v there are hundreds of these: they would push out what matters.
        if !is_blank && !is_detail(&line) {
            self.tail.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::details::MAX_MESSAGE;

    fn fed(chunks: &[&[u8]]) -> Vec<String> {
        fed_with(Details::Plain, chunks)
    }

    fn fed_with(details: Details, chunks: &[&[u8]]) -> Vec<String> {
        let tail = Tail::default();
        let mut sink = LineSink::new(Attempt::First, tail.clone(), None).details(details);
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
    fn tells_blank_lines_and_does_not_keep_them() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let (tail, all) = (Tail::default(), Arc::clone(&told));
        let tell: OnStderr =
            Arc::new(move |_, line: &str| all.lock().unwrap().push(line.to_owned()));
        let mut sink = LineSink::new(Attempt::First, tail.clone(), Some(tell));
        for chunk in [&b"one\n"[..], b"\n", b"\r\ntwo\n", b"\x1b\n"] {
            sink.feed(chunk);
        }
        sink.finish();
        assert_eq!(*told.lock().unwrap(), ["one", "", "", "two"]);
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

    #[test]
    fn debug_lines_are_shown_but_do_not_push_out_the_reason() {
        let kept = fed(&[b"the reason\n", b"debug1: Exit status 255\n".repeat(50).as_slice()]);
        assert_eq!(kept, ["the reason"]);
    }

    /// What is told of these lines.
    fn told(details: Details, said: &[u8]) -> Vec<String> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&told);
        let on_stderr: OnStderr =
            Arc::new(move |_, line| all.lock().unwrap().push(line.to_owned()));
        let sink = LineSink::new(Attempt::First, Tail::default(), Some(on_stderr));
        let mut sink = sink.details(details);
        // As they come from a pipe at its worst.
        for byte in said {
            sink.feed(&[*byte]);
        }
        sink.finish();
        let told = told.lock().unwrap();
        told.clone()
    }

    #[test]
    fn details_are_told_to_those_who_asked_for_them_and_to_nobody_else() {
        let said = b"debug1: Connection established.\r\nhello\r\n\
                     Authenticated to h ([127.0.0.1]:22) using \"publickey\".\r\n";
        assert_eq!(told(Details::Kept, said), ["hello"]);
        assert_eq!(told(Details::Followed, said).len(), 3);
        assert_eq!(told(Details::Plain, said).len(), 3);
        let lost = b"the reason\r\nTransferred: sent 1, received 1 bytes, in 0.0 seconds\r\n";
        assert_eq!(fed_with(Details::Kept, &[lost]), ["the reason"]);
        assert_eq!(fed_with(Details::Followed, &[lost]), ["the reason"]);
    }

    #[test]
    fn a_detail_of_several_lines_is_kept_as_a_whole_and_nothing_behind_it() {
        let said = b"debug1: Sending command: echo 1\n\necho 2\r\nhello\n";
        assert_eq!(told(Details::Kept, said), ["hello"]);
    }

    #[test]
    fn a_host_that_writes_what_looks_like_a_detail_hides_no_more_than_a_message() {
        let said = [b"debug1: x\n".as_slice(), "0123456\n".repeat(200).as_bytes()].concat();
        let told = told(Details::Kept, &said);
        assert_eq!(told.len(), 200 - (MAX_MESSAGE - b"debug1: x\n".len()).div_ceil(8));
    }

    /// What is known to be missing, after these bytes with so many of them before the first byte on stdout.
    fn missing(said: &[u8], before: usize, is_split: bool) -> Option<usize> {
        let shared = Arc::default();
        let watch = Watch::new(Arc::clone(&shared), None);
        let sink = LineSink::new(Attempt::First, Tail::default(), None);
        let mut sink = sink.forwards(Some(watch));
        let (read, unread) = said.split_at(if is_split { before / 2 } else { 0 });
        sink.feed(read);
        sink.opens_behind(before - read.len());
        sink.feed(unread);
        shared.failures()
    }

    #[test]
    fn of_forwards_counts_what_was_said_before_the_first_byte_on_stdout() {
        let line =
            |port| format!("Warning: remote port forwarding failed for listen port {port}\r\n");
        let (ours, theirs) = (line(80), line(81));
        let said = [&ours[..], &theirs].concat();
        for is_split in [false, true] {
            assert_eq!(missing(said.as_bytes(), ours.len(), is_split), Some(1));
            assert_eq!(missing(said.as_bytes(), said.len(), is_split), Some(2));
            assert_eq!(missing(said.as_bytes(), 0, is_split), Some(0));
        }
        assert_eq!(missing(ours.as_bytes(), said.len(), false), None, "there is more to come");
    }

    #[tokio::test]
    async fn a_stderr_that_was_not_read_when_stdout_begins_is_read_before() {
        use tokio::io::AsyncWriteExt as _;
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let (reader, _) = ours.into_split();
        let (_, mut writer) = theirs.into_split();
        let shared = Arc::default();
        let watch = Watch::new(Arc::clone(&shared), None);
        let sink = LineSink::new(Attempt::First, Tail::default(), None).forwards(Some(watch));
        let (open, opened) = oneshot::channel();
        writer.write_all(b"channel: no\nTunnel forwarding failed\n").await.unwrap();
        open.send(()).unwrap();
        let drained = tokio::spawn(drain(reader, sink, opened));
        shared.changed().await;
        assert_eq!(shared.failures(), Some(1));
        drop(writer);
        drained.await.unwrap();
    }
}
