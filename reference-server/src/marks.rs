//! The marks in the environment of every process of a session. By these marks rejoin finds the
//! processes after their server has died.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rejoin_protocol::{Epoch, Incarnation, SessionId};

use crate::server_process::ServerProcess;

/// The session id. The session's processes may read it.
pub const SESSION_VARIABLE: &str = "REJOIN_SESSION";
/// The incarnation.
pub const INCARNATION_VARIABLE: &str = "REJOIN_INCARNATION";
/// The epoch of the server.
pub const EPOCH_VARIABLE: &str = "REJOIN_EPOCH";
/// The server's process and the registry's folder: a sweep ends only processes of its own registry
/// whose server is dead.
pub const KEEPER_VARIABLE: &str = "REJOIN_KEEPER";

/// The ends of the process's terminal or pipes, by their names in `/proc`.
pub const ENDS_VARIABLE: &str = "REJOIN_ENDS";

/// All variables of marks.
pub(crate) const VARIABLES: [&str; 5] =
    [SESSION_VARIABLE, INCARNATION_VARIABLE, EPOCH_VARIABLE, KEEPER_VARIABLE, ENDS_VARIABLE];

/// Separates the ends in their variable. No name of a terminal or pipe contains it.
const END_SEPARATOR: u8 = b',';

/// The kernel's suffix for a terminal whose other end is closed.
const HUNG_UP: &[u8] = b" (deleted)";

/// The session of a process, its incarnation, and its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The session.
    pub session: SessionId,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The server instance.
    pub epoch: Epoch,
    /// The registry's folder.
    pub registry: PathBuf,
}

impl Mark {
    /// The mark as environment variables, with the calling process as the server.
    pub fn variables(&self) -> [(&'static str, OsString); 4] {
        let keeper = Keeper { server: ServerProcess::current(), registry: self.registry.clone() };
        [
            (SESSION_VARIABLE, self.session.to_string().into()),
            (INCARNATION_VARIABLE, self.incarnation.to_string().into()),
            (EPOCH_VARIABLE, self.epoch.to_string().into()),
            (KEEPER_VARIABLE, keeper.to_value()),
        ]
    }
}

/// The variable for these ends.
pub(crate) fn ends_variable(ends: &[PathBuf]) -> (&'static str, OsString) {
    let ends: Vec<_> = ends.iter().map(|end| end.as_os_str().as_bytes()).collect();
    (ENDS_VARIABLE, OsString::from_vec(ends.join(&END_SEPARATOR)))
}

/// The server of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keeper {
    pub(crate) server: ServerProcess,
    pub(crate) registry: PathBuf,
}

impl Keeper {
    fn to_value(&self) -> OsString {
        let mut value = OsString::from(format!("{}.{}.", self.server.pid, self.server.start));
        value.push(&self.registry);
        value
    }

    fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.splitn(3, |byte| *byte == b'.');
        let server = ServerProcess { pid: number(parts.next()?)?, start: number(parts.next()?)? };
        let registry = Path::new(OsStr::from_bytes(parts.next()?)).into();
        Some(Self { server, registry })
    }
}

/// The marks found in an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) session: Option<SessionId>,
    pub(crate) incarnation: Option<Incarnation>,
    pub(crate) keeper: Option<Keeper>,
    /// The ends of the terminal or of the pipes that the session's process has.
    pub(crate) ends: Vec<PathBuf>,
}

impl Marks {
    /// Parses an environment block: variables that each end with a zero byte.
    pub(crate) fn parse(environment: &[u8]) -> Self {
        let mut marks = Self::default();
        for variable in environment.split(|byte| *byte == 0) {
            let Some(at) = variable.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&variable[..at], &variable[at + 1..]);
            if name == SESSION_VARIABLE.as_bytes() {
                marks.session = number(value).or(marks.session);
            } else if name == INCARNATION_VARIABLE.as_bytes() {
                marks.incarnation = number(value).map(Incarnation).or(marks.incarnation);
            } else if name == KEEPER_VARIABLE.as_bytes() {
                marks.keeper = Keeper::parse(value).or(marks.keeper.take());
            } else if name == ENDS_VARIABLE.as_bytes() {
                let ends = value.split(|byte| *byte == END_SEPARATOR);
                marks.ends = ends.map(|end| OsStr::from_bytes(end).into()).collect();
            }
        }
        marks
    }

    /// Whether this file is an end of the process's terminal or pipes. After a hangup, another
    /// terminal may have the name; so a terminal with its plain name counts only while its server
    /// lives.
    pub(crate) fn has_end(&self, file: &Path) -> bool {
        let file = file.as_os_str().as_bytes();
        let is_pipe = !file.starts_with(b"/");
        let hung_up = file.strip_suffix(HUNG_UP);
        let is_kept = || self.keeper.as_ref().is_some_and(|keeper| keeper.server.is_seen());
        self.ends
            .iter()
            .map(|end| end.as_os_str().as_bytes())
            .any(|end| hung_up == Some(end) || (file == end && (is_pipe || is_kept())))
    }
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_marks_that_it_sets() {
        let mark = Mark {
            session: SessionId::from_bytes([3; 16]),
            incarnation: Incarnation(7),
            epoch: Epoch::from_bytes([4; 16]),
            registry: OsString::from_vec(b"/tmp/a.b\xff/c".to_vec()).into(),
        };
        let mut environment = b"PATH=/bin\0odd\0=\0".to_vec();
        for (name, value) in mark.variables() {
            environment.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat());
        }
        let marks = Marks::parse(&environment);
        assert_eq!(
            (marks.session, marks.incarnation),
            (Some(mark.session), Some(mark.incarnation))
        );
        let keeper = marks.keeper.unwrap();
        assert_eq!((keeper.server, keeper.registry), (ServerProcess::current(), mark.registry));
    }

    #[test]
    fn recognises_ends_by_name_and_hung_up_terminals() {
        let ends = |names: &[&str]| {
            let names: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            let (name, value) = ends_variable(&names);
            Marks::parse(&[name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat())
        };
        let pipes = ends(&["pipe:[1]", "pipe:[2]"]);
        assert!(pipes.has_end(Path::new("pipe:[2]")) && !pipes.has_end(Path::new("pipe:[3]")));
        let mut terminal = ends(&["/dev/pts/7"]);
        assert!(terminal.has_end(Path::new("/dev/pts/7 (deleted)")));
        assert!(!terminal.has_end(Path::new("/dev/pts/7")), "it may be another one's by now");
        let server = ServerProcess::current();
        terminal.keeper = Some(Keeper { server, registry: PathBuf::new() });
        assert!(terminal.has_end(Path::new("/dev/pts/7")));
    }

    #[test]
    fn an_environment_without_marks_has_none() {
        assert_eq!(Marks::parse(b""), Marks::default());
        assert_eq!(Marks::parse(b"REJOIN_SESSION=x\0REJOIN_KEEPER=1.2\0"), Marks::default());
    }
}
