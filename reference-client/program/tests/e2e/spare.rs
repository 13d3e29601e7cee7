//! A second connection beside the one that is used: one that stands by, and one that is opened
//! because the first has fallen silent.

use rejoin_testing::Signal;

use crate::support::{Client, Host, kill, until};

/// Sends lines back behind its own process id.
const ECHO: &str = "echo $$; while read -r line; do echo \"$$ $line\"; done";

#[track_caller]
fn assert_answers(client: &mut Client, pid: &str, line: usize) {
    client.write("x\n");
    assert_eq!(client.line(line), format!("{pid} x"));
}

/// The attach programs of the link that is used and of the one that stands by, which is younger.
fn two_attaches(host: &Host) -> (i32, i32) {
    until("a second link stands by", || host.attaches().len() == 2);
    let mut attaches = host.attaches();
    // Ordered by when they were started, also where numbers begin anew.
    attaches.sort_by_key(|pid| started(*pid));
    (attaches[0], attaches[1])
}

fn started(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Behind the name: the 20th field from there on.
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap()
}

#[test]
fn a_link_that_stands_by_takes_the_place_of_a_lost_one_without_a_login() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["--standby"]).run(ECHO);
    let pid = client.line(1);
    for losses in 1..3_u64 {
        let (used, _) = two_attaches(&host);
        host.relay().refuse(true);
        kill(used, Signal::KILL);
        let times = usize::try_from(losses).unwrap() + 1;
        client.nth_event("attached", times);
        assert_answers(&mut client, &pid, times);
        host.relay().refuse(false);
    }
    assert_eq!(host.servers().len(), 1);
    let attached = client.events_named("attached");
    assert!(attached[1..].iter().all(|attached| attached["how"] == "resumed"), "{attached:?}");
    assert_eq!(client.finish().0, 0);
    until("nothing stands by any more", || host.connections().is_empty());
}

#[test]
fn what_stands_by_counts_as_no_attachment_and_ends_with_its_client() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["--standby"]).run(ECHO);
    client.line(1);
    let (used, standby) = two_attaches(&host);
    assert_eq!(client.count("attached"), 1);
    assert_eq!(host.sessions()[0]["state"], "attached");
    // Its own loss is nobody's concern.
    kill(standby, Signal::KILL);
    client.write("x\n");
    client.line(2);
    assert_eq!(client.count("detached"), 0);
    client.signal(Signal::KILL);
    client.status();
    until("the link that was used ends", || !host.attaches().contains(&used));
    host.until_session_is("detached");
    host.end_sessions();
}

/// Has sshd's side of the connection stopped, which keeps it open and says nothing, as a path that leads
/// nowhere. The session goes on over another one.
#[track_caller]
pub(crate) fn leave_silent(host: &Host, client: &mut Client, pid: &str, lane: &str) {
    assert!(host.sshd().kill_sessions(Signal::STOP).unwrap() > 0, "no connection is there");
    client.write("meanwhile\n");
    assert_eq!(client.event("moved")["lane"], lane);
    assert_eq!(client.line(2), format!("{pid} meanwhile"));
    assert_eq!((client.count("detached"), client.count("attached")), (0, 1), "nothing was lost");
}

#[test]
fn a_silent_connection_is_left_for_a_second_one_before_it_counts_as_lost() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    let pid = client.line(1);
    leave_silent(&host, &mut client, &pid, "ssh");
    host.sshd().kill_sessions(Signal::CONT).unwrap();
    assert_answers(&mut client, &pid, 3);
    assert_eq!(client.finish().0, 0);
}
