//! A scripted server without I/O, for tests. It accepts whatever a client sends.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::{Bytes, BytesMut};

use crate::UserKey;
use crate::error::Error;
use crate::host_key::HostKeyAlgorithm;
use crate::kex::{ExchangeSecrets, ExchangeTranscript, Kex, Sender, respond};
use crate::message;
use crate::negotiate::{NameLists, STRICT_SERVER};
use crate::packet::{Cipher, OpeningKey, PacketReader, PacketWriter, SealingKey};
use crate::wire::{Reader, Writer};

/// How a [`ToyServer`] identifies itself, if its script has nothing else.
pub const SERVER_IDENT: &str = "SSH-2.0-OpenSSH_toy";

/// Changes a message before it is sealed: returns itself, another, several, or none.
pub type Tamper = Box<dyn FnMut(Vec<u8>) -> Vec<Vec<u8>>>;

/// The behaviour of a [`ToyServer`].
pub struct ToyScript {
    /// Whether it says that it has strict key exchange.
    pub is_strict: bool,
    /// Which key exchanges it has.
    pub kex: Vec<Kex>,
    /// Which ciphers it has.
    pub ciphers: Vec<Cipher>,
    /// Whether it announces and takes logins whose signature names the host.
    pub is_hostbound: bool,
    /// The reply to the user's key.
    pub auth_reply: AuthReply,
    /// The number that it gives to the channel.
    pub channel: u32,
    /// How much it takes before the command is started, in bytes. OpenSSH takes nothing, dropbear some.
    pub window: u32,
    /// Changes its messages.
    pub tamper: Tamper,
    /// How it identifies itself.
    pub ident: String,
    /// The seed of its Ed25519 key; random by default.
    pub host_key: Option<[u8; 32]>,
    /// The name lists to send instead of the real ones.
    pub lists: Option<NameLists>,
}

impl Default for ToyScript {
    fn default() -> Self {
        Self {
            is_strict: true,
            kex: Kex::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            is_hostbound: true,
            auth_reply: AuthReply::Accepted,
            channel: 0,
            window: 0,
            tamper: Box::new(|message| vec![message]),
            ident: SERVER_IDENT.to_owned(),
            host_key: None,
            lists: None,
        }
    }
}

impl fmt::Debug for ToyScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToyScript").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// The reply of a [`ToyServer`] to the user's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthReply {
    /// It is enough.
    Accepted,
    /// It is right, and not enough.
    Partial,
    /// It is wrong.
    Refused,
}

/// A server for one connection. Its command echoes its input, and ends with it.
pub struct ToyServer {
    script: ToyScript,
    host_key: Ed25519KeyPair,
    packet_reader: PacketReader,
    packet_writer: PacketWriter,
    output: BytesMut,
    client_ident: Option<Bytes>,
    exchange: Option<StartedExchange>,
    secrets: Option<(ExchangeSecrets, Cipher)>,
    heard: Vec<u8>,
    login: Option<Vec<u8>>,
    command: Option<Vec<u8>>,
}

struct StartedExchange {
    kex: Kex,
    cipher: Cipher,
    client_init: Bytes,
    server_init: Vec<u8>,
}

impl fmt::Debug for ToyServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToyServer").field("heard", &self.heard).finish_non_exhaustive()
    }
}

