//! From a host that was accepted to a user who is logged in.

use super::channel::SessionChannel;
use super::exchange::ProvedHost;
use super::transport::PacketTransport;
use crate::binding::SessionBinding;
use crate::config::UserKey;
use crate::error::{Error, unexpected};
use crate::event::Event;
use crate::kex::Sender;
use crate::message;
use crate::packet::{OpeningKey, Packet, SealingKey};
use crate::text::printable;
use crate::wire::{Reader, Writer};

const SERVICE: &str = "ssh-userauth";
const CONNECTION: &str = "ssh-connection";
const METHOD: &str = "publickey";
/// The same with the host's key in the request, and so in what the user signs (OpenSSH's PROTOCOL 3.1).
const HOSTBOUND_METHOD: &str = "publickey-hostbound-v00@openssh.com";
/// How a server announces that it knows this (RFC 8308), and in which version.
const HOSTBOUND: &[u8] = b"publickey-hostbound@openssh.com";
const HOSTBOUND_VERSION: &[u8] = b"0";
/// The most banners of a server that are reported.
const MAX_BANNERS: u8 = 16;
/// The most authentication methods that are reported.
const MAX_METHODS: usize = 32;

/// Who logs in, with what.
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) key: UserKey,
}

impl Credentials {
    /// The request without its signature (RFC 4252 section 7). It names the host whose key is given.
    fn request(&self, start: Writer, host_key: Option<&[u8]>) -> Writer {
        let method = if host_key.is_some() { HOSTBOUND_METHOD } else { METHOD };
        let request = start
            .byte(message::USERAUTH_REQUEST)
            .string(&self.user)
            .string(CONNECTION)
            .string(method)
            .boolean(true)
            .string(&self.key.algorithm)
            .string(&self.key.blob);
        match host_key {
            Some(host_key) => request.string(host_key),
            None => request,
        }
    }

    /// The bytes that the user must sign.
    pub(super) fn to_sign(&self, binding: &SessionBinding, is_hostbound: bool) -> Vec<u8> {
        let start = Writer::new().string(&binding.session_id);
        self.request(start, named(binding, is_hostbound)).finish()
    }

    fn signed(&self, signature: &[u8], binding: &SessionBinding, is_hostbound: bool) -> Writer {
        self.request(Writer::new(), named(binding, is_hostbound)).string(signature)
    }
}

fn named(binding: &SessionBinding, is_hostbound: bool) -> Option<&[u8]> {
    is_hostbound.then_some(&binding.host_key)
}

/// The client's keys are in use, and the login is on its way or about to be.
pub(super) struct Auth {
    step: AuthStep,
    binding: SessionBinding,
    /// Whether the signature names the host.
    is_hostbound: bool,
    /// The channel that was requested together with the login.
    pub(super) channel: Option<SessionChannel>,
    banners: u8,
    /// Whether the packet before was the server's NEWKEYS.
    is_first: bool,
    /// Whether the server has announced logins that name the host.
    pub(super) is_hostbound_known: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AuthStep {
    /// The server has not said yet that it takes logins. One is on its way already on a prediction.
    Service {
        is_requested: bool,
    },
    /// The user's key signs.
    Signature,
    Verdict,
}

/// The result of a message.
pub(super) enum AuthOutcome {
    Open(Auth),
    Accepted(Auth),
    Refused,
}

impl Auth {
    /// Switches to the client's keys and asks whether the server takes logins.
    pub(super) fn begin(
        proved: &ProvedHost,
        transport: &mut PacketTransport,
    ) -> Result<Self, Error> {
        transport.send(Writer::message(message::NEWKEYS))?;
        let key = SealingKey::new(&proved.secrets.keys(Sender::Client, proved.to_server))?;
        transport.seal_with(key);
        transport.send(Writer::message(message::SERVICE_REQUEST).string(SERVICE))?;
        Ok(Self {
            step: AuthStep::Service { is_requested: false },
            binding: proved.binding.clone(),
            is_hostbound: false,
            channel: None,
            banners: 0,
            is_first: true,
            is_hostbound_known: false,
        })
    }

