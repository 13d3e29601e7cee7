//! For the fuzz targets: what agents answer, what ssh's settings allow, and what an ssh tells that logs in.

use std::time::SystemTime;

use rejoin_ssh2::UserKey;
use rejoin_ssh2::wire::{Malformed, Writer};
use tokio::io::{join, sink};
use tokio::runtime::Builder;
use tokio::time::Instant;

use super::agent::{self, AgentConnection, AgentSocket, PATIENCE};
use super::eligibility::{self, Ineligible, SshMethods};
pub use super::key_file::fuzz::{KeyHalves, key_line, named_key, private_key};
use super::public_key;
use super::ssh_login::{self, ObservedLogin, PinnedHostKey};
use crate::fuzz::now;
use crate::ssh::dial::DialTarget;
use crate::ssh::resolve::SshConfig;

/// The answer in an agent's stream, without its length.
///
/// # Panics
/// There is no runtime.
pub fn agent_answer(stream: &[u8]) -> Option<Vec<u8>> {
    let Ok(runtime) = Builder::new_current_thread().enable_time().build() else {
        unreachable!("a runtime without threads and files takes nothing")
    };
    let mut talk = AgentConnection(join(stream, sink()));
    runtime.block_on(async { talk.ask(b"question", Instant::now() + PATIENCE).await }).ok()
}

/// The keys in an agent's answer.
pub fn agent_keys(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    agent::parse_keys(answer).ok()
}

/// The signature in an agent's answer, if it is by this scheme.
pub fn agent_signature(answer: &[u8], scheme: &str) -> Option<Vec<u8>> {
    agent::parse_signature(answer, scheme).ok()
}

/// The key within a certificate, if this is one, and when it expires.
///
/// # Errors
/// It is neither a key nor a certificate.
pub fn certificate(blob: &[u8]) -> Result<(Option<Vec<u8>>, Option<SystemTime>), Malformed> {
    Ok((public_key::plain(blob)?, public_key::expiry(blob)))
}

/// What ssh's settings let the fast lane do.
#[derive(Debug)]
pub struct FastLaneSettings {
    /// Why it is not taken, as far as the settings say so.
    pub obstacle: Option<Ineligible>,
    /// Whether ssh connects as anybody would.
    pub has_route: bool,
    /// Whether ssh would ask an agent.
    pub has_agent: bool,
    /// How many key exchanges and ciphers ssh offers that are known here.
    pub offered: Option<(usize, usize)>,
    /// How many kinds ssh takes the host key under.
    pub host_key_kinds: usize,
    /// The kinds of user keys that want no touch.
    pub user_key_kinds: Option<Vec<String>>,
}

/// What these settings let the fast lane do, with a host that has this key.
pub fn settings(resolved: &SshConfig, host_key: &[u8]) -> FastLaneSettings {
    let offer = SshMethods::of(resolved).ok();
    FastLaneSettings {
        obstacle: eligibility::obstacle(resolved),
        has_route: DialTarget::of(resolved).is_some(),
        has_agent: AgentSocket::of(resolved).is_some(),
        offered: offer.map(|offer| (offer.kex.len(), offer.ciphers.len())),
        host_key_kinds: PinnedHostKey(host_key.to_vec()).algorithms(resolved).len(),
        user_key_kinds: eligibility::untouched_keys(resolved),
    }
}

/// The word behind which the helper reports, in [`host_login`].
pub const WORD: &str = "word";

/// What is made of all that an ssh said which has logged in, the helper's reports among it: the host key, and, of
/// these keys of the user's, the one that the host accepted. In words why there is none.
pub fn host_login(said: &[u8], keys: &[Vec<u8>]) -> Result<(Vec<u8>, UserKey), String> {
    let told = |why: Ineligible| why.to_string();
    let heard = now(ssh_login::listen(said, WORD.to_owned())).map_err(|error| error.to_string())?;
    let login: ObservedLogin = heard.into_login().map_err(told)?;
    let kinds = ["ssh-ed25519", "rsa-sha2-512"].map(str::to_owned);
    let key = login.user_key(keys.to_vec(), &kinds).map_err(told)?;
    Ok((login.pin.0, key))
}

/// A key of the user's, for [`host_login`].
pub fn user_key() -> Vec<u8> {
    Writer::new().string("ssh-ed25519").string([7; 32]).finish()
}
