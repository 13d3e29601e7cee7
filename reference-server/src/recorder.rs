//! Records the events and effects of the machine (feature `record`).
//!
//! If the environment has [`FOLDER`], each server and each decision of an attach program writes a
//! file there. `rejoin-model-check` can replay it. The files contain everything that was typed and
//! printed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rejoin_protocol::record::{CUT, Header, Start, Step};
use rejoin_protocol::server::{Config, Effects, Event, Server};
use serde::Serialize;

/// The variable with the folder for recordings.
const FOLDER: &str = "REJOIN_RECORD";

/// The variable with the maximum size of a recording, in bytes.
const LIMIT: &str = "REJOIN_RECORD_LIMIT";

/// Writes one recording, if recording is enabled, until writing fails.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: Option<File>,
    /// The number of bytes left.
    left: usize,
}

impl Recorder {
    /// A recording of a server that starts now.
    pub(crate) fn server(config: &Config, machine: &Server) -> Self {
        Self::begin("server", || Start::Server { config: config.clone(), state: machine.clone() })
    }

    /// A recording of an attach program's decision on a session without a server.
    pub(crate) fn attach(config: &Config, machine: &Server) -> Self {
        Self::begin("attach", || Start::Attach { config: config.clone(), state: machine.clone() })
    }

    /// Errors are ignored: a server and an attach program have nobody to report them to. The
    /// missing file shows that recording failed.
    fn begin(role: &str, start: impl FnOnce() -> Start) -> Self {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
        let file = folder.and_then(|folder| create(folder.as_ref(), role).ok());
        let mut recorder = Self { file, left: limit() };
        if recorder.file.is_some() {
            recorder.line(&Header::new(start()));
        }
        recorder
    }

    /// Steps the machine. The effects are recorded before they are returned, so that the recording
    /// holds every effect that was carried out.
    pub(crate) fn step(&mut self, machine: &mut Server, config: &Config, event: Event) -> Effects {
        let copy = self.file.is_some().then(|| event.clone());
        let effects = machine.step(config, event);
        if let Some(event) = copy {
            self.line(&Step { event: &event, effects: &effects });
        }
        effects
    }

    /// After a failed write, nothing more is written: a recording may end early, but it has no
    /// gaps.
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
