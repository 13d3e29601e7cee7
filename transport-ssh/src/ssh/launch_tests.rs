//! Which lines count that ssh writes about its forwards.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::link::stderr::{LineSink, StderrTail, drain};
use crate::ssh::debug_log::DebugLines;

fn sink(forwards: ForwardMonitor) -> LineSink {
    let filter = Box::new(SshStderrFilter::new(ProgressFilter::new(DebugLines::Plain), forwards));
    LineSink::new(Attempt::First, StderrTail::default(), None, filter)
}

/// What is known to be missing, after these bytes with so many of them before the first byte on stdout.
fn missing(said: &[u8], before: usize, is_split: bool) -> Option<usize> {
    let shared = Arc::default();
    let watch = ForwardMonitor::new(Arc::clone(&shared), None);
    let mut sink = sink(watch);
    let (read, unread) = said.split_at(if is_split { before / 2 } else { 0 });
    sink.feed(read);
    sink.opens_behind(before - read.len());
    sink.feed(unread);
    shared.failures()
}

#[test]
fn counts_forward_errors_only_before_the_first_byte_on_stdout() {
    let line = |port| format!("Warning: remote port forwarding failed for listen port {port}\r\n");
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
    let watch = ForwardMonitor::new(Arc::clone(&shared), None);
    let sink = sink(watch);
    let (open, opened) = oneshot::channel();
    writer.write_all(b"channel: no\nTunnel forwarding failed\n").await.unwrap();
    open.send(()).unwrap();
    let drained = tokio::spawn(drain(reader, sink, opened));
    shared.changed().await;
    assert_eq!(shared.failures(), Some(1));
    drop(writer);
    drained.await.unwrap();
}
