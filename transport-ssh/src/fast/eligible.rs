//! Why a host is not reached over the fast lane.

use std::fmt;

use rejoin_ssh2::{Cipher, Kex, Learnt};

use crate::ssh::resolve::Resolved;

/// Why a host is not reached over the fast lane. Links to it are left to ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ineligible {
    /// Nobody has asked for it.
    Off,
    /// ssh does not connect as anybody would: there is a proxy, a jump host, an address to connect from or to
    /// look at, or a configuration that depends on time or place.
    Route,
    /// ssh's configuration has this setting, which is not followed here.
    Setting(&'static str),
    /// ssh does not tell its configuration; why.
    Configuration(String),
    /// There is no agent that could sign, and no key in a file.
    NoAgent,
    /// The agent has no key, or does not answer in time, or not as it should; why. It may be asking its user.
    Agent(String),
    /// The agent refuses to sign, or asks its user before it does (`ssh-add -c`); why.
    Signature(String),
    /// ssh could not log in unasked; its own words.
    Login(String),
    /// ssh did not tell which host key it accepted. OpenSSH does from 8.5 on.
    NoPin,
    /// ssh logged in with something else than a key that the agent or a file has.
    NoKey,
    /// ssh logged in with a key in a file that serves ssh alone; which, and why.
    KeyFile(String),
    /// The key is on a security key, which wants to be touched.
    SecurityKey,
    /// The kind of this key is not known here.
    UnknownKey(String),
    /// ssh would use a key exchange, a cipher or a kind of host key with this host that is not known here.
    Methods,
    /// The host's ssh server, which identifies itself so, is not known to bear a command that comes with
    /// the login.
    Server(String),
    /// The connection from which the host was to be learnt failed; why.
    Learning(String),
    /// What was learnt about the host turned out to be wrong; why. It is learnt again later.
    Erased(String),
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("it is off"),
            Self::Route => {
                f.write_str("ssh connects in a way of its own (a proxy, a jump host, an address to connect from, CheckHostIP, or a Match that may change)")
            }
            Self::Setting(setting) => write!(f, "ssh's configuration has {setting}"),
            Self::Configuration(why) => f.write_str(why),
            Self::NoAgent => f.write_str("there is no ssh agent, and no key in a file"),
            Self::Agent(why) => write!(f, "the ssh agent is of no use: {why}"),
            Self::Signature(why) => write!(f, "the key does not sign at once: {why}"),
            Self::Login(why) => write!(f, "ssh cannot log in unasked: {why}"),
            Self::NoPin => {
                f.write_str("ssh does not tell which host key it accepts (OpenSSH 8.5 and later do)")
            }
            Self::NoKey => f.write_str("ssh does not log in with a key of the agent or in a file"),
            Self::KeyFile(why) => write!(f, "the key cannot be used: {why}"),
            Self::SecurityKey => f.write_str("the key wants to be touched"),
            Self::UnknownKey(kind) => write!(f, "keys of the kind {kind} are not known here"),
            Self::Methods => {
                f.write_str("ssh uses a key exchange, a cipher or a kind of host key with it that is not known here")
            }
            Self::Server(ident) => {
                write!(f, "its ssh server is not known to bear a command that comes with the login: {ident}")
            }
            Self::Learning(why) => write!(f, "it could not be learnt: {why}"),
            Self::Erased(why) => write!(f, "what was learnt no longer holds: {why}"),
        }
    }
}

impl Ineligible {
    /// Whether that is not going to change by itself: then nobody logs in again to find out.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Self::Configuration(_) | Self::Agent(_) | Self::Learning(_) | Self::Erased(_) => false,
            Self::Off
            | Self::Route
            | Self::Setting(_)
            | Self::NoAgent
            | Self::Signature(_)
            | Self::Login(_)
            | Self::NoPin
            | Self::NoKey
            | Self::KeyFile(_)
            | Self::SecurityKey
            | Self::UnknownKey(_)
            | Self::Methods
            | Self::Server(_) => true,
        }
    }
}

/// What ssh does for these is not done here, and may be what the host or its user relies on.
const NOT_FOLLOWED: &[(&str, &str)] = &[
    ("knownhostscommand", "KnownHostsCommand"),
    ("setenv", "SetEnv"),
    ("verifyhostkeydns", "VerifyHostKeyDNS"),
];

