//! What a relay's connections share.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;

use super::piece::{Fault, Piece};

pub(super) type CutPlan = Box<dyn FnMut(u64) -> Option<u64> + Send>;
pub(super) type PieceHook = Box<dyn FnMut(&mut Piece) -> Option<Fault> + Send>;

/// The counts of a [`Relay`](super::Relay).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Connections that were accepted, the refused ones included.
    pub connections: u64,
    /// Connections that were closed at once because the relay refuses.
    pub refused: u64,
    /// Connections that the relay has reset.
    pub resets: u64,
    /// Connections whose path the relay has changed.
    pub stranded: u64,
    /// Connections that are over, however they ended.
    pub ended: u64,
    /// Bytes that were passed on, in both directions together.
    pub bytes: u64,
}

/// What a relay's connections share.
pub(super) struct RelayState {
    pub(super) target: SocketAddr,
    pub(super) round_trip: Duration,
    pub(super) counts: watch::Sender<RelayCounts>,
    pub(super) is_silent: watch::Sender<bool>,
    pub(super) is_refusing: watch::Sender<bool>,
    /// Rises with every `cut_all_reset`; a connection is cut when it sees the number change.
    pub(super) cuts: watch::Sender<u64>,
    /// Rises with every `change_path`.
    pub(super) paths: watch::Sender<u64>,
    pub(super) plan: Mutex<CutPlan>,
    pub(super) hook: Mutex<Option<PieceHook>>,
}

impl RelayState {
    pub(super) async fn reach(&self) -> io::Result<TcpStream> {
        // The time of a handshake until the server notices it.
        pause(self.round_trip * 3 / 2).await;
        self.until_not_silent().await;
        TcpStream::connect(self.target).await
    }

    pub(super) async fn until_not_silent(&self) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await;
    }
}

/// Waits, if there is anything to wait for: a timer of no length still costs a millisecond.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
