//! Starts a session as the command line asks for it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use rejoin_client::spec::{Command, Overflow, ProcessSpec, Terminal};
use rejoin_client::{
    ClientName, Lane, OnLoss, OpenError, Options, Session, Stream, new_session_id,
};
use rejoin_ssh::{Attempt, LinkErrorKind};

use crate::args::ssh_options::SessionKind;
use crate::args::ssh_request::{self, Wishes};
use crate::args::{LinkOptions, ProcessOptions, Run, SessionOptions, WhenLost, WhichLane};
use crate::ending::Fallible;
use crate::ending::{Ending, FAILED};
use crate::events::EventLog;
use crate::host::query::HostQuery;
use crate::host::ssh_program;
use crate::session::attached;
use crate::session::background::Background;
use crate::session::first_connection::FirstConnection;
use crate::session::local_command;
use crate::session::preferences::Preferences;
use crate::terminal::output;
use crate::terminal::quote;
use crate::terminal::tty::{self, Standard};

/// What became of a run.
pub(crate) enum Outcome {
    /// All there is to it.
    Ended(Ending),
    /// The same is to be started in the background.
    Background,
    /// The system's ssh has to do it.
    LeftToSsh,
}

/// `rejoin DESTINATION [COMMAND...]`.
pub(crate) async fn run(run: &Run, background: Option<Background>) -> Outcome {
    start(run, background).await.unwrap_or_else(Outcome::Ended)
}

async fn start(run: &Run, background: Option<Background>) -> Fallible<Outcome> {
    let Run { link, process, session: session_options, on_loss, destination, command } = run;
    let destination = destination
        .as_ref()
        .ok_or_else(|| Ending::failed("no destination is given: see rejoin --help"))?;
    let standard = Standard::look();
    let log = event_log(session_options)?;
    let mut options = options(session_options);
    let followed = followed(session_options, link);
    let mut query = HostQuery::running(link, destination, command).followed(followed);
    let early = FirstConnection::start(query.attach_and_count());
    let told = query.configuration().await;
    let wishes = Wishes::of(&link.ssh_options, &told)?;
    if wishes.is_forking && background.is_none() {
        return Ok(Outcome::Background);
    }
    if let (Some(command), Ok(resolved)) = (&wishes.local_command, &told) {
        early.run_once_connected(local_command::expanded(&query, resolved, command).await?);
    }
    let is_tunnel = wishes.session == SessionKind::Nothing;
    if is_tunnel && runs_no_programs(&mut query, &early).await {
        return Ok(Outcome::LeftToSsh);
    }
    let spec = spec_of(&wishes, command, process, standard, link.ssh_options.has('q'))?;
    let has_terminal = spec.terminal.is_some();
    let mut preferences = Preferences::new(link, destination, &wishes, has_terminal, standard);
    preferences.background = background;
    if matches!(spec.command, Command::Shell(_) | Command::LoginShell) {
        // The shell reads its start-up files again.
        preferences.style.repeating = repeating(has_terminal, standard);
    }
    options.on_loss = match on_loss {
        Some(WhenLost::Respawn) => OnLoss::Respawn,
        None if has_terminal || is_tunnel => OnLoss::Respawn,
        Some(WhenLost::Fail) | None => OnLoss::Fail,
    };
    let session = new_session_id()
        .map_err(OpenError::from)
        .and_then(|id| Session::open(Arc::new(early), id, &spec, options))
        .map_err(|error| Ending::failed(error.to_string()))?;
    let ssh_messages = preferences.after(query);
    Ok(Outcome::Ended(attached::run(session, preferences, log, ssh_messages).await))
}

/// Where a process's output appears in the same place as what is said at the login.
fn repeating(has_terminal: bool, standard: Standard) -> Option<Stream> {
    if has_terminal {
        (standard.stdout && standard.stderr).then_some(Stream::Stdout)
    } else {
        Some(Stream::Stderr)
    }
}

