//! What a process writes, in the order in which the application takes it.

use std::task::{Context, Poll};

use bytes::Bytes;
use rejoin_protocol::{ExitStatus, Incarnation, Item, Seq, Stream};
use tokio::sync::{mpsc, watch};

use crate::event::Replaced;

/// What the process writes, in order.
///
/// If a fresh process takes the place of a lost one, its output follows the old one's in the same stream,
/// with [`Output::Replaced`] exactly between the two.
#[derive(Debug)]
pub struct Outputs {
    receiver: mpsc::UnboundedReceiver<Placed>,
    taken: watch::Sender<Taken>,
    offered: Option<Taken>,
}

/// Something in the output's order, with what taking it acknowledges: nothing for a marker.
pub(crate) type Placed = (Option<Taken>, Output);

/// How far the application has taken the output of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) incarnation: Incarnation,
    pub(crate) next: Seq,
}

/// Something that a process wrote, its end, or the place where another process follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes.
    Data {
        /// The process that wrote them.
        incarnation: Incarnation,
        /// The item's number.
        seq: Seq,
        /// Where the process wrote them.
        stream: Stream,
        /// What it wrote.
        data: Bytes,
    },
    /// Output that was dropped, as the session asked for.
    Gap {
        /// The process that wrote it.
        incarnation: Incarnation,
        /// The first item that was.
        from: Seq,
        /// The first item that was not.
        next: Seq,
    },
    /// The end of a process: it wrote nothing behind this.
    Exit {
        /// The process that ended.
        incarnation: Incarnation,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process is gone, and a fresh one is started in the same session. Everything before this is of
    /// the old process or an earlier one; everything behind it is of the new process or a later one.
    /// The same as [`Event::Replaced`](crate::Event::Replaced), at its place in the output.
    Replaced(Replaced),
}

impl Outputs {
    /// With the driver's ends: where it offers output, and where it sees what was taken.
    pub(crate) fn pair() -> (mpsc::UnboundedSender<Placed>, Self, watch::Receiver<Taken>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (taken, seen) = watch::channel(Taken::default());
        (sender, Self { receiver, taken, offered: None }, seen)
    }

    /// The next output; none once the session is over and everything before was read. Asking for it
    /// says that the one before was taken: it is acknowledged then, and the host forgets it. At most a
    /// window of each process's output waits here while nobody asks; then the process waits.
    ///
    /// Taking output of a process that was replaced since acknowledges nothing to the new one, and
    /// neither does taking the marker between them.
    pub async fn recv(&mut self) -> Option<Output> {
        self.take();
        let (taken, output) = self.receiver.recv().await?;
        self.offered = taken;
        Some(output)
    }

    /// The next output, with what taking it acknowledges.
    pub(crate) fn poll_placed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Placed>> {
        self.receiver.poll_recv(cx)
    }

    /// Says how far the output was taken.
    pub(crate) fn acknowledge(&self, taken: Taken) {
        self.taken.send_replace(taken);
    }

    /// Says that the last output was taken, without asking for the next one.
    pub fn take(&mut self) {
        if let Some(taken) = self.offered.take() {
            self.taken.send_replace(taken);
        }
    }
}

#[cfg(test)]
impl Outputs {
    /// How much was offered and not read.
    pub(crate) fn waiting(&self) -> usize {
        self.receiver.len()
    }
}

pub(crate) fn output_of(incarnation: Incarnation, seq: Seq, item: Item) -> Option<Output> {
    match item {
        Item::Output { stream, data } => Some(Output::Data { incarnation, seq, stream, data }),
        Item::Gap { next } => Some(Output::Gap { incarnation, from: seq, next }),
        Item::Exit(status) => Some(Output::Exit { incarnation, status }),
        _ => None,
    }
}
