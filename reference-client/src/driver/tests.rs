//! What the driver makes of events that no test can cause from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rejoin_protocol::spec::{Command, ProcessSpec};
use rejoin_ssh::{MemoryListener, memory};

use super::*;

/// A driver whose first attempt is under way, with what it tells and where its links arrive.
struct Stage {
    driver: Driver,
    reported: mpsc::Receiver<(Link, Report)>,
    told: mpsc::UnboundedReceiver<Event>,
    listener: MemoryListener,
}

impl Stage {
    fn new() -> Self {
        let (connect, listener) = memory();
        let (output, _) = mpsc::unbounded_channel();
        let (event, told) = mpsc::unbounded_channel();
        let (reports, reported) = mpsc::channel(16);
        let mut options = Options::new().unwrap();
        options.may_ask = false;
        let spec = ProcessSpec::new(Command::Shell(b"true".to_vec()));
        let config = options.config(Some(&spec)).unwrap();
        let machine = Client::open(&config);
        let told_to = (output, event, watch::Sender::new(None));
        let connect = Arc::new(connect);
        let mut driver = Driver::new(connect, config, machine, &options, told_to, reports);
        driver.step(MachineEvent::Timer(Timer::Reconnect));
        Self { driver, reported, told, listener }
    }

    /// Waits for the next report, and has the driver act on it.
    async fn report(&mut self) {
        let (link, report) = self.reported.recv().await.unwrap();
        self.driver.report(link, report);
    }

    fn has_given_up(&mut self) -> bool {
        let mut told = std::iter::from_fn(|| self.told.try_recv().ok());
        told.any(|event| matches!(event, Event::GaveUp { .. }))
    }
}

#[tokio::test]
async fn a_first_attempt_from_before_a_sleep_is_made_again() {
    let mut stage = Stage::new();
    let _first = stage.listener.accept().await.unwrap();
    stage.report().await;
    assert!(stage.driver.is_link_opened);
    stage.driver.woken(Wake::Slept);
    assert!(!stage.has_given_up());
    stage.listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_first_attempt_that_was_not_open_before_a_sleep_is_made_again() {
    let mut stage = Stage::new();
    stage.driver.woken(Wake::Slept);
    assert!(!stage.has_given_up());
    stage.listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_first_attempt_that_fails_while_awake_is_the_end() {
    let mut stage = Stage::new();
    drop(stage.listener.accept().await.unwrap());
    stage.report().await;
    stage.report().await;
    assert!(stage.has_given_up());
}
