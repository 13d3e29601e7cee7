//! What a peer can make this side allocate, counted by the allocator itself.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::{Buf as _, Bytes, BytesMut};
use rejoin_protocol::codec::{
    CLIENT_MAGIC, Decoder, MAX_HELLO, MAX_NOISE, SERVER_MAGIC, WriteQueue, limit,
};
use rejoin_protocol::spec::ProcessSpec;

/// Counts what the thread at hand holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        let _ = ALLOCATIONS.try_with(|made| made.set(made.get() + 1));
        // SAFETY: the caller's own guarantees.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller's own guarantees.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `run` held at once, in bytes, beyond what was held before.
fn peak_of<T>(run: impl FnOnce() -> T) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    drop(run());
    (PEAK.get() - before).cast_unsigned()
}

/// What may be held beside the body of the frame at hand: a text of a header, the counters of a
/// buffer that is shared.
const SLACK: usize = 1024;

fn started() -> Decoder {
    let mut decoder = Decoder::of_client();
    assert_eq!(decoder.decode(&mut BytesMut::from(&CLIENT_MAGIC[..])), Ok(None));
    decoder
}

/// Decodes everything in `bytes`, which may be no frame; the peak without the buffer itself.
fn peak_of_decoding(bytes: &[u8]) -> usize {
    let (mut decoder, mut buffer) = (started(), BytesMut::from(bytes));
    peak_of(|| while let Ok(Some(_)) = decoder.decode(&mut buffer) {})
}

#[test]
fn an_announced_length_reserves_no_more_than_the_limit_of_its_kind() {
    for kind in 0..=u8::MAX {
        for length in [1, 100, 4096, limit(kind), limit(kind) + 1, MAX_HELLO + 1, u32::MAX] {
            let head = [&length.to_be_bytes()[..], &[kind]].concat();
            let allowed = if length <= limit(kind) { length as usize + SLACK } else { SLACK };
            let peak = peak_of_decoding(&head);
            assert!(peak <= allowed, "kind {kind:#04x}, length {length}: {peak} bytes");
        }
    }
}

#[test]
fn a_flipped_bit_of_an_example_reserves_no_more_than_the_limit_of_its_kind() {
    for (name, frame) in common::catalogue::frames() {
        let bytes = common::wire(&frame);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let length = u32::from_be_bytes(*flipped.first_chunk().unwrap());
            let is_refused = length > limit(flipped[4]);
            let allowed = if is_refused { SLACK } else { length as usize + SLACK };
            let peak = peak_of_decoding(&flipped);
            assert!(peak <= allowed, "{name}, bit {bit}: {peak} bytes");
        }
    }
}

#[test]
fn an_announced_text_reserves_no_more_than_what_is_there() {
    // Hosts, names and messages that announce up to 2^64 - 1 bytes behind every prefix.
    let announced = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for kind in [0x01, 0x02, 0x03, 0x04, 0x05, 0x09, 0x8d] {
        for prefix in 0..60 {
            let body = [&vec![0; prefix][..], &announced, &[0; 40]].concat();
            let length = u32::try_from(body.len() + 1).unwrap();
            let frame = [&length.to_be_bytes()[..], &[kind], &body].concat();
            let peak = peak_of_decoding(&frame);
            assert!(peak <= SLACK, "kind {kind:#04x}, prefix {prefix}: {peak} bytes");
        }
    }
}

#[test]
fn a_text_as_long_as_its_frame_is_held_once() {
    // A Hello whose name fills all of it: read, then cut to the longest name.
    let long = MAX_HELLO as usize - 100;
    let digits =
        [long & 0x7f | 0x80, long >> 7 & 0x7f | 0x80, long >> 14 & 0x7f | 0x80, long >> 21];
    let digits = digits.map(|digit| u8::try_from(digit).unwrap());
    let body = [&[1][..], &[0; 32], &digits, &vec![b'n'; long], &[1, 0, 3, 0, 0]].concat();
    let length = u32::try_from(body.len() + 1).unwrap();
    let frame = [&length.to_be_bytes()[..], &[0x02], &body].concat();
    let (mut decoder, mut buffer) = (started(), BytesMut::from(&frame[..]));
    let peak = peak_of(|| assert!(decoder.decode(&mut buffer).unwrap().is_some()));
    assert!(peak <= MAX_HELLO as usize + SLACK, "{peak} bytes");
}

