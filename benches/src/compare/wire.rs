//! A network of its own between clients and host, where packets take their time or really get lost.
//!
//! The clients run in another network namespace, at one end of a pair of virtual interfaces, or of two
//! pairs with a cable in between that takes its time. That needs root; without it, a relay plays what
//! it can.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cable::Cable;

const HOST_MAC: &str = "02:00:00:00:00:01";
const CLIENT_MAC: &str = "02:00:00:00:00:02";
/// Nobody's.
const OTHER_MAC: &str = "02:00:00:00:00:fe";
const CLIENT_DEVICE: &str = "client";

/// The interfaces. They are gone with this, and with the last client behind them.
#[derive(Debug)]
pub(super) struct Wire {
    /// Keeps the namespace, and ends when its input does.
    holder: Child,
    device: String,
    network: u8,
    client: u8,
    cable: Option<Cable>,
}

impl Wire {
    /// Lays a wire, the first or another one of this program; a long one can take its time.
    ///
    /// # Errors
    /// It may not, or a program is missing: `ip`, `nsenter`, `unshare`.
    pub(super) fn lay(number: u8, is_long: bool) -> io::Result<Self> {
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let own = std::process::id();
        // Any number does, and these are nobody else's now.
        let network = u8::try_from(own % 120).unwrap_or_default() * 2 + number;
        let device = format!("rj{own}n{number}");
        let mut wire = Self { holder, device, network, client: 2, cable: None };
        wire.until_apart()?;
        wire.connect(is_long)?;
        Ok(wire)
    }