/// The setting that is not followed here, if there is one.
pub(super) fn obstacle(resolved: &Resolved) -> Option<Ineligible> {
    let found = NOT_FOLLOWED.iter().find(|(key, _)| resolved.is_set(key));
    let sends = resolved.get_all("sendenv").any(|names| !names.split(' ').all(is_locale));
    let compresses = resolved.is_set("compression").then_some("Compression");
    // A key that ssh has read from a file asks from then on, before each signature.
    let has_keys_confirmed = is(resolved, "addkeystoagent", "confirm");
    let confirms = has_keys_confirmed.then_some("AddKeysToAgent confirm");
    let is_unbound = is(resolved, "pubkeyauthentication", "unbound");
    let unbound = is_unbound.then_some("PubkeyAuthentication unbound");
    let setting = found.map(|(_, name)| *name).or(sends.then_some("SendEnv")).or(compresses);
    let setting = setting.or(confirms).or(unbound);
    setting.map(Ineligible::Setting)
}

/// Whether the first word of a setting is this one.
fn is(resolved: &Resolved, key: &str, word: &str) -> bool {
    resolved.get(key).is_some_and(|value| value.split(' ').next() == Some(word))
}

/// Kinds of keys of which each use has to be confirmed by a touch.
pub(super) fn is_security_key(kind: &str) -> bool {
    kind.starts_with("sk-") || kind.starts_with("webauthn-sk-")
}

/// The kinds of user keys with which ssh would log in, without those that want to be touched. None where
/// it does not tell, as before 8.5.
pub(super) fn untouched_keys(resolved: &Resolved) -> Option<Vec<String>> {
    let kinds = resolved.get("pubkeyacceptedalgorithms")?.split(',');
    let kinds = kinds.filter(|kind| !kind.is_empty() && !is_security_key(kind));
    Some(kinds.map(str::to_owned).collect())
}

/// Variables of which a program that carries bytes makes nothing.
fn is_locale(name: &str) -> bool {
    name == "LANG" || name.starts_with("LC_") || matches!(name, "COLORTERM" | "NO_COLOR")
}

/// What ssh offers, as far as it is known here, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) kex: Vec<Kex>,
    pub(super) ciphers: Vec<Cipher>,
}

impl Offer {
    pub(super) fn of(resolved: &Resolved) -> Result<Self, Ineligible> {
        let kex = names(resolved, "kexalgorithms").filter_map(kex_of);
        let ciphers = names(resolved, "ciphers").filter_map(cipher_of);
        let offer = Self { kex: unique(kex), ciphers: ciphers.collect() };
        let is_empty = offer.kex.is_empty() || offer.ciphers.is_empty();
        if is_empty { Err(Ineligible::Methods) } else { Ok(offer) }
    }
}

fn names<'a>(resolved: &'a Resolved, key: &str) -> impl Iterator<Item = &'a str> {
    resolved.get(key).unwrap_or_default().split(',')
}

fn kex_of(name: &str) -> Option<Kex> {
    Kex::ALL.into_iter().find(|kex| kex.names().contains(&name))
}

fn cipher_of(name: &str) -> Option<Cipher> {
    Cipher::ALL.into_iter().find(|cipher| cipher.name() == name)
}

fn unique(all: impl Iterator<Item = Kex>) -> Vec<Kex> {
    let mut found = Vec::new();
    for kex in all {
        if !found.contains(&kex) {
            found.push(kex);
        }
    }
    found
}

/// That ssh would come to the same key exchange and ciphers with this host: nothing that it sends is to be
/// easier to break because it went another way.
pub(super) fn check_parity(resolved: &Resolved, learnt: &Learnt) -> Result<(), Ineligible> {
    let first = |key: &str, theirs: &[String]| -> Option<String> {
        names(resolved, key).find(|name| theirs.iter().any(|it| it == name)).map(str::to_owned)
    };
    let lists = &learnt.lists;
    let kex = first("kexalgorithms", &lists.kex).and_then(|name| kex_of(&name));
    let known = |list: &[String]| first("ciphers", list).is_some_and(|it| cipher_of(&it).is_some());
    let is_same = kex == Some(learnt.kex)
        && known(&lists.ciphers_to_server)
        && known(&lists.ciphers_to_client);
    if is_same { Ok(()) } else { Err(Ineligible::Methods) }
}

