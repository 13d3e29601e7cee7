//! The command line: ssh's, and what rejoin adds to it.

pub(crate) mod completions;
pub(crate) mod ssh_options;
pub(crate) mod ssh_request;
#[cfg(test)]
mod tests;
pub(crate) mod usage;
pub(crate) mod values;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::OsStringValueParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::values::Variable;
use crate::args::ssh_options::SshOptions;

const EXAMPLES: &str = "\
Examples:
  rejoin host                            a shell that outlives its connection
  rejoin host make -j8                   a command; its exit status is rejoin's
  rejoin -p 2222 -J gate me@host tmux    ssh's options mean what they mean to ssh
  rejoin ls host                         what runs there
  rejoin attach host                     come back to it, from any machine
  rejoin attach host 2                   the second one that ls shows
  rejoin kill host 1a2b3c4d              end it
  GIT_SSH_COMMAND=rejoin git fetch       in the place of ssh
  rsync -e rejoin -a big/ host:big/
  sftp -S rejoin host

With a terminal, at the start of a line: ~. leaves and the process stays, ~? tells the rest.
A host whose name is a subcommand's is reached as user@ls, or as rejoin -- ls.";

const LONG_ABOUT: &str = "\
Runs a process on another machine over SSH, and keeps it, its input and its output whole through \
anything that happens to the connection. The first connection puts its server program on the host \
(a Linux one), below the home folder; the programs for other kinds of machines than this one are looked \
for in the folder that REJOIN_SERVERS names and in ~/.local/share/rejoin/servers, as \
rejoin-server-linux-aarch64 and the like. rejoin does not use a program that another user of this machine \
can have put there, or can change.

The exit status is the process's (128 + n after signal n), 126 or 127 if it could not be started, and \
255 if rejoin itself failed. When rejoin gets SIGHUP or SIGTERM - its terminal was closed - it leaves \
the process running; on SIGINT without a terminal, or when stdout cannot be written, it ends the \
process. Signals that it was started to ignore, as nohup does it, it ignores.";

const ABOUT_LS: &str = "\
Lists the sessions of a host, the oldest first, with a number for rejoin attach.\n\n\
IDLE is how long nothing went in or out and nobody came or went, to a minute. ATTACHED BY is \
who has the session at the moment. With --json, ages are in seconds, and started in seconds \
since 1970.";

const ABOUT_ATTACH: &str = "\
Comes back to a session. Output that nobody has taken yet follows first. However this ends, the \
process stays, unless it ends itself.\n\n\
A session that another client is attached to is taken over, and that client told, if this one \
has a terminal; without one only with --take-over.";

const ABOUT_KILL: &str = "\
Ends sessions, with everything that their processes have started, and has the host forget \
them. A row's number may be another session's by now: with one, kill shows the session and asks first, \
and refuses if there is no terminal. The first digits of an id are not asked about.\n\n\
A server that does not answer - it may be stopped, or busy - is not ended by force: it is told that \
the outcome is unknown.";

const ABOUT_DOCTOR: &str = "\
Connects, puts the server program on the host if it is missing, starts a process, cuts the connection, \
and comes back: then says what works and what does not, and where the time went. The exit status is 0 if \
rejoin works there, and 255 if not. Nothing is left behind but the server program.";

const EVENTS: &str = "\
Write events as lines of JSON to a file, or to a descriptor as fd:N\n\n\
rejoin appends to a file that exists, and creates one that only you can read.\n\n\
Each event is {\"event\": NAME, \"at\": TIME, ...}: connecting, attached, detached, reconnecting, replaced, lost, \
superseded, exited, closed, refused, gave_up, notice, moved (the session goes on over another connection, \
and has lost nothing); and timeline after each way back, with its lane \
(fast or ssh), its millis and its phases, of which each has its start_millis and millis: wait, start, dial, key_exchange, login, \
channel, attach, stand_by, hello, first_byte (or connect, for all in front of stand_by and hello).";

const ABOUT_PRUNE: &str = "\
Removes what dead servers left behind on a host: entries, processes, and what was \
remembered of sessions that ended more than a day ago. Other commands do so by the way; this one \
says what it removed.\n\n\
Dead is only what its lock shows to be dead, never what is stopped or busy.";

