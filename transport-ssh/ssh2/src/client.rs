//! The client: bytes in, bytes and events out.

mod auth;
mod channel;
mod exchange;
mod pending;
mod told;
mod transport;

use std::fmt;
use std::mem;
use std::ops::ControlFlow;

use auth::{Auth, Login, Verdict};
use channel::{Channel, Input, Turn};
use exchange::{Agreeing, Greeting, GreetingStep, Negotiating, Proved};
use transport::{Sorted, Transport};

use crate::binding::Binding;
use crate::config::{Config, Opening};
use crate::error::{Error, Misuse};
use crate::event::Event;
use crate::learnt::Learnt;
use crate::message;
use crate::packet::OpeningKey;
use crate::wire::Writer;

/// How much output of the command may be on its way or unconsumed, in bytes.
pub const WINDOW: usize = 2 << 20;
/// How much input for the command is taken before the server takes it, in bytes; and about as much again may
/// wait to be written.
pub const MAX_OUTPUT: usize = 1 << 20;
/// The longest signature that is taken, in bytes.
const MAX_SIGNATURE: usize = 16 * 1024;
/// RFC 4253 section 11.1.
const BY_APPLICATION: u32 = 11;

/// An SSH-2 client that logs in with one key and runs one command.
///
/// It does no I/O. Whoever drives it writes [`output`](Self::output) to the server and says so with
/// [`sent`](Self::sent), hands what the server sends to [`input`](Self::input), and takes every
/// [`event`](Self::event) after each call. It knows no time either: deadlines are the driver's.
///
/// After an error other than [`Error::Caller`], and after the events that say so, it is over: it
/// ignores what comes, and has nothing more to say than what is in `output`.
pub struct Client {
    transport: Transport,
    phase: Phase,
    login: Login,
    command: Vec<u8>,
    /// What is said without waiting for answers, if anything is predicted.
    hurry: Option<Hurry>,
    input: Input,
    /// There is something from the host's proof on.
    learnt: Option<Learnt>,
    binding: Option<Binding>,
    /// Whether the server has identified itself.
    is_identified: bool,
    is_authenticated: bool,
}

/// What is said together with the login.
#[derive(Clone, Copy)]
struct Hurry {
    /// Whether the login's signature names the host.
    is_hostbound: bool,
    /// The channel number to predict.
    channel: Option<u32>,
    /// How much input may follow the command at once.
    ahead: usize,
}

/// Where the connection is. Each one holds what there is in it, and nothing else.
#[derive(Default)]
enum Phase {
    Greeting(Box<Greeting>),
    Negotiating(Box<Negotiating>),
    Agreeing(Box<Agreeing>),
    /// The caller looks at the host key.
    Deciding(Box<Proved>),
    /// The user's key signs, for a login that is not waited for to be asked for.
    Signing(Box<Proved>, Hurry),
    /// Our keys are in use, and not yet the server's.
    Switching(Box<Auth>, OpeningKey),
    Authenticating(Box<Auth>),
    Running(Box<Channel>),
    #[default]
    Over,
}

/// The next phase: to go on in with what else was read, or to wait in.
type Step = ControlFlow<Phase, Phase>;

fn waits(phase: Phase) -> Step {
    ControlFlow::Break(phase)
}

fn moves(phase: Phase) -> Step {
    ControlFlow::Continue(phase)
}