    /// Asks to log in without waiting for what the server says to that.
    pub(super) fn pipeline(
        &mut self,
        login: &Credentials,
        signature: &[u8],
        is_hostbound: bool,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        self.is_hostbound = is_hostbound;
        self.step = AuthStep::Service { is_requested: true };
        transport.send(login.signed(signature, &self.binding, is_hostbound))
    }

    /// Whether the user's key signs.
    pub(super) fn is_signing(&self) -> bool {
        self.step == AuthStep::Signature
    }

    /// Asks to log in, once the server takes logins.
    pub(super) fn signed(
        &mut self,
        login: &Credentials,
        signature: &[u8],
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        self.step = AuthStep::Verdict;
        transport.send(login.signed(signature, &self.binding, self.is_hostbound))
    }

    /// The key for the server's packets after its NEWKEYS.
    pub(super) fn opening_key(proved: &ProvedHost) -> Result<OpeningKey, Error> {
        OpeningKey::new(&proved.secrets.keys(Sender::Server, proved.to_client))
    }

    pub(super) fn take(
        mut self,
        kind: u8,
        packet: &Packet,
        login: &Credentials,
        transport: &mut PacketTransport,
    ) -> Result<AuthOutcome, Error> {
        let mut reader = Reader::new(&packet.payload[1..]);
        match (kind, self.step) {
            (message::SERVICE_ACCEPT, AuthStep::Service { is_requested: true }) => {
                self.step = AuthStep::Verdict;
            }
            (message::SERVICE_ACCEPT, AuthStep::Service { is_requested: false }) => {
                // The server has sent its announcements by now.
                self.is_hostbound = self.is_hostbound_known;
                transport.tell(Event::Sign(login.to_sign(&self.binding, self.is_hostbound)));
                self.step = AuthStep::Signature;
            }
            (message::USERAUTH_BANNER, _) => self.banner(reader.string()?, transport),
            (message::USERAUTH_SUCCESS, AuthStep::Verdict) => {
                transport.tell(Event::Authenticated);
                return Ok(AuthOutcome::Accepted(self));
            }
            (message::USERAUTH_FAILURE, AuthStep::Verdict) => {
                let methods = methods(reader.string()?);
                let partial = reader.boolean()?;
                transport.tell(Event::AuthFailed { methods, partial });
                return Ok(AuthOutcome::Refused);
            }
            (message::EXT_INFO, _) => self.is_hostbound_known |= announces_hostbound(reader)?,
            (message::SERVICE_ACCEPT | message::NEWKEYS.., _) => return Err(unexpected(kind)),
            _ => transport.reply_unimplemented(packet)?,
        }
        self.is_first = false;
        Ok(AuthOutcome::Open(self))
    }

    /// Whether a message of this kind still belongs to what the server says unasked with its keys.
    pub(super) fn is_of_first_flight(&self, kind: u8) -> bool {
        self.is_first && kind == message::EXT_INFO
    }

    fn banner(&mut self, text: &[u8], transport: &mut PacketTransport) {
        if self.banners < MAX_BANNERS {
            self.banners += 1;
            transport.tell(Event::Banner(printable(text)));
        }
    }
}

/// Whether this is among what a server announces (RFC 8308 section 2.3).
fn announces_hostbound(mut reader: Reader<'_>) -> Result<bool, Error> {
    let (count, mut is_announced) = (reader.uint32()?, false);
    for _ in 0..count {
        let (name, value) = (reader.string()?, reader.string()?);
        is_announced |= name == HOSTBOUND && value == HOSTBOUND_VERSION;
    }
    reader.end()?;
    Ok(is_announced)
}

fn methods(list: &[u8]) -> Vec<String> {
    let names = list.split(|byte| *byte == b',').filter(|name| !name.is_empty());
    names.take(MAX_METHODS).map(printable).collect()
}
