//! When the fast lane can be used, and why not.

use std::fmt;

use rejoin_ssh2::{Cipher, Kex, ServerProfile};

use crate::ssh::resolve::SshConfig;

/// Why the fast lane is not used for a host. Links to it go over ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ineligible {
    /// The fast lane is turned off.
    Off,
    /// ssh does not connect directly: there is a proxy, a jump host, a source address, a check of the host's
    /// address, or a configuration that depends on time or place.
    Route,
    /// ssh's configuration has this setting, which the fast lane does not support.
    Setting(&'static str),
    /// ssh's configuration cannot be read; why.
    Configuration(String),
    /// There is no agent and no key file.
    NoAgent,
    /// The agent has no key, or does not answer correctly in time; the reason. It may be asking its user.
    Agent(String),
    /// The agent refuses to sign, or asks its user first (`ssh-add -c`); the reason.
    Signature(String),
    /// ssh could not log in without asking the user; its message.
    Login(String),
    /// ssh did not report which host key it accepted. OpenSSH 8.5 and newer do.
    NoPin,
    /// ssh logged in with something other than a key from the agent or a file.
    NoKey,
    /// ssh logged in with a key file that only ssh can use; which, and why.
    KeyFile(String),
    /// The key is on a security key, which requires a touch.
    SecurityKey,
    /// Keys of this type are not supported.
    UnknownKey(String),
    /// ssh would use a key exchange, cipher or host key type with this host that is not supported.
    Methods,
    /// The host's ssh server, with this identification, is not known to accept a command together with the
    /// login.
    Server(String),
    /// The connection to learn the host failed; the reason.
    Learning(String),
    /// What was learnt about the host is no longer right; the reason. It is learnt again later.
    Erased(String),
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("it is turned off"),
            Self::Route => {
                f.write_str("ssh does not connect directly (a proxy, a jump host, BindAddress, CheckHostIP, or a conditional Match)")
            }
            Self::Setting(setting) => write!(f, "ssh's configuration has {setting}"),
            Self::Configuration(why) => f.write_str(why),
            Self::NoAgent => f.write_str("there is no ssh agent and no key file"),
            Self::Agent(why) => write!(f, "the ssh agent cannot be used: {why}"),
            Self::Signature(why) => write!(f, "the key does not sign at once: {why}"),
            Self::Login(why) => write!(f, "ssh cannot log in without asking: {why}"),
            Self::NoPin => {
                f.write_str("ssh does not report which host key it accepts (OpenSSH 8.5 and later do)")
            }
            Self::NoKey => f.write_str("ssh did not log in with a key from the agent or a file"),
            Self::KeyFile(why) => write!(f, "the key cannot be used: {why}"),
            Self::SecurityKey => f.write_str("the key requires a touch"),
            Self::UnknownKey(kind) => write!(f, "keys of type {kind} are not supported"),
            Self::Methods => {
                f.write_str("ssh uses a key exchange, cipher or host key type that the fast lane does not support")
            }
            Self::Server(ident) => {
                write!(f, "its ssh server is not known to accept a command together with the login: {ident}")
            }
            Self::Learning(why) => write!(f, "learning the host failed: {why}"),
            Self::Erased(why) => write!(f, "what was learnt about the host no longer holds: {why}"),
        }
    }
}

impl Ineligible {
    /// Whether this will not change during the connector's life, so the host is not tried again.
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

/// Settings that the fast lane does not support, and on which the host or its user may rely.
const NOT_FOLLOWED: &[(&str, &str)] = &[
    ("knownhostscommand", "KnownHostsCommand"),
    ("setenv", "SetEnv"),
    ("verifyhostkeydns", "VerifyHostKeyDNS"),
];

/// The setting that is not followed here, if there is one.
pub(super) fn obstacle(resolved: &SshConfig) -> Option<Ineligible> {
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
fn is(resolved: &SshConfig, key: &str, word: &str) -> bool {
    resolved.get(key).is_some_and(|value| value.split(' ').next() == Some(word))
}

/// Kinds of keys of which each use has to be confirmed by a touch.
pub(super) fn is_security_key(kind: &str) -> bool {
    kind.starts_with("sk-") || kind.starts_with("webauthn-sk-")
}

/// The kinds of user keys with which ssh would log in, without those that want to be touched. None where
/// it does not tell, as before 8.5.
pub(super) fn untouched_keys(resolved: &SshConfig) -> Option<Vec<String>> {
    let kinds = resolved.get("pubkeyacceptedalgorithms")?.split(',');
    let kinds = kinds.filter(|kind| !kind.is_empty() && !is_security_key(kind));
    Some(kinds.map(str::to_owned).collect())
}

/// Variables of which a program that carries bytes makes nothing.
fn is_locale(name: &str) -> bool {
    name == "LANG" || name.starts_with("LC_") || matches!(name, "COLORTERM" | "NO_COLOR")
}

/// The methods that ssh offers and the fast lane supports, in ssh's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SshMethods {
    pub(super) kex: Vec<Kex>,
    pub(super) ciphers: Vec<Cipher>,
}

impl SshMethods {
    pub(super) fn of(resolved: &SshConfig) -> Result<Self, Ineligible> {
        let kex = names(resolved, "kexalgorithms").filter_map(kex_of);
        let ciphers = names(resolved, "ciphers").filter_map(cipher_of);
        let offer = Self { kex: unique(kex), ciphers: ciphers.collect() };
        let is_empty = offer.kex.is_empty() || offer.ciphers.is_empty();
        if is_empty { Err(Ineligible::Methods) } else { Ok(offer) }
    }
}

fn names<'a>(resolved: &'a SshConfig, key: &str) -> impl Iterator<Item = &'a str> {
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
pub(super) fn check_parity(resolved: &SshConfig, learnt: &ServerProfile) -> Result<(), Ineligible> {
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
    use rejoin_ssh2::{Flight, HostKeyAlgorithm, NameLists, Scheme};

    use super::*;

    fn resolved(settings: &str) -> SshConfig {
        SshConfig::of(&format!("hostname h\nport 22\n{settings}")).unwrap()
    }

    fn learnt(kex: Kex, theirs: &[&str]) -> ServerProfile {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let ciphers: Vec<String> = owned(&["aes256-ctr", "aes256-gcm@openssh.com"]);
        let lists = NameLists {
            kex: owned(theirs),
            ciphers_to_server: ciphers.clone(),
            ciphers_to_client: ciphers,
            ..NameLists::default()
        };
        ServerProfile {
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
        let offer = SshMethods::of(&resolved(settings)).unwrap();
        assert_eq!(offer.kex, [Kex::Curve25519, Kex::Sntrup761X25519]);
        assert_eq!(offer.ciphers, [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305]);
        let old = "kexalgorithms diffie-hellman-group14-sha256\nciphers aes256-gcm@openssh.com";
        assert_eq!(SshMethods::of(&resolved(old)), Err(Ineligible::Methods));
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
