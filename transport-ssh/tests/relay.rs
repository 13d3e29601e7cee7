//! The relay that the tests of the whole workspace cut connections with.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::in_time;
use rejoin_testing::{Direction, Fault, Random, Relay};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A target that keeps what it accepts.
async fn target() -> (TcpListener, Relay) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(listener.local_addr().unwrap()).await.unwrap();
    (listener, relay)
}

async fn join(listener: &TcpListener, relay: &Relay) -> (TcpStream, TcpStream) {
    let joined = async { tokio::join!(TcpStream::connect(relay.addr()), listener.accept()) };
    let (near, far) = in_time("a connection", joined).await;
    (near.unwrap(), far.unwrap().0)
}

/// What arrives until the connection ends, and whether it ends with a reset.
async fn read_all(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut heard = Vec::new();
    let ended = in_time("the end", stream.read_to_end(&mut heard)).await;
    (heard, ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset))
}

#[tokio::test]
async fn what_is_sent_is_passed_on_and_half_closes_are_kept() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, (b"question".to_vec(), false));
    far.write_all(b"answer").await.unwrap();
    drop(far);
    assert_eq!(read_all(&mut near).await, (b"answer".to_vec(), false));
    in_time("the end", relay.wait_for(|counts| counts.ended == 1)).await;
    assert_eq!((relay.connections(), relay.resets(), relay.bytes()), (1, 0, 14));
}

#[tokio::test]
async fn each_connection_is_reset_at_the_byte_that_is_planned_for_it() {
    let (listener, relay) = target().await;
    let mut random = Random::from_env();
    // Small ones fit the receiver's window, and none of their bytes is lost with the reset.
    let bound = |number: u64| if number.is_multiple_of(2) { 16_000 } else { 300_000 };
    let planned: Vec<u64> = (0..40).map(|number| random.below(bound(number))).collect();
    let plan = planned.clone();
    relay.cut_plan(move |number| usize::try_from(number).ok().and_then(|n| plan.get(n).copied()));
    for (number, &bytes) in (1..).zip(&planned) {
        let before = relay.bytes();
        let (mut near, mut far) = join(&listener, &relay).await;
        let flood = tokio::spawn(async move { while near.write_all(&[1; 5000]).await.is_ok() {} });
        let (heard, was_reset) = read_all(&mut far).await;
        assert!(was_reset);
        assert!(heard.len() as u64 <= bytes);
        assert!(heard.len() as u64 == bytes || bytes > 16_000, "{} of {bytes}", heard.len());
        in_time("the reset", relay.wait_for_resets(number)).await;
        assert_eq!(relay.bytes() - before, bytes);
        in_time("the writer's end", flood).await.unwrap();
    }
}

#[tokio::test]
async fn bytes_in_both_directions_count_towards_the_same_cut() {
    let (listener, relay) = target().await;
    relay.cut_after(10);
    let (mut near, mut far) = join(&listener, &relay).await;
    near.write_all(b"12345").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    far.write_all(b"1234567").await.unwrap();
    assert_eq!(read_all(&mut near).await, (b"12345".to_vec(), true));
    in_time("the reset", relay.wait_for_resets(1)).await;
    assert_eq!(relay.bytes(), 10);
}

#[tokio::test]
async fn a_cut_resets_both_sides_of_every_connection_and_spares_later_ones() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    let (mut other, _other_far) = join(&listener, &relay).await;
    relay.cut_all_reset();
    assert_eq!(read_all(&mut near).await, (vec![], true));
    assert_eq!(read_all(&mut far).await, (vec![], true));
    assert_eq!(read_all(&mut other).await, (vec![], true));
    in_time("the resets", relay.wait_for_resets(2)).await;
    let (mut near, mut far) = join(&listener, &relay).await;
    near.write_all(b"x").await.unwrap();
    in_time("a byte", far.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn silence_passes_nothing_on_and_closes_nothing_until_it_ends() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    relay.silence();
    near.write_all(b"held back").await.unwrap();
    // Accepted, but led nowhere: when the relay has seen it, it has had the chance to do wrong.
    let mut late = TcpStream::connect(relay.addr()).await.unwrap();
    in_time("the connection", relay.wait_for_connections(2)).await;
    assert_eq!(relay.bytes(), 0);
    relay.resume();
    let mut heard = [0; 9];
    in_time("the bytes", far.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"held back");
    let (mut late_far, _) = in_time("the connection", listener.accept()).await.unwrap();
    late_far.write_all(b"y").await.unwrap();
    in_time("a byte", late.read_exact(&mut [0])).await.unwrap();
}

