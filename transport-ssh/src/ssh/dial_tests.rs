use std::net::TcpListener;

use super::*;
use rejoin_testing::BlackHole;

const SOCKET: SocketOptions = SocketOptions { keepalive: true, segment: None };

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn route(text: &str) -> Option<DialTarget> {
    let always = "hostname h\nport 22\naddressfamily any\ntcpkeepalive yes\n";
    DialTarget::of(&SshConfig::of(&format!("{text}\n{always}")).unwrap())
}

#[test]
fn lets_ssh_connect_if_it_would_not_connect_directly() {
    assert!(route("").is_some());
    assert!(route("proxycommand none\nproxyjump none\ncanonicalizehostname false").is_some());
    for own in [
        "proxycommand nc %h %p",
        "proxyjump bastion",
        "bindaddress 10.0.0.1",
        "bindinterface wg0",
        "canonicalizehostname always",
        "checkhostip yes",
        "nohostauthenticationforlocalhost yes",
        "addressfamily strange",
    ] {
        assert_eq!(route(own), None, "{own}");
    }
    assert_eq!(DialTarget::of(&SshConfig::of("hostname h\nport 22").unwrap()), None);
}

#[test]
fn families_take_turns_beginning_with_the_preferred_one_and_there_are_not_too_many() {
    let found = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
    let expected = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"];
    assert_eq!(in_turn(found.into_iter()), addresses(&expected));
    let many = (0..100).map(|number| SocketAddr::from(([10, 0, 0, number], 22)));
    assert_eq!(in_turn(many).len(), MAX_ADDRESSES);
}

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// One where nobody listens.
fn refused() -> SocketAddr {
    listening().1
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test]
async fn a_refused_address_is_passed_over_and_the_connection_is_as_ssh_wants_it() {
    let (_listener, open) = listening();
    let stream = race(vec![refused(), refused(), open], SOCKET, soon()).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(stream.nodelay().unwrap());
    assert!(rustix::net::sockopt::socket_keepalive(&stream).unwrap());
    let flags = rustix::fs::fcntl_getfl(&stream).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
}

#[tokio::test]
async fn an_address_that_does_not_answer_does_not_hold_up_the_next_one() {
    let silent = BlackHole::start().unwrap();
    let (_listener, open) = listening();
    let stream = race(vec![silent.addr(), open], SOCKET, soon()).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), open);
}

/// How many connections to an address wait for its first answer, as the system lists them.
fn tries(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("{address}") };
    let peer = format!("{:08X}:{:04X}", u32::from(*address.ip()).swap_bytes(), address.port());
    let is_try = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words[2] == peer && words[3] == "02"
    };
    std::fs::read_to_string("/proc/net/tcp").unwrap().lines().skip(1).filter(is_try).count()
}

#[tokio::test]
async fn an_address_that_does_not_answer_is_tried_again_beside_the_first_try() {
    let silent = BlackHole::start().unwrap();
    let racing = tokio::spawn(race(vec![silent.addr()], SOCKET, soon()));
    let (before, deadline) = (tries(silent.addr()), soon());
    while tries(silent.addr()) < before + 3 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(AGAIN / 4).await;
    }
    racing.abort();
}

#[test]
fn retries_an_unreachable_address_and_reports_it() {
    let [first, second] = addresses(&["10.0.0.1:1", "10.0.0.2:1"])[..] else { panic!() };
    let mut race = Race { open: [first, second].into(), started: 1, ..Race::default() };
    let unreachable = || io::ErrorKind::HostUnreachable.into();
    assert!(race.failed(first, unreachable()), "the other one is not tried yet");
    race.started = 2;
    assert!(!race.failed(first, unreachable()) && !race.failed(second, unreachable()));
    assert_eq!(race.open, [first, second]);
    assert!(race.failed(second, io::ErrorKind::ConnectionRefused.into()));
    assert_eq!(race.open, [first]);
    let failures: Vec<_> =
        race.into_late().into_iter().map(|(address, error)| (address, error.kind())).collect();
    let expected =
        [(second, io::ErrorKind::ConnectionRefused), (first, io::ErrorKind::HostUnreachable)];
    assert_eq!(failures, expected);
}

#[tokio::test]
async fn names_every_failed_address_with_its_reason() {
    let silent = BlackHole::start().unwrap();
    let refused = refused();
    let resolved = "hostname name\nport 1\naddressfamily any\ntcpkeepalive yes";
    let route = DialTarget::of(&SshConfig::of(resolved).unwrap()).unwrap();
    let deadline = Instant::now() + STAGGER * 2;
    let failures = race(vec![refused, silent.addr()], SOCKET, deadline).await.unwrap_err();
    let error = route.unreachable(&failures);
    assert_eq!(error.kind, LinkErrorKind::Unreachable);
    let expected = "cannot connect to name port 1: 127.0.0.1: Connection refused; \
                    127.0.0.1: no answer in time";
    assert_eq!(error.message, expected);
}

#[tokio::test]
async fn reports_an_unknown_host_name() {
    let resolved = "hostname no-such-host.invalid\nport 22\naddressfamily any\ntcpkeepalive no";
    let route = DialTarget::of(&SshConfig::of(resolved).unwrap()).unwrap();
    let error = route.dial(Duration::from_secs(30), false).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::Unreachable);
    assert!(error.message.starts_with("cannot resolve no-such-host.invalid: "), "{error}");
}

#[tokio::test]
async fn a_connection_announces_the_segment_size_that_it_is_to_have() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let resolved = format!(
        "hostname 127.0.0.1\nport {}\naddressfamily any\ntcpkeepalive yes",
        listener.local_addr().unwrap().port()
    );
    let route = route(&resolved).unwrap().in_segments_of(Some(1362));
    let stream = route.dial(Duration::from_secs(20), false).await.unwrap();
    let (far, _) = listener.accept().unwrap();
    assert_eq!(SockRef::from(&far).tcp_mss().unwrap(), 1362);
    assert_eq!(SockRef::from(&stream).tcp_mss().unwrap(), 1362);
}
