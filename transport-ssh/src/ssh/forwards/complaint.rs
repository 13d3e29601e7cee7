//! What ssh says on its stderr about a forward that it did not make.
//!
//! ssh says so after the login and before the session's first byte. The host can write the same lines at
//! that time: in a banner, or from a login shell's start-up files. Such a line costs a false report, and
//! harmless attempts to make a forward that is there. Lines that come later are the session's, and are not
//! read here.

use crate::link::forwards::{Listen, Side};

/// More failures than this are not kept: a host can print more than anybody forwards.
const MOST: usize = 64;
/// A longer path is no socket's.
const LONGEST_PATH: usize = 256;

/// A forward that ssh did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) side: Side,
    pub(crate) listen: Listen,
    /// The reason, in the words of the system, if ssh has told it.
    pub(crate) reason: Option<String>,
}

/// Reads line after line.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    failed: Vec<Failed>,
    /// Why ssh could not listen, while it has not said for which forward: OpenSSH 7.6 says that later.
    reason: Option<String>,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Says<'a> {
    Reason(&'a str),
    Failed(Side, Listen, Option<&'a str>),
    /// No local forward was made. It stands behind the lines about each of them, except where a name is
    /// unknown.
    NoLocal,
}

impl Complaints {
    pub(crate) fn read(&mut self, line: &str) {
        match says(line) {
            Some(Says::Reason(reason)) => self.reason = Some(reason.to_owned()),
            Some(Says::Failed(side, listen, reason)) => {
                let pending = self.reason.take_if(|_| side == Side::Local);
                let reason = reason.map(str::to_owned).or(pending);
                self.push(Failed { side, listen, reason });
            }
            Some(Says::NoLocal) if !self.failed.iter().any(|it| it.side == Side::Local) => {
                let reason = self.reason.take();
                self.push(Failed { side: Side::Local, listen: Listen::Unknown, reason });
            }
            Some(Says::NoLocal) | None => {}
        }
    }

    fn push(&mut self, failed: Failed) {
        let is_known = |it: &Failed| it.side == failed.side && it.listen == failed.listen;
        if self.failed.len() < MOST && !self.failed.iter().any(is_known) {
            self.failed.push(failed);
        }
    }

    /// What was not made.
    pub(crate) fn into_failed(self) -> Vec<Failed> {
        self.failed
    }
}

/// Whether ssh says this of a forward that it is asked for while the session goes on.
pub(crate) fn is_about_forwarding(line: &str) -> bool {
    let line = without_function(line);
    let is_request = ["requested ", "slave-requested "].iter().any(|it| line.starts_with(it));
    says(line).is_some() || is_request && line.ends_with(" failed")
}

fn says(line: &str) -> Option<Says<'_>> {
    let line = without_function(line);
    if let Some(reason) = line.strip_prefix("bind: ") {
        return Some(Says::Reason(reason));
    }
    // It may listen on another address of the same name, and says no more then.
    if let Some((_, rest)) = line.strip_prefix("bind [").and_then(|it| it.split_once("]:")) {
        let (port, reason) = rest.split_once(": ")?;
        return Some(Says::Failed(Side::Local, port_of(port)?, Some(reason)));
    }
    if let Some(rest) = line.strip_prefix("getaddrinfo(") {
        return Some(Says::Reason(rest.split_once("): ")?.1));
    }
    if let Some(port) = line.strip_prefix("cannot listen to port: ") {
        return Some(Says::Failed(Side::Local, port_of(port)?, None));
    }
    // OpenSSH 7.6 has a colon here, and no reason.
    if let Some(path) = line.strip_prefix("cannot bind to path: ") {
        return Some(Says::Failed(Side::Local, path_of(path)?, None));
    }
    for start in ["cannot bind to path ", "cannot listen on path "] {
        if let Some((path, reason)) = line.strip_prefix(start).and_then(|it| it.rsplit_once(": ")) {
            return Some(Says::Failed(Side::Local, path_of(path)?, Some(reason)));
        }
    }
    let line = line.strip_prefix("Warning: ").unwrap_or(line);
    if let Some(what) = line.strip_prefix("remote port forwarding failed for listen ") {
        let port = what.strip_prefix("port ").and_then(port_of);
        let listen = port.or_else(|| what.strip_prefix("path ").and_then(path_of))?;
        return Some(Says::Failed(Side::Remote, listen, None));
    }
    let of = |side| Some(Says::Failed(side, Listen::Unknown, None));
    match line {
        "Could not request local forwarding." => Some(Says::NoLocal),
        "Could not request remote forwarding." => of(Side::Remote),
        "Could not request tunnel forwarding." | "Tunnel forwarding failed" => of(Side::Tunnel),
        _ => None,
    }
}

/// ssh begins some messages with the name of one of its functions.
fn without_function(line: &str) -> &str {
    let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match line.split_once(": ") {
        Some((name, rest)) if name.contains('_') && name.chars().all(is_letter) => rest,
        _ => line,
    }
}

