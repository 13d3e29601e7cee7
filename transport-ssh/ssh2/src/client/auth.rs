//! From a host that was accepted to a user who is logged in.

use super::channel::Channel;
use super::exchange::Proved;
use super::transport::Transport;
use crate::config::UserKey;
use crate::error::{Error, unexpected};
use crate::event::Event;
use crate::kex::Side;
use crate::message;
use crate::packet::{OpeningKey, Packet, SealingKey};
use crate::text::printable;
use crate::wire::{Reader, Writer};

const SERVICE: &str = "ssh-userauth";
const CONNECTION: &str = "ssh-connection";
const METHOD: &str = "publickey";
/// What is told of all that a server may say to people before they are logged in.
const MAX_BANNERS: u8 = 16;
/// How many ways to go on are told.
const MAX_METHODS: usize = 32;

/// Who logs in, with what.
pub(super) struct Login {
    pub(super) user: String,
    pub(super) key: UserKey,
}

impl Login {
    /// The request without its signature (RFC 4252 section 7).
    fn request(&self, start: Writer) -> Writer {
        start
            .byte(message::USERAUTH_REQUEST)
            .string(&self.user)
            .string(CONNECTION)
            .string(METHOD)
            .boolean(true)
            .string(&self.key.algorithm)
            .string(&self.key.blob)
    }

    /// What the user has to sign.
    pub(super) fn to_sign(&self, session_id: &[u8]) -> Vec<u8> {
        self.request(Writer::new().string(session_id)).finish()
    }

    fn signed(&self, signature: &[u8]) -> Writer {
        self.request(Writer::new()).string(signature)
    }
}

/// The login is on its way.
pub(super) struct Auth {
    step: Step,
    /// Not sent before the server agreed to hear it, if nothing is predicted.
    withheld: Option<Writer>,
    /// What was asked for together with the login.
    pub(super) channel: Option<Channel>,
    banners: u8,
    /// Whether the packet before was the server's NEWKEYS.
    is_first: bool,
}

enum Step {
    Service,
    Verdict,
}

/// What a message came to.
pub(super) enum Verdict {
    Open(Auth),
    Accepted(Auth),
    Refused,
}

impl Auth {
    /// Switches to the client's keys and asks to log in; at once with everything if `is_hurried`.
    pub(super) fn begin(
        login: &Login,
        signature: &[u8],
        proved: &Proved,
        is_hurried: bool,
        transport: &mut Transport,
    ) -> Result<Self, Error> {
        let key = SealingKey::new(&proved.secrets.keys(Side::Client, proved.to_server))?;
        transport.send(Writer::message(message::NEWKEYS))?;
        transport.seal_with(key);
        transport.send(Writer::message(message::SERVICE_REQUEST).string(SERVICE))?;
        let mut withheld = Some(login.signed(signature));
        if is_hurried && let Some(request) = withheld.take() {
            transport.send(request)?;
        }
        Ok(Self { step: Step::Service, withheld, channel: None, banners: 0, is_first: true })
    }

    /// The key with which the server's packets are opened after its NEWKEYS.
    pub(super) fn opening_key(proved: &Proved) -> Result<OpeningKey, Error> {
        OpeningKey::new(&proved.secrets.keys(Side::Server, proved.to_client))
    }

    pub(super) fn take(
        mut self,
        kind: u8,
        packet: &Packet,
        transport: &mut Transport,
    ) -> Result<Verdict, Error> {
        let mut reader = Reader::new(&packet.payload[1..]);
        match (kind, &self.step) {
            (message::SERVICE_ACCEPT, Step::Service) => {
                if let Some(request) = self.withheld.take() {
                    transport.send(request)?;
                }
                self.step = Step::Verdict;
            }
            (message::USERAUTH_BANNER, _) => self.banner(reader.string()?, transport),
            (message::USERAUTH_SUCCESS, Step::Verdict) => {
                transport.tell(Event::Authenticated);
                return Ok(Verdict::Accepted(self));
            }
            (message::USERAUTH_FAILURE, Step::Verdict) => {
                let methods = methods(reader.string()?);
                let partial = reader.boolean()?;
                transport.tell(Event::AuthFailed { methods, partial });
                return Ok(Verdict::Refused);
            }
            (message::EXT_INFO, _) => {}
            (message::SERVICE_ACCEPT | message::NEWKEYS.., _) => return Err(unexpected(kind)),
            _ => transport.reply_unimplemented(packet)?,
        }
        self.is_first = false;
        Ok(Verdict::Open(self))
    }

    /// Whether a message of this kind still belongs to what the server says unasked with its keys.
    pub(super) fn is_of_first_flight(&self, kind: u8) -> bool {
        self.is_first && kind == message::EXT_INFO
    }

    fn banner(&mut self, text: &[u8], transport: &mut Transport) {
        if self.banners < MAX_BANNERS {
            self.banners += 1;
            transport.tell(Event::Banner(printable(text)));
        }
    }
}

fn methods(list: &[u8]) -> Vec<String> {
    let names = list.split(|byte| *byte == b',').filter(|name| !name.is_empty());
    names.take(MAX_METHODS).map(printable).collect()
}
