//! When rejoin dials, and how often: faults of hosts and networks that make a client dial too much, or
//! lose what only one connection can have.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

use rejoin_testing::Signal;
use serde_json::Value;

use crate::environment::{ECHO, assert_answers};
use crate::fast_lane::{Lane, until_ready};
use crate::support::{Client, Host, until, until_some};

/// A delay, in milliseconds, that only a pause has which has grown.
const LONG: u64 = 500;

/// Each attempt is reported once: their numbers begin with 1 in each absence, and have no gaps.
#[track_caller]
fn assert_each_attempt_is_reported_once(client: &Client) {
    let mut last = 0;
    for event in client.events() {
        match event["event"].as_str().unwrap() {
            "attached" => last = 0,
            "reconnecting" => {
                assert_eq!(event["attempt"], last + 1, "{:?}", client.events_named("reconnecting"));
                last += 1;
            }
            _ => {}
        }
    }
}

fn delay(event: &Value) -> u64 {
    event["delay_millis"].as_u64().unwrap()
}

/// How many of these events there are in front of the first notice.
fn before_notice(client: &Client, name: &str) -> usize {
    let story = client.story();
    story.iter().take_while(|it| *it != "notice").filter(|it| *it == name).count()
}

#[test]
fn a_host_that_greets_and_ends_each_link_is_dialled_more_and_more_seldom_and_reported() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    // The attach program has no input when it has greeted.
    let host = Host::with(|sshd| {
        let ends = "[ -e ~/closed ] && { : | eval \"$SSH_ORIGINAL_COMMAND\"; exit; }";
        sshd.force_command(&format!("{ends}; eval \"$SSH_ORIGINAL_COMMAND\""))
    });
    let mut client = host.plan().with(["--lane", "ssh"]).run(ECHO);
    client.line(1);
    let closed = host.home().join("closed");
    fs::write(&closed, "").unwrap();
    let before = host.relay().connections();
    host.cut();
    let notice = client.event("notice");
    let words = notice["message"].as_str().unwrap();
    assert!(
        words.contains("ends each connection as soon as the server program has started"),
        "{words}"
    );
    assert_eq!(before_notice(&client, "reconnecting"), 3);
    until("the pauses have grown", || {
        client.events_named("reconnecting").iter().any(|event| delay(event) >= LONG)
    });
    let dials = host.relay().connections() - before;
    let attempts = client.count("reconnecting") as u64;
    assert!(dials <= attempts, "{dials} logins in {attempts} attempts");
    fs::remove_file(closed).unwrap();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.count("notice"), 1, "{:?}", client.events_named("notice"));
    assert_each_attempt_is_reported_once(&client);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn processes_that_do_not_last_are_started_a_few_times_and_no_more() {
    const MOST_STARTS: usize = 6;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    // Each of them ends its server.
    let script = "echo started >> ~/starts; kill -9 $PPID; sleep 1000";
    let mut client = host.plan().with(["--lane", "ssh", "--on-loss", "respawn"]).run(script);
    let lost = client.event("lost");
    assert_eq!(lost["reason"], "replaced_too_often");
    assert_eq!(client.status(), 255);
    let starts = fs::read_to_string(host.home().join("starts")).unwrap().lines().count();
    assert_eq!((starts, client.count("replaced")), (MOST_STARTS, MOST_STARTS - 1));
    // The first is replaced over the link that brings its loss; every other one waits for a dial.
    let dials = usize::try_from(host.relay().connections()).unwrap();
    let attempts = client.count("reconnecting");
    assert!(dials <= attempts + 1, "{dials} logins in {attempts} attempts");
    assert!(attempts >= MOST_STARTS, "{attempts} attempts");
    assert_eq!(client.count("notice"), 0, "{:?}", client.events_named("notice"));
    assert_each_attempt_is_reported_once(&client);
}

