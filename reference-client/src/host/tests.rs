//! What the carrier makes of things that no test can cause from outside at the right moment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;
use std::time::Duration;

use rejoin_protocol::mux::{CLIENT_MAGIC, HOST_MAGIC};
use rejoin_ssh::{MemoryConnect, MemoryListener, memory};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;

/// Links in memory, with a note of who asked for them.
struct Noted {
    connect: MemoryConnect,
    attempts: Arc<Mutex<Vec<Attempt>>>,
}

impl Connect for Noted {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        self.attempts.lock().unwrap().push(attempt);
        self.connect.connect(attempt)
    }

    fn destination(&self) -> String {
        self.connect.destination()
    }
}

fn stage() -> (Host, MemoryListener, Arc<Mutex<Vec<Attempt>>>) {
    stage_with(Timing::default())
}

fn stage_with(timing: Timing) -> (Host, MemoryListener, Arc<Mutex<Vec<Attempt>>>) {
    let (connect, listener) = memory();
    let attempts: Arc<Mutex<Vec<Attempt>>> = Arc::default();
    let noted = Noted { connect, attempts: Arc::clone(&attempts) };
    (
        Host::with_options(Arc::new(noted), HostOptions { timing, ..HostOptions::default() }),
        listener,
        attempts,
    )
}

/// A host that answers, for as long as what comes back is kept.
async fn answer(listener: &mut MemoryListener) -> impl Sized {
    let (mut reader, mut writer, guard) = listener.accept().await.unwrap().into_parts();
    writer.write_all(&HOST_MAGIC).await.unwrap();
    let mut magic = [0; CLIENT_MAGIC.len()];
    reader.read_exact(&mut magic).await.unwrap();
    assert_eq!(magic, CLIENT_MAGIC);
    (reader, writer, guard)
}

#[tokio::test]
async fn everybody_who_asks_meanwhile_waits_for_the_same_dial() {
    let (host, mut listener, attempts) = stage();
    let (first, second, third, _far) = tokio::join!(
        host.connect(Attempt::Reconnect),
        host.connect(Attempt::Reconnect),
        host.connect(Attempt::Reconnect),
        answer(&mut listener),
    );
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(*attempts.lock().unwrap(), [Attempt::Reconnect]);
}

#[tokio::test]
async fn a_dial_that_fails_fails_for_all_but_those_who_came_to_be_asked() {
    let (host, mut listener, attempts) = stage();
    let (unasked, asked, _far) =
        tokio::join!(host.connect(Attempt::Reconnect), host.connect(Attempt::First), async {
            drop(listener.accept().await.unwrap());
            answer(&mut listener).await
        },);
    assert_eq!(unasked.unwrap_err().kind, LinkErrorKind::Closed);
    assert!(asked.is_ok());
    assert_eq!(*attempts.lock().unwrap(), [Attempt::Reconnect, Attempt::First]);
}

#[tokio::test]
async fn a_dial_that_nobody_waits_for_any_more_ends_its_login_and_is_there_for_the_next() {
    let (host, mut listener, attempts) = stage();
    let far = tokio::select! {
        _ = host.connect(Attempt::Reconnect) => panic!("nobody has answered"),
        far = listener.accept() => far.unwrap(),
    };
    let (mut reader, mut writer, _guard) = far.into_parts();
    writer.write_all(&HOST_MAGIC).await.unwrap();
    let mut magic = [0; CLIENT_MAGIC.len()];
    reader.read_exact(&mut magic).await.unwrap();
    assert!(host.connect(Attempt::Reconnect).await.is_ok());
    assert_eq!(*attempts.lock().unwrap(), [Attempt::Reconnect]);
}

#[tokio::test]
async fn whoever_plans_an_attempt_hears_of_the_next_connection_and_of_no_earlier_one() {
    let (host, mut listener, _) = stage();
    let (link, far) = tokio::join!(host.connect(Attempt::Reconnect), answer(&mut listener));
    let mut revived = host.revived();
    tokio::select! {
        biased;
        () = &mut revived => panic!("that connection was there before"),
        () = std::future::ready(()) => {}
    }
    let (reader, writer, guard) = link.unwrap().into_parts();
    drop((reader, writer, far));
    guard.post_mortem().await;
    let (_link, _far) = tokio::join!(host.connect(Attempt::Reconnect), answer(&mut listener));
    revived.await;
}

/// A host whose next dial is due in an hour, or nearly.
async fn hopeless() -> (Host, MemoryListener) {
    let hour = Duration::from_hours(1);
    let timing = Timing { backoff_start: hour, backoff_cap: hour, ..Timing::default() };
    let (host, mut listener, _) = stage_with(timing);
    let (link, ()) = tokio::join!(host.connect(Attempt::Reconnect), async {
        drop(listener.accept().await.unwrap());
    });
    assert!(link.is_err());
    (host, listener)
}

#[tokio::test]
async fn who_is_in_a_hurry_does_not_wait_until_a_dial_is_due() {
    let (host, mut listener) = hopeless().await;
    host.retry_now();
    let (link, _far) = tokio::join!(host.connect(Attempt::Reconnect), answer(&mut listener));
    assert!(link.is_ok());
}

#[tokio::test]
async fn those_who_wait_until_a_dial_is_due_are_helped_by_one_who_is_in_a_hurry() {
    let (host, mut listener) = hopeless().await;
    let (link, _far) = tokio::join!(host.connect(Attempt::Reconnect), async {
        host.retry_now();
        answer(&mut listener).await
    });
    assert!(link.is_ok());
}

#[tokio::test]
async fn who_is_there_to_be_asked_does_not_wait_until_a_dial_is_due() {
    let (host, mut listener) = hopeless().await;
    let (link, _far) = tokio::join!(host.connect(Attempt::First), answer(&mut listener));
    assert!(link.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_host_is_dialled_for_as_long_as_a_session_asks_for_it() {
    let timing = Timing { give_up: Some(Duration::ZERO), ..Timing::default() };
    let (host, mut listener, _) = stage_with(timing);
    for _ in 0..3 {
        let dial = async { drop(listener.accept().await.unwrap()) };
        let both = async { tokio::join!(host.connect(Attempt::Reconnect), dial).0 };
        assert!(timeout(Duration::from_mins(1), both).await.expect("it is dialled").is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn noise_without_end_ends_a_dial_though_a_person_may_be_asked() {
    let (host, mut listener, _) = stage();
    let began = Instant::now();
    let far = async {
        let (_reader, mut writer, _guard) = listener.accept().await.unwrap().into_parts();
        while writer.write_all(b"x").await.is_ok() {
            assert!(began.elapsed() < Duration::from_hours(1), "the link is kept");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let (link, ()) = tokio::join!(host.connect(Attempt::First), far);
    assert_eq!(link.unwrap_err().kind, LinkErrorKind::Unreachable);
    assert!(began.elapsed() <= Timing::default().login + Duration::from_secs(1));
}
