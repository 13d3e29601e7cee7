//! What signs for the user: an agent, or a file.

use std::env;
use std::io;
use std::path::PathBuf;

use rejoin_ssh2::UserKey;

use super::agent::Agent;
use super::eligible::Ineligible;
use super::key_file::{KeyFile, Unusable};
use super::pin::{self, Source};
use crate::error::printable;
use crate::resolve::Resolved;

/// What has the private part of the user's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Agent(Agent),
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

    /// Its signature with this key.
    pub(super) async fn sign(&self, key: &UserKey, message: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Agent(agent) => agent.sign(key, message).await,
            Self::File(file) => file.sign(key, message).await,
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

/// What could sign, before it is known which key the host accepts.
pub(super) struct Candidates {
    agent: Option<(Agent, Vec<Vec<u8>>)>,
}

impl Candidates {
    /// Those that ssh has, of which none wants to be touched.
    ///
    /// # Errors
    /// Why there are none: then there need be no login.
    pub(super) async fn of(resolved: &Resolved) -> Result<Self, Ineligible> {
        let agent = match Agent::of(resolved) {
            Some(agent) => of_agent(agent).await,
            None => Err(Ineligible::NoAgent),
        };
        match agent {
            Err(why) if !has_file(resolved) => Err(why),
            agent => Ok(Self { agent: agent.ok() }),
        }
    }

    /// The one that has the key with which ssh has logged in, and all the keys that this may be.
    pub(super) async fn signer(
        self,
        source: &Source,
        is_certificate: bool,
    ) -> Result<(Signer, Vec<Vec<u8>>), Ineligible> {
        match source {
            Source::Agent => {
                let (agent, keys) = self.agent.ok_or(Ineligible::NoKey)?;
                Ok((Signer::Agent(agent), keys))
            }
            Source::File(path) => {
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

async fn of_agent(agent: Agent) -> Result<(Agent, Vec<Vec<u8>>), Ineligible> {
    let keys = agent.keys().await.map_err(|error| Ineligible::Agent(error.to_string()))?;
    pin::check_keys(&keys)?;
    Ok((agent, keys))
}

fn unfit(file: &KeyFile, error: &io::Error) -> Ineligible {
    let why = printable(&format!("{file}: {error}"));
    if Unusable::of(error).is_some() { Ineligible::KeyFile(why) } else { Ineligible::Learning(why) }
}

/// Whether ssh may have a key in a file.
fn has_file(resolved: &Resolved) -> bool {
    resolved.get_all("identityfile").any(|named| {
        let path = match named.strip_prefix("~/") {
            Some(rest) => env::var_os("HOME").map(|home| PathBuf::from(home).join(rest)),
            None => Some(named.into()),
        };
        // What ssh would have to fill in may be anything.
        named.contains(['%', '{']) || path.is_some_and(|path| path.is_file())
    })
}
