//! A session as an application holds it.

use std::sync::Arc;

use bytes::Bytes;
use rejoin_protocol::client::{Client, Config};
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Holder, Incarnation, Item, SessionId, Signal, Tenure, WindowSize};
use rejoin_ssh::Connect;
use tokio::sync::{mpsc, watch};

use crate::driver;
use crate::event::Event;
use crate::options::{OpenError, Options};
use crate::output::Outputs;
use crate::ports::{Command, InputItem, Ports};
use crate::state::SessionState;

/// A remote process that outlives its connection.
///
/// Dropping `output` leaves the process running on its host, as [`Control::detach`] does.
///
/// # Order
/// `output` is one ordered stream: what a process wrote, its gaps, its end, and, between two processes,
/// [`Output::Replaced`](crate::Output::Replaced). Its end (`None`) comes behind everything else.
///
/// `events` report each change as soon as it happens, also while nobody reads `output`. They are in
/// order among themselves, and have no place in the order of `output`: an event may arrive before output
/// that is older, and behind output that is newer. To learn which process wrote a piece of output, read
/// its incarnation, or use the marker; do not use the events.
#[derive(Debug)]
pub struct Session {
    pub(crate) id: SessionId,
    /// What the process reads.
    pub input: Input,
    /// What it writes.
    pub output: Outputs,
    /// What happens to it.
    pub events: Events,
    /// What else can be done.
    pub control: Control,
}

/// Which session to claim.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The holder that the user saw; none asks who it is.
    pub expected: Option<Holder>,
    /// Where the output starts.
    pub from: From,
}

/// The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the session is over")
    }
}

impl std::error::Error for Ended {}

impl Session {
    /// Starts a process in the session `id`. Must be called within a tokio runtime.
    ///
    /// For a new session, take [`new_session_id`](crate::new_session_id). The host starts a process once
    /// for each id: an application that does not know whether an earlier call got through can repeat it
    /// with the same id.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn open(
        connect: Arc<dyn Connect>,
        id: SessionId,
        spec: &ProcessSpec,
        options: Options,
    ) -> Result<Self, OpenError> {
        let config = options.config(id, Some(spec))?;
        let client = Client::open(&config);
        Ok(Self::start(connect, config, client, options))
    }

    /// Claims the session `id`, which another client started, or this one before its restart. With a
    /// `spec`, a lost process can be replaced. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn claim(
        connect: Arc<dyn Connect>,
        id: SessionId,
        target: Target,
        spec: Option<&ProcessSpec>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let config = options.config(id, spec)?;
        let client = Client::claim(&config, target.expected, target.from);
        Ok(Self::start(connect, config, client, options))
    }

    /// Continues after a restart of the application, from the position in `state`. With a `spec`, a
    /// lost process can be replaced. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn resume(
        connect: Arc<dyn Connect>,
        state: &SessionState,
        spec: Option<&ProcessSpec>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let config = options.config(state.session, spec)?;
        let mut client = Client::claim(&config, state.holder(), From::Seq(state.next_output));
        if let Some(host) = state.host {
            client = client.with_host(host);
        }
        Ok(Self::start(connect, config, client, options))
    }

    /// Ends the process of the session `id` and has its host forget the session, whoever holds it. The
    /// host refuses a tenure that is lower than the session's. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn kill(
        connect: Arc<dyn Connect>,
        id: SessionId,
        incarnation: Incarnation,
        tenure: Tenure,
        options: Options,
    ) -> Result<Self, OpenError> {
        let config = options.config(id, None)?;
        let client = Client::close(&config, incarnation, tenure);
        Ok(Self::start(connect, config, client, options))
    }

    /// The session's id: with it, [`claim`](Self::claim) comes back to the session.
    pub fn id(&self) -> SessionId {
        self.id
    }

    fn start(connect: Arc<dyn Connect>, config: Config, client: Client, options: Options) -> Self {
        let (input_sender, input) = mpsc::channel(8);
        let (control_sender, control) = mpsc::unbounded_channel();
        let (output, outputs, taken) = Outputs::pair();
        let (event, event_receiver) = mpsc::unbounded_channel();
        let (state, state_receiver) = watch::channel(None);
        let (end, end_receiver) = watch::channel(None);
        let ports = Ports { input, control, output, event, taken, state, end };
        let id = config.session;
        tokio::spawn(driver::run(connect, config, client, options, ports));
        Self {
            id,
            input: Input { sender: input_sender },
            output: outputs,
            events: Events { receiver: event_receiver },
            control: Control { sender: control_sender, state: state_receiver, end: end_receiver },
        }
    }
}

/// What the process reads. What is sent while there is no connection is kept, up to the window.
#[derive(Debug)]
pub struct Input {
    sender: mpsc::Sender<InputItem>,
}

impl Input {
    /// Sends bytes, and waits for room where the window is full.
    ///
    /// # Errors
    /// [`Ended`] when nothing will read them any more.
    pub async fn send(&mut self, data: Bytes) -> Result<(), Ended> {
        self.sender.send(InputItem::Data(data)).await.map_err(|_| Ended)
    }

    pub(crate) fn into_sender(self) -> mpsc::Sender<InputItem> {
        self.sender
    }

    /// Tells the process that no more comes.
    ///
    /// # Errors
    /// [`Ended`] when nothing reads any more.
    pub async fn end(&mut self) -> Result<(), Ended> {
        self.sender.send(InputItem::End).await.map_err(|_| Ended)
    }
}

#[cfg(test)]
impl Control {
    /// Nothing can be done with it.
    pub(crate) fn without_session() -> Self {
        let (state, end) = (watch::channel(None).1, watch::channel(None).1);
        Self { sender: mpsc::unbounded_channel().0, state, end }
    }
}

/// What happens to a session, as soon as it happens. Events may overtake output that was not read yet;
/// what has a place among the output stands there, too ([`Output`](crate::Output)).
#[derive(Debug)]
pub struct Events {
    receiver: mpsc::UnboundedReceiver<Event>,
}

impl Events {
    /// The next event; none once the session is over.
    pub async fn recv(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

/// What can be done with a session beside reading and writing.
#[derive(Clone, Debug)]
pub struct Control {
    sender: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<Option<SessionState>>,
    end: watch::Receiver<Option<Event>>,
}

impl Control {
    /// Tells the terminal's size. The size that it has already asks the program to redraw.
    pub fn resize(&self, size: WindowSize) {
        self.send(Command::Item(Item::Resize(size)));
    }

    /// Sends a signal to the process: its foreground group where it has a terminal. It overtakes
    /// input that the process has not read.
    pub fn signal(&self, signal: Signal) {
        self.send(Command::Item(Item::Signal(signal)));
    }

    /// Reconnects now instead of later. With `may_ask`, a person may be asked for a password.
    pub fn retry_now(&self, may_ask: bool) {
        self.send(Command::Retry { may_ask });
    }

    /// Leaves the process running and ends this client.
    pub fn detach(&self) {
        self.send(Command::Detach);
    }

    /// Ends the process and has its host forget the session.
    pub fn close(&self) {
        self.send(Command::Close);
    }

    /// Where the application stands, once it was attached.
    pub fn state(&self) -> Option<SessionState> {
        *self.state.borrow()
    }

    /// The event that ended the session for this client, once it has ended. None for one that
    /// [`detach`](Self::detach) ended.
    pub fn end(&self) -> Option<Event> {
        self.end.borrow().clone()
    }

    /// To a session that is over, nothing more can be done.
    fn send(&self, command: Command) {
        let _ = self.sender.send(command);
    }
}
