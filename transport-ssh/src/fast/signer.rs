//! Signs for the user, with an agent or a key file.

use std::io;

use rejoin_ssh2::{SessionBinding, UserKey};

use super::agent::AgentSocket;
use super::eligibility::Ineligible;
use super::identities::Identities;
use super::key_file::{KeyFile, KeyFileError};
use super::ssh_login::{self, KeySource};
use crate::link::error::printable;
use crate::ssh::resolve::SshConfig;

/// The owner of the private part of the user's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Agent(AgentSocket),
    File(KeyFile),
}

impl Signer {
    /// Whether it still has this key.
    pub(super) async fn has(&self, key: &UserKey) -> io::Result<bool> {
        match self {
            Self::Agent(agent) => agent.has(key).await,
            Self::File(file) => file.has(key).await,
        }
        .map_err(|error| self.blame(&error))
    }

    /// Signs with this key. An agent first gets the binding to the connection.
    pub(super) async fn sign(
        &self,
        key: &UserKey,
        message: &[u8],
        binding: Option<&SessionBinding>,
    ) -> io::Result<Vec<u8>> {
        match self {
            Self::Agent(agent) => agent.sign(key, message, binding).await,
            Self::File(file) => file.sign(key, message).await,
        }
        .map_err(|error| self.blame(&error))
    }

    /// Fails if this key ever did not sign at once: then its user may have been asked, and would be again.
    pub(super) fn check_speed(&self, key: &UserKey) -> io::Result<()> {
        match self {
            Self::Agent(agent) => agent.check_speed(&key.blob),
            Self::File(_) => Ok(()),
        }
        .map_err(|error| self.blame(&error))
    }

    fn blame(&self, error: &io::Error) -> io::Error {
        let what = match self {
            Self::Agent(_) => format!("the ssh agent: {error}"),
            Self::File(file) => format!("{file}: {error}"),
        };
        io::Error::new(error.kind(), what)
    }
}

/// All possible signers, before it is known which key the host accepts.
pub(super) struct Candidates {
    identities: Identities,
    agent: Option<(AgentSocket, Vec<Vec<u8>>)>,
}

impl Candidates {
    /// Those that ssh has, of which none wants to be touched.
    ///
    /// # Errors
    /// Why there are none: then there need be no login. An agent that does not answer may be asking its user
    /// about the very key that is in a file as well: then none is used.
    pub(super) async fn of(resolved: &SshConfig) -> Result<Self, Ineligible> {
        let identities = Identities::of(resolved);
        let agent = match AgentSocket::of(resolved) {
            Some(agent) => match agent.keys().await {
                Ok(keys) => of_agent(agent, keys, &identities).await,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Err(silent(&error));
                }
                Err(error) => Err(silent(&error)),
            },
            None => Err(Ineligible::NoAgent),
        };
        match agent {
            Err(why) if !identities.may_be_files() => Err(why),
            agent => Ok(Self { identities, agent: agent.ok() }),
        }
    }

    /// The agent that could.
    pub(super) fn agent(&self) -> Option<&AgentSocket> {
        self.agent.as_ref().map(|(agent, _)| agent)
    }

    /// The one that has the key with which ssh has logged in, and all the keys that this may be.
    pub(super) async fn signer(
        self,
        source: &KeySource,
        is_certificate: bool,
    ) -> Result<(Signer, Vec<Vec<u8>>), Ineligible> {
        match source {
            KeySource::Agent => {
                let (agent, keys) = self.agent.ok_or(Ineligible::NoKey)?;
                Ok((Signer::Agent(agent), keys))
            }
            KeySource::File(path) if !self.identities.has_file(path) => Err(Ineligible::NoKey),
            KeySource::File(path) => {
                let file = KeyFile::new(path.clone());
                // Whether it can sign is to be known, whatever it signs for.
                let found = match file.public().await {
                    Ok(_) if is_certificate => file.certificate().await,
                    found => found,
                };
                let key = found.map_err(|error| unfit(&file, &error))?;
                Ok((Signer::File(file), vec![key]))
            }
        }
    }
}

async fn of_agent(
    agent: AgentSocket,
    keys: Vec<Vec<u8>>,
    identities: &Identities,
) -> Result<(AgentSocket, Vec<Vec<u8>>), Ineligible> {
    let keys = identities.among(keys).await;
    ssh_login::check_keys(&keys)?;
    Ok((agent, keys))
}

fn silent(error: &io::Error) -> Ineligible {
    Ineligible::Agent(error.to_string())
}

fn unfit(file: &KeyFile, error: &io::Error) -> Ineligible {
    let why = printable(&format!("{file}: {error}"));
    if KeyFileError::of(error).is_some() {
        Ineligible::KeyFile(why)
    } else {
        Ineligible::Learning(why)
    }
}
