//! The options of OpenSSH's `ssh`, each known by its letter and kept in the order given.
//!
//! Most are handed on to the ssh that carries the link. The rest is understood here, since it is about
//! the process (`-t`, `-s`), about this end (`-n`, `-e`), or about something that rejoin has no part in
//! (`-G`, `-W`), for which the system's ssh takes over.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

/// What an option is to rejoin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// The ssh that carries the link takes it.
    HandedOn,
    /// It is for rejoin alone.
    Own,
    /// Nothing is to be kept: the system's ssh does the whole of it.
    LeftToSsh,
}
use Part::{HandedOn, LeftToSsh, Own};

struct Row {
    /// Its letter.
    name: &'static str,
    /// The name of its value, if it takes one.
    value: Option<&'static str>,
    part: Part,
    help: &'static str,
}

const fn row(name: &'static str, value: &'static str, part: Part, help: &'static str) -> Row {
    let value = if value.is_empty() { None } else { Some(value) };
    Row { name, value, part, help }
}

impl Row {
    fn letter(&self) -> char {
        self.name.chars().next().unwrap_or_default()
    }
}

const TABLE: &[Row] = &[
    row("p", "PORT", HandedOn, "Port on the host"),
    row("l", "USER", HandedOn, "User on the host"),
    row("i", "FILE", HandedOn, "Identity (private key)"),
    row("o", "KEY=VALUE", HandedOn, "Option in the format of ssh_config"),
    row("F", "FILE", HandedOn, "Configuration file in the place of ~/.ssh/config"),
    row("J", "HOST", HandedOn, "Jump host"),
    row("t", "", Own, "Give the process a terminal; twice: also where stdin is none"),
    row("T", "", Own, "Give it none"),
    row("s", "", Own, "COMMAND names a subsystem, such as sftp"),
    row("n", "", Own, "Take stdin from /dev/null"),
    row("e", "CHAR", Own, "Escape character: ~ unless set; none turns escapes off"),
    row("q", "", Own, "Quiet: no notices"),
    row("v", "", HandedOn, "Verbose: tell what happens; ssh tells it, too"),
    row("C", "", HandedOn, "Compress"),
    row("A", "", HandedOn, "Forward the agent, as long as a connection lives"),
    row("a", "", HandedOn, "Do not forward the agent"),
    row("L", "FORWARD", HandedOn, "Forward a local port; made again on each connection"),
    row("R", "FORWARD", HandedOn, "Forward a remote port; made again on each connection"),
    row("D", "[ADDRESS:]PORT", HandedOn, "SOCKS proxy; made again on each connection"),
    row("4", "", HandedOn, "IPv4 only"),
    row("6", "", HandedOn, "IPv6 only"),
    row("B", "INTERFACE", HandedOn, "Interface to connect from"),
    row("b", "ADDRESS", HandedOn, "Address to connect from"),
    row("c", "CIPHERS", HandedOn, "Ciphers"),
    row("m", "MACS", HandedOn, "Message authentication codes"),
    row("E", "FILE", HandedOn, "Log file of ssh"),
    row("g", "", HandedOn, "Let other machines use forwarded ports"),
    row("I", "PKCS11", HandedOn, "PKCS#11 library"),
    row("K", "", HandedOn, "GSSAPI authentication"),
    row("k", "", HandedOn, "No GSSAPI delegation"),
    row("P", "TAG", HandedOn, "Tag for the configuration"),
    row("w", "TUN", HandedOn, "Tunnel device"),
    row("X", "", HandedOn, "Forward X11, as long as a connection lives"),
    row("x", "", HandedOn, "Do not forward X11"),
    row("Y", "", HandedOn, "Forward X11, trusted"),
    row("y", "", HandedOn, "Have ssh log to syslog"),
    row("1", "", Own, "Ignored, as by ssh"),
    row("2", "", Own, "Ignored, as by ssh"),
    row("M", "", Own, "Ignored: each link is a connection of its own"),
    row("S", "PATH", Own, "Ignored: each link is a connection of its own"),
    row("f", "", Own, "Go to the background once the process runs"),
    row("N", "", Own, "No process: forwardings only, made again on each connection"),
    row("G", "", LeftToSsh, "Print the configuration"),
    row("Q", "QUERY", LeftToSsh, "List what ssh supports"),
    row("O", "COMMAND", LeftToSsh, "Command a master connection"),
    row("V", "", LeftToSsh, "Print the version of ssh"),
    row("W", "HOST:PORT", LeftToSsh, "Forward stdin and stdout"),
];