#[tokio::test]
async fn a_connection_can_be_cut_in_silence() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    relay.silence();
    let mut late = TcpStream::connect(relay.addr()).await.unwrap();
    in_time("the connection", relay.wait_for_connections(2)).await;
    relay.cut_all_reset();
    assert!(read_all(&mut near).await.1);
    assert!(read_all(&mut far).await.1);
    assert!(read_all(&mut late).await.1);
    in_time("the resets", relay.wait_for_resets(2)).await;
}

#[tokio::test]
async fn a_refusing_relay_closes_new_connections_and_keeps_old_ones() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    relay.refuse(true);
    let mut refused = TcpStream::connect(relay.addr()).await.unwrap();
    assert!(read_all(&mut refused).await.0.is_empty());
    in_time("the count", relay.wait_for(|counts| counts.refused == 1)).await;
    near.write_all(b"x").await.unwrap();
    in_time("a byte", far.read_exact(&mut [0])).await.unwrap();
    relay.refuse(false);
    join(&listener, &relay).await;
    assert_eq!((relay.connections(), relay.resets()), (3, 0));
}

#[tokio::test]
async fn a_side_that_resets_is_passed_on_as_a_reset_but_not_counted_as_the_relays() {
    let (listener, relay) = target().await;
    let (mut near, far) = join(&listener, &relay).await;
    far.set_zero_linger().unwrap();
    drop(far);
    assert!(read_all(&mut near).await.1);
    in_time("the end", relay.wait_for(|counts| counts.ended == 1)).await;
    assert_eq!(relay.resets(), 0);
}

#[tokio::test]
async fn a_dropped_relay_ends_its_connections() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    drop(relay);
    read_all(&mut near).await;
    read_all(&mut far).await;
}

const ROUND_TRIP: Duration = Duration::from_millis(120);

#[tokio::test]
async fn bytes_and_new_connections_take_their_time_and_arrive_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let relay = Relay::builder(target).round_trip(ROUND_TRIP).start().await.unwrap();
    let begin = Instant::now();
    let mut near = TcpStream::connect(relay.addr()).await.unwrap();
    near.write_all(b"early").await.unwrap();
    let (mut far, _) = in_time("the connection", listener.accept()).await.unwrap();
    let mut heard = [0; 5];
    in_time("the first bytes", far.read_exact(&mut heard)).await.unwrap();
    assert!(begin.elapsed() >= ROUND_TRIP * 3 / 2, "{:?}", begin.elapsed());
    assert_eq!(&heard, b"early");

    let asked = Instant::now();
    let flood = vec![7; 300_000];
    let sent = tokio::spawn(async move {
        near.write_all(&flood).await.unwrap();
        near.shutdown().await.unwrap();
        near
    });
    let (heard, _) = read_all(&mut far).await;
    assert!(heard.len() == 300_000 && heard.iter().all(|byte| *byte == 7));
    far.write_all(b"answer").await.unwrap();
    drop(far);
    let mut near = sent.await.unwrap();
    assert_eq!(read_all(&mut near).await, (b"answer".to_vec(), false));
    assert!(asked.elapsed() >= ROUND_TRIP, "{:?}", asked.elapsed());
    assert_eq!(relay.bytes(), 300_011);
}