    fn until_apart(&mut self) -> io::Result<()> {
        let own = fs::read_link("/proc/self/ns/net")?;
        let theirs = format!("/proc/{}/ns/net", self.holder.id());
        let deadline = Instant::now() + Duration::from_secs(5);
        // Its end takes the link away.
        while fs::read_link(&theirs).is_ok_and(|theirs| theirs == own) {
            if Instant::now() > deadline {
                return Err(io::Error::other("no network namespace comes"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        match self.holder.try_wait()? {
            Some(_) => Err(io::Error::other("no network namespace can be had")),
            None => Ok(()),
        }
    }

    fn connect(&mut self, is_long: bool) -> io::Result<()> {
        let (device, host, client) = (&self.device, self.host(), self.client());
        let namespace = self.holder.id();
        let pairs = if is_long {
            format!(
                "link add {device} address {HOST_MAC} type veth peer name {device}a\n\
                 link add {device}b type veth \
                 peer name {CLIENT_DEVICE} address {CLIENT_MAC} netns {namespace}\n\
                 link add link {device}a name {device}c type macvtap mode passthru\n\
                 link add link {device}b name {device}d type macvtap mode passthru\n\
                 link set {device}a up\n\
                 link set {device}b up\n\
                 link set {device}c up\n\
                 link set {device}d up\n"
            )
        } else {
            format!(
                "link add {device} address {HOST_MAC} type veth \
                 peer name {CLIENT_DEVICE} address {CLIENT_MAC} netns {namespace}\n"
            )
        };
        let here = format!(
            "{pairs}\
             address add {host}/24 dev {device}\n\
             link set {device} up\n\
             neighbour replace {client} lladdr {CLIENT_MAC} nud permanent dev {device}\n"
        );
        ip(&[], &here)?;
        let there = format!(
            "link set lo up\n\
             address add {client}/24 dev {CLIENT_DEVICE}\n\
             link set {CLIENT_DEVICE} up\n\
             neighbour replace {host} lladdr {HOST_MAC} nud permanent dev {CLIENT_DEVICE}\n\
             route add default via {host}\n"
        );
        self.at_client(&there)?;
        if is_long {
            let ends = [format!("{device}c"), format!("{device}d")];
            self.cable = Some(Cable::join([&ends[0], &ends[1]])?);
        }
        Ok(())
    }

    /// Takes this time for a way there and back from now on, if it is a long one.
    pub(super) fn take(&self, round_trip: Duration) {
        if let Some(cable) = &self.cable {
            cable.take(round_trip);
        }
    }

    /// Resets the oldest connection to the host: numbers of sockets only rise.
    ///
    /// # Errors
    /// `ss` is not there, or may not.
    pub(super) fn reset(&self) -> io::Result<()> {
        let listed = self.ss(&["-H", "-t", "-n", "-e"])?;
        let oldest = listed.lines().filter_map(connection).min();
        match oldest {
            Some((_, port)) => self.ss(&["-K", "-t", "sport", &format!("= :{port}")]).map(drop),
            None => Err(io::Error::other("there is no connection to reset")),
        }
    }

    fn ss(&self, options: &[&str]) -> io::Result<String> {
        let mut words = self.prefix();
        words.push("ss".into());
        words.extend(options.iter().map(OsString::from));
        words.extend(["dst".into(), self.host().to_string().into()]);
        let done = Command::new(&words[0]).args(&words[1..]).output()?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(io::Error::other(format!("ss: {}", String::from_utf8_lossy(&done.stderr).trim())))
    }

    /// The host's address. The network is one that is set apart for benchmarks (RFC 2544).
    pub(super) fn host(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, 1)
    }

    fn client(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.network, self.client)
    }

    /// What to put in front of a command for it to run at the client's end.
    pub(super) fn prefix(&self) -> Vec<OsString> {
        let pid = self.holder.id().to_string();
        ["nsenter", "--target", &pid, "--net", "--"].map(OsString::from).into()
    }

    /// Every packet gets lost from now on, in both directions, and nobody is told: both ends send to
    /// a hardware address that is nobody's.
    ///
    /// # Errors
    /// `ip` failed.
    pub(super) fn silence(&self) -> io::Result<()> {
        self.address_packets(OTHER_MAC, OTHER_MAC)
    }

    /// Packets arrive again. Those that were lost are not made up for: that is their senders' work.
    ///
    /// # Errors
    /// `ip` failed.
    pub(super) fn heal(&self) -> io::Result<()> {
        self.address_packets(HOST_MAC, CLIENT_MAC)
    }

    fn address_packets(&self, own: &str, theirs: &str) -> io::Result<()> {
        let (device, client) = (&self.device, self.client());
        // In this order: a new address of the interface's own makes it forget its neighbours.
        ip(
            &[],
            &format!(
                "link set dev {device} address {own}\n\
             neighbour replace {client} lladdr {theirs} nud permanent dev {device}\n"
            ),
        )
    }

    /// The client's end gets another address, as behind another access point. What is sent to the old
    /// one is lost.
    ///
    /// # Errors
    /// `ip` failed.
    pub(super) fn change_address(&mut self) -> io::Result<()> {
        let old = self.client();
        self.client = if self.client < 250 { self.client + 1 } else { 2 };
        let (device, host, client) = (&self.device, self.host(), self.client());
        ip(
            &[],
            &format!("neighbour replace {client} lladdr {CLIENT_MAC} nud permanent dev {device}\n"),
        )?;
        self.at_client(&format!(
            "address delete {old}/24 dev {CLIENT_DEVICE}\n\
             address add {client}/24 dev {CLIENT_DEVICE}\n\
             neighbour replace {host} lladdr {HOST_MAC} nud permanent dev {CLIENT_DEVICE}\n\
             route replace default via {host}\n"
        ))
    }

    fn at_client(&self, script: &str) -> io::Result<()> {
        ip(&self.prefix(), script)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // It ends with its input.
        let _ = self.holder.wait();
        // With the namespace they would go, too, but later.
        let _ = ip(&[], &format!("link delete {}\n", self.device));
        if self.cable.is_some() {
            let _ = ip(&[], &format!("link delete {}b\n", self.device));
        }
    }
}

fn ip(prefix: &[OsString], script: &str) -> io::Result<()> {
    let words = prefix.iter().cloned().chain(["ip", "-batch", "-"].map(OsString::from));
    let words: Vec<OsString> = words.collect();
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let done = child.wait_with_output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip: {}", String::from_utf8_lossy(&done.stderr).trim())))
}

/// A socket's number and its port, from a line of ss.
fn connection(line: &str) -> Option<(u64, u16)> {
    let local = line.split_whitespace().nth(3)?;
    let port = local.rsplit(':').next()?.parse().ok()?;
    let number = line.split_whitespace().find_map(|word| word.strip_prefix("ino:"))?;
    Some((number.parse().ok()?, port))
}