/// A remote process that outlives its connection.
#[derive(Parser, Debug)]
#[command(
    name = "rejoin",
    version,
    long_about = LONG_ABOUT,
    after_help = EXAMPLES,
    override_usage = "rejoin [OPTIONS] DESTINATION [COMMAND]...\n       \
        rejoin ls|attach|kill|prune|doctor [OPTIONS] DESTINATION [SESSION]...\n       rejoin demo",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    disable_version_flag = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
    #[command(flatten)]
    pub(crate) run: Run,
    /// Print the version (-V prints ssh's)
    #[arg(long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Action {
    /// List the sessions of a host
    #[command(long_about = ABOUT_LS)]
    Ls(Question),
    /// Come back to a session, from this machine or another one
    #[command(long_about = ABOUT_ATTACH)]
    Attach(Attach),
    /// End sessions and their processes
    #[command(long_about = ABOUT_KILL)]
    Kill(Kill),
    /// Remove what dead servers left behind on a host
    #[command(long_about = ABOUT_PRUNE)]
    Prune(Question),
    /// Find out whether rejoin works on a host
    #[command(long_about = ABOUT_DOCTOR)]
    Doctor(Question),
    /// Play the story of a lost connection on this machine; needs no ssh
    #[cfg(feature = "embedded-server")]
    Demo,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// The server in the same program
    #[cfg(feature = "embedded-server")]
    #[command(name = "__server", hide = true, disable_help_flag = true)]
    Server {
        /// What rejoin-server takes
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// Start a process.
#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    #[command(flatten)]
    pub(crate) process: ProcessOptions,
    #[command(flatten)]
    pub(crate) session: SessionOptions,
    /// What to do when the process is gone [default: respawn with a terminal, else fail]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_loss: Option<WhenLost>,
    // Not a doc comment: its brackets would be links.
    #[arg(help = "Where to run: [user@]host or ssh://[user@]host[:port], or a name from ssh's \
                  configuration")]
    pub(crate) destination: Option<OsString>,
    /// What to run, by the user's shell; a login shell if nothing is given
    #[arg(trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// How the host is reached.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LinkOptions {
    #[command(flatten)]
    pub(crate) ssh_options: SshOptions,
    /// The server program on the host [default: one that is put there]
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<OsString>,
    /// The program that connects: the system's ssh, or one that takes the same arguments
    #[arg(long, value_name = "PROGRAM", default_value = "ssh")]
    pub(crate) ssh: OsString,
}

/// What is started, and how.
#[derive(Args, Debug)]
pub(crate) struct ProcessOptions {
    /// Run COMMAND directly: its words are the arguments, without a shell
    #[arg(long)]
    pub(crate) exec: bool,
    /// The folder to start in [default: home]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<OsString>,
    /// A variable for the process, with its value from here if none is given; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]",
        value_parser = OsStringValueParser::new().try_map(|text| values::variable(&text)))]
    pub(crate) env: Vec<Variable>,
    /// How long the process is kept without a client: 90s, 15m, 12h, 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::duration)]
    pub(crate) retention: Duration,
    /// How much output is kept for a client that is away, until the process has to wait
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = values::window)]
    pub(crate) window: u64,
    /// Let the process go on when the window is full: its oldest output is dropped
    #[arg(long)]
    pub(crate) drop_oldest: bool,
}

/// How this end behaves.
#[derive(Args, Debug)]
pub(crate) struct SessionOptions {
    /// Write events as lines of JSON to a file, or to a descriptor as fd:N
    #[arg(long, value_name = "FILE|fd:N", long_help = EVENTS)]
    pub(crate) events: Option<OsString>,
    /// Keep a second connection ready: a lost one costs one round trip then, instead of a login
    #[arg(long)]
    pub(crate) standby: bool,
    /// How to come back: with ssh, faster than ssh where the host is known well enough, or both at once
    #[arg(long, value_enum, value_name = "LANE", default_value = "auto")]
    pub(crate) lane: WhichLane,
    /// Give up when the host was out of reach for so long; the process stays [default: never]
    ///
    /// A host that only waits for you, for a passphrase or a second factor, is not out of reach.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) give_up: Option<Duration>,
}