#[tokio::test]
async fn what_is_on_its_way_when_silence_falls_arrives_after_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let relay = Relay::builder(target).round_trip(ROUND_TRIP).start().await.unwrap();
    let (mut near, mut far) = join(&listener, &relay).await;
    near.write_all(b"held back").await.unwrap();
    relay.silence();
    near.shutdown().await.unwrap();
    assert_eq!(relay.bytes(), 0);
    relay.resume();
    assert_eq!(read_all(&mut far).await, (b"held back".to_vec(), false));
}

#[tokio::test]
async fn a_changed_path_leaves_old_connections_open_and_dead_and_spares_new_ones() {
    let (listener, relay) = target().await;
    let (mut near, mut far) = join(&listener, &relay).await;
    relay.silence();
    near.write_all(b"never arrives").await.unwrap();
    relay.change_path();
    in_time("the loss", relay.wait_for(|counts| counts.stranded == 1)).await;
    let (mut near_again, mut far_again) = join(&listener, &relay).await;
    near_again.write_all(b"x").await.unwrap();
    in_time("a byte", far_again.read_exact(&mut [0])).await.unwrap();
    // Neither side of the old one is told, not even of the other's end.
    near.write_all(b"still open").await.unwrap();
    near.shutdown().await.unwrap();
    far.write_all(b"still open").await.unwrap();
    let nothing = far.try_read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!((relay.bytes(), relay.resets()), (1, 0));
}

#[tokio::test]
async fn the_next_connection_fails_behind_exactly_so_many_bytes_of_one_way() {
    let (listener, relay) = target().await;
    for (fault, is_reset) in [(Fault::Reset, true), (Fault::Close, false)] {
        for after in [0, 1, 7] {
            relay.fail_next(Direction::ToClient, after, fault);
            let (mut near, mut far) = join(&listener, &relay).await;
            if after > 0 {
                near.write_all(b"not counted").await.unwrap();
                far.read_exact(&mut [0; 11]).await.unwrap();
                far.write_all(b"1234567").await.unwrap();
            }
            let heard = b"1234567"[..usize::try_from(after).unwrap()].to_vec();
            assert_eq!(read_all(&mut near).await, (heard, is_reset), "{fault:?} {after}");
            assert_eq!(read_all(&mut far).await, (vec![], is_reset), "{fault:?} {after}");
            // The one behind it is spared.
            let (mut near, mut far) = join(&listener, &relay).await;
            far.write_all(b"12345678").await.unwrap();
            in_time("the bytes", near.read_exact(&mut [0; 8])).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_next_connection_falls_silent_behind_exactly_so_many_bytes_of_one_way() {
    let (listener, relay) = target().await;
    relay.fail_next(Direction::ToServer, 3, Fault::Silence);
    let (mut near, mut far) = join(&listener, &relay).await;
    near.write_all(b"12345").await.unwrap();
    in_time("the loss", relay.wait_for(|counts| counts.stranded == 1)).await;
    let mut heard = [0; 8];
    in_time("the bytes", far.read_exact(&mut heard[..3])).await.unwrap();
    far.write_all(b"never arrives").await.unwrap();
    for stream in [&near, &far] {
        let nothing = stream.try_read(&mut heard).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
    assert_eq!((relay.bytes(), relay.resets()), (3, 0));
}

#[tokio::test]
async fn a_byte_of_the_next_connection_arrives_as_another_one() {
    let (listener, relay) = target().await;
    relay.flip_next(Direction::ToServer, 4);
    for expected in [b"aaaa`aaa", b"aaaaaaaa"] {
        let (mut near, mut far) = join(&listener, &relay).await;
        for piece in [&b"aaa"[..], b"aaaaa"] {
            near.write_all(piece).await.unwrap();
            far.write_all(piece).await.unwrap();
        }
        let (mut there, mut back) = ([0; 8], [0; 8]);
        in_time("the bytes", far.read_exact(&mut there)).await.unwrap();
        in_time("the bytes", near.read_exact(&mut back)).await.unwrap();
        assert_eq!((&there, &back), (expected, b"aaaaaaaa"));
    }
}
