//! Writes down what the machine is stepped with and what it says (feature `record`).
//!
//! With [`FOLDER`] in the environment, each session leaves a file there, for `rejoin-model-check`
//! to step again. The file contains everything that was typed and printed, up to [`LIMIT`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rejoin_protocol::client::{Client, Config, Effects, Event};
use rejoin_protocol::record::{CUT, Header, Start, Step};
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
    /// A recording of a client that begins now.
    pub(crate) fn begin(config: &Config, machine: &Client) -> Self {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
        let file = folder.and_then(|folder| {
            create(folder.as_ref())
                .inspect_err(|error| tracing::warn!(%error, ?folder, "nothing is recorded"))
                .ok()
        });
        let mut recorder = Self { file, left: limit() };
        if recorder.file.is_some() {
            let start = Start::Client { config: config.clone(), state: machine.clone() };
            recorder.line(&Header::new(start));
        }
        recorder
    }

    /// Steps the machine. What is returned was written before: whatever can be seen of its being
    /// carried out stands in the recording.
    pub(crate) fn step(&mut self, machine: &mut Client, config: &Config, event: Event) -> Effects {
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
        if let Err(error) = self.try_line(value) {
            tracing::warn!(%error, "nothing more is recorded");
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

fn create(folder: &Path) -> io::Result<File> {
    let random = getrandom::u64()?;
    let name = format!("client-{}-{random:016x}.jsonl", std::process::id());
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
