//! Reading what a driver wrote.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rejoin_protocol::record::{CUT, FORMAT, Header, Start};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{RecordedRun, Recording, Track};

/// Why a file is no recording.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It cannot be read.
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It ends within its first line, if it has any.
    NoHeader,
    /// It was written by another version of the drivers.
    Format {
        /// Theirs.
        found: u64,
    },
    /// A line is not what it should be.
    Line {
        /// Which one, from 1.
        number: usize,
        /// Why.
        error: serde_json::Error,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::NoHeader => f.write_str("no recording: it ends before its first line does"),
            Self::Format { found } => {
                write!(f, "the recording has format {found}; only {FORMAT} can be read")
            }
            Self::Line { number, error } => {
                write!(f, "line {number} is not what a recording holds there: {error}")
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Line { error, .. } => Some(error),
            Self::NoHeader | Self::Format { .. } => None,
        }
    }
}

/// What every format has had, and has to keep.
#[derive(Deserialize)]
struct AnyHeader {
    format: u64,
}

impl Recording {
    /// Reads a file. An unfinished last line is no error: [`Recording::torn`] tells of it.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or is no recording.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|error| ReadError::Io { path: path.into(), error })?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Self::parse(name, &bytes)
    }

    /// Reads all recordings of a folder (`*.jsonl`), in the order of their names.
    ///
    /// # Errors
    /// [`ReadError`] for the first that cannot be read.
    pub fn read_folder(path: impl AsRef<Path>) -> Result<Vec<Self>, ReadError> {
        let path = path.as_ref();
        let failed = |error| ReadError::Io { path: path.into(), error };
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == "jsonl") {
                files.push(file);
            }
        }
        files.sort();
        files.into_iter().map(Self::read).collect()
    }

    /// Reads the text of a recording that has this name.
    ///
    /// # Errors
    /// [`ReadError`] if it is none.
    pub fn parse(name: String, bytes: &[u8]) -> Result<Self, ReadError> {
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        // What stands behind the last line's end: nothing, if the last line was finished.
        let rest = lines.pop().unwrap_or_default();
        let torn = (!rest.is_empty()).then_some(rest.len());
        let is_cut = lines.pop_if(|last| *last == CUT).is_some();
        let (first, steps) = lines.split_first().ok_or(ReadError::NoHeader)?;
        let AnyHeader { format } = line(1, first)?;
        if format != u64::from(FORMAT) {
            return Err(ReadError::Format { found: format });
        }
        let run = match line::<Header>(1, first)?.start {
            Start::Client { config, state } => {
                RecordedRun::Client(Track { config, state, steps: all(steps)? })
            }
            Start::Server { config, state } => {
                RecordedRun::Server(Track { config, state, steps: all(steps)? })
            }
            Start::Attach { config, state } => {
                RecordedRun::Attach(Track { config, state, steps: all(steps)? })
            }
        };
        Ok(Self { name, run, torn, is_cut })
    }
}

fn all<T: DeserializeOwned>(steps: &[&[u8]]) -> Result<Vec<T>, ReadError> {
    // The header is line 1.
    steps.iter().enumerate().map(|(index, text)| line(index + 2, text)).collect()
}

fn line<T: DeserializeOwned>(number: usize, text: &[u8]) -> Result<T, ReadError> {
    serde_json::from_slice(text).map_err(|error| ReadError::Line { number, error })
}