#[cfg(test)]
mod tests {
    use rejoin_ssh2::{Flight, HostKeyAlgorithm, Lists, Scheme};

    use super::*;

    fn resolved(settings: &str) -> Resolved {
        Resolved::of(&format!("hostname h\nport 22\n{settings}")).unwrap()
    }

    fn learnt(kex: Kex, theirs: &[&str]) -> Learnt {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let ciphers: Vec<String> = owned(&["aes256-ctr", "aes256-gcm@openssh.com"]);
        let lists = Lists {
            kex: owned(theirs),
            ciphers_to_server: ciphers.clone(),
            ciphers_to_client: ciphers,
            ..Lists::default()
        };
        Learnt {
            ident: "SSH-2.0-OpenSSH_9.2".to_owned(),
            lists,
            kex,
            host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
            flight: Flight::default(),
            is_hostbound: true,
            channel: Some(0),
            window: 2 << 20,
        }
    }

    #[test]
    fn settings_that_are_not_followed_are_an_obstacle_and_locales_are_none() {
        let found = |settings: &str| obstacle(&resolved(settings));
        assert_eq!(found("sendenv LANG\nsendenv LC_*\ncompression no"), None);
        assert_eq!(found("sendenv LC_*\nsendenv SECRET"), Some(Ineligible::Setting("SendEnv")));
        assert_eq!(found("compression yes"), Some(Ineligible::Setting("Compression")));
        assert_eq!(found("setenv A=b"), Some(Ineligible::Setting("SetEnv")));
        let confirmed = Some(Ineligible::Setting("AddKeysToAgent confirm"));
        assert_eq!(found("addkeystoagent confirm"), confirmed);
        assert_eq!(found("addkeystoagent confirm 3600"), confirmed);
        assert_eq!(found("addkeystoagent yes\npubkeyauthentication true"), None);
        let unbound = Some(Ineligible::Setting("PubkeyAuthentication unbound"));
        assert_eq!(found("pubkeyauthentication unbound"), unbound);
        let command = found("knownhostscommand /bin/keys %H");
        assert_eq!(command, Some(Ineligible::Setting("KnownHostsCommand")));
    }

    #[test]
    fn what_is_offered_is_what_ssh_offers_in_its_order() {
        let settings = "kexalgorithms curve25519-sha256,sntrup761x25519-sha512@openssh.com,\
                        sntrup761x25519-sha512,ecdh-sha2-nistp521\n\
                        ciphers aes128-ctr,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com";
        let offer = Offer::of(&resolved(settings)).unwrap();
        assert_eq!(offer.kex, [Kex::Curve25519, Kex::Sntrup761X25519]);
        assert_eq!(offer.ciphers, [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305]);
        let old = "kexalgorithms diffie-hellman-group14-sha256\nciphers aes256-gcm@openssh.com";
        assert_eq!(Offer::of(&resolved(old)), Err(Ineligible::Methods));
    }

    #[test]
    fn a_plain_curve_is_used_only_where_ssh_would_use_it() {
        const BOTH: &str = "kexalgorithms sntrup761x25519-sha512@openssh.com,curve25519-sha256\n\
                            ciphers aes256-gcm@openssh.com";
        let ssh = resolved(BOTH);
        let old = learnt(Kex::Curve25519, &["curve25519-sha256"]);
        assert_eq!(check_parity(&ssh, &old), Ok(()));
        let hybrid = ["curve25519-sha256", "sntrup761x25519-sha512@openssh.com"];
        let weaker = learnt(Kex::Curve25519, &hybrid);
        assert_eq!(check_parity(&ssh, &weaker), Err(Ineligible::Methods));
        assert_eq!(check_parity(&ssh, &learnt(Kex::Sntrup761X25519, &hybrid)), Ok(()));
        // ssh would take one first that is not known here.
        let other = resolved(
            "kexalgorithms ecdh-sha2-nistp521,curve25519-sha256\nciphers aes256-gcm@openssh.com",
        );
        let both = learnt(Kex::Curve25519, &["curve25519-sha256", "ecdh-sha2-nistp521"]);
        assert_eq!(check_parity(&other, &both), Err(Ineligible::Methods));
        let stream = resolved("kexalgorithms curve25519-sha256\nciphers aes256-ctr");
        assert_eq!(check_parity(&stream, &old), Err(Ineligible::Methods));
    }
}
