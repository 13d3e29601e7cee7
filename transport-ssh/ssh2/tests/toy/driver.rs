//! A client and a server, and what goes between them.

use rejoin_ssh2::testing::{ToyScript, ToyServer, toy_user_key};
use rejoin_ssh2::{
    Cipher, Client, Config, EphemeralKey, Error, Event, HandshakeMode, HostKeyAlgorithm, Kex,
    Scheme,
};

pub(crate) const COMMAND: &[u8] = b"say it back";

pub(crate) const ED25519: HostKeyAlgorithm = HostKeyAlgorithm::plain(Scheme::Ed25519);

pub(crate) fn config(handshake: HandshakeMode) -> Config {
    Config {
        user: "somebody".to_owned(),
        key: toy_user_key(),
        command: COMMAND.to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        handshake,
    }
}

pub(crate) fn unhurried() -> HandshakeMode {
    HandshakeMode::Stepwise { kex: vec![Kex::Curve25519], host_keys: vec![ED25519] }
}

pub(crate) fn predicted() -> HandshakeMode {
    predicting(Kex::Curve25519, Some(0))
}

pub(crate) fn predicting(kex: Kex, channel: Option<u32>) -> HandshakeMode {
    let ephemeral = EphemeralKey::generate(kex).unwrap();
    let host_key = ED25519;
    HandshakeMode::Predicted { ephemeral, host_key, is_hostbound: true, channel, ahead: 0 }
}

/// A client and the server that it speaks to.
pub(crate) struct Pair {
    pub(crate) client: Client,
    pub(crate) server: ToyServer,
    /// What the client told, in pieces as they came.
    pub(crate) events: Vec<Event>,
    /// How many bytes the client has written, in all.
    pub(crate) sent: usize,
}

impl Pair {
    pub(crate) fn new(handshake: HandshakeMode, script: ToyScript) -> Self {
        let client = Client::new(config(handshake)).unwrap();
        let server = ToyServer::new(script).unwrap();
        Self { client, server, events: Vec::new(), sent: 0 }
    }

    /// Hands on what the client has to say.
    pub(crate) fn feed_server(&mut self) {
        let output = self.client.output().to_vec();
        self.sent += output.len();
        self.client.sent(output.len()).unwrap();
        // A client that was lied to may say what makes no sense to the server.
        let _ = self.server.input(&output);
    }

    /// Hands on what the server has to say. Whether it was anything.
    pub(crate) fn feed_client(&mut self) -> Result<bool, Error> {
        let output = self.server.take_output();
        self.client.input(&output)?;
        Ok(!output.is_empty())
    }

    /// What the client told that was not told before, answered as a user would: any host is right.
    pub(crate) fn answer(&mut self) -> Result<(), Error> {
        while let Some(event) = self.client.event() {
            self.events.push(event.clone());
            match event {
                Event::HostKey { .. } => self.client.accept_host()?,
                Event::Sign(_) => self.client.signed(b"signature")?,
                Event::Data(data) | Event::Stderr(data) => self.client.consumed(data.len())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes on until neither has anything to say.
    pub(crate) fn run(&mut self) -> Result<(), Error> {
        loop {
            self.feed_server();
            let has_moved = self.feed_client()?;
            self.answer()?;
            if !has_moved && self.client.output().is_empty() {
                return Ok(());
            }
        }
    }

    /// Goes on until the command is started.
    pub(crate) fn start(&mut self) {
        self.run().unwrap();
        assert_eq!(self.events.last(), Some(&Event::Started));
    }
}

/// All output of the command, and what else was told, in order.
pub(crate) fn merged(events: &[Event]) -> (Vec<u8>, Vec<Event>) {
    let (mut output, mut others) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::Data(data) => output.extend_from_slice(data),
            other => others.push(other.clone()),
        }
    }
    (output, others)
}
