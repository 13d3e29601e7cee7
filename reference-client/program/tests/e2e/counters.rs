//! Counters at their end, and processes that are lost one after the other.

use rejoin_protocol::frame::{From, Scope, Wish};
use rejoin_protocol::ident::Counter;
use rejoin_protocol::{Frame, Incarnation, Reason, Tenure};

use crate::support::{Host, Raw, Wishes, until};

/// The tenth would be one too many for a machine of any speed: processes that stay for a while begin the
/// count anew.
const MOST_KILLS: usize = 60;

fn close(incarnation: u64) -> Wish {
    Wish::Close { incarnation: Incarnation(incarnation), scope: Scope::Session }
}

#[test]
fn a_close_uses_up_a_later_incarnation_than_the_one_that_lives() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut wishes = Wishes::new();
    let (mut link, _) = wishes.opened(&host, "exec cat");
    link.say(&wishes.hello(close(1)));
    link.hear_until(|frame| matches!(frame, Frame::Closed { .. }).then_some(()));
    let mut link = Raw::begin(&host);
    let id = link.greeting();
    let Frame::Hello(mut hello) = wishes.open(id, "exec cat") else { unreachable!() };
    let Wish::Open { incarnation, .. } = &mut hello.wish else { unreachable!() };
    *incarnation = Incarnation(1);
    link.say(&Frame::Hello(hello));
    assert_eq!(link.refusal(), Reason::ProcessGone);
    assert!(host.has_only_tombstones());
}

#[test]
fn a_session_at_the_last_tenure_is_taken_over_by_nobody() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut owner = Wishes::new();
    owner.tenure = Tenure(u64::MAX);
    let (link, _) = owner.opened(&host, "exec cat");
    for _ in 0..2 {
        let mut other = owner.another();
        other.tenure = Tenure(0);
        let mut claim = Raw::begin(&host);
        claim.greeting();
        claim.say(&other.claim(None, From::Latest));
        let Reason::Held { by, .. } = claim.refusal() else { panic!("somebody has it") };
        claim.say(&other.claim(Some(by), From::Latest));
        assert_eq!(claim.refusal(), Reason::Exhausted(Counter::Tenure));
    }
    drop(link);
    host.end_sessions();
}

#[test]
fn processes_that_are_lost_one_after_the_other_are_replaced_a_few_times_only() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["--on-loss", "respawn"]).run("echo here; exec cat");
    for attached in 1..=MOST_KILLS {
        until("it is attached or lost", || {
            client.count("attached") >= attached || client.count("lost") > 0
        });
        if client.count("lost") > 0 {
            break;
        }
        host.kill_server();
    }
    assert_eq!(client.status(), 255);
    assert_eq!(client.event("lost")["reason"], "replaced_too_often");
    assert!(client.count("replaced") >= 5);
    let told = client.stderr();
    let said = "the process is gone, and so are the 5 that replaced it";
    assert!(told.contains(said), "{told}");
    host.until_clean();
}
