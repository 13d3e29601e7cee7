//! Changes of the network: the kernel announces each, and `/proc/net` shows which of them matter.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::UnixDatagram;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE` of
/// `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// The most that is read of a table. Whoever has more routes does not move about with them.
const MAX_TABLE: u64 = 256 * 1024;
/// The scope of an IPv6 address that other networks can reach, in `if_inet6`.
const GLOBAL: &str = "00";
const ANYWHERE: &str = "00000000000000000000000000000000";

/// Announces changes of the addresses and routes of this machine.
pub(crate) struct NetworkChanges {
    /// It is of the family netlink. What the runtime has for Unix datagrams receives from it as well.
    socket: UnixDatagram,
    known: Network,
}

impl NetworkChanges {
    /// Watches from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The system does not let the network be watched.
    pub(crate) fn watch() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(family, kind, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        let socket = UnixDatagram::from_std(socket.into())?;
        Ok(Self { socket, known: Network::read() })
    }

    /// Completes when an address or a route has changed that a connection can depend on. Cancel-safe.
    ///
    /// # Errors
    /// The network cannot be watched any more.
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            self.socket.readable().await?;
            self.drain()?;
            let now = Network::read();
            if now != self.known {
                self.known = now;
                return Ok(());
            }
        }
    }

    /// Reads what waits on the socket. The tables say the same, and more.
    fn drain(&self) -> io::Result<()> {
        let mut buffer = [0; 8 * 1024];
        loop {
            match self.socket.try_recv(&mut buffer) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The kernel had more to say than it kept.
                Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What a connection can depend on: addresses, and the routes that lead elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Network(BTreeSet<String>);

impl Network {
    fn read() -> Self {
        let table = |name: &str| read(&Path::new("/proc/net").join(name));
        Self::of(&table("route"), &table("fib_trie"), &table("if_inet6"), &table("ipv6_route"))
    }

    fn of(route: &str, fib_trie: &str, if_inet6: &str, ipv6_route: &str) -> Self {
        let routes = route.lines().skip(1).filter_map(ipv4_route);
        let addresses = ipv4_addresses(fib_trie);
        let addresses_6 = if_inet6.lines().filter_map(ipv6_address);
        let routes_6 = ipv6_route.lines().filter_map(ipv6_default);
        Self(routes.chain(addresses).chain(addresses_6).chain(routes_6).collect())
    }
}

/// The interface, destination, gateway and mask. Counters and metrics change without a change of the network.
fn ipv4_route(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let (interface, to, gateway) = (words.next()?, words.next()?, words.next()?);
    let mask = words.nth(4)?;
    Some(format!("{interface} {to} {gateway} {mask}"))
}

/// The addresses of this machine: those whose entry says `host LOCAL`.
fn ipv4_addresses(fib_trie: &str) -> impl Iterator<Item = String> {
    let lines = fib_trie.lines().zip(fib_trie.lines().skip(1));
    lines.filter_map(|(address, kind)| {
        let address = address.trim_start().strip_prefix("|-- ")?;
        let is_own = kind.ends_with("host LOCAL") && !address.starts_with("127.");
        is_own.then(|| address.to_owned())
    })
}

fn ipv6_address(line: &str) -> Option<String> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    match words[..] {
        [address, _, _, GLOBAL, _, interface] => Some(format!("{interface} {address}")),
        _ => None,
    }
}

/// The gateway of a default route. Those of the loopback interface lead nowhere.
fn ipv6_default(line: &str) -> Option<String> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let (to, length) = (words.first()?, words.get(1)?);
    let (gateway, interface) = (words.get(4)?, words.get(9)?);
    let is_default = *to == ANYWHERE && *length == "00" && *interface != "lo";
    is_default.then(|| format!("{interface} default {gateway}"))
}

/// What cannot be read is empty: without IPv6 there are no such tables.
fn read(path: &Path) -> String {
    let mut table = Vec::new();
    if let Ok(file) = File::open(path) {
        // As much as came is enough to see a change.
        let _ = file.take(MAX_TABLE).read_to_end(&mut table);
    }
    String::from_utf8_lossy(&table).into_owned()
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
