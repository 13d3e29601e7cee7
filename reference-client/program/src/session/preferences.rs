//! What does not change while a session lasts: who is here, and what they want to see.

use std::ffi::{OsStr, OsString};

use crate::args::LinkOptions;
use crate::args::ssh_options::SessionKind;
use crate::args::ssh_request::Wishes;
use crate::host::SshMessages;
use crate::host::login_messages::LoginLines;
use crate::host::query::HostQuery;
use crate::session::background::Background;
use crate::session::writer::{Outages, Style};
use crate::terminal::quote;
use crate::terminal::tty::{self, Standard};
use crate::volume::Volume;

/// What does not change.
#[derive(Debug)]
pub(crate) struct Preferences {
    pub(crate) destination: String,
    /// What to type to come back; the session's id follows.
    pub(crate) attach: String,
    /// Whether the process has a terminal.
    pub(crate) has_terminal: bool,
    pub(crate) source: Source,
    /// What was there before, in words: then it is not this rejoin's to end.
    pub(crate) attached_to: Option<String>,
    /// What ssh said before.
    pub(crate) lines: LoginLines,
    /// How many sessions on the host were detached, as far as it has said so.
    pub(crate) detached_there: u32,
    pub(crate) volume: Volume,
    pub(crate) escape: Option<u8>,
    pub(crate) style: Style,
    /// Whether a line on stderr can change in its place.
    pub(crate) is_live: bool,
    /// Who waits for the process to run.
    pub(crate) background: Option<Background>,
}

/// Where input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A person's keys, for a process with a terminal.
    Keys,
    /// Whatever stdin is.
    Pipe,
    /// There is none.
    Nothing,
    /// There is none, since the connection is for its forwardings only.
    Forwardings,
}

impl Preferences {
    /// Continues where a query has logged in: with what was said and not shown yet.
    pub(crate) fn after(&mut self, query: HostQuery) -> SshMessages {
        let (messages, lines, detached) = query.into_messages();
        (self.lines, self.detached_there) = (lines, detached);
        messages
    }

    /// For a process with a terminal or without.
    pub(crate) fn new(
        link: &LinkOptions,
        destination: &OsStr,
        wishes: &Wishes,
        has_terminal: bool,
        standard: Standard,
    ) -> Self {
        let options = &link.ssh_options;
        let source = match (wishes.is_stdin_null, has_terminal && standard.stdin) {
            _ if wishes.session == SessionKind::Nothing => Source::Forwardings,
            (true, _) => Source::Nothing,
            (false, true) => Source::Keys,
            (false, false) => Source::Pipe,
        };
        let volume = Volume::of(options, standard.stderr);
        let is_screen = has_terminal && standard.stdout;
        let outages = match (is_screen, tty::kind()) {
            (false, _) => Outages::Lines,
            (true, kind) if kind == "dumb" => Outages::Lines,
            (true, kind) if volume > Volume::Quiet && tty::has_title(&kind) => Outages::Title,
            (true, _) => Outages::OnRequest,
        };
        // Of forwardings nothing is lost with the process that stands for them.
        let told = if source == Source::Forwardings { Volume::Quiet } else { volume };
        let style = Style { is_screen, outages, volume: told, repeating: None };
        Self {
            destination: destination.to_string_lossy().into_owned(),
            attach: attach_command(link, destination),
            has_terminal,
            source,
            attached_to: None,
            lines: LoginLines::default(),
            detached_there: 0,
            volume,
            escape: wishes.escape.filter(|_| source == Source::Keys),
            style,
            is_live: standard.stderr && tty::kind() != "dumb",
            background: None,
        }
    }
}

impl Preferences {
    /// Whether the connection is for its forwardings only.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.source == Source::Forwardings
    }
}

/// What to type to come back.
fn attach_command(link: &LinkOptions, destination: &OsStr) -> String {
    let mut words = vec![OsString::from("rejoin"), "attach".into()];
    words.extend(link.ssh_options.handed_on());
    let ssh = Some(&link.ssh).filter(|ssh| *ssh != "ssh");
    for (value, name) in [(link.server.as_ref(), "--server"), (ssh, "--ssh")] {
        words.extend(value.into_iter().flat_map(|value| [name.into(), value.clone()]));
    }
    words.push(destination.to_owned());
    let words: Vec<_> = words.iter().map(|word| quote::word(word)).collect();
    words.join(OsStr::new(" ")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn link(line: &[&str]) -> LinkOptions {
        args::parse(line.iter().map(OsString::from).collect()).unwrap().run.link
    }

    fn preferences(line: &[&str], has_terminal: bool, all: bool) -> Preferences {
        let standard = Standard { stdin: all, stdout: all, stderr: all };
        let given = link(line);
        let wishes = Wishes::of_options(&given.ssh_options).unwrap();
        Preferences::new(&given, "h".as_ref(), &wishes, has_terminal, standard)
    }

    #[test]
    fn what_to_type_to_come_back_reaches_the_same_server() {
        let attach = |line: &[&str]| attach_command(&link(line), "me@host".as_ref());
        assert_eq!(attach(&["-t", "h"]), "rejoin attach me@host");
        assert_eq!(
            attach(&["-p", "22", "-o", "ProxyCommand=nc %h %p", "--server", "~/s", "h"]),
            "rejoin attach -p 22 -o 'ProxyCommand=nc %h %p' --server '~/s' me@host"
        );
    }

    #[test]
    fn without_a_terminal_nothing_is_drawn_and_no_key_is_special() {
        let preferences = preferences(&["h"], true, false);
        assert_eq!((preferences.source, preferences.escape), (Source::Pipe, None));
        assert_eq!(preferences.volume, Volume::Unread);
        assert!(!preferences.style.is_screen && preferences.style.outages == Outages::Lines);
    }

    #[test]
    fn a_process_without_a_terminal_gets_bytes_as_they_are() {
        let preferences = preferences(&["h"], false, true);
        assert_eq!((preferences.source, preferences.escape), (Source::Pipe, None));
        assert_eq!(preferences.volume, Volume::Normal);
        assert!(!preferences.style.is_screen && preferences.style.outages == Outages::Lines);
    }

    #[test]
    fn options_decide_what_is_read_and_said() {
        assert_eq!(preferences(&["-n", "h"], false, true).source, Source::Nothing);
        assert_eq!(preferences(&["-q", "h"], false, true).volume, Volume::Quiet);
        assert_eq!(preferences(&["-qv", "h"], false, true).volume, Volume::Verbose);
        assert_eq!(preferences(&["h"], true, true).escape, Some(b'~'));
        assert_eq!(preferences(&["-enone", "h"], true, true).escape, None);
        assert!(Wishes::of_options(&link(&["-eab", "h"]).ssh_options).is_err());
    }
}
