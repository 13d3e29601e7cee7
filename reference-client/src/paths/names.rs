//! What the ends of links are called in the path machine.

use rejoin_protocol::paths::{Need, Why};
use rejoin_ssh::LinkErrorKind;

/// Why a link ended.
pub(crate) fn why(kind: LinkErrorKind) -> Why {
    match kind {
        LinkErrorKind::Unreachable => Why::Unreachable,
        LinkErrorKind::Closed => Why::Closed,
        LinkErrorKind::NeedsUser => Why::NeedsPerson(Need::Login),
        LinkErrorKind::HostKey => Why::NeedsPerson(Need::HostKey),
        LinkErrorKind::ServerMissing | LinkErrorKind::Undeployable | LinkErrorKind::Refused => {
            Why::NeedsPerson(Need::Server)
        }
        LinkErrorKind::ProgramMissing | LinkErrorKind::BadArguments | LinkErrorKind::Other => {
            Why::Failed
        }
    }
}
