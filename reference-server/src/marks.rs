//! The marks that every process of a session carries in its environment, by which it is found
//! when its server is dead.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rejoin_protocol::{Epoch, Incarnation, SessionId};

use crate::registry::ServerProcess;

/// Names the session, to its processes too.
pub const SESSION_VARIABLE: &str = "REJOIN_SESSION";
/// Names the incarnation.
pub const INCARNATION_VARIABLE: &str = "REJOIN_INCARNATION";
/// Names the server.
pub const EPOCH_VARIABLE: &str = "REJOIN_EPOCH";
/// Names the server's process and the registry: a sweep ends only what belongs to its own
/// registry, and spares what has a server.
pub const KEEPER_VARIABLE: &str = "REJOIN_KEEPER";

/// All of them.
pub(crate) const VARIABLES: [&str; 4] =
    [SESSION_VARIABLE, INCARNATION_VARIABLE, EPOCH_VARIABLE, KEEPER_VARIABLE];

/// Which process of which session it is, and who keeps it.
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
    /// The mark as variables, with the calling process as the server.
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

/// Who keeps a process.
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
}

impl Marks {
    /// Reads them from variables that each end with a zero byte.
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
            }
        }
        marks
    }
}

fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn marks_are_read_as_they_are_set() {
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
    fn an_environment_without_marks_has_none() {
        assert_eq!(Marks::parse(b""), Marks::default());
        assert_eq!(Marks::parse(b"REJOIN_SESSION=x\0REJOIN_KEEPER=1.2\0"), Marks::default());
    }
}
