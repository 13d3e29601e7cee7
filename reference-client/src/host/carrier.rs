//! The task that owns the connection: carries its streams, and moves them to another one.
//!
//! When a connection is dialled, and which one is used, is the [path driver](crate::paths)'s part.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_protocol::Link as Name;
use rejoin_protocol::mux::MAX_STREAMS;
use rejoin_protocol::paths::Story;
use rejoin_ssh::{Attempt, BoxFuture, Connect, LinkError, LinkErrorKind};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use yamux::ConnectionError;

use super::stream::{self, Life};
use super::transport::{self, Carried, Report};
use super::{HostOptions, Told, Waiter, Wish};
use crate::link::Way;
use crate::options::Timing;
use crate::paths::{self, News, Old, PathDriver, PathOptions};

/// How long the last words of the streams may take when the connection is not needed any more.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a connection that was replaced is still carried, while the sessions move.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) struct Carrier {
    paths: PathDriver<Dials>,
    reports: mpsc::UnboundedReceiver<(Name, Report)>,
    wishes: mpsc::UnboundedReceiver<Wish>,
    waiting: VecDeque<Waiter>,
    places: Arc<Semaphore>,
    /// The connection that is used: there, or on its way.
    used: Option<Dial>,
    /// One that was replaced, and until when it is carried.
    draining: Option<(Carried, Instant)>,
    told: Told,
}

/// Opens connections.
struct Dials {
    connect: Arc<dyn Connect>,
    reports: mpsc::UnboundedSender<(Name, Report)>,
}

/// A connection that is there or being opened.
struct Dial {
    name: Name,
    is_asking: bool,
    task: AbortHandle,
    carried: Option<Carried>,
}

/// What ends the task: nobody has a handle any more.
struct Deserted;

impl paths::Carrier for Dials {
    type Link = Dial;

    fn open(&mut self, name: Name, way: Way) -> Dial {
        let (connect, reports) = (Arc::clone(&self.connect), self.reports.clone());
        let task = tokio::spawn(async move {
            transport::open(&*connect, way, |report| {
                let _ = reports.send((name, report));
            })
            .await;
        });
        let is_asking = way.attempt() == Attempt::First;
        Dial { name, is_asking, task: task.abort_handle(), carried: None }
    }

    fn close(dial: Dial) -> BoxFuture<'static, ()> {
        Box::pin(dial.end(None))
    }
}

impl Dial {
    /// Ends the connection. Its streams are told why, or what is known of it.
    async fn end(self, error: Option<LinkError>) {
        self.task.abort();
        if let Some(carried) = self.carried {
            carried.end(error).await;
        }
    }
}

