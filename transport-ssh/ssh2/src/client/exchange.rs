//! From the first byte to a host that proved its key. Each step is used up by the next.

use bytes::Bytes;

use super::transport::PacketTransport;
use crate::binding::SessionBinding;
use crate::config::HandshakeMode;
use crate::error::{Error, Method, Misprediction, Unsuitable, Violation};
use crate::event::Event;
use crate::host_key::HostKeyAlgorithm;
use crate::kex::{EphemeralKey, ExchangeSecrets, ExchangeTranscript, Kex};
use crate::message;
use crate::negotiate::{NameLists, NegotiatedMethods, negotiate};
use crate::packet::Cipher;
use crate::profile::{Flight, ServerProfile};
use crate::text::printable;
use crate::wire::{Reader, Writer};

/// How this client identifies itself. The name of the software must not contain a minus sign (RFC 4253
/// section 4.2), which versions before a release do.
const IDENT: &str = match std::str::from_utf8(&IDENT_BYTES) {
    Ok(ident) => ident,
    Err(_) => panic!("it is made of texts, of which single characters of ASCII were exchanged"),
};
const IDENT_BYTES: [u8; NAME.len() + VERSION.len()] = {
    let mut ident = [0; NAME.len() + VERSION.len()];
    let (name, version) = (NAME.as_bytes(), VERSION.as_bytes());
    let mut at = 0;
    while at < ident.len() {
        ident[at] = if at < name.len() { name[at] } else { version[at - name.len()] };
        if at >= name.len() && ident[at] == b'-' {
            ident[at] = b'_';
        }
        at += 1;
    }
    ident
};
const NAME: &str = "SSH-2.0-rejoin_";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The most lines before the server's identification: as many as OpenSSH takes.
const MAX_LINES: usize = 1024;

/// The server has said nothing yet, or nothing but lines before its identification.
pub(super) struct AwaitingIdent {
    offer: OfferedMethods,
    our_init: Vec<u8>,
    /// Begun on a prediction.
    begun: Option<EphemeralKey>,
    /// How many lines there were.
    lines: usize,
}

struct OfferedMethods {
    kex: Vec<Kex>,
    host_keys: Vec<HostKeyAlgorithm>,
    ciphers: Vec<Cipher>,
}

/// The server has identified itself.
pub(super) struct AwaitingKexInit {
    greeting: AwaitingIdent,
    their_ident: Bytes,
}

/// The methods are settled, and the client's half of the exchange is sent.
pub(super) struct AwaitingKexReply {
    our_init: Vec<u8>,
    their_ident: Bytes,
    their_init: Bytes,
    their_lists: NameLists,
    ephemeral: EphemeralKey,
    outcome: NegotiatedMethods,
}

/// The host has proved that its key is its own.
pub(super) struct ProvedHost {
    pub(super) binding: SessionBinding,
    pub(super) secrets: ExchangeSecrets,
    pub(super) to_server: Cipher,
    pub(super) to_client: Cipher,
}

impl AwaitingIdent {
    /// Sends the identification, the lists and, on a prediction, the client's half of the exchange.
    pub(super) fn begin(
        handshake: HandshakeMode,
        ciphers: Vec<Cipher>,
        transport: &mut PacketTransport,
    ) -> Result<Self, Error> {
        let (kex, host_keys, begun) = match handshake {
            HandshakeMode::Stepwise { kex, host_keys } => (kex, host_keys, None),
            HandshakeMode::Predicted { ephemeral, host_key, .. } => {
                (vec![ephemeral.kex()], vec![host_key], Some(ephemeral))
            }
        };
        let our_init = NameLists::offer(&kex, &host_keys, &ciphers).encode()?;
        transport.push_line(IDENT);
        transport.send(Writer::new().bytes(&our_init))?;
        if let Some(ephemeral) = &begun {
            send_half(ephemeral, transport)?;
        }
        Ok(Self { offer: OfferedMethods { kex, host_keys, ciphers }, our_init, begun, lines: 0 })
    }

