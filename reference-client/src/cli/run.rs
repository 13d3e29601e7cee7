//! Starts a session as the command line asks for it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command as Program;

use rejoin_client::spec::{Command, Overflow, ProcessSpec, Terminal};
use rejoin_client::{ClientName, Lane, OnLoss, Options, Session};
use rejoin_ssh::Attempt;

use super::args::{LinkOptions, ProcessOptions, Run, SessionOptions, WhenLost, WhichLane};
use super::events::EventLog;
use super::host::Host;
use super::job;
use super::output;
use super::quote;
use super::setting::Setting;
use super::ssh_options::{SshOptions, TerminalWish};
use super::terminal::{self, Standard};
use super::timeline::Timelines;
use super::words::Ending;

/// A failure to be told, with nothing started.
pub(crate) type Fallible<T> = Result<T, Ending>;

/// `rejoin DESTINATION [COMMAND...]`.
pub(crate) async fn run(run: Run) -> Ending {
    match start(run).await {
        Ok(ending) | Err(ending) => ending,
    }
}

async fn start(run: Run) -> Fallible<Ending> {
    let Run { link, process, session: session_options, on_loss, destination, command } = run;
    let destination =
        destination.ok_or_else(|| Ending::failed("no destination is given: see rejoin --help"))?;
    let standard = Standard::look();
    let command = command_of(&link.ssh_options, &command, process.exec)?;
    let wants = has_terminal(&link.ssh_options, &command, standard);
    let spec = spec_of(command, process, wants);
    let setting = Setting::new(&link, &destination, spec.terminal.is_some(), standard)?;
    let log = event_log(&session_options)?;
    let mut options = options(&session_options)?;
    options.on_loss = match on_loss {
        Some(WhenLost::Respawn) => OnLoss::Respawn,
        None if spec.terminal.is_some() => OnLoss::Respawn,
        Some(WhenLost::Fail) | None => OnLoss::Fail,
    };
    let (host, chatter) = Host::new(&link, &destination);
    let (timelines, followed) = timelines(&session_options, &link);
    let session = Session::open(host.followed(followed).attach(), &spec, options)
        .map_err(|error| Ending::failed(error.to_string()))?;
    Ok(job::run(session, setting, log, (chatter, timelines)).await)
}

/// Of what is told of a way back, and which attempts are followed for it: none that a person may see.
pub(crate) fn timelines(
    given: &SessionOptions,
    link: &LinkOptions,
) -> (Timelines, fn(Attempt) -> bool) {
    if given.events.is_some() || link.ssh_options.has('v') {
        (Timelines::collected(), |attempt| attempt == Attempt::Reconnect)
    } else {
        (Timelines::unwanted(), |_| false)
    }
}

/// What is to be run: rejoin's words, as ssh understands them.
fn command_of(options: &SshOptions, words: &[OsString], is_direct: bool) -> Fallible<Command> {
    let is_none = |setting: &OsString| setting.eq_ignore_ascii_case("none");
    let configured = options.setting("RemoteCommand").filter(|setting| !is_none(setting));
    match (words, configured) {
        (words, _) if is_direct && !words.is_empty() => {
            Ok(Command::Exec(words.iter().map(|word| word.as_bytes().to_vec()).collect()))
        }
        _ if is_direct => Err(Ending::failed("--exec needs a command: see rejoin --help")),
        (words, _) if options.is_subsystem() => subsystem(words),
        ([], Some(command)) => Ok(Command::Shell(command.as_bytes().to_vec())),
        ([], None) => Ok(Command::LoginShell),
        (words, _) => Ok(Command::Shell(quote::joined(words))),
    }
}

fn subsystem(words: &[OsString]) -> Fallible<Command> {
    match String::from_utf8(quote::joined(words)) {
        Ok(name) if !name.is_empty() => Ok(Command::Subsystem(name)),
        _ => Err(Ending::failed("-s needs the name of a subsystem, such as sftp")),
    }
}

fn has_terminal(options: &SshOptions, command: &Command, standard: Standard) -> bool {
    let has_stdin = standard.stdin && !options.is_stdin_null();
    let has_command = *command != Command::LoginShell;
    let wish = options.terminal();
    if wish == TerminalWish::Yes && !has_stdin && !options.has('q') {
        output::say(
            "rejoin: the process gets no terminal, since stdin is none: -tt gives it one\n",
        );
    }
    terminal::is_wanted(wish, has_command, has_stdin)
}

fn spec_of(command: Command, options: ProcessOptions, has_terminal: bool) -> ProcessSpec {
    let terminal =
        has_terminal.then(|| Terminal { term: terminal::kind(), size: terminal::size() });
    let overflow = if options.drop_oldest { Overflow::DropOldest } else { Overflow::Block };
    let environment = options.env.into_iter().map(|variable| (variable.name, variable.value));
    ProcessSpec {
        directory: options.directory.map(|directory| directory.as_bytes().to_vec()),
        environment: environment.collect(),
        terminal,
        window: options.window,
        overflow,
        retention: options.retention.as_secs(),
        ..ProcessSpec::new(command)
    }
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
pub(crate) fn options(given: &SessionOptions) -> Fallible<Options> {
    let mut options = Options::new()
        .map_err(|error| Ending::failed(format!("the system has no randomness: {error}")))?;
    options.name = own_name();
    options.timing.give_up = given.give_up;
    options.standby = given.standby;
    options.lane = match given.lane {
        WhichLane::Auto => Lane::Auto,
        WhichLane::Ssh => Lane::Ssh,
        WhichLane::Fast => Lane::Fast,
    };
    Ok(options)
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
    let program = &run.link.ssh;
    let error = Program::new(program).args(run.ssh_words()).exec();
    let program = program.to_string_lossy();
    Ending::failed(format!("{program}: cannot be run: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args;

    fn parsed(line: &[&str]) -> Run {
        args::parse(line.iter().map(OsString::from).collect()).unwrap().run
    }

    fn command(line: &[&str]) -> Fallible<Command> {
        let run = parsed(line);
        command_of(&run.link.ssh_options, &run.command, run.process.exec)
    }

    #[test]
    fn the_words_of_a_command_are_the_shells_or_the_programs() {
        assert_eq!(command(&["h"]), Ok(Command::LoginShell));
        assert_eq!(command(&["h", "echo", "a  b"]), Ok(Command::Shell(b"echo a  b".to_vec())));
        let exec = Command::Exec(vec![b"echo".to_vec(), b"a  b".to_vec()]);
        assert_eq!(command(&["--exec", "h", "echo", "a  b"]), Ok(exec));
        assert_eq!(command(&["-s", "--", "h", "sftp"]), Ok(Command::Subsystem("sftp".to_owned())));
        assert!(command(&["--exec", "h"]).is_err());
        assert!(command(&["-s", "h"]).is_err());
    }

    #[test]
    fn a_command_from_the_settings_counts_where_none_is_given() {
        assert_eq!(
            command(&["-oRemoteCommand=top -b", "h"]),
            Ok(Command::Shell(b"top -b".to_vec()))
        );
        assert_eq!(command(&["-oRemoteCommand=none", "h"]), Ok(Command::LoginShell));
        assert_eq!(command(&["-oRemoteCommand=x", "h", "y"]), Ok(Command::Shell(b"y".to_vec())));
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
