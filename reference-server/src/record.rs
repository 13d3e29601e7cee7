//! Writes down what the machine is stepped with and what it says (feature `record`).
//!
//! With [`FOLDER`] in the environment, each server and each decision of an attach program leaves a
//! file there, for `rejoin-model-check` to step again. The files contain everything that was typed
//! and printed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rejoin_protocol::record::{CUT, Header, Start, Step};
use rejoin_protocol::server::{Config, Effects, Event, Server};
use serde::Serialize;

/// Names the folder that recordings are written to.
const FOLDER: &str = "REJOIN_RECORD";

/// The most bytes that a recording may have, if it is set.
const LIMIT: &str = "REJOIN_RECORD_LIMIT";

/// Writes one recording, if one is asked for and for as long as it can be written.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: Option<File>,
    /// How many bytes it may still have.
    left: usize,
}

impl Recorder {
    /// A recording of a server that begins now.
    pub(crate) fn server(config: &Config, machine: &Server) -> Self {
        Self::begin("server", || Start::Server { config: config.clone(), state: machine.clone() })
    }

    /// A recording of one look of an attach program at a session without a server.
    pub(crate) fn attach(config: &Config, machine: &Server) -> Self {
        Self::begin("attach", || Start::Attach { config: config.clone(), state: machine.clone() })
    }

    /// Neither a server nor an attach program has anybody to tell that nothing can be recorded:
    /// whoever asked for it finds no file.
    fn begin(role: &str, start: impl FnOnce() -> Start) -> Self {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
        let file = folder.and_then(|folder| create(folder.as_ref(), role).ok());
        let mut recorder = Self { file, left: limit() };
        if recorder.file.is_some() {
            recorder.line(&Header::new(start()));
        }
        recorder
    }

    /// Steps the machine. What is returned was written before: whatever can be seen of its being
    /// carried out stands in the recording.
    pub(crate) fn step(&mut self, machine: &mut Server, config: &Config, event: Event) -> Effects {
        let copy = self.file.is_some().then(|| event.clone());
        let effects = machine.step(config, event);
        if let Some(event) = copy {
            self.line(&Step { event: &event, effects: &effects });
        }
        effects
    }

    /// After a line that could not be written whole, nothing follows: a recording may end early,
    /// but nothing is missing in its middle.
    fn line(&mut self, value: &impl Serialize) {
        if self.try_line(value).is_err() {
            self.file = None;
        }
    }

    fn try_line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = line_of(value)?;
        if let Some(left) = self.left.checked_sub(line.len()) {
            self.left = left;
            file.write_all(&line)
        } else {
            file.write_all(&[CUT, b"\n"].concat())?;
            self.file = None;
            Ok(())
        }
    }
}

fn create(folder: &Path, role: &str) -> io::Result<File> {
    let random = getrandom::u64()?;
    let name = format!("{role}-{}-{random:016x}.jsonl", std::process::id());
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(name))
}

fn limit() -> usize {
    let limit = std::env::var(LIMIT).ok().and_then(|limit| limit.parse().ok());
    limit.unwrap_or(usize::MAX)
}

fn line_of(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
