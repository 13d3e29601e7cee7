//! A client and the user behind it, who takes every host for the right one; and what may never come of either,
//! whatever a server says.

use rejoin_ssh2::testing::toy_user_key;
use rejoin_ssh2::{
    Cipher, Client, Config, EphemeralKey, Error, Event, HandshakeMode, HostKeyAlgorithm, Kex,
    MAX_OUTPUT, Refusal, Scheme, WINDOW,
};
use rejoin_text::printable;

/// The longest text that an event has, in bytes.
const MAX_TEXT: usize = 1024;
/// Beside its output for the command, a client has no more to say than this, in bytes: its share of a key exchange
/// and a login, and answers.
const MAX_ANSWERS: usize = MAX_OUTPUT;

/// How a client begins.
#[derive(Clone, Copy, Debug)]
pub enum Beginning {
    /// With nothing known about the server.
    Unhurried,
    /// With what a server of which all is known will choose, and a login that names the host or does not.
    Hurried {
        /// Whether it does.
        is_hostbound: bool,
    },
}

/// A client and its user.
pub struct User {
    client: Client,
    /// Whether a host key was accepted.
    pub has_accepted: bool,
    /// What was handed out and not consumed, in bytes.
    held: usize,
    is_slow: bool,
}

impl User {
    /// A client that begins in this way. A slow user never says that output was dealt with.
    ///
    /// # Errors
    /// This machine has no random numbers.
    pub fn new(
        beginning: Beginning,
        kex: Kex,
        cipher: Cipher,
        is_slow: bool,
    ) -> Result<Self, Error> {
        let handshake = match beginning {
            Beginning::Hurried { is_hostbound } => HandshakeMode::Predicted {
                ephemeral: EphemeralKey::generate(kex)?,
                host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
                is_hostbound,
                channel: Some(0),
                ahead: 100,
            },
            Beginning::Unhurried => HandshakeMode::Stepwise {
                kex: vec![kex],
                host_keys: HostKeyAlgorithm::ALL.to_vec(),
            },
        };
        let client = Client::new(Config {
            user: "somebody".to_owned(),
            key: toy_user_key(),
            command: b"say it back".to_vec(),
            ciphers: vec![cipher],
            handshake,
        })?;
        Ok(Self { client, has_accepted: false, held: 0, is_slow })
    }

    /// Types something.
    pub fn write(&mut self, length: usize) {
        let writable = self.client.writable();
        match self.client.write(&vec![b'x'; length]) {
            Ok(taken) => assert_eq!(taken, length.min(writable)),
            Err(error) => assert!(matches!(error, Error::Caller(_)), "{error}"),
        }
        self.check();
    }

    /// Types no more.
    pub fn finish(&mut self) {
        let finished = self.client.finish();
        assert!(matches!(finished, Ok(()) | Err(Error::Caller(_))));
    }

    /// Hears what the server said. None once the client is over.
    pub fn hear(&mut self, bytes: &[u8]) -> Option<()> {
        let heard = self.client.input(bytes);
        assert!(heard.is_ok() || self.client.is_over(), "an error is not the end");
        self.check();
        let answered = self.answer();
        assert!(answered.is_ok() || self.client.is_over(), "an error is not the end");
        self.check();
        (!self.client.is_over()).then_some(())
    }

    /// What is sent to the server.
    pub fn take_output(&mut self) -> Vec<u8> {
        let output = self.client.output().to_vec();
        // All of it was there.
        let sent = self.client.sent(output.len());
        assert!(sent.is_ok(), "{sent:?}");
        output
    }

    fn answer(&mut self) -> Result<(), Error> {
        while let Some(event) = self.client.event() {
            check_text(&event);
            match event {
                Event::HostKey { .. } => {
                    self.has_accepted = true;
                    self.client.accept_host()?;
                }
                Event::Sign(_) => self.client.signed(b"signature")?,
                Event::Data(data) | Event::Stderr(data) => {
                    self.held += data.len();
                    assert!(self.held <= WINDOW, "more output than was granted");
                    if !self.is_slow {
                        self.client.consumed(self.held)?;
                        self.held = 0;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check(&self) {
        assert!(self.client.writable() <= MAX_OUTPUT);
        assert!(self.client.output().len() <= MAX_OUTPUT + MAX_ANSWERS);
        assert!(self.has_accepted || self.client.learnt().is_none(), "nobody is logged in");
    }
}

/// That an event's texts cannot do anything to a terminal.
fn check_text(event: &Event) {
    let texts: Vec<&String> = match event {
        Event::Banner(text) | Event::Signal(text) => vec![text],
        Event::AuthFailed { methods, .. } => methods.iter().collect(),
        Event::Refused(Refusal::Channel { message, .. }) => vec![message],
        _ => Vec::new(),
    };
    for text in texts {
        assert_eq!(text, &printable(text, MAX_TEXT));
    }
}
