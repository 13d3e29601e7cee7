//! A session as an application holds it.

use std::sync::Arc;

use bytes::Bytes;
use rejoin_protocol::client::{Client, Config};
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::{ProcessSpec, SpecError};
use rejoin_protocol::{
    ExitStatus, Holder, Incarnation, Item, Seq, Signal, Stream, Tenure, WindowSize,
};
use rejoin_ssh::Connect;
use tokio::sync::{mpsc, watch};

use crate::driver::{self, Ports};
use crate::event::Event;
use crate::options::Options;
use crate::state::SessionState;

/// A remote process that outlives its connection.
///
/// Dropping `output` leaves the process running on its host, as [`Control::detach`] does.
#[derive(Debug)]
pub struct Session {
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
    /// Starts a process. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`SpecError`] if the command line and the environment are too long.
    pub fn open(
        connect: Arc<dyn Connect>,
        spec: &ProcessSpec,
        options: Options,
    ) -> Result<Self, SpecError> {
        let config = options.config(Some(spec))?;
        let client = Client::open(&config);
        Ok(Self::start(connect, config, client, options))
    }

    /// Claims a session of another client, or of this one before its restart. With a `spec`, a
    /// lost process can be replaced.
    ///
    /// # Errors
    /// [`SpecError`] if the command line and the environment are too long.
    pub fn claim(
        connect: Arc<dyn Connect>,
        target: Target,
        spec: Option<&ProcessSpec>,
        options: Options,
    ) -> Result<Self, SpecError> {
        let config = options.config(spec)?;
        let client = Client::claim(&config, target.expected, target.from);
        Ok(Self::start(connect, config, client, options))
    }

    /// Goes on after a restart of the application, where `state` says. With a `spec`, a lost
    /// process can be replaced.
    ///
    /// # Errors
    /// [`SpecError`] if the command line and the environment are too long.
    pub fn resume(
        connect: Arc<dyn Connect>,
        state: &SessionState,
        spec: Option<&ProcessSpec>,
        mut options: Options,
    ) -> Result<Self, SpecError> {
        options.session = state.session;
        let config = options.config(spec)?;
        let mut client = Client::claim(&config, state.holder(), From::Seq(state.next_output));
        if let Some(host) = state.host {
            client = client.with_host(host);
        }
        Ok(Self::start(connect, config, client, options))
    }

    /// Ends a session's process and has its host forget it, whoever holds it; with a tenure lower
    /// than the session's it is refused.
    pub fn kill(
        connect: Arc<dyn Connect>,
        incarnation: Incarnation,
        tenure: Tenure,
        options: Options,
    ) -> Result<Self, SpecError> {
        let config = options.config(None)?;
        let client = Client::close(&config, incarnation, tenure);
        Ok(Self::start(connect, config, client, options))
    }

    fn start(connect: Arc<dyn Connect>, config: Config, client: Client, options: Options) -> Self {
        let (input_sender, input) = mpsc::channel(8);
        let (control_sender, control) = mpsc::unbounded_channel();
        let (output, output_receiver) = mpsc::unbounded_channel();
        let (event, event_receiver) = mpsc::unbounded_channel();
        let (taken_sender, taken) = watch::channel(Taken::default());
        let (state, state_receiver) = watch::channel(None);
        let ports = Ports { input, control, output, event, taken, state };
        tokio::spawn(driver::run(connect, config, client, options, ports));
        Self {
            input: Input { sender: input_sender },
            output: Outputs { receiver: output_receiver, taken: taken_sender, offered: None },
            events: Events { receiver: event_receiver },
            control: Control { sender: control_sender, state: state_receiver },
        }
    }
}

/// What the process reads. What is sent while there is no connection is kept, up to the window.
#[derive(Debug)]
pub struct Input {
    sender: mpsc::Sender<InputItem>,
}

#[derive(Debug)]
pub(crate) enum InputItem {
    Data(Bytes),
    End,
}

impl Input {
    /// Sends bytes, and waits for room where the window is full.
    ///
    /// # Errors
    /// [`Ended`] when nothing will read them any more.
    pub async fn send(&mut self, data: Bytes) -> Result<(), Ended> {
        self.sender.send(InputItem::Data(data)).await.map_err(|_| Ended)
    }

    /// Tells the process that no more comes.
    ///
    /// # Errors
    /// [`Ended`] when nothing reads any more.
    pub async fn end(&mut self) -> Result<(), Ended> {
        self.sender.send(InputItem::End).await.map_err(|_| Ended)
    }
}

/// What the process writes, in order.
#[derive(Debug)]
pub struct Outputs {
    receiver: mpsc::UnboundedReceiver<(Taken, Output)>,
    taken: watch::Sender<Taken>,
    offered: Option<Taken>,
}

/// How far the application has taken the output of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) incarnation: Incarnation,
    pub(crate) next: Seq,
}

/// Something that a process wrote, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes.
    Data {
        /// The item's number.
        seq: Seq,
        /// Where the process wrote them.
        stream: Stream,
        /// What it wrote.
        data: Bytes,
    },
    /// Output that was dropped, as the session asked for.
    Gap {
        /// The first item that was.
        from: Seq,
        /// The first item that was not.
        next: Seq,
    },
    /// How the process ended.
    Exit(ExitStatus),
}

impl Outputs {
    /// The next output; none once the session is over. Asking for it says that the one before was
    /// taken: it is acknowledged then, and the host forgets it. At most a window of output waits
    /// here while nobody asks; then the process waits.
    pub async fn recv(&mut self) -> Option<Output> {
        self.take();
        let (taken, output) = self.receiver.recv().await?;
        self.offered = Some(taken);
        Some(output)
    }

    /// Says that the last output was taken, without asking for the next one.
    pub fn take(&mut self) {
        if let Some(taken) = self.offered.take() {
            self.taken.send_replace(taken);
        }
    }
}

pub(crate) fn output_of(seq: Seq, item: Item) -> Option<Output> {
    match item {
        Item::Output { stream, data } => Some(Output::Data { seq, stream, data }),
        Item::Gap { next } => Some(Output::Gap { from: seq, next }),
        Item::Exit(status) => Some(Output::Exit(status)),
        _ => None,
    }
}

/// What happens to a session.
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
}

#[derive(Debug)]
pub(crate) enum Command {
    Item(Item),
    Retry { may_ask: bool },
    Detach,
    Close,
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

    /// To a session that is over, nothing more can be done.
    fn send(&self, command: Command) {
        let _ = self.sender.send(command);
    }
}