#[test]
fn noise_is_kept_up_to_its_bound_only() {
    let noise = vec![0xc1; MAX_NOISE];
    let (mut decoder, mut buffer) = (Decoder::of_server(), BytesMut::with_capacity(4096));
    let peak = peak_of(|| {
        for piece in noise.chunks(1000) {
            buffer.extend_from_slice(piece);
            decoder.decode(&mut buffer).unwrap();
        }
        buffer.extend_from_slice(&SERVER_MAGIC);
        decoder.decode(&mut buffer).unwrap();
    });
    assert!(decoder.is_started());
    assert!(peak <= 4096 + 2 * SLACK, "{peak} bytes");
}

#[test]
fn a_flood_of_noise_behind_the_magic_allocates_next_to_nothing() {
    let mut state = 1u32;
    for _ in 0..200 {
        let junk: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(64 * 1024)
        .collect();
        let peak = peak_of_decoding(&junk);
        assert!(peak <= MAX_HELLO as usize + SLACK, "{peak} bytes");
    }
}

#[test]
fn a_payload_is_not_allocated_for() {
    let data = Bytes::from(vec![1; 64 * 1024]);
    let frame = common::wire(&common::item(0, rejoin_protocol::Item::Input(data)));
    let peak = peak_of_decoding(&frame);
    assert!(peak <= SLACK, "{peak} bytes");
}

#[test]
fn frames_of_a_running_session_are_encoded_and_decoded_without_memory_of_their_own() {
    let data = Bytes::from(vec![1; 100]);
    let (mut queue, mut decoder, mut buffer) = (WriteQueue::default(), started(), BytesMut::new());
    buffer.reserve(64 * 1024);
    let before = ALLOCATIONS.get();
    for round in 0..20 {
        for seq in 0..50 {
            let item = rejoin_protocol::Item::Input(data.clone());
            queue.push(&common::item(50 * round + seq, item)).unwrap();
            queue.push(&common::ack(50 * round + seq)).unwrap();
        }
        while queue.has_remaining() {
            let length = queue.chunk().len();
            buffer.extend_from_slice(queue.chunk());
            queue.advance(length);
        }
        while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
            drop(frame);
        }
    }
    let made = ALLOCATIONS.get() - before;
    assert!(made < 50, "{made} allocations for 2000 frames");
}

/// An empty variable takes two bytes of a spec and 48 of memory, and the list doubles as it grows.
const SPEC_FACTOR: usize = 24 * 3;

#[test]
fn a_spec_is_held_within_a_multiple_of_its_length() {
    let announced = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for prefix in [
        &[1][..],
        &[2],
        &[2, 1],
        &[3],
        &[0, 1],
        &[0, 0],
        &[0, 0, 1],
        &[0, 0, 1, 1],
        &[0, 0, 0, 1, 0, 24, 80, 0, 0],
    ] {
        let spec = [prefix, &announced, &[0; 40]].concat();
        let peak = peak_of(|| ProcessSpec::decode(&spec));
        assert!(peak <= spec.len() * SPEC_FACTOR, "{prefix:?}: {peak} bytes");
    }
    // As many empty variables as fit, none missing.
    let count = 1_000_000_usize;
    let digits = [count & 0x7f | 0x80, count >> 7 & 0x7f | 0x80, count >> 14];
    let digits = digits.map(|digit| u8::try_from(digit).unwrap());
    let spec = [&[0, 0][..], &digits, &vec![0; 2 * count], &[0, 0, 0, 0]].concat();
    let peak = peak_of(|| ProcessSpec::decode(&spec).unwrap());
    assert!(peak <= spec.len() * SPEC_FACTOR, "{peak} bytes");
}
