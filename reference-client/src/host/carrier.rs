//! The task that owns the connection: dials it, carries the streams, and dials it again.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_protocol::mux::MAX_STREAMS;
use rejoin_ssh::{Attempt, Connect, LinkError, LinkErrorKind};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use yamux::ConnectionError;

use super::silence::Silence;
use super::stream::{self, Life};
use super::transport::{self, Carried};
use super::{Waiter, Wish};
use crate::options::Timing;
use crate::timers::Backoff;
use crate::wake::{self, Wake, Woken};

/// How long the last words of the streams may take when the connection is not needed any more.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) struct Carrier {
    connect: Arc<dyn Connect>,
    timing: Timing,
    wishes: mpsc::UnboundedReceiver<Wish>,
    waiting: VecDeque<Waiter>,
    places: Arc<Semaphore>,
    backoff: Backoff,
    /// When the next dial is due that nobody asks for by hand.
    due: Option<Instant>,
    revivals: watch::Sender<u64>,
    woken: Woken,
}

/// Why a phase ended early: nobody has a handle any more.
struct Deserted;

/// Why a connection is not carried any further.
enum Ending {
    /// It ended by itself, and has to be asked why.
    Lost,
    /// It is given up.
    Failed(LinkError),
    Deserted,
}

impl Carrier {
    pub(super) fn new(
        connect: Arc<dyn Connect>,
        timing: Timing,
        wishes: mpsc::UnboundedReceiver<Wish>,
        revivals: watch::Sender<u64>,
    ) -> Self {
        Self {
            connect,
            timing,
            wishes,
            waiting: VecDeque::new(),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            backoff: Backoff::new(),
            due: None,
            revivals,
            woken: wake::watch(),
        }
    }

    /// Runs until nobody has a handle any more.
    pub(super) async fn run(mut self) {
        loop {
            let done = match self.dial_when_due().await {
                Ok(Some(carried)) => self.carry(carried).await,
                Ok(None) => Ok(()),
                Err(Deserted) => Err(Deserted),
            };
            if let Err(Deserted) = done {
                return;
            }
        }
    }