/// Settings of `-o` that are for rejoin alone, or that would make something other than a link of the
/// ssh that carries it.
const OWN_SETTINGS: &[&str] = &[
    "RequestTTY",
    "RemoteCommand",
    "SessionType",
    "StdinNull",
    "ForkAfterAuthentication",
    "EscapeChar",
];

/// Options of ssh, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SshOptions {
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    letter: char,
    value: Option<OsString>,
}

/// What ssh opens on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionKind {
    /// A shell, or a command.
    Process,
    /// A subsystem, if the command names one.
    Subsystem,
    /// Nothing: the connection is for its forwardings.
    Nothing,
}

/// Whether the process is to have a terminal, as far as the user said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TerminalWish {
    /// Where that makes sense.
    Auto,
    /// Not.
    No,
    /// If stdin is one.
    Yes,
    /// In any case.
    Force,
}

impl SshOptions {
    /// Whether a letter takes a value; none if there is no such option.
    pub(crate) fn takes_value(letter: char) -> Option<bool> {
        find(letter).map(|row| row.value.is_some())
    }

    /// Whether the option was given.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.words.iter().any(|word| word.letter == letter)
    }

    /// Whether the system's ssh has to do the whole of it.
    pub(crate) fn is_left_to_ssh(&self) -> bool {
        let is_left = |word: &Word| find(word.letter).is_some_and(|row| row.part == LeftToSsh);
        self.words.iter().any(is_left)
    }

    /// What is to be opened on the host.
    pub(crate) fn session(&self) -> SessionKind {
        if self.has('N') || self.setting_is("SessionType", &["none"]) {
            SessionKind::Nothing
        } else if self.has('s') || self.setting_is("SessionType", &["subsystem"]) {
            SessionKind::Subsystem
        } else {
            SessionKind::Process
        }
    }

    /// Whether stdin is to be left alone.
    pub(crate) fn is_stdin_null(&self) -> bool {
        self.has('n') || self.has('f') || self.setting_is("StdinNull", &["yes", "true"])
    }

    /// Whether ssh is asked to go to the background.
    pub(crate) fn is_forking(&self) -> bool {
        self.has('f') || self.setting_is("ForkAfterAuthentication", &["yes", "true"])
    }

    /// Of `-t` and `-T` the last one counts; `-o RequestTTY` only where none stood in front of it.
    pub(crate) fn terminal(&self) -> TerminalWish {
        let mut wish = None;
        for word in &self.words {
            wish = match word.letter {
                't' if matches!(wish, Some(TerminalWish::Yes | TerminalWish::Force)) => {
                    Some(TerminalWish::Force)
                }
                't' => Some(TerminalWish::Yes),
                'T' => Some(TerminalWish::No),
                'o' => wish.or_else(|| requested_terminal(word)),
                _ => wish,
            };
        }
        wish.unwrap_or(TerminalWish::Auto)
    }

    /// The escape character as the user wrote it: the last `-e`, else the setting.
    pub(crate) fn escape(&self) -> Option<OsString> {
        let given = self.words.iter().rev().find(|word| word.letter == 'e');
        given.and_then(|word| word.value.clone()).or_else(|| self.setting("EscapeChar"))
    }

    /// The first value of an `-o` setting, which is the one that counts.
    pub(crate) fn setting(&self, key: &str) -> Option<OsString> {
        self.words.iter().find_map(|word| {
            let (name, value) = split_setting(word)?;
            name.eq_ignore_ascii_case(key.as_bytes()).then(|| os_string(value))
        })
    }

    fn setting_is(&self, key: &str, values: &[&str]) -> bool {
        let is = |given: OsString| values.iter().any(|value| given.eq_ignore_ascii_case(value));
        self.setting(key).is_some_and(is)
    }

    /// Whether an `-o` setting has a value of several lines, which ssh does not tell apart from others.
    pub(crate) fn has_lines(&self, key: &str) -> bool {
        use std::os::unix::ffi::OsStrExt as _;
        self.setting(key).is_some_and(|value| value.as_bytes().contains(&b'\n'))
    }

    /// What ssh is asked with, what it would do: all but where it logs to.
    pub(crate) fn asked(&self) -> Vec<OsString> {
        let is_asked = |word: &&Word| !matches!(word.letter, 'E' | 'y');
        self.words.iter().filter(is_asked).flat_map(Word::to_arguments).collect()
    }

    /// What the ssh that carries the link is given.
    pub(crate) fn handed_on(&self) -> Vec<OsString> {
        let is_handed_on = |word: &&Word| {
            find(word.letter).is_some_and(|row| row.part == HandedOn) && !is_own_setting(word)
        };
        self.words.iter().filter(is_handed_on).flat_map(Word::to_arguments).collect()
    }

    /// All of them, for the system's ssh in the place of rejoin.
    pub(crate) fn all(&self) -> Vec<OsString> {
        self.words.iter().flat_map(Word::to_arguments).collect()
    }
}