/// Whether the host lets this account forward ports, perhaps, and run nothing.
async fn runs_no_programs(query: &mut HostQuery, early: &FirstConnection) -> bool {
    use LinkErrorKind::{Closed, Other, Refused, ServerMissing, Undeployable};
    let Err(error) = query.meanwhile(early.wait()).await else { return false };
    let is_so = matches!(error.kind, Refused | ServerMissing | Undeployable | Closed | Other);
    if is_so {
        output::say(format_args!("rejoin: {error}: ssh -N takes over, which does not reconnect\n"));
    }
    is_so
}

/// Whose steps ssh says, for the timelines of reconnects. A person who logs in does not see them.
pub(crate) fn followed(given: &SessionOptions, link: &LinkOptions) -> fn(Attempt) -> bool {
    if given.events.is_some() || link.ssh_options.has('v') {
        |attempt| attempt == Attempt::Reconnect
    } else {
        |_| false
    }
}

/// What is to be run: rejoin's words, as ssh understands them.
fn command_of(wishes: &Wishes, words: &[OsString], is_direct: bool) -> Fallible<Command> {
    match (words, &wishes.command) {
        _ if wishes.session == SessionKind::Nothing => Ok(placeholder()),
        ([_, ..], Some(_)) => {
            output::say("Cannot execute command-line and remote command.\n");
            Err(Ending::silent(FAILED))
        }
        (words, _) if is_direct && !words.is_empty() => {
            Ok(Command::Exec(words.iter().map(|word| word.as_bytes().to_vec()).collect()))
        }
        _ if is_direct => Err(Ending::failed("--exec needs a command: see rejoin --help")),
        ([], None) => Ok(Command::LoginShell),
        (words, configured) => {
            let words = configured.as_ref().map_or(words, std::slice::from_ref);
            match quote::joined(words) {
                // To ssh, no words are none.
                joined if joined.is_empty() => Ok(Command::LoginShell),
                joined => named(wishes.session, joined),
            }
        }
    }
}

/// Stands for a connection that is for its forwardings only, and does nothing for as long as there is it.
fn placeholder() -> Command {
    // The longest time that every sleep understands: 68 years.
    Command::Exec(vec![b"sleep".to_vec(), i32::MAX.to_string().into_bytes()])
}

fn named(session: SessionKind, words: Vec<u8>) -> Fallible<Command> {
    if session != SessionKind::Subsystem {
        return Ok(Command::Shell(words));
    }
    let name = String::from_utf8(words);
    name.map(Command::Subsystem).map_err(|_| Ending::failed("a subsystem's name is UTF-8"))
}

fn wants_terminal(wishes: &Wishes, command: &Command, standard: Standard, is_quiet: bool) -> bool {
    let has_stdin = standard.stdin && !wishes.is_stdin_null;
    let has_command = *command != Command::LoginShell;
    let is_wanted = |has_stdin| ssh_request::is_wanted(wishes.terminal, has_command, has_stdin);
    if is_wanted(true) && !is_wanted(has_stdin) && !is_quiet {
        output::say("Pseudo-terminal will not be allocated because stdin is not a terminal.\n");
    }
    is_wanted(has_stdin)
}

/// How long the host keeps what stands for forwardings when nobody comes back to it.
const MOST_OF_A_TUNNEL: Duration = Duration::from_hours(1);

fn spec_of(
    wishes: &Wishes,
    words: &[OsString],
    options: &ProcessOptions,
    standard: Standard,
    is_quiet: bool,
) -> Fallible<ProcessSpec> {
    let command = command_of(wishes, words, options.exec)?;
    let is_tunnel = wishes.session == SessionKind::Nothing;
    let has_terminal = !is_tunnel && wants_terminal(wishes, &command, standard, is_quiet);
    let terminal = has_terminal.then(|| Terminal {
        term: wishes.term.clone().unwrap_or_else(tty::kind),
        size: tty::size(),
        modes: tty::modes(),
    });
    let overflow = if options.drop_oldest { Overflow::DropOldest } else { Overflow::Block };
    let environment = options.env.iter().cloned().map(|variable| (variable.name, variable.value));
    let most = if is_tunnel { MOST_OF_A_TUNNEL } else { Duration::MAX };
    Ok(ProcessSpec {
        directory: options.directory.as_ref().map(|directory| directory.as_bytes().to_vec()),
        environment: environment.collect(),
        terminal,
        window: options.window,
        overflow,
        retention: options.retention.min(most).as_secs(),
        ..ProcessSpec::new(command)
    })
}

