//! What an application reads is in one order, whichever process wrote it and whenever it is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rejoin_protocol::client::OnLoss;
use rejoin_protocol::frame::{How, Refused, Welcome};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{
    AttachNumber, ExitStatus, Frame, Incarnation, Reason, Seq, Stream, Tenure, Version,
};

use super::tests::{Far, Stage, welcome};
use super::*;
use crate::event::Replaced;
use crate::output::Output;

fn written(seq: u64, data: &'static str) -> Frame {
    let item = Item::Output { stream: Stream::Stdout, data: data.into() };
    Frame::Item { seq: Seq(seq), item }
}

/// The same, as it is read.
fn data(incarnation: u64, seq: u64, data: &'static str) -> Output {
    let (incarnation, seq) = (Incarnation(incarnation), Seq(seq));
    Output::Data { incarnation, seq, stream: Stream::Stdout, data: data.into() }
}

impl Stage {
    /// Acts on reports until so much output waits for the application.
    async fn waiting(&mut self, count: usize) {
        while self.outputs.waiting() < count {
            self.report().await;
        }
    }

    /// The next output, which must be there; what was taken with the one before is acknowledged.
    async fn read(&mut self) -> Option<Output> {
        let output = self.outputs.recv().await;
        self.driver.taken(*self.taken.borrow());
        output
    }

    /// The link is lost, and the next one says that the process is gone; a fresh one is started.
    async fn replaced(&mut self, far: Far, attach: u64) -> Far {
        drop(far);
        self.until(|driver| !driver.machine.is_attached()).await;
        let mut far = self.far().await;
        far.greet().await;
        let counters = Counters { used: Some(Incarnation(0)), tenure: Tenure(0), epoch: None };
        let (attach, reason) = (AttachNumber(attach), Reason::ProcessGone);
        far.say(b"", Frame::Refused(Refused { attach, reason, counters })).await;
        let fresh = Welcome {
            incarnation: Incarnation(1),
            ..welcome(attach.next().unwrap(), Version::CURRENT, How::Opened)
        };
        far.say(b"", Frame::Welcome(fresh)).await;
        self.until(|driver| driver.machine.is_attached()).await;
        far
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_stands_between_unread_output_of_the_old_process_and_the_new_one() {
    let (mut stage, mut far) = Stage::attached().await;
    stage.driver.config.on_loss = OnLoss::Respawn;
    for frame in [written(0, "old"), written(1, "older")] {
        far.say(b"", frame).await;
    }
    stage.waiting(2).await;
    let mut far = stage.replaced(far, 2).await;
    let told = stage.told();
    let replaced = told.into_iter().find_map(|event| match event {
        Event::Replaced(replaced) => Some(replaced),
        _ => None,
    });
    let expected = Replaced {
        old: Incarnation(0),
        new: Incarnation(1),
        reason: "process_gone".to_owned(),
        unacked_input_bytes: 0,
        last_output_seq: Some(1),
    };
    assert_eq!(replaced.as_ref(), Some(&expected), "events do not wait for a reader");
    for frame in [written(0, "new"), written(1, "newer")] {
        far.say(b"", frame).await;
    }
    stage.waiting(5).await;

    assert_eq!(stage.read().await, Some(data(0, 0, "old")));
    assert_eq!(stage.read().await, Some(data(0, 1, "older")));
    assert_eq!(stage.read().await, Some(Output::Replaced(expected)));
    assert_eq!(stage.read().await, Some(data(1, 0, "new")));
    assert_eq!(stage.driver.machine.next_output(), Seq(0), "nothing of the new one was taken yet");
    assert_eq!(stage.read().await, Some(data(1, 1, "newer")));
    assert_eq!(stage.driver.machine.next_output(), Seq(1));
}

#[tokio::test(start_paused = true)]
async fn taking_the_marker_acknowledges_nothing() {
    let (mut stage, far) = Stage::attached().await;
    stage.driver.config.on_loss = OnLoss::Respawn;
    let mut far = stage.replaced(far, 2).await;
    far.say(b"", written(0, "new")).await;
    stage.waiting(2).await;
    assert!(matches!(stage.read().await, Some(Output::Replaced(_))));
    stage.outputs.take();
    assert!(!stage.taken.has_changed().unwrap());
    assert_eq!(stage.read().await, Some(data(1, 0, "new")));
    assert_eq!(stage.driver.machine.next_output(), Seq(0));
}

#[tokio::test(start_paused = true)]
async fn gaps_and_the_exit_name_their_process_and_stand_in_order() {
    let (mut stage, far) = Stage::attached().await;
    stage.driver.config.on_loss = OnLoss::Respawn;
    let mut far = stage.replaced(far, 2).await;
    let items = [Item::Gap { next: Seq(5) }, Item::Exit(ExitStatus::Code(3))];
    for (seq, item) in [0, 5].into_iter().zip(items) {
        far.say(b"", Frame::Item { seq: Seq(seq), item }).await;
    }
    stage.waiting(3).await;
    assert!(matches!(stage.read().await, Some(Output::Replaced(_))));
    let incarnation = Incarnation(1);
    let gap = Output::Gap { incarnation, from: Seq(0), next: Seq(5) };
    assert_eq!(stage.read().await, Some(gap));
    let exit = Output::Exit { incarnation, status: ExitStatus::Code(3) };
    assert_eq!(stage.read().await, Some(exit));
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_behind_unread_output_of_a_process_that_is_lost() {
    let (mut stage, mut far) = Stage::attached().await;
    far.say(b"", written(0, "last")).await;
    stage.waiting(1).await;
    drop(far);
    stage.until(|driver| !driver.machine.is_attached()).await;
    let mut far = stage.far().await;
    far.greet().await;
    let (attach, counters) = (AttachNumber(2), Counters::default());
    let refused = Refused { attach, reason: Reason::ProcessGone, counters };
    far.say(b"", Frame::Refused(refused)).await;
    stage.until(|driver| driver.machine.is_ended()).await;
    let Stage { driver, mut outputs, .. } = stage;
    drop(driver);
    assert_eq!(outputs.recv().await, Some(data(0, 0, "last")));
    assert_eq!(outputs.recv().await, None);
}