#[test]
fn each_attempt_over_two_paths_is_reported_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let lane = Lane::start();
    let mut client = lane.plan().run(ECHO);
    let pid = client.line(1);
    until_ready(&client);
    for round in 2..4 {
        let before = client.count("reconnecting");
        lane.host.relay().refuse(true);
        lane.host.cut();
        client.nth_event("reconnecting", before + 5);
        lane.host.relay().refuse(false);
        client.nth_event("attached", round);
        client.write("x\n");
        assert_eq!(client.line(round), format!("{pid} x"));
    }
    assert_each_attempt_is_reported_once(&client);
    assert_eq!(client.finish().0, 0);
}

/// A port that nobody has, and that no system gives to somebody who asks for any.
pub(crate) fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    // Other tests that run look elsewhere.
    let first = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 100;
    until_some("a port is free", || {
        let port = first + COUNT.fetch_add(1, Ordering::Relaxed) % 100;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
    })
}

/// Says hello to everybody who connects.
pub(crate) fn greeter() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever is gone needs no greeting.
            let _ = stream.and_then(|mut stream| stream.write_all(b"hello"));
        }
    });
    port
}

/// What comes from there, if anybody is there.
pub(crate) fn said_on(port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).ok()?;
    stream.write_all(request).ok()?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).ok()?;
    Some(said)
}

/// Ports that lead to a greeter: from here, from the host, and through a proxy.
pub(crate) struct Forwards {
    pub(crate) greeter: u16,
    pub(crate) local: u16,
    pub(crate) remote: u16,
    pub(crate) dynamic: u16,
}

impl Forwards {
    pub(crate) fn new() -> Self {
        let [local, remote, dynamic] = [(); 3].map(|()| free_port());
        Self { greeter: greeter(), local, remote, dynamic }
    }

    pub(crate) fn options(&self) -> [String; 3] {
        let Self { greeter, local, remote, dynamic } = self;
        [
            format!("-L{local}:127.0.0.1:{greeter}"),
            format!("-R{remote}:127.0.0.1:{greeter}"),
            format!("-D{dynamic}"),
        ]
    }

    #[track_caller]
    pub(crate) fn assert_all_work(&self) {
        for port in [self.local, self.remote] {
            assert_eq!(said_on(port, b"").as_deref(), Some(&b"hello"[..]), "port {port}");
        }
        // SOCKS 4: connect to that port there; "granted" is eight bytes long.
        let [high, low] = self.greeter.to_be_bytes();
        let said = said_on(self.dynamic, &[4, 1, high, low, 127, 0, 0, 1, 0]);
        assert_eq!(said.as_deref().and_then(|said| said.get(8..)), Some(&b"hello"[..]), "{said:?}");
    }
}

/// What ssh says of a port that it cannot have.
const NOT_FORWARDED: [&str; 3] =
    ["Address already in use", "cannot listen to port", "remote port forwarding failed"];

#[test]
fn forwarded_ports_work_again_after_a_silent_connection_and_are_never_wanted_twice() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    // The logins with which a host is learnt would be counted, too.
    let plan = host.plan().with(["-v", "--lane", "ssh"]).with(forwards.options());
    let mut client = plan.run(ECHO);
    client.line(1);
    forwards.assert_all_work();
    // A second ssh would be counted here, and not be let in.
    host.relay().refuse(true);
    assert!(host.sshd().kill_sessions(Signal::STOP).unwrap() > 0, "no connection is there");
    client.event("detached");
    host.sshd().kill_sessions(Signal::CONT).unwrap();
    until("the host has its port back", || host.sshd().sessions().unwrap().is_empty());
    host.relay().refuse(false);
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    // With the one that was let in.
    let dials = host.relay().counts().refused + 1;
    let attempts = client.count("reconnecting") as u64;
    assert!(dials <= attempts, "{dials} dials in {attempts} attempts: some beside the silent one");
    forwards.assert_all_work();
    let told = client.stderr();
    assert!(!NOT_FORWARDED.iter().any(|words| told.contains(words)), "{told}");
    assert_eq!((client.count("detached"), client.count("moved")), (1, 0));
    assert_eq!(client.finish().0, 0);
}
