//! The configuration of a client.

use crate::error::{Error, Misuse};
use crate::host_key::HostKeyAlgorithm;
use crate::kex::{EphemeralKey, Kex};
use crate::packet::Cipher;

/// The longest name of a user or of a kind of signature, in bytes.
const MAX_NAME: usize = 1024;
/// The longest public key or certificate of a user, in bytes.
const MAX_KEY: usize = 64 * 1024;
/// The most input that goes with the login, in bytes. It has to fit one packet.
pub(crate) const MAX_AHEAD: usize = 16 * 1024;
/// The longest command, in bytes. OpenSSH's longest packet is twice as long.
const MAX_COMMAND: usize = 128 * 1024;

/// The configuration of a client, which logs in with one key and runs one command.
#[derive(Debug)]
pub struct Config {
    /// The name of the user on the host.
    pub user: String,
    /// The key to log in with.
    pub key: UserKey,
    /// The command for the user's shell. It reaches the accepted host before the login succeeds, so it must not
    /// contain secrets.
    pub command: Vec<u8>,
    /// The ciphers to offer, in order of preference; at least one.
    pub ciphers: Vec<Cipher>,
    /// How to start.
    pub handshake: HandshakeMode,
}

/// The public part of the key to log in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    /// The key or certificate, as in `authorized_keys` but not in base64.
    pub blob: Vec<u8>,
    /// The signature algorithm: `rsa-sha2-512`, not `ssh-rsa`.
    pub algorithm: String,
}

/// How to start.
#[derive(Debug)]
pub enum HandshakeMode {
    /// Step by step, for an unknown server: each message waits for the previous answer.
    Stepwise {
        /// Which key exchanges to offer, in order of preference; at least one.
        kex: Vec<Kex>,
        /// Which kinds of host keys to offer; at least one.
        host_keys: Vec<HostKeyAlgorithm>,
    },
    /// Everything at once, with the methods that a known server will choose.
    Predicted {
        /// The key pair for the only key exchange that is offered, which starts at once.
        ephemeral: EphemeralKey,
        /// The one kind of host key that is offered.
        host_key: HostKeyAlgorithm,
        /// Whether the signature names the host, which the server is known to support. Step by step, it does if
        /// the server announces support.
        is_hostbound: bool,
        /// The number that the server will give to the channel. If known, the command is sent together with the
        /// login, otherwise when the channel is open.
        channel: Option<u32>,
        /// How many bytes of input may be sent together with the login: input that is written before
        /// the login is signed. At most 16 KiB.
        ahead: usize,
    },
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_too_long = self.user.len() > MAX_NAME
            || self.key.blob.len() > MAX_KEY
            || self.key.algorithm.len() > MAX_NAME
            || self.command.len() > MAX_COMMAND
            || matches!(self.handshake, HandshakeMode::Predicted { ahead, .. } if ahead > MAX_AHEAD);
        if is_too_long {
            return Err(Error::Caller(Misuse::TooLong));
        }
        let is_choiceless = match &self.handshake {
            HandshakeMode::Stepwise { kex, host_keys } => kex.is_empty() || host_keys.is_empty(),
            HandshakeMode::Predicted { .. } => false,
        };
        if is_choiceless || self.ciphers.is_empty() {
            return Err(Error::Caller(Misuse::NoMethods));
        }
        Ok(())
    }
}
