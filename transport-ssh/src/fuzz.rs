//! What the fuzz targets reach of this crate (feature `fuzz`): bytes from elsewhere in, and what is made of them
//! out. It is not part of the interface and may change at any time.

use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub use crate::deploy::fuzz::{ScriptReplies, script_replies};
pub use crate::fast::fuzz::*;

use crate::Attempt;
use crate::link::child::ChildExit;
use crate::link::error::LinkError;
use crate::link::exit;
use crate::link::stderr::{LineSink, StderrTail};
use crate::ssh::classify;
use crate::ssh::debug_log::{DebugLines, ProgressFilter};
use crate::ssh::forwards::state::ForwardMonitor;
use crate::ssh::launch::SshStderrFilter;
use crate::ssh::resolve::SshConfig;

/// What a host printed on stderr in these pieces, line by line as it is kept.
pub fn stderr_lines<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, debug_log: u8) -> Vec<String> {
    let tail = StderrTail::default();
    let debug_log = match debug_log % 3 {
        0 => DebugLines::Plain,
        1 => DebugLines::Followed,
        _ => DebugLines::Hidden,
    };
    let forwards = ForwardMonitor::new(Arc::default(), None);
    let filter = Box::new(SshStderrFilter::new(ProgressFilter::new(debug_log), forwards));
    let mut sink = LineSink::new(Attempt::First, tail.clone(), None, filter);
    pieces.into_iter().for_each(|piece| sink.feed(piece));
    sink.finish();
    tail.lines()
}

/// How the end of an ssh is judged, and that of any command: by its status as `wait` tells it, if it ended, and
/// by what was said.
pub fn judged(
    status: Option<i32>,
    was_open: bool,
    lines: &[String],
    greeting: &[String],
) -> [LinkError; 2] {
    let status = status.map(ExitStatus::from_raw);
    let (lines, greeting) = (lines.to_vec(), greeting.to_vec());
    let (command, was_unanswered) = (None, false);
    let evidence = ChildExit { status, lines, greeting, was_open, command, was_unanswered };
    [classify::ssh(&evidence), exit::command(&evidence)]
}

/// What `ssh -G` printed and logged.
pub fn resolved(text: &str, log: &str) -> Option<SshConfig> {
    SshConfig::parse(text, log)
}

/// Runs what never waits.
///
/// # Panics
/// It waits.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("all that is read is there"),
    }
}
