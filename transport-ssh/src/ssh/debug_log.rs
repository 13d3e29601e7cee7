//! The debug lines in which ssh logs its steps, which show how far a connection has got.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use crate::link::milestones::{Milestone, Milestones};
use crate::link::stderr::{LineFilter, LineUse};

/// Makes ssh log its steps, at the lowest level that contains them. An option and not `-v`, which a jump
/// host's ssh would get as well, and which would add to a user's own.
pub(crate) const SETTING: &str = "LogLevel=DEBUG1";

/// The longest message that ssh writes to its stderr, in bytes.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// How debug lines are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DebugLines {
    /// Like all other lines.
    #[default]
    Plain,
    /// The steps are followed, and the lines shown, because the user's own options may ask for them.
    Followed,
    /// The steps are followed, and the lines hidden, because only this program asked for them.
    Hidden,
}

/// Messages, and the step that each shows. ssh knows of a proxy's connection only when the host answers. The
/// messages are the same since OpenSSH 7.6, except those about the login.
const STEPS: &[(&str, Milestone)] = &[
    ("debug1: Connecting to ", Milestone::Resolved),
    ("debug1: Executing proxy ", Milestone::Resolved),
    ("debug1: Connection established.", Milestone::Connected),
    ("debug1: Remote protocol version ", Milestone::Connected),
    ("debug1: SSH2_MSG_NEWKEYS received", Milestone::KeysExchanged),
    ("debug1: Authentication succeeded (", Milestone::Authenticated),
    ("Authenticated to ", Milestone::Authenticated),
    ("debug1: Sending command: ", Milestone::CommandSent),
];

/// Messages that ssh prints at the same level without the prefix `debug1`.
const UNMARKED: &[&str] = &[
    "OpenSSH_",
    "Authenticated to ",
    "Authenticated using \"",
    "Canonicalized DNS aliased hostname ",
    "DNS lookup error: ",
    "Killed by signal ",
    "Transferred: sent ",
    "Bytes per second: sent ",
];

/// Reads line after line of an ssh's stderr.
pub(crate) struct ProgressFilter {
    debug_log: DebugLines,
    /// Whether another ssh may tell its steps in the same place: that of a jump host, which is given a
    /// user's `-v` as well.
    has_company: bool,
    /// How many bytes may still belong to a message that is kept, while its end has not come.
    unfinished: usize,
}

impl ProgressFilter {
    pub(crate) fn new(debug_log: DebugLines) -> Self {
        Self { debug_log, has_company: false, unfinished: 0 }
    }

    /// Whether to hide this line, which arrived as these bytes. If the line shows a step, it is noted.
    fn keeps(&mut self, line: &str, bytes: &[u8]) -> bool {
        if self.debug_log == DebugLines::Plain {
            return false;
        }
        if let Some(milestone) = self.reached(line) {
            Milestones::reach(milestone);
        }
        self.debug_log == DebugLines::Hidden && self.is_of_detail(line, bytes)
    }

    fn reached(&mut self, line: &str) -> Option<Milestone> {
        let reached = reached(line)?;
        let is_ours =
            !self.has_company || line.contains(" (via proxy)") || reached == Milestone::CommandSent;
        // What only dials is no other ssh.
        let is_proxied = line.starts_with("debug1: Executing proxy command");
        self.has_company |= is_proxied && self.debug_log == DebugLines::Followed;
        is_ours.then_some(reached)
    }

    /// A message of ssh may have several lines, such as the command that it sends. Only its last line ends with a
    /// carriage return.
    fn is_of_detail(&mut self, line: &str, bytes: &[u8]) -> bool {
        if self.unfinished == 0 && !is_detail(line) {
            return false;
        }
        let room = if self.unfinished == 0 { MAX_MESSAGE } else { self.unfinished };
        let is_whole = bytes.ends_with(b"\r\n");
        self.unfinished = if is_whole { 0 } else { room.saturating_sub(bytes.len()) };
        true
    }
}

impl LineFilter for ProgressFilter {
    fn sort(&mut self, line: &str, bytes: &[u8]) -> LineUse {
        if self.keeps(line, bytes) {
            LineUse::Hidden
        } else if is_detail(line) {
            // With -v there are hundreds of these: they would push out what matters.
            LineUse::Shown
        } else {
            LineUse::Kept
        }
    }
}

fn reached(line: &str) -> Option<Milestone> {
    STEPS.iter().find(|(start, _)| line.starts_with(start)).map(|(_, reached)| *reached)
}

/// Whether ssh prints this line only at a debug level.
pub(crate) fn is_detail(line: &str) -> bool {
    let marked = ["debug1: ", "debug2: ", "debug3: "];
    marked.iter().chain(UNMARKED).any(|start| line.starts_with(start))
}

/// Whether the user's options set ssh's log level or log file. A value that looks like such an option
/// counts, too, because then the log level is better left alone.
pub(crate) fn sets_log_level(options: &[OsString]) -> bool {
    options.iter().any(|word| match word.as_bytes() {
        [b'-', b'o', setting @ ..] if !setting.is_empty() => is_log_level(setting),
        [b'-', letters @ ..] => letters.iter().any(|letter| b"vqEy".contains(letter)),
        setting => is_log_level(setting),
    })
}

