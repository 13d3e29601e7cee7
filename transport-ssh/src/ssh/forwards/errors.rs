//! The messages of ssh on stderr about forwards that it could not make.
//!
//! ssh prints them after the login and before the session's first byte. The host can print the same lines at
//! that time, in a banner or from a login shell's start-up files. Such a line causes a false report, and
//! harmless attempts to make a forward that exists. Later lines belong to the session, and are not read
//! here.

use crate::link::forwards::{ForwardKind, ListenAddress};

/// More failures than this are not kept: a host can print more than anybody forwards.
const MOST: usize = 64;
/// A longer path is no socket's.
const LONGEST_PATH: usize = 256;

/// A forward that ssh did not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedForward {
    pub(crate) kind: ForwardKind,
    pub(crate) listen: ListenAddress,
    /// The reason, in the system's words, if ssh printed it.
    pub(crate) reason: Option<String>,
}

/// Reads line after line.
#[derive(Debug, Default)]
pub(crate) struct ForwardErrors {
    failed: Vec<FailedForward>,
    /// Why ssh could not listen, while it has not said for which forward: OpenSSH 7.6 says that later.
    reason: Option<String>,
}

/// The meaning of a line.
#[derive(Debug, PartialEq, Eq)]
enum ErrorLine<'a> {
    Reason(&'a str),
    Failed(ForwardKind, ListenAddress, Option<&'a str>),
    /// No local forward was made. It stands behind the lines about each of them, except where a name is
    /// unknown.
    NoLocal,
}

impl ForwardErrors {
    pub(crate) fn read(&mut self, line: &str) {
        match parse_line(line) {
            Some(ErrorLine::Reason(reason)) => self.reason = Some(reason.to_owned()),
            Some(ErrorLine::Failed(kind, listen, reason)) => {
                let pending = self.reason.take_if(|_| kind == ForwardKind::Local);
                let reason = reason.map(str::to_owned).or(pending);
                self.push(FailedForward { kind, listen, reason });
            }
            Some(ErrorLine::NoLocal)
                if !self.failed.iter().any(|it| it.kind == ForwardKind::Local) =>
            {
                let reason = self.reason.take();
                self.push(FailedForward {
                    kind: ForwardKind::Local,
                    listen: ListenAddress::Unknown,
                    reason,
                });
            }
            Some(ErrorLine::NoLocal) | None => {}
        }
    }

    fn push(&mut self, failed: FailedForward) {
        let is_known = |it: &FailedForward| it.kind == failed.kind && it.listen == failed.listen;
        if self.failed.len() < MOST && !self.failed.iter().any(is_known) {
            self.failed.push(failed);
        }
    }

    /// The forwards that were not made.
    pub(crate) fn into_failed(self) -> Vec<FailedForward> {
        self.failed
    }
}

/// Whether ssh prints this line about a forward that is requested during the session.
pub(crate) fn is_about_forwarding(line: &str) -> bool {
    let line = without_function(line);
    let is_request = ["requested ", "slave-requested "].iter().any(|it| line.starts_with(it));
    parse_line(line).is_some() || is_request && line.ends_with(" failed")
}

fn parse_line(line: &str) -> Option<ErrorLine<'_>> {
    let line = without_function(line);
    if let Some(reason) = line.strip_prefix("bind: ") {
        return Some(ErrorLine::Reason(reason));
    }
    // It may listen on another address of the same name, and says no more then.
    if let Some((_, rest)) = line.strip_prefix("bind [").and_then(|it| it.split_once("]:")) {
        let (port, reason) = rest.split_once(": ")?;
        return Some(ErrorLine::Failed(ForwardKind::Local, port_of(port)?, Some(reason)));
    }
    if let Some(rest) = line.strip_prefix("getaddrinfo(") {
        return Some(ErrorLine::Reason(rest.split_once("): ")?.1));
    }
    if let Some(port) = line.strip_prefix("cannot listen to port: ") {
        return Some(ErrorLine::Failed(ForwardKind::Local, port_of(port)?, None));
    }
    // OpenSSH 7.6 has a colon here, and no reason.
    if let Some(path) = line.strip_prefix("cannot bind to path: ") {
        return Some(ErrorLine::Failed(ForwardKind::Local, path_of(path)?, None));
    }
    for start in ["cannot bind to path ", "cannot listen on path "] {
        if let Some((path, reason)) = line.strip_prefix(start).and_then(|it| it.rsplit_once(": ")) {
            return Some(ErrorLine::Failed(ForwardKind::Local, path_of(path)?, Some(reason)));
        }
    }
    let line = line.strip_prefix("Warning: ").unwrap_or(line);
    if let Some(what) = line.strip_prefix("remote port forwarding failed for listen ") {
        let port = what.strip_prefix("port ").and_then(port_of);
        let listen = port.or_else(|| what.strip_prefix("path ").and_then(path_of))?;
        return Some(ErrorLine::Failed(ForwardKind::Remote, listen, None));
    }
    let of = |kind| Some(ErrorLine::Failed(kind, ListenAddress::Unknown, None));
    match line {
        "Could not request local forwarding." => Some(ErrorLine::NoLocal),
        "Could not request remote forwarding." => of(ForwardKind::Remote),
        "Could not request tunnel forwarding." | "Tunnel forwarding failed" => {
            of(ForwardKind::Tunnel)
        }
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

fn port_of(text: &str) -> Option<ListenAddress> {
    text.parse().ok().map(ListenAddress::Port)
}

fn path_of(text: &str) -> Option<ListenAddress> {
    (!text.is_empty() && text.len() <= LONGEST_PATH).then(|| ListenAddress::Path(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &str) -> Vec<FailedForward> {
        let mut errors = ForwardErrors::default();
        lines.lines().for_each(|line| errors.read(line));
        errors.into_failed()
    }

    fn failed(kind: ForwardKind, listen: ListenAddress, reason: Option<&str>) -> FailedForward {
        FailedForward { kind, listen, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn knows_a_local_port_that_old_and_new_versions_cannot_have() {
        let used = Some("Address already in use");
        let expected = [failed(ForwardKind::Local, ListenAddress::Port(8080), used)];
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
            failed(ForwardKind::Local, ListenAddress::Port(80), Some("Permission denied")),
            failed(ForwardKind::Local, ListenAddress::Port(81), None),
            failed(ForwardKind::Remote, ListenAddress::Port(80), None),
        ];
        assert_eq!(read(lines), expected);
    }

    #[test]
    fn knows_a_port_that_only_one_of_several_addresses_lacks() {
        let lines = "bind [127.0.0.1]:80: Address already in use\nhello";
        let expected =
            failed(ForwardKind::Local, ListenAddress::Port(80), Some("Address already in use"));
        assert_eq!(read(lines), [expected]);
    }

    #[test]
    fn knows_sockets_by_their_paths() {
        let path = || ListenAddress::Path("/run/a: b".to_owned());
        let used = Some("Address already in use");
        for (line, expected) in [
            (
                "unix_listener: cannot bind to path: /run/a: b",
                failed(ForwardKind::Local, path(), None),
            ),
            (
                "unix_listener: cannot bind to path /run/a: b: Address already in use",
                failed(ForwardKind::Local, path(), used),
            ),
            (
                "Warning: remote port forwarding failed for listen path /run/a: b",
                failed(ForwardKind::Remote, path(), None),
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
            failed(ForwardKind::Local, ListenAddress::Unknown, Some("Name or service not known")),
            failed(ForwardKind::Tunnel, ListenAddress::Unknown, None),
        ];
        assert_eq!(read(lines), expected);
    }

    #[test]
    fn ignores_unrelated_messages_of_ssh() {
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
        let mut errors = ForwardErrors::default();
        for port in 0..=u16::MAX {
            errors.read(&format!("remote port forwarding failed for listen port {port}"));
        }
        assert_eq!(errors.into_failed().len(), MOST);
    }

    proptest! {
        #[test]
        fn any_text_is_read(lines in proptest::collection::vec("(bind|cannot |Warning: |[ -~]){0,6}", 0..200)) {
            prop_assert!(read(&lines.join("\n")).len() <= MOST);
        }
    }
}