pub(crate) fn event_log(options: &SessionOptions) -> Fallible<Option<EventLog>> {
    let Some(path) = options.events_path() else { return Ok(None) };
    let opened = EventLog::open(&path);
    let opened = opened.map_err(|error| {
        Ending::failed(format!("{}: events cannot be written: {error}", path.display()))
    });
    opened.map(Some)
}

/// What every session has in common.
pub(crate) fn options(given: &SessionOptions) -> Options {
    let mut options = Options { name: own_name(), ..Options::default() };
    options.timing.give_up = given.give_up;
    options.standby = given.standby;
    options.lane = match given.lane {
        WhichLane::Auto => Lane::Auto,
        WhichLane::Ssh => Lane::Ssh,
        WhichLane::Fast => Lane::Fast,
    };
    options
}

/// Who this is, for other clients' users: `user@machine:pid`.
pub(crate) fn own_name() -> ClientName {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid{}", rustix::process::getuid().as_raw()));
    let system = rustix::system::uname();
    let machine = system.nodename().to_string_lossy();
    ClientName::new(&format!("{user}@{machine}:{}", std::process::id()))
}

/// Has the system's ssh do the whole of it. Comes back only if that cannot be run.
pub(crate) fn leave_to_ssh(run: &Run) -> Ending {
    let program = &ssh_program::found(&run.link.ssh);
    let by = std::process::id().to_string();
    let error = Program::new(program).args(run.ssh_words()).env(ssh_program::STARTED_BY, by).exec();
    let program = program.to_string_lossy();
    Ending::failed(format!("{program}: cannot be run: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    fn parsed(line: &[&str]) -> Run {
        args::parse(line.iter().map(OsString::from).collect()).unwrap().run
    }

    fn command(line: &[&str]) -> Fallible<Command> {
        let run = parsed(line);
        let wishes = Wishes::of_options(&run.link.ssh_options)?;
        command_of(&wishes, &run.command, run.process.exec)
    }

    #[test]
    fn the_words_of_a_command_are_the_shells_or_the_programs() {
        assert_eq!(command(&["h"]), Ok(Command::LoginShell));
        assert_eq!(command(&["h", ""]), Ok(Command::LoginShell));
        assert_eq!(command(&["h", "echo", "a  b"]), Ok(Command::Shell(b"echo a  b".to_vec())));
        let exec = Command::Exec(vec![b"echo".to_vec(), b"a  b".to_vec()]);
        assert_eq!(command(&["--exec", "h", "echo", "a  b"]), Ok(exec));
        assert_eq!(command(&["-s", "--", "h", "sftp"]), Ok(Command::Subsystem("sftp".to_owned())));
        assert!(command(&["--exec", "h"]).is_err());
        assert_eq!(command(&["-oSessionType=subsystem", "h"]), Ok(Command::LoginShell));
        assert_eq!(command(&["-N", "h", "ignored"]), Ok(placeholder()));
    }

    #[test]
    fn a_command_from_the_settings_counts_where_none_is_given() {
        assert_eq!(
            command(&["-oRemoteCommand=top -b", "h"]),
            Ok(Command::Shell(b"top -b".to_vec()))
        );
        assert_eq!(command(&["-oRemoteCommand=none", "h"]), Ok(Command::LoginShell));
        assert_eq!(
            command(&["-oRemoteCommand=sftp", "-oSessionType=subsystem", "h"]),
            Ok(Command::Subsystem("sftp".to_owned()))
        );
        assert_eq!(command(&["-oRemoteCommand=x", "h", "y"]), Err(Ending::silent(FAILED)));
    }

    #[test]
    fn a_name_says_who_where_and_which() {
        let name = own_name().to_printable();
        assert!(
            name.contains('@') && name.ends_with(&format!(":{}", std::process::id())),
            "{name}"
        );
    }
}