fn is_log_level(setting: &[u8]) -> bool {
    let name = setting.trim_ascii_start().get(.."loglevel".len());
    name.is_some_and(|name| name.eq_ignore_ascii_case(b"loglevel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ssh -v says of a connection, without the lines in between.
    const OLD: &str = "\
OpenSSH_7.6p1, OpenSSL 1.0.2k-fips  26 Jan 2017
debug1: Connecting to localhost [127.0.0.1] port 22.
debug1: Connection established.
debug1: identity file /home/u/.ssh/id_ed25519 type 3
debug1: Remote protocol version 2.0, remote software version OpenSSH_7.4
debug1: SSH2_MSG_KEXINIT sent
debug1: rekey after 134217728 blocks
debug1: SSH2_MSG_NEWKEYS sent
debug1: expecting SSH2_MSG_NEWKEYS
debug1: SSH2_MSG_NEWKEYS received
debug1: Authentications that can continue: publickey
debug1: Authentication succeeded (publickey).
Authenticated to localhost ([127.0.0.1]:22).
debug1: channel 0: new [client-session]
debug1: Entering interactive session.
debug1: Sending command: rejoin-server attach
Transferred: sent 2320, received 2432 bytes, in 0.0 seconds
Bytes per second: sent 146317.8, received 153381.4";
    const NEW: &str = "\
debug1: OpenSSH_10.0p2 Debian-5, OpenSSL 3.5.1 1 Jul 2025
debug1: Connecting to localhost [127.0.0.1] port 22.
debug1: Connection established.
debug1: Local version string SSH-2.0-OpenSSH_10.0p2 Debian-5
debug1: Remote protocol version 2.0, remote software version OpenSSH_10.0p2 Debian-5
debug1: SSH2_MSG_NEWKEYS sent
debug1: ssh_packet_read_poll2: resetting read seqnr 3
debug1: SSH2_MSG_NEWKEYS received
debug1: Server accepts key: /home/u/.ssh/id_ed25519 ED25519 SHA256:4Hq explicit
Authenticated to localhost ([127.0.0.1]:22) using \"publickey\".
debug1: Requesting no-more-sessions@openssh.com
debug1: Entering interactive session.
debug1: Sending command: rejoin-server attach";

    fn steps(said: &str) -> Vec<Milestone> {
        let mut steps: Vec<_> = said.lines().filter_map(reached).collect();
        steps.dedup();
        steps
    }

    #[test]
    fn every_step_is_known_by_what_old_and_new_versions_say() {
        let all = [
            Milestone::Resolved,
            Milestone::Connected,
            Milestone::KeysExchanged,
            Milestone::Authenticated,
            Milestone::CommandSent,
        ];
        assert_eq!(steps(OLD), all);
        assert_eq!(steps(NEW), all);
        // From 8.8 on, this is all that is said of a login; from a proxy on, there is no address.
        let by_key = "Authenticated to host (via proxy) using \"publickey\".";
        assert_eq!(steps(by_key), [Milestone::Authenticated]);
        assert_eq!(steps("Authenticated to host (via proxy)."), [Milestone::Authenticated]);
        let proxy = "debug1: Executing proxy command: exec nc host 22\n\
                     debug1: Remote protocol version 2.0, remote software version OpenSSH_8.4p1";
        assert_eq!(steps(proxy), [Milestone::Resolved, Milestone::Connected]);
        assert_eq!(
            steps("debug1: Executing proxy dialer command: exec dial"),
            [Milestone::Resolved]
        );
    }

    #[test]
    fn the_steps_of_a_jump_host_are_not_taken_for_those_behind_it() {
        let jump = "debug1: Executing proxy command: exec ssh -v -W '[host]:22' gate";
        let said = [jump, NEW, "debug1: Remote protocol version 2.0, remote software version X"];
        let said =
            [&said[..], &["Authenticated to host (via proxy) using \"publickey\"."]].concat();
        let steps = |debug_log| {
            let mut follower = ProgressFilter::new(debug_log);
            let lines = said.iter().flat_map(|said| said.lines());
            let lines = lines.filter(|line| !line.contains("Sending command"));
            lines.filter_map(|line| follower.reached(line)).collect::<Vec<_>>()
        };
        assert_eq!(steps(DebugLines::Followed), [Milestone::Resolved, Milestone::Authenticated]);
        assert_eq!(steps(DebugLines::Hidden).len(), 8, "that of a jump host is asked for nothing");
    }

    #[test]
    fn treats_ordinary_messages_as_no_debug_lines() {
        assert!(OLD.lines().all(is_detail));
        assert!(NEW.lines().all(is_detail));
        for line in [
            "u@localhost: Permission denied (publickey).",
            "ssh: connect to host localhost port 22: Connection refused",
            "Warning: Permanently added 'localhost' (ED25519) to the list of known hosts.",
            "Connection to localhost closed by remote host.",
            "rejoin-server: no place for the registry",
        ] {
            assert!(!is_detail(line) && reached(line).is_none(), "{line}");
        }
    }

    #[test]
    fn finds_log_options_in_every_notation() {
        let decided =
            |words: &[&str]| sets_log_level(&words.iter().map(OsString::from).collect::<Vec<_>>());
        for words in [
            &["-v"][..],
            &["-vvv"],
            &["-4q"],
            &["-E", "/tmp/log"],
            &["-y"],
            &["-o", "LogLevel=ERROR"],
            &["-o", " loglevel quiet"],
            &["-oLOGLEVEL = INFO"],
        ] {
            assert!(decided(words), "{words:?}");
        }
        for words in [&[][..], &["-4", "-p", "22"], &["-o", "BatchMode=yes"], &["-oLogVerbose=x"]] {
            assert!(!decided(words), "{words:?}");
        }
    }
}

#[cfg(test)]
#[path = "debug_log_tests.rs"]
mod sorting_tests;
