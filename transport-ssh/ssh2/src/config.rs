//! What a client is to do.

use crate::error::{Error, Misuse};
use crate::host_key::HostKeyAlgorithm;
use crate::kex::{Ephemeral, Kex};
use crate::packet::Cipher;

/// The longest name of a user or of a kind of signature, in bytes.
const MAX_NAME: usize = 1024;
/// The longest public key or certificate of a user, in bytes.
const MAX_KEY: usize = 64 * 1024;
/// The most input that goes with the login, in bytes. It has to fit one packet.
pub(crate) const MAX_AHEAD: usize = 16 * 1024;
/// The longest command, in bytes. OpenSSH's longest packet is twice as long.
const MAX_COMMAND: usize = 128 * 1024;

/// What a client is to do: log in with one key and run one command.
#[derive(Debug)]
pub struct Config {
    /// The name of the user on the host.
    pub user: String,
    /// The key to log in with.
    pub key: UserKey,
    /// What the user's shell is to run. It reaches the host whose key was accepted before it is known
    /// whether the login is: it is no place for secrets.
    pub command: Vec<u8>,
    /// Which ciphers to offer, in order of preference; at least one.
    pub ciphers: Vec<Cipher>,
    /// How to begin.
    pub opening: Opening,
}

/// The public part of the key to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    /// As it stands in `authorized_keys`, without base64: a key or a certificate.
    pub blob: Vec<u8>,
    /// The name of the signatures that it is to make: `rsa-sha2-512`, and not `ssh-rsa`.
    pub algorithm: String,
}

/// How to begin.
#[derive(Debug)]
pub enum Opening {
    /// With nothing known about the server: one step after the other, each when the one before it was
    /// answered.
    Unhurried {
        /// Which key exchanges to offer, in order of preference; at least one.
        kex: Vec<Kex>,
        /// Which kinds of host keys to offer; at least one.
        host_keys: Vec<HostKeyAlgorithm>,
    },
    /// With what a server of which all is known will choose.
    Predicted {
        /// The key pair for the one key exchange that is offered, and begun at once.
        ephemeral: Ephemeral,
        /// The one kind of host key that is offered.
        host_key: HostKeyAlgorithm,
        /// Whether the signature is to name the host, as the server is known to understand. Without a
        /// prediction it does wherever the server announces that.
        is_hostbound: bool,
        /// The number that the server will give to the channel. With one, the command is sent together
        /// with the login; without, when the channel is open.
        channel: Option<u32>,
        /// How much input may follow a command that is sent so, in bytes: what is written before the
        /// login is signed goes with it. At most 16 KiB.
        ahead: usize,
    },
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_too_long = self.user.len() > MAX_NAME
            || self.key.blob.len() > MAX_KEY
            || self.key.algorithm.len() > MAX_NAME
            || self.command.len() > MAX_COMMAND
            || matches!(self.opening, Opening::Predicted { ahead, .. } if ahead > MAX_AHEAD);
        if is_too_long {
            return Err(Error::Caller(Misuse::TooLong));
        }
        let is_choiceless = match &self.opening {
            Opening::Unhurried { kex, host_keys } => kex.is_empty() || host_keys.is_empty(),
            Opening::Predicted { .. } => false,
        };
        if is_choiceless || self.ciphers.is_empty() {
            return Err(Error::Caller(Misuse::NoMethods));
        }
        Ok(())
    }
}