impl Carrier {
    pub(super) fn new(
        connect: Arc<dyn Connect>,
        options: &HostOptions,
        wishes: mpsc::UnboundedReceiver<Wish>,
        told: Told,
    ) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let dials = Dials { connect: Arc::clone(&connect), reports: sender };
        let HostOptions { timing, lane, standby } = *options;
        // Each session decides for itself what a first failure means, and when to give up.
        let timing = Timing { give_up: None, ..timing };
        let options = PathOptions { timing, lane, standby, spread: 0 };
        let mut paths = PathDriver::new(connect, dials, &options);
        paths.asked();
        paths.expecting(false);
        Self {
            paths,
            reports,
            wishes,
            waiting: VecDeque::new(),
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            used: None,
            draining: None,
            told,
        }
    }

    /// Runs until nobody has a handle any more.
    pub(super) async fn run(mut self) {
        while let Ok(()) = self.turn().await {
            self.act();
        }
        self.paths.stop();
        if let Some(Dial { carried: Some(mut carried), task, .. }) = self.used.take() {
            let _ = timeout(FAREWELL, poll_fn(|cx| carried.connection.poll_close(cx))).await;
            task.abort();
            drop(carried.connection);
            carried.guard.post_mortem().await;
        }
    }

    async fn turn(&mut self) -> Result<(), Deserted> {
        let Self { paths, reports, wishes, waiting, places, used, draining, .. } = self;
        let used = used.as_mut().and_then(|dial| dial.carried.as_mut());
        tokio::select! {
            brought = carry(used, waiting, places) => self.brought(brought),
            () = drained(draining) => self.end_drain(),
            wish = wishes.recv() => self.wish(wish)?,
            Some((name, report)) = reports.recv() => self.reported(name, report),
            happened = paths.next() => paths.handle(happened),
        }
        Ok(())
    }

    fn wish(&mut self, wish: Option<Wish>) -> Result<(), Deserted> {
        match wish {
            Some(Wish::Stream(waiter)) => {
                let may_ask = waiter.attempt == Attempt::First;
                self.waiting.push_back(waiter);
                self.paths.wanted(may_ask);
                if may_ask && !self.paths.machine().is_under_way() {
                    self.paths.retry(true);
                }
            }
            Some(Wish::Hurry) => self.paths.retry(false),
            None => return Err(Deserted),
        }
        Ok(())
    }

    fn reported(&mut self, name: Name, report: Report) {
        match report {
            Report::Opened => self.paths.opened(name),
            Report::Begun => self.paths.begun(name),
            Report::Ready(carried) => {
                let used = self.used.as_mut().filter(|dial| dial.name == name);
                let is_used = used.is_some();
                let Some(dial) = used.or_else(|| self.paths.beside(name)) else { return };
                dial.carried = Some(*carried);
                self.paths.greeted(name);
                if is_used {
                    self.attached();
                }
            }
            Report::Failed(error) => self.failed(name, &error),
        }
    }

    /// A dial has failed, or what stood by has ended.
    fn failed(&mut self, name: Name, error: &LinkError) {
        tracing::debug!(%error, "the host cannot be reached");
        let used = self.used.take_if(|dial| dial.name == name);
        let dial = used.as_ref().or_else(|| self.paths.beside(name).map(|dial| &*dial));
        let was_asking = dial.is_some_and(|dial| dial.is_asking);
        self.paths.ended(name, error);
        if used.is_some() && !self.waiting.is_empty() {
            self.paths.wanted(false);
        }
        if !self.paths.machine().is_under_way() {
            self.refuse(error, was_asking);
        }
    }

    /// Tells it to everybody who waits, but not to whoever came to be asked and was not.
    fn refuse(&mut self, error: &LinkError, was_asking: bool) {
        for waiter in std::mem::take(&mut self.waiting) {
            if !was_asking && waiter.attempt == Attempt::First {
                self.waiting.push_back(waiter);
            } else {
                let _ = waiter.reply.send(Err(error.clone()));
            }
        }
        if self.waiting.is_empty() {
            self.paths.unwanted();
        } else {
            self.paths.retry(true);
        }
    }

    fn act(&mut self) {
        self.paths.expecting(self.places.available_permits() < MAX_STREAMS);
        while let Some(news) = self.paths.news() {
            self.news(news);
        }
    }

    fn news(&mut self, news: News<Dial>) {
        match news {
            News::Use(dial) => {
                let is_there = dial.carried.is_some();
                self.used = Some(dial);
                if is_there {
                    self.attached();
                }
            }
            News::Replace(dial, old) => self.replace(dial, old),
            News::Lost(old) => self.lose(old),
            News::Dropped if self.used.is_none() && !self.paths.machine().is_under_way() => {
                self.refuse(&silent(), false);
            }
            // Which sessions want them is not known here.
            News::TellForward(_)
            | News::Tell(Story::Waiting | Story::Needs(_) | Story::Ends)
            // The sessions ask for a sign of life themselves.
            | News::Ask
            | News::Dropped
            | News::Dialling
            | News::GiveUp(_) => {}
        }
    }

    /// The connection is there: whoever waits gets a stream, and whoever plans an attempt hears of it.
    fn attached(&mut self) {
        self.paths.attached();
        self.told.revivals.send_modify(|count| *count += 1);
    }

    /// The sessions open streams on the new connection, and leave the old one.
    fn replace(&mut self, dial: Dial, old: Old) {
        let before = self.used.replace(dial);
        self.end_drain();
        match before {
            Some(Dial { carried: Some(carried), .. }) => {
                self.draining = Some((carried, Instant::now() + DRAIN));
            }
            Some(before) => drop(tokio::spawn(before.end(None))),
            None => {}
        }
        self.paths.closing(old, Box::pin(std::future::ready(())));
        self.attached();
        self.told.renewals.send_modify(|count| *count += 1);
    }

    fn end_drain(&mut self) {
        if let Some((carried, _)) = self.draining.take() {
            tokio::spawn(carried.end(Some(silent())));
        }
    }

    fn lose(&mut self, old: Old) {
        let Some(dial) = self.used.take() else { return };
        let was_asking = dial.is_asking;
        self.paths.closing(old, Box::pin(dial.end(Some(silent()))));
        if !self.waiting.is_empty() {
            self.paths.wanted(false);
            self.refuse(&silent(), was_asking);
        }
    }

    /// The sessions ask for signs of life themselves: whatever comes may be one.
    fn brought(&mut self, brought: Brought) {
        match brought {
            Brought::End(error) => self.ended(error),
            Brought::Nobody => self.paths.unwanted(),
            Brought::Something => {
                self.paths.heard();
                self.paths.answered();
                self.paths.progressed();
            }
        }
    }

    /// The connection has ended by itself.
    fn ended(&mut self, error: Option<ConnectionError>) {
        let Some(dial) = self.used.take() else { return };
        let Some(carried) = &dial.carried else { return };
        let error = match (&*carried.life.borrow(), error) {
            (Life::Alive, Some(error)) => Some(no_streams(&error)),
            _ => None,
        };
        self.paths.ended(dial.name, &error.clone().unwrap_or_else(lost));
        tokio::spawn(dial.end(error));
        if !self.waiting.is_empty() {
            self.paths.wanted(false);
        }
    }
}

