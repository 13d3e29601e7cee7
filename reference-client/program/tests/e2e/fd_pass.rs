//! An ssh that waits for its connection while the client backs off.

use rejoin_testing::Signal;
use serde_json::Value;

use crate::deploy::ServerStore;
use crate::support::{Client, Host, until, until_some};

/// Sends lines back behind its own process id.
const ECHO: &str = "echo $$; while read -r line; do echo \"$$ $line\"; done";
/// An attempt may be made just when it is looked what waits for it.
const ROUNDS: usize = 10;
/// The back-off, in milliseconds, in which it is looked: there is time for that.
const LONG: u64 = 500;

/// Refuses every connection until an ssh waits for one, and returns that ssh.
fn outage_until_an_ssh_waits(host: &Host, client: &Client) -> i32 {
    let before = client.count("reconnecting");
    host.relay().refuse(true);
    host.cut_if_any();
    let is_long = |event: &Value| event["delay_millis"].as_u64().is_some_and(|it| it >= LONG);
    until("a long back-off", || client.events_named("reconnecting")[before..].iter().any(is_long));
    until_some("an ssh waits", || match (&host.fd_pass_helpers()[..], &host.connections()[..]) {
        ([_], [ssh]) => Some(*ssh),
        _ => None,
    })
}

/// Goes through outages until one has ended while an ssh was waiting, and that one was used. Each
/// costs a line that is written meanwhile and comes back afterwards.
fn resumes_over_one_that_waited(host: &Host, client: &mut Client) {
    let pid = client.line(1);
    for round in 1..=ROUNDS {
        let waiting = outage_until_an_ssh_waits(host, client);
        client.write(format!("meanwhile {round}\n"));
        host.relay().refuse(false);
        client.nth_event("attached", round + 1);
        assert_eq!(client.line(round + 1), format!("{pid} meanwhile {round}"));
        if host.connections() == [waiting] {
            return;
        }
    }
    panic!("no ssh that waited was used");
}

#[test]
fn the_attempt_that_succeeds_has_had_its_ssh_since_before_the_back_off_ended() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    resumes_over_one_that_waited(&host, &mut client);
    assert_eq!(host.servers().len(), 1);
    assert_eq!(client.finish().0, 0);
    until("nothing waits any more", || host.connections().is_empty());
    assert!(host.fd_pass_helpers().is_empty());
}

#[test]
fn a_server_that_was_put_on_the_host_is_come_back_to_in_the_same_way() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let shelf = ServerStore::new(&host);
    let mut client = host.plan().deploying(&shelf.0).run(ECHO);
    resumes_over_one_that_waited(&host, &mut client);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_client_that_is_killed_leaves_no_ssh_that_waits() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run(ECHO);
    client.line(1);
    outage_until_an_ssh_waits(&host, &client);
    client.signal(Signal::KILL);
    client.status();
    until("nothing waits any more", || {
        host.connections().is_empty() && host.fd_pass_helpers().is_empty()
    });
    host.relay().refuse(false);
    host.end_sessions();
}
