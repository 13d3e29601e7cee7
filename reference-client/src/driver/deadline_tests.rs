//! A host that keeps sending, and never gives what it is to give, is given up in time all the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rejoin_protocol::codec::{IGNORABLE, SERVER_MAGIC};
use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_protocol::{Frame, HostId};
use rejoin_ssh::{MemoryListener, memory};

use super::tests::Far;
use tokio::time::Instant;

use super::*;
use crate::options::{Timing, new_session_id};
use crate::session::Session;

/// A frame of a kind that may be ignored.
const IGNORED: [u8; 6] = [0, 0, 0, 2, IGNORABLE | 0x7e, 0];
/// Between two things that a host sends.
const PAUSE: Duration = Duration::from_millis(200);

fn session(options: Options) -> (Session, MemoryListener) {
    let (connect, listener) = memory();
    let spec = ProcessSpec::new(Command::Shell(b"true".to_vec()));
    (Session::open(Arc::new(connect), new_session_id().unwrap(), &spec, options).unwrap(), listener)
}

fn options(may_ask: bool) -> Options {
    Options { may_ask, ..Options::default() }
}

/// Sends this again and again until the client has closed the link; how long that took.
async fn keep_sending(far: &mut Far, bytes: &[u8]) -> Duration {
    let began = Instant::now();
    while far.write(bytes).await.is_ok() {
        assert!(began.elapsed() < Duration::from_hours(1), "the link is kept");
        tokio::time::sleep(PAUSE).await;
    }
    began.elapsed()
}

/// Waits for the session's end, before which no second link may be opened.
async fn gave_up(session: Session, listener: MemoryListener) -> String {
    ending(session, listener).await.0
}

/// The same, with what is said.
async fn ending(mut session: Session, mut listener: MemoryListener) -> (String, String) {
    loop {
        tokio::select! {
            biased;
            event = session.events.recv() => match event.unwrap() {
                Event::GaveUp { reason, message } => return (reason, message),
                Event::Connecting | Event::Reconnecting { .. } | Event::Notice { .. } => {}
                other => panic!("{other:?}"),
            },
            link = listener.accept() => {
                assert!(link.is_none(), "the first link is the end, as with ssh");
            }
        }
    }
}

/// How long a first link is kept whose host sends `start` and then `again` without end.
async fn first_link(may_ask: bool, start: &[u8], again: &[u8]) -> Duration {
    let (session, mut listener) = session(options(may_ask));
    let mut far = Far::of(listener.accept().await.unwrap());
    far.write(start).await.unwrap();
    let kept = keep_sending(&mut far, again).await;
    assert_eq!(gave_up(session, listener).await, "timeout");
    kept
}

#[tokio::test(start_paused = true)]
async fn noise_without_end_ends_the_first_link_though_a_person_may_be_asked() {
    let most = Timing::default().login + PAUSE;
    for may_ask in [false, true] {
        let kept = first_link(may_ask, b"", b"x").await;
        assert!(kept <= most, "{kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_the_login_shell_that_prints_and_does_not_start_the_server() {
    let (session, mut listener) = session(options(true));
    let mut far = Far::of(listener.accept().await.unwrap());
    far.write(b"Welcome\x1b[2J\n").await.unwrap();
    let (reason, message) = ending(session, listener).await;
    assert_eq!(reason, "timeout");
    assert!(message.contains("login shell did not start the server in time"), "{message}");
    assert!(message.ends_with("it printed: Welcome[2J"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn names_the_limit_of_noise() {
    let (session, mut listener) = session(options(false));
    let mut far = Far::of(listener.accept().await.unwrap());
    let noise = b"x".repeat(200_000);
    let (_, (_, message)) = tokio::join!(far.write(&noise), ending(session, listener));
    let told = "the host's login shell printed more than 64 KiB before the server began";
    assert!(message.starts_with(told), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_magic_that_never_becomes_whole_is_noise() {
    let (session, mut listener) = session(options(true));
    let began = Instant::now();
    let mut far = Far::of(listener.accept().await.unwrap());
    far.write(&SERVER_MAGIC[..7]).await.unwrap();
    assert_eq!(gave_up(session, listener).await, "timeout");
    assert!(began.elapsed() <= Timing::default().login, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn ignorable_frames_without_a_greeting_end_the_first_link() {
    let most = Timing::default().handshake + PAUSE;
    for may_ask in [false, true] {
        let kept = first_link(may_ask, &SERVER_MAGIC, &IGNORED).await;
        assert!(kept <= most, "{kept:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pings_without_a_greeting_end_the_first_link() {
    let ping = rejoin_protocol::codec::encode(&Frame::Ping { token: 1 }).unwrap();
    let ping = [ping.head, ping.payload].concat();
    let kept = first_link(true, &SERVER_MAGIC, &ping).await;
    assert!(kept <= Timing::default().handshake + PAUSE, "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_begins_late_gets_no_more_time() {
    let (session, mut listener) = session(options(false));
    let began = Instant::now();
    let login = Timing::default().login;
    let mut far = Far::of(listener.accept().await.unwrap());
    while began.elapsed() + Duration::from_secs(1) < login {
        far.write(b"x").await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
    far.write(&SERVER_MAGIC).await.unwrap();
    keep_sending(&mut far, &IGNORED).await;
    gave_up(session, listener).await;
    assert!(began.elapsed() <= login + PAUSE, "{:?}", began.elapsed());
}

/// Each link that a host greets and does not answer is closed in time, and so is the session.
async fn greeted_and_not_answered(again: &[u8]) {
    let (mut session, mut listener) = session(options(true));
    let (began, timing) = (Instant::now(), Timing::default());
    let links = async {
        while let Some(link) = listener.accept().await {
            let mut far = Far::of(link);
            let _ = far.write(&[&SERVER_MAGIC[..], &greeting()].concat()).await;
            let kept = keep_sending(&mut far, again).await;
            assert!(kept <= timing.handshake + PAUSE, "{kept:?}");
        }
    };
    let ended =
        async { while !matches!(session.events.recv().await, Some(Event::GaveUp { .. })) {} };
    tokio::select! {
        biased;
        () = ended => {}
        () = links => panic!("the session ended without a word"),
    }
    assert!(began.elapsed() <= timing.open + PAUSE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn ignorable_frames_in_the_place_of_an_answer_end_each_link_and_then_the_session() {
    greeted_and_not_answered(&IGNORED).await;
}

#[tokio::test(start_paused = true)]
async fn greetings_without_end_end_each_link_and_then_the_session() {
    greeted_and_not_answered(&greeting()).await;
}

fn greeting() -> Vec<u8> {
    let host = HostId { machine: [1; 16], boot: [2; 16] };
    let versions = rejoin_protocol::VersionRange::SUPPORTED;
    let greeting =
        rejoin_protocol::frame::Greeting { versions, host, host_name: "host".to_owned() };
    let encoded = rejoin_protocol::codec::encode(&Frame::Greeting(greeting)).unwrap();
    [encoded.head, encoded.payload].concat()
}

#[tokio::test(start_paused = true)]
async fn a_person_who_is_asked_for_a_password_has_longer() {
    let (mut session, mut listener) = session(options(true));
    let mut far = Far::of(listener.accept().await.unwrap());
    tokio::time::sleep(2 * Timing::default().login).await;
    far.greet().await;
    far.welcome().await;
    while !matches!(session.events.recv().await.unwrap(), Event::Attached { .. }) {}
}
