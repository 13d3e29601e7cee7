//! Which changes of the network count.

use std::process::Command;

use rejoin_testing::needs;

use super::*;

const ROUTE: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
const FIB_TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL";
const IF_INET6: &str = "\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
fd000000000000000000000000000002 04 40 00 82     eth0";
const IPV6_ROUTE: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo";

fn network() -> Network {
    Network::of(ROUTE, FIB_TRIE, IF_INET6, IPV6_ROUTE)
}

#[test]
fn knows_addresses_and_routes_by_what_a_connection_depends_on() {
    let Network(known) = network();
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    assert_eq!(
        known,
        [
            "192.0.2.2",
            "eth0 00000000 010200C0 00000000",
            "eth0 000200C0 00000000 00FFFFFF",
            "eth0 default fd000000000000000000000000000001",
            "eth0 fd000000000000000000000000000002",
        ]
    );
}

#[test]
fn ignores_counters_metrics_and_link_local_addresses() {
    let used = ROUTE.replace("0003\t0\t0\t0", "0003\t7\t9\t100");
    let counted = IPV6_ROUTE.replace("00000003", "00000009");
    let more = format!("{IF_INET6}\nfe800000000000000000000000000009 05 40 20 80     veth1");
    assert_eq!(Network::of(&used, FIB_TRIE, &more, &counted), network());
}

#[test]
fn sees_a_new_address_in_the_same_subnet() {
    let moved = FIB_TRIE.replace("192.0.2.2", "192.0.2.3");
    assert_ne!(Network::of(ROUTE, &moved, IF_INET6, IPV6_ROUTE), network());
}

#[test]
fn nonsense_is_no_network() {
    assert_eq!(Network::of("", "", "", ""), Network::default());
    assert_eq!(Network::of("x\ny", "|--\n|-- ", "a b c 00", "0 0"), Network::default());
}

/// Runs [`in_a_network_of_its_own`], in one.
#[test]
fn notices_a_change_of_the_network() {
    needs!("unshare", "ip");
    let this = std::env::current_exe().unwrap();
    let mut test = Command::new("unshare");
    test.args(["--net", "--map-root-user"]).arg(this).args(["--exact", "--ignored"]);
    let ran = test.arg("os::linux::network::tests::in_a_network_of_its_own").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

fn ip(arguments: &str) {
    let ran = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(ran.success(), "ip {arguments}");
}

#[tokio::test]
#[ignore = "it changes the network: notices_a_change_of_the_network runs it in another one"]
async fn in_a_network_of_its_own() {
    ip("link add name rj0 type veth peer name rj1");
    ip("link set rj0 up");
    ip("link set rj1 up");
    let mut changes = NetworkChanges::watch().unwrap();
    for change in [
        "address add 192.0.2.1/24 dev rj0",
        "address add 192.0.2.2/24 dev rj0",
        "route add default via 192.0.2.9",
        "link set rj0 down",
    ] {
        ip(change);
        changes.next().await.unwrap();
    }
    assert_eq!(Network::read(), changes.known);
}
