use rejoin_protocol::{Incarnation, Reason, Seq};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::output::Placed;

/// The driver's side of a session.
struct Driver {
    output: Option<mpsc::UnboundedSender<Placed>>,
    taken: watch::Receiver<Taken>,
    next: u64,
}

fn streams() -> (Driver, Reader, Reader, Exit) {
    let (output, outputs, taken) = Outputs::pair();
    let state = State::new(outputs, Control::without_session());
    let shared = Arc::new(Shared { wakers: Arc::default(), state: Mutex::new(state) });
    let reader = |side| Reader { shared: Arc::clone(&shared), side };
    let (stdout, stderr) = (reader(Side::Stdout), reader(Side::Stderr));
    (Driver { output: Some(output), taken, next: 0 }, stdout, stderr, Exit { shared })
}

const INCARNATION: Incarnation = Incarnation(0);

impl Driver {
    fn say(&mut self, output: Output) {
        self.next += 1;
        let taken = Taken { incarnation: INCARNATION, next: Seq(self.next) };
        self.output.as_ref().unwrap().send((Some(taken), output)).unwrap();
    }

    fn writes(&mut self, stream: Stream, text: &'static str) {
        let data = Bytes::from_static(text.as_bytes());
        self.say(Output::Data { incarnation: INCARNATION, seq: Seq(self.next), stream, data });
    }

    fn exits(&mut self, code: u8) {
        self.say(Output::Exit { incarnation: INCARNATION, status: ExitStatus::Code(code) });
    }

    /// How many outputs are acknowledged.
    fn acknowledged(&self) -> u64 {
        self.taken.borrow().next.0
    }
}

async fn read(reader: &mut Reader, length: usize) -> String {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

fn stream_error(error: &io::Error) -> &StreamError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn output_is_acknowledged_in_order_and_only_when_it_was_read() {
    let (mut driver, mut stdout, mut stderr, mut exit) = streams();
    driver.writes(Stream::Stderr, "warning");
    driver.writes(Stream::Stdout, "one");
    driver.exits(3);
    assert_eq!(read(&mut stdout, 2).await, "on");
    assert_eq!(read(&mut stdout, 1).await, "e");
    assert_eq!(driver.acknowledged(), 0, "what is before it was not read");
    assert_eq!(read(&mut stderr, 7).await, "warning");
    let (mut out, mut err) = (String::new(), String::new());
    stdout.read_to_string(&mut out).await.unwrap();
    stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("", ""));
    assert_eq!(exit.wait().await, Ok(ExitStatus::Code(3)));
    assert_eq!(driver.acknowledged(), 3);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_up_no_other_once_it_is_dropped() {
    let (mut driver, mut stdout, stderr, mut exit) = streams();
    driver.writes(Stream::Stderr, "a");
    driver.writes(Stream::Stdout, "b");
    driver.exits(0);
    let waiting = tokio::spawn(async move { exit.wait().await });
    assert_eq!(read(&mut stdout, 1).await, "b");
    drop(stderr);
    assert_eq!(waiting.await.unwrap(), Ok(ExitStatus::Code(0)));
    assert_eq!(driver.acknowledged(), 3);
}

#[tokio::test]
async fn both_readers_wait_at_once_and_each_gets_its_own() {
    let (mut driver, mut stdout, mut stderr, _exit) = streams();
    let out = tokio::spawn(async move { read(&mut stdout, 1).await });
    let err = tokio::spawn(async move { read(&mut stderr, 1).await });
    tokio::task::yield_now().await;
    driver.writes(Stream::Stderr, "e");
    assert_eq!(err.await.unwrap(), "e");
    driver.writes(Stream::Stdout, "o");
    assert_eq!(out.await.unwrap(), "o");
}

#[tokio::test]
async fn a_gap_and_a_replacement_interrupt_both_streams_once() {
    let (mut driver, mut stdout, mut stderr, _exit) = streams();
    driver.writes(Stream::Stdout, "old");
    driver.say(Output::Gap { incarnation: INCARNATION, from: Seq(1), next: Seq(5) });
    let numbers = (Incarnation(0), Incarnation(1));
    let replaced = Replaced::new(numbers, &Reason::ProcessGone, 0, Seq(1));
    driver.say(Output::Replaced(replaced.clone()));
    driver.writes(Stream::Stdout, "new");
    driver.exits(0);
    assert_eq!(read(&mut stdout, 3).await, "old");
    for reader in [&mut stdout, &mut stderr] {
        let gap = reader.read_u8().await.unwrap_err();
        assert_eq!(stream_error(&gap), &StreamError::Gap(4));
        let lost = reader.read_u8().await.unwrap_err();
        assert_eq!(stream_error(&lost), &StreamError::Replaced(replaced.clone()));
    }
    assert_eq!(read(&mut stdout, 3).await, "new");
    assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(stderr.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_session_that_is_over_before_its_process_is_no_end_of_the_stream() {
    let (mut driver, mut stdout, stderr, mut exit) = streams();
    drop(stderr);
    driver.writes(Stream::Stdout, "a");
    driver.output = None;
    assert_eq!(read(&mut stdout, 1).await, "a");
    for _ in 0..2 {
        let error = stdout.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(stream_error(&error), &StreamError::Over(None));
    }
    assert_eq!(exit.wait().await, Err(StreamError::Over(None)));
}

#[tokio::test]
async fn input_is_closed_by_a_shutdown_and_not_by_dropping_it() {
    let (sender, mut input) = mpsc::channel(8);
    let mut stdin = Stdin { sender: PollSender::new(sender) };
    stdin.write_all(b"line").await.unwrap();
    stdin.shutdown().await.unwrap();
    assert!(stdin.write_all(b"more").await.is_err());
    assert!(matches!(input.recv().await, Some(InputItem::Data(data)) if data == b"line"[..]));
    assert!(matches!(input.recv().await, Some(InputItem::End)));
    let (sender, mut input) = mpsc::channel(8);
    drop(Stdin { sender: PollSender::new(sender) });
    assert!(input.recv().await.is_none());
}
