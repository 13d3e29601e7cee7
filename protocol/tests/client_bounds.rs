//! What a server cannot make a client do: run out of numbers, or keep more than a window.

mod common;

use common::drive::ClientDrive;
use common::{BOB, holder, input, item};
use rejoin_protocol::client::{Effect, Notice, OnLoss};
use rejoin_protocol::error::Divergence;
use rejoin_protocol::frame::From;
use rejoin_protocol::{ExitStatus, Frame, Item, Reason, Seq};

#[test]
fn refuses_a_welcome_behind_which_input_numbers_run_out() {
    for (accepted, is_attached) in [(1 << 63, false), (u64::MAX - 1, false), ((1 << 63) - 1, true)]
    {
        let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
        for _ in 0..3 {
            drive.input(input("a"));
        }
        drive.dial();
        drive.greet();
        let mut welcome = drive.matching();
        (welcome.accepted, welcome.handed_over) = (Seq(accepted), Seq(accepted));
        let effects = drive.frame(Frame::Welcome(welcome));
        assert_eq!(drive.client.is_attached(), is_attached, "{accepted}");
        if !is_attached {
            let diverged = Notice::Refused(Reason::Diverged(Divergence::InputAhead));
            assert!(effects.contains(&Effect::Tell(diverged)), "{effects:?}");
        }
    }
}

#[test]
fn closes_the_link_of_a_server_that_sends_exit_after_exit() {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    drive.dial();
    drive.greet();
    let mut welcome = drive.matching();
    welcome.window = Item::OVERHEAD;
    drive.frame(Frame::Welcome(welcome));
    let exit = || Item::Exit(ExitStatus::Code(0));
    assert!(matches!(drive.frame(item(0, exit()))[..], [Effect::Deliver(..)]));
    assert!(matches!(drive.frame(item(1, exit()))[..], [Effect::Deliver(..)]));
    drive.frame(item(2, exit()));
    assert!(!drive.client.is_attached());
}