fn port_of(text: &str) -> Option<Listen> {
    text.parse().ok().map(Listen::Port)
}

fn path_of(text: &str) -> Option<Listen> {
    (!text.is_empty() && text.len() <= LONGEST_PATH).then(|| Listen::Path(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &str) -> Vec<Failed> {
        let mut complaints = Complaints::default();
        lines.lines().for_each(|line| complaints.read(line));
        complaints.into_failed()
    }

    fn failed(side: Side, listen: Listen, reason: Option<&str>) -> Failed {
        Failed { side, listen, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn knows_a_local_port_that_old_and_new_versions_cannot_have() {
        let used = Some("Address already in use");
        let expected = [failed(Side::Local, Listen::Port(8080), used)];
        for bind in
            ["bind: Address already in use", "bind [127.0.0.1]:8080: Address already in use"]
        {
            let lines = format!(
                "{bind}\nchannel_setup_fwd_listener_tcpip: cannot listen to port: 8080\n\
                 Could not request local forwarding."
            );
            assert_eq!(read(&lines), expected, "{lines}");
        }
        let six = "bind [::1]:8080: Address already in use\ncannot listen to port: 8080";
        assert_eq!(read(six), expected);
    }

    #[test]
    fn knows_each_port_of_several_and_its_own_reason() {
        let lines = "bind [127.0.0.1]:80: Permission denied\n\
                     channel_setup_fwd_listener_tcpip: cannot listen to port: 80\n\
                     channel_setup_fwd_listener_tcpip: cannot listen to port: 81\n\
                     Warning: remote port forwarding failed for listen port 80";
        let expected = [
            failed(Side::Local, Listen::Port(80), Some("Permission denied")),
            failed(Side::Local, Listen::Port(81), None),
            failed(Side::Remote, Listen::Port(80), None),
        ];
        assert_eq!(read(lines), expected);
    }

    #[test]
    fn knows_a_port_that_only_one_of_several_addresses_lacks() {
        let lines = "bind [127.0.0.1]:80: Address already in use\nhello";
        let expected = failed(Side::Local, Listen::Port(80), Some("Address already in use"));
        assert_eq!(read(lines), [expected]);
    }

    #[test]
    fn knows_sockets_by_their_paths() {
        let path = || Listen::Path("/run/a: b".to_owned());
        let used = Some("Address already in use");
        for (line, expected) in [
            ("unix_listener: cannot bind to path: /run/a: b", failed(Side::Local, path(), None)),
            (
                "unix_listener: cannot bind to path /run/a: b: Address already in use",
                failed(Side::Local, path(), used),
            ),
            (
                "Warning: remote port forwarding failed for listen path /run/a: b",
                failed(Side::Remote, path(), None),
            ),
        ] {
            assert_eq!(read(line), [expected], "{line}");
        }
    }

    #[test]
    fn knows_a_failure_that_names_no_port() {
        let lines = "channel_setup_fwd_listener_tcpip: getaddrinfo(nowhere): Name or service not known\n\
                     Could not request local forwarding.\nTunnel forwarding failed";
        let expected = [
            failed(Side::Local, Listen::Unknown, Some("Name or service not known")),
            failed(Side::Tunnel, Listen::Unknown, None),
        ];
        assert_eq!(read(lines), expected);
    }

    #[test]
    fn what_ssh_says_of_other_things_is_no_complaint() {
        for line in [
            "Error: remote port forwarding failed for listen port 80",
            "remote port forwarding failed for listen port 65536",
            "debug1: bind [127.0.0.1]:80: Address already in use",
            "Could not request local forwarding",
            "sh: cannot listen to port: 80",
            "Permission denied (publickey).",
            "",
        ] {
            assert_eq!(read(line), [], "{line}");
        }
    }

    #[test]
    fn knows_what_ssh_says_of_a_forward_that_is_asked_for_later() {
        for line in [
            "mux_confirm_remote_forward: remote port forwarding failed for listen port 80",
            "mux_master_process_open_fwd: requested local forward 80 -> h:80 failed",
            "slave-requested local forward 80 -> h:80 failed",
            "bind [127.0.0.1]:80: Address already in use",
        ] {
            assert!(is_about_forwarding(line), "{line}");
        }
        assert!(!is_about_forwarding("Connection to h closed by remote host."));
    }

    #[test]
    fn a_host_that_floods_fills_no_memory() {
        let mut complaints = Complaints::default();
        for port in 0..=u16::MAX {
            complaints.read(&format!("remote port forwarding failed for listen port {port}"));
        }
        assert_eq!(complaints.into_failed().len(), MOST);
    }

    proptest! {
        #[test]
        fn any_text_is_read(lines in proptest::collection::vec("(bind|cannot |Warning: |[ -~]){0,6}", 0..200)) {
            prop_assert!(read(&lines.join("\n")).len() <= MOST);
        }
    }
}