/// How to come back.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhichLane {
    /// Both; ssh takes over when it is up
    Auto,
    /// With ssh alone
    Ssh,
    /// Without ssh, as long as that works
    Fast,
}

/// What to do when the process is gone.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenLost {
    /// Say so and start it anew
    Respawn,
    /// Say so and end with status 255
    Fail,
}

/// Ask a host something.
#[derive(Args, Debug)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Where
    pub(crate) destination: OsString,
}

/// Attach.
#[derive(Args, Debug)]
pub(crate) struct Attach {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    #[command(flatten)]
    pub(crate) session_options: SessionOptions,
    /// Take the session from a client that is attached
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Where
    pub(crate) destination: OsString,
    /// Its number in ls, or the first digits of its id; without it, the only session, or rejoin asks
    pub(crate) session: Option<String>,
}

/// Kill.
#[derive(Args, Debug)]
pub(crate) struct Kill {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    /// End all sessions of the host; asks first
    #[arg(long, conflicts_with = "sessions")]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(long, requires = "all", conflicts_with = "sessions")]
    pub(crate) yes: bool,
    /// Where
    pub(crate) destination: OsString,
    /// Their numbers in ls, or the first digits of their ids
    #[arg(value_name = "SESSION", required_unless_present = "all")]
    pub(crate) sessions: Vec<String>,
}

/// Reads the command line, without the program's own name.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let words = subcommand_first(words);
    Cli::try_parse_from([OsString::from("rejoin")].into_iter().chain(words))
}

/// Puts a subcommand in front of the options that stand before it: `-p 22 ls host` is not a command
/// named host on a machine named ls.
fn subcommand_first(mut words: Vec<OsString>) -> Vec<OsString> {
    let command = Cli::command();
    let first = first_word(&command, &words).filter(|&at| {
        words[at].to_str().is_some_and(|word| command.find_subcommand(word).is_some())
    });
    if let Some(at) = first {
        words[..=at].rotate_right(1);
    }
    words
}

/// Where the first word is that is neither an option nor an option's value. None behind a `--`.
fn first_word(command: &clap::Command, words: &[OsString]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = words.get(at).map(|word| word.as_bytes()) {
        at += match word {
            b"--" => return None,
            [b'-', b'-', name @ ..] => 1 + usize::from(long_takes_next(command, name)),
            [b'-', letters @ ..] if !letters.is_empty() => {
                1 + usize::from(letters_take_next(letters))
            }
            _ => return Some(at),
        };
    }
    None
}

fn long_takes_next(command: &clap::Command, name: &[u8]) -> bool {
    let mut subcommands = command.get_subcommands().flat_map(clap::Command::get_arguments);
    let is_named =
        |argument: &&clap::Arg| argument.get_long().is_some_and(|long| long.as_bytes() == name);
    let argument = command.get_arguments().find(is_named);
    argument
        .or_else(|| subcommands.find(is_named))
        .is_some_and(|argument| argument.get_action().takes_values())
}

/// Whether the last of some letters takes a value that stands in the next word.
fn letters_take_next(letters: &[u8]) -> bool {
    let takes_value = |&letter: &u8| SshOptions::takes_value(char::from(letter)) == Some(true);
    letters.iter().position(takes_value) == Some(letters.len() - 1)
}

impl Run {
    /// The words for the system's ssh where it does the whole of it.
    pub(crate) fn ssh_words(&self) -> Vec<OsString> {
        let mut words = self.link.ssh_options.all();
        if let Some(destination) = &self.destination {
            words.extend([OsStr::new("--").to_owned(), destination.clone()]);
            words.extend(self.command.iter().cloned());
        }
        words
    }
}

impl SessionOptions {
    /// Where events go.
    pub(crate) fn events_path(&self) -> Option<PathBuf> {
        let target = self.events.as_deref()?;
        let number = target.as_bytes().strip_prefix(b"fd:");
        let path = number.map(|number| PathBuf::from("/dev/fd").join(OsStr::from_bytes(number)));
        Some(path.unwrap_or_else(|| PathBuf::from(target)))
    }
}
