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
  rejoin ls host                         list its sessions
  rejoin attach host                     resume the session, from any machine
  rejoin attach host 2                   resume session 2 of ls
  rejoin kill host 1a2b3c4d              end a session
  GIT_SSH_COMMAND=rejoin git fetch       in the place of ssh
  rsync -e rejoin -a big/ host:big/
  sftp -S rejoin host

With a terminal, at the start of a line: ~. detaches and leaves the process running; ~? lists all escapes.
For a host named like a subcommand, use user@ls or rejoin -- ls.";

const LONG_ABOUT: &str = "\
Runs a process on another machine over SSH, and keeps it when the connection is lost.

The first connection puts the server program into your home folder on the host, which must run Linux. rejoin searches \
server binaries for other architectures in the folder that REJOIN_SERVERS names and in \
~/.local/share/rejoin/servers, under names such as rejoin-server-linux-aarch64. It uses no binary that another user \
of this machine can replace.

The exit status is that of the process (128 + n after signal n); 126 or 127 if the process could not start; 255 if \
rejoin itself failed. On SIGHUP or SIGTERM, rejoin detaches and leaves the process running. It ends the process on \
SIGINT without a terminal, and if it cannot write to stdout. Ignored signals (nohup) stay ignored.";

const ABOUT_LS: &str = "\
Lists the sessions of a host, the oldest first, with a number for rejoin attach.\n\n\
IDLE is the time since the last input, output, attach or detach, in minutes. ATTACHED BY is the client that has \
the session now. With --json, ages are in seconds, and started is in seconds since 1970.";

const ABOUT_ATTACH: &str = "\
Resumes a session. You first get the output that no client has taken. The process keeps running when rejoin \
detaches, however that happens.\n\n\
If another client is attached, rejoin takes the session over and tells that client. Without a terminal, it does so \
only with --take-over.";

const ABOUT_KILL: &str = "\
Ends sessions, with everything that their processes have started. The host then forgets them.\n\n\
The number of a row may belong to another session by now: if you give a number, kill shows the session and asks \
first, and it refuses without a terminal. It does not ask if you give the first digits of the id.\n\n\
kill does not force a server that does not answer, because it may only be stopped or busy. It reports that the \
outcome is unknown.";

const ABOUT_DOCTOR: &str = "\
Connects, installs the server program if it is missing, starts a process, cuts the connection, and reconnects. Then \
it reports what works, what does not, and how long each step took. The exit status is 0 if rejoin works on the host, \
and 255 if not. Only the server program stays on the host.";

const EVENTS: &str = "\
Write events as lines of JSON to a file, or to a descriptor as fd:N\n\n\
rejoin appends to an existing file, and creates a new one for you alone.\n\n\
Each event is {\"event\": NAME, \"at\": TIME, ...}. The names are connecting, attached, detached, reconnecting, \
replaced, lost, superseded, exited, closed, refused, gave_up, notice, forward_missing, forward_made, moved (the \
session changed to another connection and lost nothing), and timeline.\n\n\
A timeline follows each reconnect. It has a lane (fast or ssh), millis, and phases with start_millis and millis: \
wait, start, dial, key_exchange, login, channel, attach, stand_by, hello and first_byte; or connect for all \
phases in front of stand_by and hello.";

const ABOUT_PRUNE: &str = "\
Removes what dead servers left behind on a host: entries, processes, and the records of sessions that ended more \
than a day ago. Other commands do this in passing; prune reports what it removed.\n\n\
A session counts as dead only if its lock is free, never because its server is stopped or busy.";

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
    /// Resume a session, from this machine or another one
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
    /// Play a demo of lost connections on this machine, without ssh
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
    /// The command for the user's shell [default: a login shell]
    #[arg(trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// How the host is reached.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LinkOptions {
    #[command(flatten)]
    pub(crate) ssh_options: SshOptions,
    /// Use this server binary on the host; upload nothing
    #[arg(long, value_name = "PATH")]
    pub(crate) server: Option<OsString>,
    /// The ssh program, or one that takes the same arguments
    #[arg(long, value_name = "PROGRAM", default_value = "ssh")]
    pub(crate) ssh: OsString,
}

/// What is started, and how.
#[derive(Args, Debug)]
pub(crate) struct ProcessOptions {
    /// Run COMMAND directly, without a shell
    #[arg(long)]
    pub(crate) exec: bool,
    /// The folder to start in [default: home]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<OsString>,
    /// Set a variable for the process; without a value, take the one of this environment; may be repeated
    #[arg(long, value_name = "NAME[=VALUE]",
        value_parser = OsStringValueParser::new().try_map(|text| values::variable(&text)))]
    pub(crate) env: Vec<Variable>,
    /// Keep the process for this time without a client: 90s, 15m, 12h, 7d
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = values::duration)]
    pub(crate) retention: Duration,
    /// Keep this much output for a detached client; then the process waits
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = values::window)]
    pub(crate) window: u64,
    /// Drop the oldest output when the window is full, instead of making the process wait
    #[arg(long)]
    pub(crate) drop_oldest: bool,
}

/// How this end behaves.
#[derive(Args, Debug)]
pub(crate) struct SessionOptions {
    /// Write events as lines of JSON to a file, or to a descriptor as fd:N
    #[arg(long, value_name = "FILE|fd:N", long_help = EVENTS)]
    pub(crate) events: Option<OsString>,
    /// Keep a second connection ready: a reconnect then takes one round trip, and no login
    #[arg(long)]
    pub(crate) standby: bool,
    /// Reconnect over ssh, over the fast lane, or over both
    #[arg(long, value_enum, value_name = "LANE", default_value = "auto")]
    pub(crate) lane: WhichLane,
    /// Give up if the host is unreachable for this time; the process stays [default: never]
    ///
    /// The time in which the host waits for your passphrase or second factor does not count.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) give_up: Option<Duration>,
}

/// How to come back.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhichLane {
    /// Over both; the session moves to ssh as soon as that is connected
    Auto,
    /// Over ssh alone
    Ssh,
    /// Over the fast lane, and over ssh only if it fails
    Fast,
}

/// What to do when the process is gone.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenLost {
    /// Report it, and start a new process
    Respawn,
    /// Report it, and exit with status 255
    Fail,
}

/// Ask a host something.
#[derive(Args, Debug)]
pub(crate) struct Question {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The host
    pub(crate) destination: OsString,
}

/// Attach.
#[derive(Args, Debug)]
pub(crate) struct Attach {
    #[command(flatten)]
    pub(crate) link: LinkOptions,
    #[command(flatten)]
    pub(crate) session_options: SessionOptions,
    /// Take the session over if another client is attached
    #[arg(long)]
    pub(crate) take_over: bool,
    /// The host
    pub(crate) destination: OsString,
    /// Its number in ls, or the first digits of its id [default: the only one; rejoin asks if there are several]
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
    /// The host
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
