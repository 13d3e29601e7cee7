//! What to start (SPEC section 6). The machines pass the spec on unread.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::item::{Item, WindowSize};

/// A process to start: the payload of an Open (SPEC section 6).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// What to run.
    pub command: Command,
    /// The folder to start in; by default the home folder.
    pub directory: Option<Vec<u8>>,
    /// Variables added to the environment.
    pub environment: Vec<(Vec<u8>, Vec<u8>)>,
    /// A terminal; without one, three pipes.
    pub terminal: Option<Terminal>,
    /// How much of each direction may be unacknowledged, in bytes of window, between
    /// [`Self::MIN_WINDOW`] and [`Self::MAX_WINDOW`].
    pub window: u64,
    /// What happens to output when the window is full.
    pub overflow: Overflow,
    /// How long a detached process is kept, in seconds, at most [`Self::MAX_RETENTION`].
    pub retention: u64,
}

impl ProcessSpec {
    /// The smallest window: one item of the largest size fits.
    pub const MIN_WINDOW: u64 = Item::MAX_PAYLOAD as u64 + Item::OVERHEAD;
    /// The largest window.
    pub const MAX_WINDOW: u64 = 64 * 1024 * 1024;
    /// The default window.
    pub const DEFAULT_WINDOW: u64 = 4 * 1024 * 1024;
    /// The default retention: seven days.
    pub const DEFAULT_RETENTION: u64 = 7 * 24 * 60 * 60;
    /// The longest retention: ten years.
    pub const MAX_RETENTION: u64 = 10 * 365 * 24 * 60 * 60;
    /// The most bytes of an encoded spec.
    pub const MAX_ENCODED: usize = 2 * 1024 * 1024;

    /// `command` with the defaults for everything else.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            directory: None,
            environment: Vec::new(),
            terminal: None,
            window: Self::DEFAULT_WINDOW,
            overflow: Overflow::Block,
            retention: Self::DEFAULT_RETENTION,
        }
    }

    /// The payload of an Open.
    ///
    /// # Errors
    /// [`SpecError::TooLong`] beyond [`Self::MAX_ENCODED`], [`SpecError::TooManyModes`] beyond
    /// [`Terminal::MAX_MODES`].
    pub fn encode(&self) -> Result<Bytes, SpecError> {
        self.check_modes()?;
        let encoded = postcard::to_allocvec(self).map_err(|_| SpecError::Malformed)?;
        if encoded.len() > Self::MAX_ENCODED {
            return Err(SpecError::TooLong { length: encoded.len() });
        }
        Ok(encoded.into())
    }

    /// Reads the payload of an Open, and brings window and retention within their bounds.
    ///
    /// # Errors
    /// [`SpecError`] if the bytes are not a spec.
    pub fn decode(encoded: &[u8]) -> Result<Self, SpecError> {
        if encoded.len() > Self::MAX_ENCODED {
            return Err(SpecError::TooLong { length: encoded.len() });
        }
        let (mut spec, rest): (Self, _) =
            postcard::take_from_bytes(encoded).map_err(|_| SpecError::Malformed)?;
        if !rest.is_empty() {
            return Err(SpecError::Malformed);
        }
        spec.check_modes()?;
        spec.window = spec.window.clamp(Self::MIN_WINDOW, Self::MAX_WINDOW);
        spec.retention = spec.retention.min(Self::MAX_RETENTION);
        Ok(spec)
    }

    fn check_modes(&self) -> Result<(), SpecError> {
        let count = self.terminal.as_ref().map_or(0, |terminal| terminal.modes.len());
        if count > Terminal::MAX_MODES {
            return Err(SpecError::TooManyModes { count });
        }
        Ok(())
    }
}

/// What is wrong with a spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpecError {
    /// The bytes are not a spec.
    Malformed,
    /// The command line and the environment are too long together.
    TooLong {
        /// Their encoded length in bytes.
        length: usize,
    },
    /// The terminal has more modes than [`Terminal::MAX_MODES`].
    TooManyModes {
        /// How many it has.
        count: usize,
    },
}

impl core::fmt::Display for SpecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("what to start is not described in a known way"),
            Self::TooLong { length } => write!(
                f,
                "command line and environment have {length} bytes together, {} at most are allowed",
                ProcessSpec::MAX_ENCODED
            ),
            Self::TooManyModes { count } => {
                write!(f, "{count} terminal modes, {} at most are allowed", Terminal::MAX_MODES)
            }
        }
    }
}

impl core::error::Error for SpecError {}

/// What to run.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Command {
    /// The user's shell, as at login.
    LoginShell,
    /// A command line that the user's shell runs.
    Shell(Vec<u8>),
    /// A program with its arguments, the program first, without a shell.
    Exec(Vec<Vec<u8>>),
    /// A service by its name, like ssh's subsystems: `sftp`.
    Subsystem(String),
}

/// A terminal.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Terminal {
    /// The value of TERM.
    pub term: String,
    /// Its first size.
    pub size: WindowSize,
    /// Its first modes: opcodes of RFC 4254 section 8, and their values. The last mode with an opcode counts.
    /// At most [`Self::MAX_MODES`]; a mode that is not listed stays as the host has it.
    pub modes: Vec<(u8, u32)>,
}

impl Terminal {
    /// The most modes: one for each opcode of RFC 4254, 0 to 159.
    pub const MAX_MODES: usize = 160;
}

/// What happens when unacknowledged output fills the window.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Overflow {
    /// The process waits: nothing is lost.
    Block,
    /// The oldest output is dropped; a Gap with the exact range replaces it.
    DropOldest,
}
