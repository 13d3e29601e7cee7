//! Frames to bytes and back, beside a codec that knows nothing but lengths.

#![allow(missing_docs, reason = "the macros of criterion document nothing")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use bytes::{Buf, Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use rejoin_protocol::codec::{Decoder, SERVER_MAGIC, WriteQueue};
use rejoin_protocol::framed::FrameCodec;
use rejoin_protocol::{Frame, Item, Seq, Stream};
use tokio_util::codec::{Decoder as _, Encoder, LengthDelimitedCodec};

/// Frames per round: what a driver finds in a buffer that it has read.
const FRAMES: u64 = 64;
const SIZES: [usize; 5] = [1, 64, 1024, 4096, 16 * 1024];

fn item(seq: u64, size: usize) -> Frame {
    let data = Bytes::from(vec![b'x'; size]);
    Frame::Item { seq: Seq(seq), item: Item::Output { stream: Stream::Stdout, data } }
}

fn items(size: usize) -> Vec<Frame> {
    // Numbers of a session that has been running for a while.
    (0..FRAMES).map(|number| item(100_000 + number, size)).collect()
}

fn per_frame<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    size: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(FRAMES * size as u64));
    group
}

/// 64 frames at a time: divide for one.
fn encode(criterion: &mut Criterion) {
    for size in SIZES {
        let (frames, mut queue) = (items(size), WriteQueue::default());
        let mut group = per_frame(criterion, "encode 64 items", size);
        group.bench_function(BenchmarkId::new("write queue", size), |bencher| {
            bencher.iter(|| {
                for frame in &frames {
                    queue.push(black_box(frame)).unwrap();
                }
                // As a vectored write takes them all.
                queue.advance(black_box(queue.remaining()));
            });
        });
        let (mut codec, mut buffer) = (FrameCodec::server(), BytesMut::new());
        group.bench_function(BenchmarkId::new("framed, copying", size), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                for frame in &frames {
                    codec.encode(black_box(frame), &mut buffer).unwrap();
                }
                black_box(&buffer);
            });
        });
        let (mut codec, payload) = (LengthDelimitedCodec::new(), Bytes::from(vec![b'x'; size]));
        group.bench_function(BenchmarkId::new("length-delimited, copying", size), |bencher| {
            bencher.iter(|| {
                buffer.clear();
                for _ in 0..FRAMES {
                    codec.encode(black_box(&payload).clone(), &mut buffer).unwrap();
                }
                black_box(&buffer);
            });
        });
    }
}

fn decode(criterion: &mut Criterion) {
    for size in SIZES {
        let (wire, plain) = (wire(size), plain_wire(size));
        let mut started = Decoder::of_server();
        started.decode(&mut BytesMut::from(&SERVER_MAGIC[..])).unwrap();
        let mut group = per_frame(criterion, "decode 64 items", size);
        group.bench_function(BenchmarkId::new("rejoin", size), |bencher| {
            bencher.iter_batched_ref(
                || (started.clone(), wire.clone()),
                |(decoder, buffer)| {
                    while let Some(frame) = decoder.decode(buffer).unwrap() {
                        black_box(frame);
                    }
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("length-delimited", size), |bencher| {
            bencher.iter_batched_ref(
                || (LengthDelimitedCodec::new(), plain.clone()),
                |(codec, buffer)| {
                    while let Some(frame) = codec.decode(buffer).unwrap() {
                        black_box(frame);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
}

fn wire(size: usize) -> BytesMut {
    let mut queue = WriteQueue::default();
    for frame in items(size) {
        queue.push(&frame).unwrap();
    }
    BytesMut::from(&queue.copy_to_bytes(queue.remaining())[..])
}

fn plain_wire(size: usize) -> BytesMut {
    let mut buffer = BytesMut::new();
    for _ in 0..FRAMES {
        LengthDelimitedCodec::new().encode(Bytes::from(vec![b'x'; size]), &mut buffer).unwrap();
    }
    buffer
}

/// The smallest frames, one by one.
fn small(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one small frame");
    for (name, frame) in [("ack", Frame::Ack { next: Seq(100_000) }), ("item", item(100_000, 1))] {
        let mut queue = WriteQueue::default();
        group.bench_function(format!("encode {name}"), |bencher| {
            bencher.iter(|| {
                queue.push(black_box(&frame)).unwrap();
                queue.advance(black_box(queue.remaining()));
            });
        });
    }
}

criterion_group!(benches, encode, decode, small);
criterion_main!(benches);