impl ToyServer {
    /// A server that has sent its identification.
    pub fn new(script: ToyScript) -> Result<Self, Error> {
        let mut output = BytesMut::from(&*script.ident);
        output.extend_from_slice(b"\r\n");
        let host_key = match &script.host_key {
            Some(seed) => Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Local)?,
            None => Ed25519KeyPair::generate().map_err(|_| Error::Local)?,
        };
        Ok(Self {
            script,
            host_key,
            packet_reader: PacketReader::default(),
            packet_writer: PacketWriter::default(),
            output,
            client_ident: None,
            exchange: None,
            secrets: None,
            heard: Vec::new(),
            login: None,
            command: None,
        })
    }

    /// Its host key.
    pub fn host_key(&self) -> Vec<u8> {
        let writer = Writer::new().string("ssh-ed25519");
        writer.string(self.host_key.public_key()).finish()
    }

    /// The types of the messages that it has received.
    pub fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// The request by which the user logs in.
    pub fn login(&self) -> Option<&[u8]> {
        self.login.as_deref()
    }

    /// The command that it received.
    pub fn command(&self) -> Option<&[u8]> {
        self.command.as_deref()
    }

    /// Takes what is to be written to the client.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.output.split().to_vec()
    }

    /// Says this, as it is.
    pub fn say(&mut self, message: &[u8]) -> Result<(), Error> {
        self.packet_writer.seal(message, &mut self.output)
    }

    /// Takes what the client sent.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.packet_reader.feed(bytes);
        if self.client_ident.is_none() {
            let Some(line) = self.packet_reader.line()? else { return Ok(()) };
            self.client_ident = Some(line);
        }
        while let Some(packet) = self.packet_reader.next()? {
            self.heard.push(packet.payload[0]);
            self.take(&packet.payload)?;
        }
        Ok(())
    }

    fn answer(&mut self, message: Writer) -> Result<(), Error> {
        for message in (self.script.tamper)(message.finish()) {
            self.say(&message)?;
        }
        Ok(())
    }

    fn take(&mut self, payload: &Bytes) -> Result<(), Error> {
        let mut reader = Reader::new(&payload[1..]);
        match payload[0] {
            message::KEXINIT => self.negotiate(payload),
            message::KEX_ECDH_INIT => self.exchange(reader.string()?),
            message::NEWKEYS => {
                if let Some((secrets, cipher)) = &self.secrets {
                    let key = OpeningKey::new(&secrets.keys(Sender::Client, *cipher))?;
                    self.packet_reader.rekey(key);
                }
                Ok(())
            }
            message::SERVICE_REQUEST => {
                self.answer(Writer::message(message::SERVICE_ACCEPT).string(reader.string()?))
            }
            message::USERAUTH_REQUEST => {
                self.login = Some(payload.to_vec());
                self.judge(reader)
            }
            message::CHANNEL_OPEN => self.open(),
            message::CHANNEL_REQUEST => self.start(reader),
            message::CHANNEL_DATA => {
                reader.uint32()?;
                let data = reader.string()?;
                let back = Writer::message(message::CHANNEL_DATA).uint32(0).string(data);
                self.answer(back)?;
                // It has no bounds of its own.
                self.grant(u32::try_from(data.len()).unwrap_or(u32::MAX))
            }
            message::CHANNEL_EOF => self.end(),
            _ => Ok(()),
        }
    }

    fn negotiate(&mut self, client_init: &Bytes) -> Result<(), Error> {
        let theirs = NameLists::decode(client_init)?;
        let host_keys = [HostKeyAlgorithm::plain(crate::Scheme::Ed25519)];
        let mut lists = NameLists::offer(&self.script.kex, &host_keys, &self.script.ciphers);
        if let Some(said) = &self.script.lists {
            lists = said.clone();
        } else if self.script.is_strict {
            lists.kex.push(STRICT_SERVER.to_owned());
        }
        let server_init = lists.encode()?;
        let has = |cipher: &&Cipher| lists.ciphers_to_client.iter().any(|n| n == cipher.name());
        let wanted = |name: &String| Cipher::ALL.into_iter().find(|c| c.name() == name);
        let cipher = theirs.ciphers_to_server.iter().filter_map(wanted).find(|c| has(&c));
        let kex = theirs.kex.iter().find_map(|name| {
            let is_meant = |kex: &&Kex| kex.names().contains(&name.as_str());
            self.script.kex.iter().find(is_meant).copied()
        });
        if let (Some(kex), Some(cipher)) = (kex, cipher) {
            let (client_init, server_init) = (client_init.clone(), server_init.clone());
            self.exchange = Some(StartedExchange { kex, cipher, client_init, server_init });
        }
        self.answer(Writer::new().bytes(&server_init))
    }

    fn exchange(&mut self, client_public: &[u8]) -> Result<(), Error> {
        let Some(StartedExchange { kex, cipher, client_init, server_init }) = self.exchange.take()
        else {
            return Ok(());
        };
        let Some((server_public, shared)) = respond(kex, client_public) else { return Ok(()) };
        let host_key = self.host_key();
        let client_ident = self.client_ident.clone().unwrap_or_default();
        let exchange = ExchangeTranscript {
            client_ident: &client_ident,
            server_ident: self.script.ident.as_bytes(),
            client_init: &client_init,
            server_init: &server_init,
            host_key: &host_key,
            client_public,
            server_public: &server_public,
        };
        let secrets = ExchangeSecrets::new(kex, &exchange, shared);
        let signature = Writer::new().string("ssh-ed25519");
        let signature = signature.string(self.host_key.sign(secrets.hash())).finish();
        let reply = Writer::message(message::KEX_ECDH_REPLY).string(host_key);
        self.answer(reply.string(server_public).string(signature))?;
        self.answer(Writer::message(message::NEWKEYS))?;
        self.packet_writer.rekey(SealingKey::new(&secrets.keys(Sender::Server, cipher))?);
        self.secrets = Some((secrets, cipher));
        let count = if self.script.is_hostbound { 2 } else { 1 };
        let extensions = Writer::message(message::EXT_INFO).uint32(count);
        let extensions = extensions.string("server-sig-algs").string("ssh-ed25519");
        self.answer(if self.script.is_hostbound {
            extensions.string("publickey-hostbound@openssh.com").string("0")
        } else {
            extensions
        })
    }

    /// Whether a login by this method names this host, if it names one.
    fn takes_method(&self, mut reader: Reader<'_>) -> Result<bool, Error> {
        let (_user, _service, method) = (reader.string()?, reader.string()?, reader.string()?);
        let _is_signed = reader.boolean()?;
        let (_algorithm, _key) = (reader.string()?, reader.string()?);
        Ok(match method {
            b"publickey" => true,
            b"publickey-hostbound-v00@openssh.com" if self.script.is_hostbound => {
                reader.string()? == self.host_key()
            }
            _ => false,
        })
    }

    fn judge(&mut self, request: Reader<'_>) -> Result<(), Error> {
        if !self.takes_method(request)? {
            self.script.auth_reply = AuthReply::Refused;
        }
        let failure = |is_partial| {
            let failure = Writer::message(message::USERAUTH_FAILURE);
            failure.names(&["publickey", "keyboard-interactive"]).boolean(is_partial)
        };
        self.answer(match self.script.auth_reply {
            AuthReply::Accepted => Writer::message(message::USERAUTH_SUCCESS),
            AuthReply::Partial => failure(true),
            AuthReply::Refused => failure(false),
        })
    }

    fn open(&mut self) -> Result<(), Error> {
        let confirmation = Writer::message(message::CHANNEL_OPEN_CONFIRMATION).uint32(0);
        let (channel, window) = (self.script.channel, self.script.window);
        self.answer(confirmation.uint32(channel).uint32(window).uint32(32 * 1024))
    }

    fn start(&mut self, mut reader: Reader<'_>) -> Result<(), Error> {
        let (_channel, _exec, _wants_reply) =
            (reader.uint32()?, reader.string()?, reader.boolean()?);
        self.command = Some(reader.string()?.to_vec());
        if self.script.window == 0 {
            self.grant(1 << 16)?;
        }
        self.answer(Writer::message(message::CHANNEL_SUCCESS).uint32(0))
    }

    fn grant(&mut self, count: u32) -> Result<(), Error> {
        self.answer(Writer::message(message::CHANNEL_WINDOW_ADJUST).uint32(0).uint32(count))
    }

    fn end(&mut self) -> Result<(), Error> {
        let status = Writer::message(message::CHANNEL_REQUEST).uint32(0).string("exit-status");
        self.answer(status.boolean(false).uint32(7))?;
        self.answer(Writer::message(message::CHANNEL_EOF).uint32(0))?;
        self.answer(Writer::message(message::CHANNEL_CLOSE).uint32(0))
    }
}

/// A user's key that any [`ToyServer`] takes, with any signature.
pub fn toy_user_key() -> UserKey {
    let blob = Writer::new().string("ssh-ed25519").string([7; 32]).finish();
    UserKey { blob, algorithm: "ssh-ed25519".to_owned() }
}
