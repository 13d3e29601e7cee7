//! What follows from the report of a host.

use std::fmt;

use rejoin_protocol::admin::{HostReport, Persistence, RegistryReport, Text};
use serde::Serialize;

/// What a finding means for rejoin on that host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is as it should be.
    Works,
    /// rejoin works, and something is worth knowing.
    Note,
    /// rejoin does not work.
    Fails,
}

/// One thing that follows from a report. Displayed as a sentence for people, safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The server program has the version that was asked about.
    SameVersion(ServerProgram),
    /// The server program has another version.
    OtherVersion {
        /// The program.
        server: ServerProgram,
        /// The version that was asked about.
        own: String,
    },
    /// A process outlives the login that started it.
    ProcessesStay,
    /// The host ends processes at logout, and sessions run where it does not.
    ProcessesStayInScope,
    /// The host ends processes at logout.
    ProcessesEnd {
        /// What the user can do, if the host says so.
        advice: Option<Text>,
    },
    /// Whether processes outlive the login is unknown.
    PersistenceUnknown,
    /// The folder of the sessions can be used.
    RegistryUsable {
        /// Its path.
        folder: Text,
    },
    /// The folder of the sessions cannot be used.
    RegistryUnusable {
        /// Why.
        error: Text,
    },
    /// No session has lost its server.
    NothingLeft {
        /// How many sessions there are.
        living: u64,
    },
    /// Sessions have lost their servers, and a [`prune`](super::prune) removes what is left.
    DeadSessions {
        /// How many have.
        dead: u64,
        /// How many sessions have a server.
        living: u64,
    },
}

/// The server program on a host. A text is empty if the host did not tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerProgram {
    /// Its version.
    pub version: Text,
    /// The host's own name.
    pub host: Text,
    /// Its path.
    pub path: Text,
}

/// What follows from a report, for a client of version `own`, such as `0.1.0`: about the server
/// program, what happens at logout, and the folder of the sessions, in this order.
pub fn findings(report: &HostReport, own: &str) -> Vec<Finding> {
    let mut findings = vec![of_server(report, own), of_logout(report)];
    findings.extend(of_registry(&report.registry));
    findings
}

fn of_server(report: &HostReport, own: &str) -> Finding {
    let server = ServerProgram {
        version: report.program_version.clone(),
        host: report.host.clone(),
        path: report.program.clone().unwrap_or_default(),
    };
    if server.version.as_str() == own {
        Finding::SameVersion(server)
    } else {
        Finding::OtherVersion { server, own: own.to_owned() }
    }
}

fn of_logout(report: &HostReport) -> Finding {
    match report.persistence {
        Persistence::Stays => Finding::ProcessesStay,
        Persistence::InScope => Finding::ProcessesStayInScope,
        Persistence::Ends => Finding::ProcessesEnd { advice: report.persistence_advice.clone() },
        _ => Finding::PersistenceUnknown,
    }
}

fn of_registry(registry: &RegistryReport) -> Vec<Finding> {
    if let Some(error) = registry.error.clone() {
        return vec![Finding::RegistryUnusable { error }];
    }
    let &RegistryReport { living, dead, .. } = registry;
    let leftovers = match dead {
        0 => Finding::NothingLeft { living },
        dead => Finding::DeadSessions { dead, living },
    };
    let folder = registry.folder.clone().unwrap_or_default();
    vec![Finding::RegistryUsable { folder }, leftovers]
}

impl Finding {
    /// What the finding is about, in one word: `server`, `logout`, `registry` or `leftovers`.
    pub fn check(&self) -> &'static str {
        match self {
            Self::SameVersion(_) | Self::OtherVersion { .. } => "server",
            Self::ProcessesStay
            | Self::ProcessesStayInScope
            | Self::ProcessesEnd { .. }
            | Self::PersistenceUnknown => "logout",
            Self::RegistryUsable { .. } | Self::RegistryUnusable { .. } => "registry",
            Self::NothingLeft { .. } | Self::DeadSessions { .. } => "leftovers",
        }
    }

    /// What it means for rejoin on that host.
    pub fn severity(&self) -> Severity {
        match self {
            Self::SameVersion(_)
            | Self::ProcessesStay
            | Self::ProcessesStayInScope
            | Self::RegistryUsable { .. }
            | Self::NothingLeft { .. } => Severity::Works,
            Self::OtherVersion { .. } | Self::PersistenceUnknown | Self::DeadSessions { .. } => {
                Severity::Note
            }
            Self::ProcessesEnd { .. } | Self::RegistryUnusable { .. } => Severity::Fails,
        }
    }
}

impl fmt::Display for ServerProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, host, path } = self;
        write!(f, "rejoin-server {version} on {host}: {path}")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameVersion(server) => server.fmt(f),
            Self::OtherVersion { server, own } => write!(f, "{server}; this rejoin is {own}"),
            Self::ProcessesStay => f.write_str("a process outlives the login that started it"),
            Self::ProcessesStayInScope => f.write_str(
                "this host ends processes at logout; they are kept by systemd-run --user",
            ),
            Self::ProcessesEnd { advice: Some(advice) } => advice.fmt(f),
            Self::ProcessesEnd { advice: None } => f.write_str("processes end with the login"),
            Self::PersistenceUnknown => {
                f.write_str("it cannot be told whether processes outlive the login")
            }
            Self::RegistryUsable { folder } => write!(f, "sessions are kept in {folder}"),
            Self::RegistryUnusable { error } => error.fmt(f),
            Self::NothingLeft { living } => write!(f, "none; {living} sessions live there"),
            Self::DeadSessions { dead, living } => {
                let all = living.saturating_add(*dead);
                write!(f, "{dead} of {all} sessions are dead")
            }
        }
    }
}