    /// A connection; none if the dial failed, or if nobody waits for it any more.
    async fn dial_when_due(&mut self) -> Result<Option<Carried>, Deserted> {
        while self.waiting.is_empty() {
            tokio::select! {
                wish = self.wishes.recv() => if self.take(wish)? {
                    self.reset();
                },
                _ = self.woken.recv() => self.reset(),
            }
        }
        self.pace().await?;
        let attempt = if self.is_asked_for() { Attempt::First } else { Attempt::Reconnect };
        match self.dial(attempt).await? {
            Some(Ok(carried)) => Ok(Some(carried)),
            Some(Err(error)) => {
                self.failed(attempt, &error);
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Notes a wish, and says whether it is one for haste.
    fn take(&mut self, wish: Option<Wish>) -> Result<bool, Deserted> {
        match wish {
            Some(Wish::Stream(waiter)) => {
                self.waiting.push_back(waiter);
                Ok(false)
            }
            Some(Wish::Hurry) => Ok(true),
            None => Err(Deserted),
        }
    }

    /// Whether somebody who waits is there to be asked.
    fn is_asked_for(&self) -> bool {
        self.waiting.iter().any(|waiter| waiter.attempt == Attempt::First)
    }

    /// Waits until the next dial is due, or asked for.
    async fn pace(&mut self) -> Result<(), Deserted> {
        while let Some(due) = self.due.filter(|_| !self.is_asked_for()) {
            tokio::select! {
                () = sleep_until(due) => self.due = None,
                wish = self.wishes.recv() => if self.take(wish)? {
                    self.reset();
                },
                _ = self.woken.recv() => self.reset(),
            }
        }
        Ok(())
    }

    /// Something changed that makes a dial worthwhile.
    fn reset(&mut self) {
        self.backoff.reset();
        self.due = None;
    }

    /// Dials, once, for everybody who waits and who comes meanwhile. None when they have all gone.
    async fn dial(
        &mut self,
        attempt: Attempt,
    ) -> Result<Option<Result<Carried, LinkError>>, Deserted> {
        let (connect, timing) = (Arc::clone(&self.connect), self.timing);
        let open = || transport::open(Arc::clone(&connect), attempt, timing);
        let mut opening = pin!(open());
        loop {
            tokio::select! {
                opened = &mut opening => return Ok(Some(opened)),
                () = all_gone(&mut self.waiting) => return Ok(None),
                wish = self.wishes.recv() => {
                    self.take(wish)?;
                }
                // A dial from before a sleep leads nowhere; somebody who is being asked still is.
                wake = self.woken.recv() => if wake == Wake::Slept && attempt == Attempt::Reconnect {
                    opening.set(open());
                },
            }
        }
    }

    /// Tells it to everybody who waits, but not to whoever came to be asked and was not.
    fn failed(&mut self, attempt: Attempt, error: &LinkError) {
        tracing::debug!(%error, "the host cannot be reached");
        let is_due_later = error.kind == LinkErrorKind::NeedsUser;
        self.plan(if is_due_later { Some(self.timing.needs_user) } else { None });
        for waiter in std::mem::take(&mut self.waiting) {
            if attempt == Attempt::Reconnect && waiter.attempt == Attempt::First {
                self.waiting.push_back(waiter);
            } else {
                let _ = waiter.reply.send(Err(error.clone()));
            }
        }
    }

    fn plan(&mut self, delay: Option<Duration>) {
        let delay = delay.unwrap_or_else(|| self.backoff.next_delay(&self.timing));
        self.due = Some(Instant::now() + delay);
        if !delay.is_zero() {
            self.connect.prepare();
        }
    }

    /// Carries streams until the connection ends.
    async fn carry(&mut self, mut carried: Carried) -> Result<(), Deserted> {
        self.backoff.attached();
        self.due = None;
        self.revivals.send_modify(|count| *count += 1);
        let ending = self.serve(&mut carried).await;
        let Carried { mut connection, guard, life, .. } = carried;
        if let Ending::Deserted = ending {
            let _ = timeout(FAREWELL, poll_fn(|cx| connection.poll_close(cx))).await;
            drop(connection);
            guard.post_mortem().await;
            return Err(Deserted);
        }
        life.send_replace(Life::Ending);
        drop(connection);
        let error = match ending {
            Ending::Failed(error) => error,
            Ending::Lost | Ending::Deserted => guard.post_mortem().await,
        };
        tracing::debug!(%error, "the connection has ended");
        life.send_replace(Life::Ended(error));
        self.plan(None);
        Ok(())
    }

    async fn serve(&mut self, carried: &mut Carried) -> Ending {
        let mut silence = Silence::new(carried.heard.clone(), self.timing);
        let places = Arc::clone(&self.places);
        let is_used = || places.available_permits() < MAX_STREAMS;
        loop {
            let was_used = is_used();
            tokio::select! {
                error = poll_fn(|cx| poll(carried, &mut self.waiting, &places, cx)) => {
                    return carried.ending(error);
                }
                wish = self.wishes.recv() => match self.take(wish) {
                    Ok(_) if !was_used => silence.begin(),
                    Ok(_) => {}
                    Err(Deserted) => return Ending::Deserted,
                },
                // The sessions ask for a sign of life themselves.
                _ = self.woken.recv() => silence.suspect(),
                () = silence.too_long(is_used) => return Ending::Failed(silent()),
            }
            if carried.heard.is_any() {
                self.backoff.progressed();
            }
        }
    }
}

impl Carried {
    /// A link that ended knows more than yamux does of why.
    fn ending(&self, error: Option<ConnectionError>) -> Ending {
        match (&*self.life.borrow(), error) {
            (Life::Alive, Some(error)) => Ending::Failed(no_streams(&error)),
            _ => Ending::Lost,
        }
    }
}

/// Moves bytes, and gives streams to those who wait. Ready when the connection has ended.
fn poll(
    carried: &mut Carried,
    waiting: &mut VecDeque<Waiter>,
    places: &Arc<Semaphore>,
    cx: &mut Context<'_>,
) -> Poll<Option<ConnectionError>> {
    loop {
        match carried.connection.poll_next_inbound(cx) {
            // A host opens none: it is reset.
            Poll::Ready(Some(Ok(_))) => continue,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        let Some(waiter) = waiting.pop_front() else { return Poll::Pending };
        if waiter.reply.is_closed() {
            continue;
        }
        let Ok(place) = Arc::clone(places).try_acquire_owned() else {
            let _ = waiter.reply.send(Err(too_many()));
            continue;
        };
        match carried.connection.poll_new_outbound(cx) {
            Poll::Ready(Ok(stream)) => {
                let Waiter { reply, host, .. } = waiter;
                let link = stream::link(stream, (place, host), carried.life.subscribe(), cx);
                let _ = reply.send(Ok(link));
            }
            Poll::Ready(Err(error)) => {
                waiting.push_front(waiter);
                return Poll::Ready(Some(error));
            }
            // The host has to answer to earlier ones first.
            Poll::Pending => {
                waiting.push_front(waiter);
                return Poll::Pending;
            }
        }
    }
}

/// Waits until nobody waits any more.
async fn all_gone(waiting: &mut VecDeque<Waiter>) {
    poll_fn(|cx| {
        waiting.retain_mut(|waiter| waiter.reply.poll_closed(cx).is_pending());
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn silent() -> LinkError {
    LinkError::new(LinkErrorKind::Unreachable, "nothing was heard from the host for too long")
}

fn no_streams(error: &ConnectionError) -> LinkError {
    let message = format!("the host does not carry streams as it should: {error}");
    LinkError::new(LinkErrorKind::Other, message)
}

fn too_many() -> LinkError {
    let message = format!("this connection has {MAX_STREAMS} sessions already, and takes no more");
    LinkError::new(LinkErrorKind::Other, message)
}
