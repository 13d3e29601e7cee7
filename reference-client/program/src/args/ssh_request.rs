//! What ssh would do with the command, the terminal and stdin, as its options and its configuration say.

use std::ffi::OsString;

use rejoin_ssh::{LinkErrorKind, SshConfig, SshConfigError};

use crate::args::ssh_options::{SessionKind, SshOptions, TerminalWish};
use crate::args::values;
use crate::ending::Fallible;
use crate::ending::{Ending, FAILED};
use crate::terminal::output;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) session: SessionKind,
    /// The configured command; its tokens are replaced.
    pub(crate) command: Option<OsString>,
    pub(crate) terminal: TerminalWish,
    /// The terminal's kind, in the place of `TERM`.
    pub(crate) term: Option<String>,
    pub(crate) is_stdin_null: bool,
    pub(crate) is_forking: bool,
    pub(crate) escape: Option<u8>,
    /// What to run here once connected; its tokens are not replaced yet.
    pub(crate) local_command: Option<String>,
}

impl Wishes {
    /// As ssh tells its configuration, the options included. Where it is no ssh that tells, as the options say.
    pub(crate) fn of(
        options: &SshOptions,
        told: &Result<SshConfig, SshConfigError>,
    ) -> Fallible<Self> {
        if ["RemoteCommand", "LocalCommand"].iter().any(|key| options.has_lines(key)) {
            return Err(Ending::failed(
                "a RemoteCommand or LocalCommand of several lines is not supported: give the command \
                 behind the destination",
            ));
        }
        match told {
            Ok(resolved) => Self::of_configuration(options, resolved),
            Err(SshConfigError::Refused(lines)) => {
                for line in lines {
                    output::say(format_args!("{line}\n"));
                }
                Err(Ending::silent(FAILED))
            }
            Err(SshConfigError::BadAddress(error)) => Err(Ending::failed(&error.message)),
            Err(SshConfigError::Unclear(error)) => {
                // Where it is missing, the connection says so.
                if !options.has('q') && error.kind != LinkErrorKind::ProgramMissing {
                    output::say(format_args!(
                        "rejoin: {error}; only the options of the command line count\n"
                    ));
                }
                Self::of_options(options)
            }
        }
    }

    fn of_configuration(options: &SshOptions, resolved: &SshConfig) -> Fallible<Self> {
        let is_on = |key| matches!(resolved.get(key), Some("yes" | "true"));
        // Before 8.7, ssh does not tell what follows from its flags.
        let session = match resolved.get("sessiontype") {
            Some("none") => SessionKind::Nothing,
            Some("subsystem") => SessionKind::Subsystem,
            _ => options.session(),
        };
        let terminal = match resolved.get("requesttty") {
            Some("no" | "false") => TerminalWish::No,
            Some("yes" | "true") => TerminalWish::Yes,
            Some("force") => TerminalWish::Force,
            _ => TerminalWish::Auto,
        };
        let escape = match resolved.get("escapechar") {
            Some(told) => values::told_escape(told).map_err(Ending::failed)?,
            None => escape_of(options)?,
        };
        let local_command = resolved.get("localcommand").filter(|_| is_on("permitlocalcommand"));
        let term = resolved.get_all("setenv").find_map(|variable| variable.strip_prefix("TERM="));
        Ok(Self {
            session,
            command: resolved.get("remotecommand").map(OsString::from),
            terminal,
            term: term.map(str::to_owned),
            is_stdin_null: is_on("stdinnull") || options.is_stdin_null(),
            is_forking: is_on("forkafterauthentication") || options.is_forking(),
            escape,
            local_command: local_command.map(str::to_owned),
        })
    }

    /// As the options say.
    pub(crate) fn of_options(options: &SshOptions) -> Fallible<Self> {
        let is_none = |setting: &OsString| setting.eq_ignore_ascii_case("none");
        Ok(Self {
            session: options.session(),
            command: options.setting("RemoteCommand").filter(|setting| !is_none(setting)),
            terminal: options.terminal(),
            term: None,
            is_stdin_null: options.is_stdin_null(),
            is_forking: options.is_forking(),
            escape: escape_of(options)?,
            local_command: None,
        })
    }
}

fn escape_of(options: &SshOptions) -> Fallible<Option<u8>> {
    values::escape(options.escape().as_deref()).map_err(Ending::failed)
}

/// Whether the process gets a terminal, decided as ssh decides it.
pub(crate) fn is_wanted(wish: TerminalWish, has_command: bool, stdin_is_terminal: bool) -> bool {
    match wish {
        TerminalWish::Force => true,
        TerminalWish::No => false,
        TerminalWish::Yes => stdin_is_terminal,
        TerminalWish::Auto => stdin_is_terminal && !has_command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_where_ssh_gives_one() {
        let table = [
            // wish, command, stdin is one, given
            (TerminalWish::Auto, false, true, true),
            (TerminalWish::Auto, false, false, false),
            (TerminalWish::Auto, true, true, false),
            (TerminalWish::Yes, true, true, true),
            (TerminalWish::Yes, true, false, false),
            (TerminalWish::Yes, false, false, false),
            (TerminalWish::Force, true, false, true),
            (TerminalWish::No, false, true, false),
        ];
        for (wish, command, stdin, given) in table {
            assert_eq!(is_wanted(wish, command, stdin), given, "{wish:?} {command} {stdin}");
        }
    }
}