    /// Takes a line, of which there may be some before the identification (RFC 4253 section 4.2). What
    /// comes back is the same step again, or the next one.
    pub(super) fn take(mut self, line: Bytes) -> Result<IdentStep, Error> {
        if !line.starts_with(b"SSH-") {
            self.lines += 1;
            let is_too_much = self.lines > MAX_LINES;
            return if is_too_much { Err(too_much()) } else { Ok(IdentStep::Same(self)) };
        }
        if !line.starts_with(b"SSH-2.0-") && !line.starts_with(b"SSH-1.99-") {
            return Err(Error::Unsuitable(Unsuitable::Version));
        }
        Ok(IdentStep::Next(AwaitingKexInit { greeting: self, their_ident: line }))
    }
}

pub(super) enum IdentStep {
    Same(AwaitingIdent),
    Next(AwaitingKexInit),
}

impl AwaitingKexInit {
    /// Takes the server's lists.
    pub(super) fn take(
        self,
        payload: Bytes,
        transport: &mut PacketTransport,
    ) -> Result<AwaitingKexReply, Error> {
        let Self { greeting: AwaitingIdent { offer, our_init, begun, lines: _ }, their_ident } =
            self;
        let theirs = NameLists::decode(&payload)?;
        if !theirs.is_strict() {
            return Err(Error::Unsuitable(Unsuitable::NotStrict));
        }
        let outcome = negotiate(&offer.kex, &offer.host_keys, &offer.ciphers, &theirs);
        let outcome = outcome.map_err(|unsuitable| blame(unsuitable, begun.is_some()))?;
        // One that has begun is for the only exchange that was offered.
        let ephemeral = if let Some(ephemeral) = begun {
            ephemeral
        } else {
            let ephemeral = EphemeralKey::generate(outcome.kex)?;
            send_half(&ephemeral, transport)?;
            ephemeral
        };
        let (their_init, their_lists) = (payload, theirs);
        Ok(AwaitingKexReply { our_init, their_ident, their_init, their_lists, ephemeral, outcome })
    }
}

fn too_much() -> Error {
    Error::Peer(Violation::TooMuch)
}

/// With a prediction, a missing method means that the prediction is wrong.
fn blame(unsuitable: Unsuitable, is_predicted: bool) -> Error {
    match unsuitable {
        Unsuitable::NoCommon(method @ (Method::Kex | Method::HostKey)) if is_predicted => {
            Error::Mispredicted(Misprediction::Missing(method))
        }
        _ => Error::Unsuitable(unsuitable),
    }
}

fn send_half(ephemeral: &EphemeralKey, transport: &mut PacketTransport) -> Result<(), Error> {
    transport.send(Writer::message(message::KEX_ECDH_INIT).string(ephemeral.public()))
}

impl AwaitingKexReply {
    /// Takes the server's half of the exchange, and tells the host key if the host proved that it has it.
    pub(super) fn take(
        self,
        payload: &Bytes,
        transport: &mut PacketTransport,
    ) -> Result<(ProvedHost, ServerProfile), Error> {
        let mut reader = Reader::new(&payload[1..]);
        let (blob, server_public, signature) =
            (reader.string()?, reader.string()?, reader.string()?);
        reader.end()?;
        let kex = self.ephemeral.kex();
        let client_public = self.ephemeral.public().to_vec();
        let shared = self.ephemeral.agree(server_public)?;
        let exchange = ExchangeTranscript {
            client_ident: IDENT.as_bytes(),
            server_ident: &self.their_ident,
            client_init: &self.our_init,
            server_init: &self.their_init,
            host_key: blob,
            client_public: &client_public,
            server_public,
        };
        let secrets = ExchangeSecrets::new(kex, &exchange, shared);
        let binding = SessionBinding {
            host_key: Bytes::copy_from_slice(blob),
            session_id: Bytes::copy_from_slice(secrets.hash()),
            signature: Bytes::copy_from_slice(signature),
        };
        let NegotiatedMethods { host_key, to_server, to_client, kex: _ } = self.outcome;
        host_key.verify(blob, signature, secrets.hash())?;
        transport.tell(Event::HostKey { blob: payload.slice_ref(blob), algorithm: host_key });
        let needed = transport.taken();
        let learnt = ServerProfile {
            ident: printable(&self.their_ident),
            lists: self.their_lists,
            kex,
            host_key,
            flight: Flight { needed, whole: needed },
            is_hostbound: false,
            channel: None,
            window: 0,
        };
        Ok((ProvedHost { binding, secrets, to_server, to_client }, learnt))
    }
}
