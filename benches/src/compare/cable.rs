//! Carries frames between two interfaces, and takes its time.
//!
//! Each end is a macvtap, which a program reads and writes as a file: one frame at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// More than any frame, which the kernel cuts to the interface's MTU.
const LONGEST: usize = 64 * 1024;
/// How many frames may be on their way in one direction: a long way full of them, at some gigabits a
/// second. What is more gets lost, as at a router.
const ON_THE_WAY: usize = 64 * 1024;

/// The way between two interfaces. It ends with them.
#[derive(Debug)]
pub(super) struct Cable {
    delay_micros: Arc<AtomicU64>,
}

impl Cable {
    /// Joins the interfaces of these names.
    pub(super) fn join(ends: [&str; 2]) -> io::Result<Self> {
        let delay_micros = Arc::<AtomicU64>::default();
        let [here, there] = [open(ends[0])?, open(ends[1])?];
        carry(here.try_clone()?, there.try_clone()?, Arc::clone(&delay_micros));
        carry(there, here, Arc::clone(&delay_micros));
        Ok(Self { delay_micros })
    }

    /// Takes this time for a way there and back from now on.
    pub(super) fn take(&self, round_trip: Duration) {
        let micros = u64::try_from((round_trip / 2).as_micros()).unwrap_or(u64::MAX);
        self.delay_micros.store(micros, Ordering::Relaxed);
    }
}

fn open(interface: &str) -> io::Result<File> {
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
    OpenOptions::new().read(true).write(true).open(format!("/dev/tap{}", index.trim()))
}

fn carry(from: File, to: File, delay_micros: Arc<AtomicU64>) {
    let (queue, queued) = sync_channel(ON_THE_WAY);
    // Both end with the interfaces, or with the program.
    thread::spawn(move || take_in(from, &queue, &delay_micros));
    thread::spawn(move || let_out(to, &queued));
}

type Queued = (Instant, Vec<u8>);

fn take_in(mut from: File, queue: &SyncSender<Queued>, delay_micros: &AtomicU64) {
    let mut frame = vec![0; LONGEST];
    while let Ok(length) = from.read(&mut frame) {
        let delay = Duration::from_micros(delay_micros.load(Ordering::Relaxed));
        let _ = queue.try_send((Instant::now() + delay, frame[..length].to_vec()));
    }
}

fn let_out(mut to: File, queued: &Receiver<Queued>) {
    while let Ok((due, frame)) = queued.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Lost, if there is no room for it.
        let _ = to.write(&frame);
    }
}
