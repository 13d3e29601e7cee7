//! How the lines are sorted in which ssh tells its steps.

use std::sync::{Arc, Mutex};

use super::*;
use crate::Attempt;
use crate::link::stderr::{LineSink, OnStderr, StderrTail};

/// What is kept of these lines, to say why ssh ended.
fn kept(debug_log: DebugLines, said: &[u8]) -> Vec<String> {
    let tail = StderrTail::default();
    let filter = Box::new(ProgressFilter::new(debug_log));
    let mut sink = LineSink::new(Attempt::First, tail.clone(), None, filter);
    sink.feed(said);
    sink.finish();
    tail.lines()
}

#[test]
fn debug_lines_are_shown_but_do_not_push_out_the_reason() {
    let said = [b"the reason\n".as_slice(), &b"debug1: Exit status 255\n".repeat(50)].concat();
    let kept = kept(DebugLines::Plain, &said);
    assert_eq!(kept, ["the reason"]);
}

/// What is told of these lines.
fn told(debug_log: DebugLines, said: &[u8]) -> Vec<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&told);
    let on_stderr: OnStderr = Arc::new(move |_, line| all.lock().unwrap().push(line.to_owned()));
    let filter = Box::new(ProgressFilter::new(debug_log));
    let mut sink = LineSink::new(Attempt::First, StderrTail::default(), Some(on_stderr), filter);
    // As they come from a pipe at its worst.
    for byte in said {
        sink.feed(&[*byte]);
    }
    sink.finish();
    let told = told.lock().unwrap();
    told.clone()
}

#[test]
fn shows_debug_lines_only_if_the_user_asked_for_them() {
    let said = b"debug1: Connection established.\r\nhello\r\n\
                 Authenticated to h ([127.0.0.1]:22) using \"publickey\".\r\n";
    assert_eq!(told(DebugLines::Hidden, said), ["hello"]);
    assert_eq!(told(DebugLines::Followed, said).len(), 3);
    assert_eq!(told(DebugLines::Plain, said).len(), 3);
    let lost = b"the reason\r\nTransferred: sent 1, received 1 bytes, in 0.0 seconds\r\n";
    assert_eq!(kept(DebugLines::Hidden, lost), ["the reason"]);
    assert_eq!(kept(DebugLines::Followed, lost), ["the reason"]);
}

#[test]
fn a_detail_of_several_lines_is_kept_as_a_whole_and_nothing_behind_it() {
    let said = b"debug1: Sending command: echo 1\n\necho 2\r\nhello\n";
    assert_eq!(told(DebugLines::Hidden, said), ["hello"]);
}

#[test]
fn a_host_that_writes_what_looks_like_a_detail_hides_no_more_than_a_message() {
    let said = [b"debug1: x\n".as_slice(), "0123456\n".repeat(200).as_bytes()].concat();
    let told = told(DebugLines::Hidden, &said);
    assert_eq!(told.len(), 200 - (MAX_MESSAGE - b"debug1: x\n".len()).div_ceil(8));
}
