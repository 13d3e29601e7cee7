//! The channels between an application's handles and the driver of its session.

use bytes::Bytes;
use rejoin_protocol::Item;
use tokio::sync::{mpsc, watch};

use crate::event::Event;
use crate::output::{Placed, Taken};
use crate::state::SessionState;

/// The driver's ends.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) input: mpsc::Receiver<InputItem>,
    pub(crate) control: mpsc::UnboundedReceiver<Command>,
    pub(crate) output: mpsc::UnboundedSender<Placed>,
    pub(crate) event: mpsc::UnboundedSender<Event>,
    pub(crate) taken: watch::Receiver<Taken>,
    pub(crate) state: watch::Sender<Option<SessionState>>,
    /// The event that ended the session.
    pub(crate) end: watch::Sender<Option<Event>>,
}

/// Input of the application.
#[derive(Debug)]
pub(crate) enum InputItem {
    Data(Bytes),
    End,
}

/// What else an application asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Item(Item),
    Retry { may_ask: bool },
    Detach,
    Close,
}
