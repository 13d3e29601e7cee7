//! The client: bytes in, bytes and events out.

mod auth;
mod channel;
mod event_queue;
mod exchange;
mod limits;
mod pending_input;
mod transport;

use std::fmt;
use std::mem;
use std::ops::ControlFlow;

use auth::{Auth, AuthOutcome, Credentials};
pub use limits::{MAX_OUTPUT, WINDOW};

use channel::{ChannelProgress, CommandInput, SessionChannel};
use exchange::{AwaitingIdent, AwaitingKexInit, AwaitingKexReply, IdentStep, ProvedHost};
use transport::{Incoming, PacketTransport};

use crate::binding::SessionBinding;
use crate::config::{Config, HandshakeMode};
use crate::error::{Error, Misuse};
use crate::event::Event;
use crate::message;
use crate::packet::OpeningKey;
use crate::profile::ServerProfile;
use crate::wire::Writer;

/// The longest signature that is taken, in bytes.
const MAX_SIGNATURE: usize = 16 * 1024;
/// RFC 4253 section 11.1.
const BY_APPLICATION: u32 = 11;

/// An SSH-2 client that logs in with one key and runs one command.
///
/// It does no I/O. The driver writes [`output`](Self::output) to the server and reports that with
/// [`sent`](Self::sent), passes received bytes to [`input`](Self::input), and takes every
/// [`event`](Self::event) after each call. The driver also has the timeouts.
///
/// After an error other than [`Error::Caller`], and after the events that say so, the client is over: it
/// ignores input, and sends nothing beyond the current `output`.
pub struct Client {
    transport: PacketTransport,
    state: ConnectionState,
    login: Credentials,
    command: Vec<u8>,
    /// What is sent without waiting for answers, with a prediction.
    pipelining: Option<Pipelining>,
    input: CommandInput,
    /// There is something from the host's proof on.
    learnt: Option<ServerProfile>,
    binding: Option<SessionBinding>,
    /// Whether the server has identified itself.
    is_identified: bool,
    is_authenticated: bool,
}

/// What is sent together with the login.
#[derive(Clone, Copy)]
struct Pipelining {
    /// Whether the login's signature names the host.
    is_hostbound: bool,
    /// The channel number to predict.
    channel: Option<u32>,
    /// How much input may follow the command at once.
    ahead: usize,
}

/// The state of the connection. Each state holds only its own data.
#[derive(Default)]
enum ConnectionState {
    AwaitingIdent(Box<AwaitingIdent>),
    AwaitingKexInit(Box<AwaitingKexInit>),
    AwaitingKexReply(Box<AwaitingKexReply>),
    /// The caller looks at the host key.
    Deciding(Box<ProvedHost>),
    /// The user's key signs, for a login that is not waited for to be asked for.
    Signing(Box<ProvedHost>, Pipelining),
    /// Our keys are in use, and not yet the server's.
    Switching(Box<Auth>, OpeningKey),
    Authenticating(Box<Auth>),
    Running(Box<SessionChannel>),
    #[default]
    Over,
}

/// The next state: to go on in with what else was read, or to wait in.
type Transition = ControlFlow<ConnectionState, ConnectionState>;

fn waits(state: ConnectionState) -> Transition {
    ControlFlow::Break(state)
}

fn moves(state: ConnectionState) -> Transition {
    ControlFlow::Continue(state)
}

