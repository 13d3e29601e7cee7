//! The forwards of an ssh connector: whether there are any, and how a missing one is made later.

use std::ffi::OsStr;
use std::sync::Arc;

use super::builder::SshConnect;
use super::forwards::control::ControlSocket;
use super::forwards::errors::FailedForward;
use super::forwards::spec::{self, ForwardSpec, MuxRequest};
use super::forwards::state::{ForwardState, ReportedForwards};
use crate::link::forwards::{ForwardKind, ForwardOutcome, Forwards, ListenAddress, MissingForward};
use crate::link::stream::BoxFuture;

/// The forwards of a connector's links. All clones share what is known.
pub(crate) struct SshForwards {
    ssh: SshConnect,
}

impl SshForwards {
    pub(crate) fn of(ssh: SshConnect) -> Self {
        Self { ssh }
    }

    /// Drops reports about forwards that are not configured: the host printed those.
    fn understood(&self, opened: ReportedForwards) -> Vec<MissingForward> {
        let failed = opened.failed.into_iter().filter(|it| match self.ssh.told() {
            Some(resolved) => spec::may_listen(resolved, it.kind, &it.listen),
            None => self.ssh.forwards_ports(),
        });
        failed
            .map(|FailedForward { kind, listen, reason }| {
                let can_be_made = self.way(kind, &listen).is_some();
                MissingForward { kind, listen, reason, can_be_made }
            })
            .collect()
    }

    /// How ssh is asked for a forward: over this socket, with these requests.
    fn way(
        &self,
        kind: ForwardKind,
        listen: &ListenAddress,
    ) -> Option<(Arc<ControlSocket>, Vec<MuxRequest>)> {
        let control = self.ssh.shared_forwards().control().upgrade()?;
        let spec = ForwardSpec::find(self.ssh.told()?, kind, listen)?;
        Some((control, spec.requests()?))
    }
}

impl Forwards for SshForwards {
    fn opened(&self) -> BoxFuture<'_, Vec<MissingForward>> {
        Box::pin(async {
            let shared = self.ssh.shared_forwards();
            loop {
                if let Some(opened) = shared.take_opened() {
                    return self.understood(opened);
                }
                shared.changed().await;
            }
        })
    }

    /// If the host listens, this takes a round trip.
    fn make(&self, missing: &MissingForward) -> BoxFuture<'static, ForwardOutcome> {
        let way = self.way(missing.kind, &missing.listen);
        let ssh = self.ssh.clone();
        Box::pin(async move {
            let Some((control, requests)) = way else { return ForwardOutcome::Impossible };
            for request in requests {
                let is_granted = control.ask(|arguments| ssh.asking(arguments), &request).await;
                if request.is_needed && !is_granted {
                    return ForwardOutcome::Failed;
                }
            }
            ForwardOutcome::Made
        })
    }
}

impl SshConnect {
    /// Whether its links forward ports, which a second one beside them could not: as its options say, and its
    /// configuration once that [is known](Self::configuration).
    pub(crate) fn forwards_ports(&self) -> bool {
        self.forwards.is_configured() || self.options.iter().any(|it| is_forwarding(it))
    }

    pub(crate) fn shared_forwards(&self) -> &ForwardState {
        &self.forwards
    }
}

/// Whether this option of ssh's has it listen somewhere: on its own, or as the last one of several flags.
fn is_forwarding(option: &OsStr) -> bool {
    let option = option.to_string_lossy();
    if let Some(flags) = option.strip_prefix('-') {
        return flags.starts_with(['L', 'R', 'D', 'w']);
    }
    let name = option.split(['=', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    matches!(name.as_str(), "localforward" | "remoteforward" | "dynamicforward" | "tunnel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_forwarding_by_a_flag_and_by_a_setting_whatever_its_case() {
        for option in
            ["-L", "-L8080:localhost:80", "-R", "-D1080", "-w0", "localFORWARD=1 h:2", "Tunnel yes"]
        {
            assert!(is_forwarding(option.as_ref()), "{option}");
        }
        for option in ["-o", "-p", "22", "LogLevel=DEBUG", "ForwardAgent=yes", "-A", "host"] {
            assert!(!is_forwarding(option.as_ref()), "{option}");
        }
    }
}