impl Client {
    /// A client whose first flight is in [`output`](Self::output).
    ///
    /// # Errors
    /// [`Error::Caller`] if the configuration is not one, [`Error::Local`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let Config { user, key, command, ciphers, opening } = config;
        let hurry = match &opening {
            Opening::Unhurried { .. } => None,
            &Opening::Predicted { is_hostbound, channel, ahead, .. } => {
                Some(Hurry { is_hostbound, channel, ahead })
            }
        };
        let mut transport = Transport::default();
        let greeting = Greeting::begin(opening, ciphers, &mut transport)?;
        Ok(Self {
            transport,
            phase: Phase::Greeting(Box::new(greeting)),
            login: Login { user, key },
            command,
            hurry,
            input: Input::default(),
            learnt: None,
            binding: None,
            is_identified: false,
            is_authenticated: false,
        })
    }

    /// What is to be written to the server, at best all in one write.
    pub fn output(&self) -> &[u8] {
        self.transport.output()
    }

    /// So many bytes of [`output`](Self::output) were written.
    ///
    /// # Errors
    /// [`Error::Caller`] if there were not so many; [`Error::Local`].
    pub fn sent(&mut self, count: usize) -> Result<(), Error> {
        self.transport.sent(count)?;
        self.flush()
    }

    /// The next thing to know or to answer.
    pub fn event(&mut self) -> Option<Event> {
        self.transport.event()
    }

    /// Takes what the server sent, in pieces of any length. While the client waits for an answer to
    /// [`Event::HostKey`] or [`Event::Sign`], it keeps what comes, up to half a megabyte.
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

    /// The host key of [`Event::HostKey`] is the right one. [`Event::Sign`] follows: at once on a prediction,
    /// else once the server has said that it takes logins, and in which ways.
    ///
    /// # Errors
    /// [`Error::Caller`] if that was not asked; [`Error::Local`]; and what [`input`](Self::input) finds in
    /// what came meanwhile.
    pub fn accept_host(&mut self) -> Result<(), Error> {
        match (mem::take(&mut self.phase), self.hurry) {
            (Phase::Deciding(proved), Some(hurry)) => {
                let to_sign = self.login.to_sign(&proved.binding, hurry.is_hostbound);
                self.transport.tell(Event::Sign(to_sign));
                self.phase = Phase::Signing(proved, hurry);
                Ok(())
            }
            (Phase::Deciding(proved), None) => {
                let auth = Auth::begin(&proved, &mut self.transport)?;
                self.phase = Phase::Switching(Box::new(auth), Auth::opening_key(&proved)?);
                self.run()
            }
            (phase, _) => self.out_of_turn(phase),
        }
    }

    /// The user's signature over what [`Event::Sign`] told, as agents write it: the name of its kind and
    /// itself, as strings. On a prediction, the second flight is in [`output`](Self::output) then.
    ///
    /// # Errors
    /// [`Error::Caller`] if none was asked for, or if it is longer than any signature; [`Error::Local`];
    /// and what [`input`](Self::input) finds in what came meanwhile.
    pub fn signed(&mut self, signature: &[u8]) -> Result<(), Error> {
        if signature.len() > MAX_SIGNATURE {
            return Err(Error::Caller(Misuse::TooLong));
        }
        match mem::take(&mut self.phase) {
            Phase::Signing(proved, hurry) => self.phase = self.log_in(&proved, hurry, signature)?,
            Phase::Authenticating(mut auth) if auth.is_signing() => {
                auth.signed(&self.login, signature, &mut self.transport)?;
                self.phase = Phase::Authenticating(auth);
            }
            phase => return self.out_of_turn(phase),
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

    /// No more input follows for the command.
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

    /// So many bytes of [`Event::Data`] and [`Event::Stderr`] were dealt with. Until that is said, no more
    /// than [`WINDOW`] bytes come.
    ///
    /// # Errors
    /// [`Error::Caller`] if not so many were handed out; [`Error::Local`].
    pub fn consumed(&mut self, count: usize) -> Result<(), Error> {
        match &mut self.phase {
            Phase::Running(channel) => channel.consumed(count, &mut self.transport),
            Phase::Over => Ok(()),
            _ if count == 0 => Ok(()),
            _ => Err(Error::Caller(Misuse::TooMuchConsumed)),
        }
    }

    /// Tells the server that this is the end. The client is over; what is in [`output`](Self::output) may
    /// still be written.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn disconnect(&mut self) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        self.phase = Phase::Over;
        let farewell = Writer::message(message::DISCONNECT).uint32(BY_APPLICATION);
        self.transport.send(farewell.string("").string(""))
    }

    /// Whether the server has identified itself. One that ends before, perhaps with a line of text, has
    /// not looked at what it was sent: it may be busy.
    pub fn is_identified(&self) -> bool {
        self.is_identified
    }

    /// What the host has shown of itself so far, once it has proved that it has its key: from
    /// [`Event::HostKey`] on. Whoever is to accept the host can tell from it whether it is as it was.
    pub fn shown(&self) -> Option<&Learnt> {
        self.learnt.as_ref()
    }

    /// What the host has proved, from [`Event::HostKey`] on: for an agent that is to know for which host it signs.
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// What this connection taught about the server, once the user is logged in.
    pub fn learnt(&self) -> Option<&Learnt> {
        self.learnt.as_ref().filter(|_| self.is_authenticated)
    }

    /// Whether nothing more can come of this client.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    fn out_of_turn(&mut self, phase: Phase) -> Result<(), Error> {
        self.phase = phase;
        Err(Error::Caller(Misuse::OutOfTurn))
    }

    /// Everything that goes out with the signature.
    fn log_in(&mut self, proved: &Proved, hurry: Hurry, signature: &[u8]) -> Result<Phase, Error> {
        let Hurry { is_hostbound, channel, ahead } = hurry;
        let mut auth = Auth::begin(proved, &mut self.transport)?;
        auth.hurry(&self.login, signature, is_hostbound, &mut self.transport)?;
        if channel.is_some() {
            let mut channel = Channel::begin(channel, ahead, &self.command, &mut self.transport)?;
            channel.flush(&mut self.input, &mut self.transport)?;
            auth.channel = Some(channel);
        }
        Ok(Phase::Switching(Box::new(auth), Auth::opening_key(proved)?))
    }

    /// Goes on until it takes more bytes, or an answer. If a step fails, the phase stays `Over`.
    fn run(&mut self) -> Result<(), Error> {
        loop {
            let phase = mem::take(&mut self.phase);
            match self.step(phase)? {
                ControlFlow::Continue(phase) => self.phase = phase,
                ControlFlow::Break(phase) => {
                    self.phase = phase;
                    return self.flush();
                }
            }
        }
    }

    fn step(&mut self, phase: Phase) -> Result<Step, Error> {
        match phase {
            Phase::Greeting(greeting) => self.greeting(greeting),
            Phase::Negotiating(step) => self.negotiating(step),
            Phase::Agreeing(step) => self.agreeing(step),
            Phase::Deciding(_) | Phase::Signing(..) => {
                self.transport.check_kept()?;
                Ok(waits(phase))
            }
            Phase::Switching(auth, key) => self.switching(auth, key),
            Phase::Authenticating(auth) if auth.is_signing() => {
                self.transport.check_kept()?;
                Ok(waits(Phase::Authenticating(auth)))
            }
            Phase::Authenticating(auth) => self.authenticating(auth),
            Phase::Running(channel) => self.running(channel),
            Phase::Over => Ok(waits(Phase::Over)),
        }
    }

    fn greeting(&mut self, greeting: Box<Greeting>) -> Result<Step, Error> {
        let Some(line) = self.transport.line()? else {
            return Ok(waits(Phase::Greeting(greeting)));
        };
        Ok(moves(match greeting.take(line)? {
            GreetingStep::Same(greeting) => Phase::Greeting(Box::new(greeting)),
            GreetingStep::Next(next) => {
                self.is_identified = true;
                Phase::Negotiating(Box::new(next))
            }
        }))
    }

    fn negotiating(&mut self, step: Box<Negotiating>) -> Result<Step, Error> {
        let Some(packet) = self.transport.next_of(message::KEXINIT)? else {
            return Ok(waits(Phase::Negotiating(step)));
        };
        let next = step.take(packet.payload, &mut self.transport)?;
        Ok(moves(Phase::Agreeing(Box::new(next))))
    }

    fn agreeing(&mut self, step: Box<Agreeing>) -> Result<Step, Error> {
        let Some(packet) = self.transport.next_of(message::KEX_ECDH_REPLY)? else {
            return Ok(waits(Phase::Agreeing(step)));
        };
        let (proved, learnt) = step.take(&packet.payload, &mut self.transport)?;
        self.learnt = Some(learnt);
        self.binding = Some(proved.binding.clone());
        Ok(moves(Phase::Deciding(Box::new(proved))))
    }

    fn switching(&mut self, auth: Box<Auth>, key: OpeningKey) -> Result<Step, Error> {
        if self.transport.next_of(message::NEWKEYS)?.is_none() {
            return Ok(waits(Phase::Switching(auth, key)));
        }
        self.transport.open_with(key);
        self.lengthen_flight();
        Ok(moves(Phase::Authenticating(auth)))
    }

    fn authenticating(&mut self, auth: Box<Auth>) -> Result<Step, Error> {
        let (kind, packet) = match self.transport.next()? {
            None => return Ok(waits(Phase::Authenticating(auth))),
            Some(Sorted::Ignored) => return Ok(moves(Phase::Authenticating(auth))),
            Some(Sorted::Rekey) => return Ok(self.rekeying()),
            Some(Sorted::Message(kind, packet)) => (kind, packet),
        };
        if auth.is_of_first_flight(kind) {
            self.lengthen_flight();
        }
        Ok(match auth.take(kind, &packet, &self.login, &mut self.transport)? {
            Verdict::Open(auth) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.is_hostbound = auth.is_hostbound_known;
                }
                moves(Phase::Authenticating(Box::new(auth)))
            }
            Verdict::Refused => waits(Phase::Over),
            Verdict::Accepted(auth) => {
                self.is_authenticated = true;
                let channel = match auth.channel {
                    Some(channel) => channel,
                    None => Channel::begin(None, 0, &self.command, &mut self.transport)?,
                };
                moves(Phase::Running(Box::new(channel)))
            }
        })
    }

    fn running(&mut self, mut channel: Box<Channel>) -> Result<Step, Error> {
        let (kind, packet) = match self.transport.next()? {
            None => return Ok(waits(Phase::Running(channel))),
            Some(Sorted::Ignored) => return Ok(moves(Phase::Running(channel))),
            Some(Sorted::Rekey) => return Ok(self.rekeying()),
            Some(Sorted::Message(kind, packet)) => (kind, packet),
        };
        match channel.take(kind, &packet, &self.command, &mut self.transport)? {
            Turn::Same => {}
            Turn::Confirmed(number) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.channel = Some(number);
                }
            }
            Turn::Started(granted) => {
                if let Some(learnt) = &mut self.learnt {
                    learnt.window = granted;
                }
            }
            Turn::Over => return Ok(waits(Phase::Over)),
        }
        Ok(moves(Phase::Running(channel)))
    }

    /// What was read so far belongs to the server's first flight.
    fn lengthen_flight(&mut self) {
        if let Some(learnt) = &mut self.learnt {
            learnt.flight.whole = self.transport.taken();
        }
    }

    /// There are no keys but the first ones.
    fn rekeying(&mut self) -> Step {
        self.transport.tell(Event::Rekey);
        waits(Phase::Over)
    }

    /// Sends what waits for the server, as far as it takes it.
    fn flush(&mut self) -> Result<(), Error> {
        if let Phase::Running(channel) = &mut self.phase {
            channel.flush(&mut self.input, &mut self.transport)?;
        }
        if self.transport.is_worn() && !self.is_over() {
            self.phase = Phase::Over;
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
