//! Learns a host, with one login of ssh and one of the built-in client.

use std::fmt;
use std::time::Duration;

use rejoin_ssh2::{Client, Config, Error, HandshakeMode, ServerProfile, mss};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::eligibility::{self, Ineligible, SshMethods};
use super::handshake::{ExpectedHost, FastLaneError, Handshake, nonblocking};
use super::host_cache::HostProfile;
use super::public_key;
use super::signer::{Candidates, Signer};
use super::ssh_login::{ObservedLogin, PinnedHostKey};
use crate::link::error::printable;
use crate::ssh::builder::SshConnect;
use crate::ssh::dial::DialTarget;

/// The timeout of the login that learns a host. Nobody waits for it.
const LEARNING: Duration = Duration::from_secs(30);
/// A command that does nothing in any shell.
const NOTHING: &[u8] = b"true";

/// Finds out everything that a fast link needs, with one login of ssh and one of the built-in client.
pub(super) async fn learn(ssh: &SshConnect) -> Result<HostProfile, Ineligible> {
    let resolved = ssh.resolve().await;
    let resolved = resolved.map_err(|error| Ineligible::Configuration(error.to_string()))?;
    // First, because an old ssh also checks the host's address by default, which would be the reason given.
    let kinds = eligibility::untouched_keys(&resolved).ok_or(Ineligible::NoPin)?;
    let route = DialTarget::of(&resolved).ok_or(Ineligible::Route)?;
    #[cfg(feature = "testing")]
    let route = route.fixed(&ssh.fixed);
    eligibility::obstacle(&resolved).map_or(Ok(()), Err)?;
    let offer = SshMethods::of(&resolved)?;
    let user = resolved.user().ok_or(Ineligible::Route)?.to_owned();
    let candidates = Candidates::of(&resolved).await?;
    let login = ObservedLogin::watch(ssh, &kinds, candidates.agent()).await?;
    let (source, is_certificate) = (&login.key.source, login.key.is_certificate);
    let (signer, keys) = candidates.signer(source, is_certificate).await?;
    let key = login.user_key(keys, &kinds)?;
    let config = Config {
        user: user.clone(),
        key: key.clone(),
        command: NOTHING.to_vec(),
        ciphers: offer.ciphers.clone(),
        handshake: HandshakeMode::Stepwise {
            kex: offer.kex,
            host_keys: login.pin.algorithms(&resolved),
        },
    };
    let LearningResult { learnt, segment, took } =
        look(&route, config, &login.pin, &signer).await?;
    eligibility::check_parity(&resolved, &learnt)?;
    if learnt.predicted_channel().is_none() {
        return Err(Ineligible::Server(learnt.ident));
    }
    let unshown = || Ineligible::Learning("the host shows its key in another way".to_owned());
    Ok(HostProfile {
        route,
        user,
        algorithm: login.pin.algorithm(&resolved, &learnt.lists).ok_or_else(unshown)?,
        expiry: [&login.pin.0, &key.blob]
            .into_iter()
            .filter_map(|blob| public_key::expiry(blob))
            .min(),
        pin: login.pin,
        signer,
        key,
        ciphers: offer.ciphers,
        learnt,
        segment,
        login: took,
        since: crate::link::clock::boottime(),
    })
}

/// The result of a step-by-step login.
struct LearningResult {
    learnt: ServerProfile,
    /// The segment size that suits the host.
    segment: Option<u32>,
    took: Duration,
}

/// Logs in with nothing predicted.
async fn look(
    route: &DialTarget,
    config: Config,
    pin: &PinnedHostKey,
    signer: &Signer,
) -> Result<LearningResult, Ineligible> {
    let failed = |why: &dyn fmt::Display| Ineligible::Learning(printable(&why.to_string()));
    let key = config.key.clone();
    let client = Client::new(config).map_err(|error| match error {
        Error::Caller(_) => Ineligible::Methods,
        other => failed(&other),
    })?;
    let began = Instant::now();
    let stream = route.dial(LEARNING, false).await.map_err(|error| failed(&error))?;
    let stream = nonblocking(stream).map_err(|error| failed(&error))?;
    let usual = SockRef::from(&stream).tcp_mss().ok();
    let mut handshake = Handshake::new(client, stream, began + LEARNING);
    let expected = ExpectedHost { pin, learnt: None };
    let proved = handshake.prove(expected, signer, &key).await;
    let signature = proved.map_err(FastLaneError::into_obstacle)?;
    handshake.start(&signature).await.map_err(FastLaneError::into_obstacle)?;
    let Handshake { mut stream, mut client, .. } = handshake;
    let took = began.elapsed();
    let learnt = client.learnt().cloned().ok_or_else(|| failed(&"nothing was learnt"))?;
    let _ = client.disconnect();
    // The result does not depend on whether the host gets this.
    let _ = stream.write_all(client.output()).await;
    let segment = usual.and_then(|usual| segment(&learnt, usual));
    Ok(LearningResult { learnt, segment, took })
}

/// The segment size to announce, if the usual one holds up the host's answer.
fn segment(learnt: &ServerProfile, usual: u32) -> Option<u32> {
    let size = mss(learnt.flight, usize::try_from(usual).ok()?)?;
    u32::try_from(size).ok().filter(|size| *size < usual)
}