impl Carried {
    /// Ends the connection, and tells its streams why. A link that ended knows more of that than yamux does.
    async fn end(self, error: Option<LinkError>) {
        let Self { connection, guard, life, .. } = self;
        life.send_replace(Life::Ending);
        drop(connection);
        let error = match error {
            Some(error) => error,
            None => guard.post_mortem().await,
        };
        tracing::debug!(%error, "the connection has ended");
        life.send_replace(Life::Ended(error));
    }
}

/// What the connection that is used brought.
enum Brought {
    /// Anything.
    Something,
    /// Its end.
    End(Option<ConnectionError>),
    /// There is none yet, and nobody waits for it any more.
    Nobody,
}

/// Carries the connection that is used, and gives streams to those who wait.
async fn carry(
    mut used: Option<&mut Carried>,
    waiting: &mut VecDeque<Waiter>,
    places: &Arc<Semaphore>,
) -> Brought {
    let is_waited_for = !waiting.is_empty();
    poll_fn(|cx| match &mut used {
        Some(carried) => match poll(carried, waiting, places, cx) {
            Poll::Ready(error) => Poll::Ready(Brought::End(error)),
            Poll::Pending if carried.heard.take() => Poll::Ready(Brought::Something),
            Poll::Pending => Poll::Pending,
        },
        None if is_waited_for && are_all_gone(waiting, cx) => Poll::Ready(Brought::Nobody),
        None => Poll::Pending,
    })
    .await
}

/// Carries a connection that was replaced, for as long as it may take the sessions to move.
async fn drained(draining: &mut Option<(Carried, Instant)>) {
    let Some((carried, end)) = draining else { return std::future::pending().await };
    let carry = poll_fn(|cx| {
        loop {
            match carried.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    let _ = timeout_at(*end, carry).await;
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

fn are_all_gone(waiting: &mut VecDeque<Waiter>, cx: &mut Context<'_>) -> bool {
    waiting.retain_mut(|waiter| waiter.reply.poll_closed(cx).is_pending());
    waiting.is_empty()
}

fn silent() -> LinkError {
    LinkError::new(LinkErrorKind::Unreachable, "nothing was heard from the host for too long")
}

fn lost() -> LinkError {
    LinkError::new(LinkErrorKind::Closed, "the connection was lost")
}

fn no_streams(error: &ConnectionError) -> LinkError {
    let message = format!("the host does not carry streams as it should: {error}");
    LinkError::new(LinkErrorKind::Other, message)
}

fn too_many() -> LinkError {
    let message = format!("this connection has {MAX_STREAMS} sessions already, and takes no more");
    LinkError::new(LinkErrorKind::Other, message)
}
