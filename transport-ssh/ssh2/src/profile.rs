//! What a connection shows about a server, to predict the next connection.

use crate::config::MAX_AHEAD;
use crate::host_key::HostKeyAlgorithm;
use crate::kex::Kex;
use crate::negotiate::NameLists;

/// Servers whose own source or a test shows that they take a channel's requests before they have
/// confirmed the channel. Others may end the connection.
const PIPELINING: [&str; 2] = ["SSH-2.0-OpenSSH_", "SSH-2.0-dropbear_"];

/// The smallest segment size that is announced, in bytes: what every host has to take (RFC 9293 section
/// 3.7.1). Connections with less are what firewalls drop.
const LEAST_SEGMENT: usize = 536;

/// What a connection showed about a server. It is neither secret nor trusted: a wrong prediction ends the
/// connection, and does no other harm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerProfile {
    /// The server's identification, without control characters.
    pub ident: String,
    /// The methods that the server supports.
    pub lists: NameLists,
    /// The key exchange of this connection.
    pub kex: Kex,
    /// The kind of its host key.
    pub host_key: HostKeyAlgorithm,
    /// How long the server's first flight was. Another connection with the same key exchange and kind of host key
    /// finds it the same, within a few bytes: signatures and numbers vary in length.
    pub flight: Flight,
    /// Whether the server announced logins whose signature names the host
    /// (`publickey-hostbound@openssh.com`, OpenSSH's `PROTOCOL` section 3.1).
    pub is_hostbound: bool,
    /// The number that the server gave to the channel; `None` until it has confirmed one.
    pub channel: Option<u32>,
    /// How much input the server accepted when the command had started, in bytes; 0 until then.
    pub window: usize,
}

/// The lengths of what a server sends behind its identification before it waits for the client, in bytes of
/// the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flight {
    /// Up to the end of its answer to the key exchange, which is all that the client needs to go on.
    pub needed: usize,
    /// Up to the end of all that follows unasked.
    pub whole: usize,
}

impl ServerProfile {
    /// Whether `shown` has the same identification and methods, so the server has not changed as far as a
    /// client can tell.
    pub fn is_as(&self, shown: &Self) -> bool {
        self.ident == shown.ident && self.lists == shown.lists
    }

    /// The channel number to predict, if this server is known to handle such a prediction.
    pub fn predicted_channel(&self) -> Option<u32> {
        let is_known = PIPELINING.iter().any(|start| self.ident.starts_with(start));
        self.channel.filter(|_| is_known)
    }

    /// How much input to send after the command, before the server has granted a window. The server has granted it
    /// by the time it reads the input: OpenSSH when it starts the command, dropbear with the channel.
    pub fn predicted_window(&self) -> usize {
        self.window.min(MAX_AHEAD)
    }
}

/// The segment size (MSS, in bytes of payload) to announce so that all that is needed of a server's first
/// flight comes at once; at most `max`, the size that there would be otherwise.
///
/// A server that has Nagle's algorithm on, as OpenSSH has before 10.1, holds the last part of a flight
/// back while its identification is not yet acknowledged, unless that part fills a segment. So some number
/// of full segments has to end where everything needed has been said, and before there is nothing more
/// to say. `None` if no size of 536 bytes or more does that with fewer than eight segments.
pub fn mss(flight: Flight, max: usize) -> Option<usize> {
    (1..8).find_map(|segments| {
        let least = flight.needed.div_ceil(segments);
        let most = (flight.whole / segments).min(max);
        (least <= most && most >= LEAST_SEGMENT).then_some(most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scheme;

    #[test]
    fn a_segment_ends_between_what_is_needed_and_the_end_of_the_flight() {
        assert_eq!(mss(Flight { needed: 1328, whole: 1660 }, 1448), Some(1448));
        assert_eq!(mss(Flight { needed: 2400, whole: 2724 }, 1448), Some(1362));
        for needed in (1..4000).step_by(7) {
            let flight = Flight { needed, whole: needed + 300 };
            let Some(size) = mss(flight, 1448) else { continue };
            assert!(size <= 1448);
            let is_end = |end: usize| (flight.needed..=flight.whole).contains(&end);
            assert!((1..8).map(|segments| segments * size).any(is_end), "{needed}: {size}");
        }
    }

    #[test]
    fn returns_no_segment_size_if_none_fits() {
        assert_eq!(mss(Flight { needed: 300, whole: 500 }, 1448), None);
        assert_eq!(mss(Flight { needed: 1501, whole: 1501 }, 1500), None);
    }

    #[test]
    fn a_channel_is_only_predicted_for_servers_that_take_it() {
        let of = |ident: &str, channel| {
            let learnt = ServerProfile {
                ident: ident.to_owned(),
                lists: NameLists::default(),
                kex: Kex::Curve25519,
                host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
                flight: Flight::default(),
                is_hostbound: false,
                channel,
                window: 0,
            };
            learnt.predicted_channel()
        };
        assert_eq!(of("SSH-2.0-OpenSSH_9.2p1 Debian-2", Some(0)), Some(0));
        assert_eq!(of("SSH-2.0-OpenSSH_9.2p1", None), None);
        assert_eq!(of("SSH-2.0-AsyncSSH_2.24.0", Some(0)), None);
    }
}