impl Word {
    fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![OsString::from(format!("-{}", self.letter))];
        arguments.extend(self.value.clone());
        arguments
    }
}

fn find(letter: char) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.letter() == letter)
}

fn requested_terminal(word: &Word) -> Option<TerminalWish> {
    let (name, value) = split_setting(word)?;
    if !name.eq_ignore_ascii_case(b"RequestTTY") {
        return None;
    }
    match value.to_ascii_lowercase().as_slice() {
        b"no" | b"false" => Some(TerminalWish::No),
        b"yes" | b"true" => Some(TerminalWish::Yes),
        b"force" => Some(TerminalWish::Force),
        b"auto" => Some(TerminalWish::Auto),
        _ => None,
    }
}

fn is_own_setting(word: &Word) -> bool {
    split_setting(word).is_some_and(|(name, _)| {
        OWN_SETTINGS.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes()))
    })
}

/// `Key=value`, `Key value` and `Key = "value"` are all the same to ssh.
fn split_setting(word: &Word) -> Option<(&[u8], &[u8])> {
    use std::os::unix::ffi::OsStrExt as _;
    let text = word.value.as_deref().filter(|_| word.letter == 'o')?.as_bytes().trim_ascii();
    let end = text.iter().position(|&byte| byte == b'=' || byte.is_ascii_whitespace())?;
    let (name, rest) = text.split_at(end);
    let value = rest.trim_ascii_start();
    let value = value.strip_prefix(b"=").unwrap_or(value).trim_ascii_start();
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some((name, quoted.unwrap_or(value)))
}

fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt as _;
    OsStr::from_bytes(bytes).to_owned()
}

/// A table is no struct with a field for each letter: the order between them matters.
impl Args for SshOptions {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, row| command.arg(argument(row)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn argument(row: &Row) -> Arg {
    let argument = Arg::new(row.name)
        .short(row.letter())
        .help(row.help)
        .help_heading("Options of ssh")
        .hide_short_help(true)
        .action(ArgAction::Append)
        .value_parser(clap::value_parser!(OsString));
    match row.value {
        Some(name) => argument.value_name(name).allow_hyphen_values(true),
        None => argument.num_args(0).default_missing_value(""),
    }
}

impl FromArgMatches for SshOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut words: Vec<(usize, Word)> =
            TABLE.iter().flat_map(|row| occurrences(matches, row)).collect();
        words.sort_by_key(|(index, _)| *index);
        Ok(Self { words: words.into_iter().map(|(_, word)| word).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.words.extend(Self::from_arg_matches(matches)?.words);
        Ok(())
    }
}

fn occurrences(matches: &ArgMatches, row: &Row) -> Vec<(usize, Word)> {
    let values = matches.get_many::<OsString>(row.name).into_iter().flatten();
    let indices = matches.indices_of(row.name).into_iter().flatten();
    let word = |value: &OsString| Word {
        letter: row.letter(),
        value: row.value.is_some().then(|| value.clone()),
    };
    indices.zip(values).map(|(index, value)| (index, word(value))).collect()
}
