//! Many sessions over one connection that falls silent, or comes back over the fast lane: they move with it.

use std::fs;

use rejoin_client::Event;
use rejoin_ssh::SshConnect;
use rejoin_testing::Signal;

use crate::fast_lane::Lane;
use crate::support::{Host, Sharing, Talk, rejoin_server, until};

const ECHO: &str = "while read -r line; do echo \"got $line\"; done";

fn is_detached(event: &Event) -> bool {
    matches!(event, Event::Detached { .. })
}

fn is_moved(event: &Event) -> bool {
    matches!(event, Event::Moved { .. })
}

fn two_sessions(sharing: &Sharing) -> [Talk; 2] {
    let talks = [(); 2].map(|()| sharing.open(ECHO));
    for talk in &talks {
        talk.ask("a\n", "got a\n");
    }
    talks
}

#[test]
fn sessions_leave_a_silent_connection_for_a_second_one_and_lose_nothing() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let sharing = Sharing::of(&host);
    let talks = two_sessions(&sharing);
    assert!(host.sshd().kill_sessions(Signal::STOP).unwrap() > 0, "no connection is there");
    for talk in talks {
        talk.ask("b\n", "got b\n");
        assert_eq!((talk.count(is_moved), talk.count(is_detached)), (1, 0), "{:?}", talk.events());
        talk.finish();
    }
    assert_eq!(host.relay().connections(), 2, "one for all");
    host.sshd().kill_sessions(Signal::CONT).unwrap();
}

#[test]
fn sessions_are_back_over_the_fast_lane_and_move_to_ssh_together() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let (ssh, hold) = lane.held_ssh();
    let command = format!("{} mux", rejoin_server().display());
    let options = lane.agent_options().into_iter().chain(lane.host.options());
    let connect =
        SshConnect::new(lane.host.name(), command).program(ssh).options(options).fast_lane();
    let sharing = Sharing::over(connect);
    let talks = two_sessions(&sharing);
    lane.until_learnt();
    let logins = lane.logins();
    fs::write(&hold, "").unwrap();
    lane.host.cut();
    for talk in &talks {
        talk.until_resumed(1);
        talk.ask("b\n", "got b\n");
    }
    assert_eq!(lane.logins(), logins + 1, "one for all");
    fs::remove_file(&hold).unwrap();
    for talk in &talks {
        talk.until_event("it moves", is_moved);
        talk.ask("c\n", "got c\n");
    }
    until("the fast connection is closed", || lane.host.sshd().sessions().unwrap().len() == 1);
    for talk in talks {
        assert_eq!((talk.count(is_moved), talk.count(is_detached)), (1, 1), "{:?}", talk.events());
        let (text, _) = talk.finish();
        assert_eq!(text, b"got a\ngot b\ngot c\n");
    }
}