impl Client {
    /// A client whose first flight is in [`output`](Self::output).
    ///
    /// # Errors
    /// [`Error::Caller`] if the configuration is not one, [`Error::Local`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let Config { user, key, command, ciphers, handshake } = config;
        let pipelining = match &handshake {
            HandshakeMode::Stepwise { .. } => None,
            &HandshakeMode::Predicted { is_hostbound, channel, ahead, .. } => {
                Some(Pipelining { is_hostbound, channel, ahead })
            }
        };
        let mut transport = PacketTransport::default();
        let greeting = AwaitingIdent::begin(handshake, ciphers, &mut transport)?;
        Ok(Self {
            transport,
            state: ConnectionState::AwaitingIdent(Box::new(greeting)),
            login: Credentials { user, key },
            command,
            pipelining,
            input: CommandInput::default(),
            learnt: None,
            binding: None,
            is_identified: false,
            is_authenticated: false,
        })
    }

    /// The bytes to write to the server, best in one write.
    pub fn output(&self) -> &[u8] {
        self.transport.output()
    }

    /// Reports that `count` bytes of [`output`](Self::output) were written.
    ///
    /// # Errors
    /// [`Error::Caller`] if there were not so many; [`Error::Local`].
    pub fn sent(&mut self, count: usize) -> Result<(), Error> {
        self.transport.sent(count)?;
        self.flush()
    }

    /// The next event.
    pub fn event(&mut self) -> Option<Event> {
        self.transport.event()
    }

    /// Takes received bytes, in pieces of any length. While the client waits for an answer to
    /// [`Event::HostKey`] or [`Event::Sign`], it buffers up to half a megabyte.
    ///
    /// # Errors
    /// Every kind but [`Error::Caller`]. Events from before the fault can still be taken.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        self.transport.feed(bytes);
        self.run()
    }

    /// Accepts the host key of [`Event::HostKey`]. [`Event::Sign`] follows: at once with a prediction, otherwise
    /// when the server has answered the service request.
    ///
    /// # Errors
    /// [`Error::Caller`] if that was not asked; [`Error::Local`]; and what [`input`](Self::input) finds in
    /// what came meanwhile.
    pub fn accept_host(&mut self) -> Result<(), Error> {
        match (mem::take(&mut self.state), self.pipelining) {
            (ConnectionState::Deciding(proved), Some(pipelining)) => {
                let to_sign = self.login.to_sign(&proved.binding, pipelining.is_hostbound);
                self.transport.tell(Event::Sign(to_sign));
                self.state = ConnectionState::Signing(proved, pipelining);
                Ok(())
            }
            (ConnectionState::Deciding(proved), None) => {
                let auth = Auth::begin(&proved, &mut self.transport)?;
                self.state =
                    ConnectionState::Switching(Box::new(auth), Auth::opening_key(&proved)?);
                self.run()
            }
            (state, _) => self.out_of_turn(state),
        }
    }

    /// The user's signature over what [`Event::Sign`] asks for, as agents write it: the name of its kind and
    /// itself, as strings. On a prediction, the second flight is in [`output`](Self::output) then.
    ///
    /// # Errors
    /// [`Error::Caller`] if none was asked for, or if it is longer than any signature; [`Error::Local`];
    /// and what [`input`](Self::input) finds in what came meanwhile.
    pub fn signed(&mut self, signature: &[u8]) -> Result<(), Error> {
        if signature.len() > MAX_SIGNATURE {
            return Err(Error::Caller(Misuse::TooLong));
        }
        match mem::take(&mut self.state) {
            ConnectionState::Signing(proved, pipelining) => {
                self.state = self.log_in(&proved, pipelining, signature)?;
            }
            ConnectionState::Authenticating(mut auth) if auth.is_signing() => {
                auth.signed(&self.login, signature, &mut self.transport)?;
                self.state = ConnectionState::Authenticating(auth);
            }
            state => return self.out_of_turn(state),
        }
        self.run()
    }

    /// How much [`write`](Self::write) takes now, in bytes.
    pub fn writable(&self) -> usize {
        if self.is_over() || self.input.is_ended {
            return 0;
        }
        MAX_OUTPUT - self.input.pending.len()
    }

    /// Takes input for the command, from the start on; it is sent when the server takes it, or is
    /// predicted to. Returns how
    /// much of it was taken: as much as [`writable`](Self::writable) says.
    ///
    /// # Errors
    /// [`Error::Caller`] after [`finish`](Self::finish) or when the client is over; [`Error::Local`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if self.is_over() || self.input.is_ended {
            return Err(Error::Caller(Misuse::OutOfTurn));
        }
        let taken = bytes.len().min(self.writable());
        self.input.pending.push(&bytes[..taken]);
        self.flush()?;
        Ok(taken)
    }

    /// Ends the input of the command.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.is_over() || self.input.is_ended {
            return Err(Error::Caller(Misuse::OutOfTurn));
        }
        self.input.is_ended = true;
        self.flush()
    }

    /// Reports that `count` bytes of [`Event::Data`] and [`Event::Stderr`] were processed. Until then no more
    /// than [`WINDOW`] bytes come.
    ///
    /// # Errors
    /// [`Error::Caller`] if not so many were handed out; [`Error::Local`].
    pub fn consumed(&mut self, count: usize) -> Result<(), Error> {
        match &mut self.state {
            ConnectionState::Running(channel) => channel.consumed(count, &mut self.transport),
            ConnectionState::Over => Ok(()),
            _ if count == 0 => Ok(()),
            _ => Err(Error::Caller(Misuse::TooMuchConsumed)),
        }
    }

    /// Sends a disconnect message. The client is over; [`output`](Self::output) can still be written.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn disconnect(&mut self) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        self.state = ConnectionState::Over;
        let farewell = Writer::message(message::DISCONNECT).uint32(BY_APPLICATION);
        self.transport.send(farewell.string("").string(""))
    }

    /// Whether the server has identified itself. A server that ends the connection before, perhaps with a line of
    /// text, has not processed anything: it may be busy.
    pub fn is_identified(&self) -> bool {
        self.is_identified
    }

    /// What the host has shown so far, available from [`Event::HostKey`] on. The caller can compare it with an
    /// earlier profile before it accepts the host.
    pub fn shown(&self) -> Option<&ServerProfile> {
        self.learnt.as_ref()
    }

    /// The proof of the host's identity, from [`Event::HostKey`] on, for an agent.
    pub fn binding(&self) -> Option<&SessionBinding> {
        self.binding.as_ref()
    }

    /// What this connection showed about the server, available once the user is logged in.
    pub fn learnt(&self) -> Option<&ServerProfile> {
        self.learnt.as_ref().filter(|_| self.is_authenticated)
    }

    /// Whether the client is over.
    pub fn is_over(&self) -> bool {
        matches!(self.state, ConnectionState::Over)
    }

    fn out_of_turn(&mut self, state: ConnectionState) -> Result<(), Error> {
        self.state = state;
        Err(Error::Caller(Misuse::OutOfTurn))
    }

    /// Everything that goes out with the signature.
    fn log_in(
        &mut self,
        proved: &ProvedHost,
        pipelining: Pipelining,
        signature: &[u8],
    ) -> Result<ConnectionState, Error> {
        let Pipelining { is_hostbound, channel, ahead } = pipelining;
        let mut auth = Auth::begin(proved, &mut self.transport)?;
        auth.pipeline(&self.login, signature, is_hostbound, &mut self.transport)?;
        if channel.is_some() {
            let mut channel =
                SessionChannel::begin(channel, ahead, &self.command, &mut self.transport)?;
            channel.flush(&mut self.input, &mut self.transport)?;
            auth.channel = Some(channel);
        }
        Ok(ConnectionState::Switching(Box::new(auth), Auth::opening_key(proved)?))
    }

    /// Goes on until it takes more bytes, or an answer. If a step fails, the state stays `Over`.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let state = mem::take(&mut self.state);
            match self.step(state)? {
                ControlFlow::Continue(state) => self.state = state,
                ControlFlow::Break(state) => {
                    self.state = state;
                    return self.flush();
                }
            }
        }
    }

    fn step(&mut self, state: ConnectionState) -> Result<Transition, Error> {
        match state {
            ConnectionState::AwaitingIdent(greeting) => self.greeting(greeting),
            ConnectionState::AwaitingKexInit(step) => self.negotiating(step),
            ConnectionState::AwaitingKexReply(step) => self.agreeing(step),
            ConnectionState::Deciding(_) | ConnectionState::Signing(..) => {
                self.transport.check_kept()?;
                Ok(waits(state))
            }
            ConnectionState::Switching(auth, key) => self.switching(auth, key),
            ConnectionState::Authenticating(auth) if auth.is_signing() => {
                self.transport.check_kept()?;
                Ok(waits(ConnectionState::Authenticating(auth)))
            }
            ConnectionState::Authenticating(auth) => self.authenticating(auth),
            ConnectionState::Running(channel) => self.running(channel),
            ConnectionState::Over => Ok(waits(ConnectionState::Over)),
        }
    }

    fn greeting(&mut self, greeting: Box<AwaitingIdent>) -> Result<Transition, Error> {
        let Some(line) = self.transport.line()? else {
            return Ok(waits(ConnectionState::AwaitingIdent(greeting)));
        };
        Ok(moves(match greeting.take(line)? {
            IdentStep::Same(greeting) => ConnectionState::AwaitingIdent(Box::new(greeting)),
            IdentStep::Next(next) => {
                self.is_identified = true;
                ConnectionState::AwaitingKexInit(Box::new(next))
            }
        }))
    }

    fn negotiating(&mut self, step: Box<AwaitingKexInit>) -> Result<Transition, Error> {
        let Some(packet) = self.transport.next_of(message::KEXINIT)? else {
            return Ok(waits(ConnectionState::AwaitingKexInit(step)));
        };
        let next = step.take(packet.payload, &mut self.transport)?;
        Ok(moves(ConnectionState::AwaitingKexReply(Box::new(next))))
    }

    fn agreeing(&mut self, step: Box<AwaitingKexReply>) -> Result<Transition, Error> {
        let Some(packet) = self.transport.next_of(message::KEX_ECDH_REPLY)? else {
            return Ok(waits(ConnectionState::AwaitingKexReply(step)));
        };
        let (proved, learnt) = step.take(&packet.payload, &mut self.transport)?;
        self.learnt = Some(learnt);
        self.binding = Some(proved.binding.clone());
        Ok(moves(ConnectionState::Deciding(Box::new(proved))))
    }

    fn switching(&mut self, auth: Box<Auth>, key: OpeningKey) -> Result<Transition, Error> {
        if self.transport.next_of(message::NEWKEYS)?.is_none() {
            return Ok(waits(ConnectionState::Switching(auth, key)));
        }
        self.transport.open_with(key);
        self.lengthen_flight();
        Ok(moves(ConnectionState::Authenticating(auth)))
    }

    fn authenticating(&mut self, auth: Box<Auth>) -> Result<Transition, Error> {
        let (kind, packet) = match self.transport.next()? {
            None => return Ok(waits(ConnectionState::Authenticating(auth))),
            Some(Incoming::Ignored) => return Ok(moves(ConnectionState::Authenticating(auth))),
            Some(Incoming::Rekey) => return Ok(self.rekeying()),
            Some(Incoming::Message(kind, packet)) => (kind, packet),
        };
        if auth.is_of_first_flight(kind) {
            self.lengthen_flight();
        }
        Ok(match auth.take(kind, &packet, &self.login, &mut self.transport)? {
            AuthOutcome::Open(auth) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.is_hostbound = auth.is_hostbound_known;
                }
                moves(ConnectionState::Authenticating(Box::new(auth)))
            }
            AuthOutcome::Refused => waits(ConnectionState::Over),
            AuthOutcome::Accepted(auth) => {
                self.is_authenticated = true;
                let channel = match auth.channel {
                    Some(channel) => channel,
                    None => SessionChannel::begin(None, 0, &self.command, &mut self.transport)?,
                };
                moves(ConnectionState::Running(Box::new(channel)))
            }
        })
    }

    fn running(&mut self, mut channel: Box<SessionChannel>) -> Result<Transition, Error> {
        let (kind, packet) = match self.transport.next()? {
            None => return Ok(waits(ConnectionState::Running(channel))),
            Some(Incoming::Ignored) => return Ok(moves(ConnectionState::Running(channel))),
            Some(Incoming::Rekey) => return Ok(self.rekeying()),
            Some(Incoming::Message(kind, packet)) => (kind, packet),
        };
        match channel.take(kind, &packet, &self.command, &mut self.transport)? {
            ChannelProgress::Same => {}
            ChannelProgress::Confirmed(number) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.channel = Some(number);
                }
            }
            ChannelProgress::Started(granted) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.window = granted;
                }
            }
            ChannelProgress::Over => return Ok(waits(ConnectionState::Over)),
        }
        Ok(moves(ConnectionState::Running(channel)))
    }

    /// Counts everything read so far as the server's first flight.
    fn lengthen_flight(&mut self) {
        if let Some(learnt) = &mut self.learnt {
            learnt.flight.whole = self.transport.taken();
        }
    }

    /// There are no keys but the first ones.
    fn rekeying(&mut self) -> Transition {
        self.transport.tell(Event::Rekey);
        waits(ConnectionState::Over)
    }

    /// Sends what waits for the server, as far as it takes it.
    fn flush(&mut self) -> Result<(), Error> {
        if let ConnectionState::Running(channel) = &mut self.state {
            channel.flush(&mut self.input, &mut self.transport)?;
        }
        if self.transport.is_worn() && !self.is_over() {
            self.state = ConnectionState::Over;
            self.transport.tell(Event::Rekey);
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("is_authenticated", &self.is_authenticated)
            .field("is_over", &self.is_over())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "client/client_tests.rs"]
mod tests;
