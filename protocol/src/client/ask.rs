//! From an open link to the current wish (SPEC section 7.6).

use super::{Claim, Client, Config, Effect, Effects, Patience, Phase};
use crate::frame::{Frame, Greeting, Hello, Scope, Wish};
use crate::ident::{Counter, HostId};
use crate::machine::Link;
use crate::reason::Reason;

impl Client {
    pub(super) fn greeted(
        &mut self,
        config: &Config,
        link: Link,
        greeting: &Greeting,
        is_asked: bool,
        effects: &mut Effects,
    ) {
        let Some(version) = config.versions.newest_common(greeting.versions) else {
            return self.incompatible(greeting.versions, effects);
        };
        if self.host.is_some_and(|known| !known.is_same_machine(&greeting.host)) {
            return self.different_host(link, greeting.host, effects);
        }
        // A Hello that was sent already was sent in the version that is spoken with the server.
        if !is_asked {
            self.version = version;
        }
        self.phase = Phase::Attaching { link, greeted: Some(greeting.host), is_asked: true };
        if self.was_rebooted(greeting.host) {
            self.rebooted(config, link, greeting.host, effects);
        } else if !is_asked {
            self.ask(config, link, Some(greeting.host), effects);
        }
    }

    /// Whether an Open was sent to an earlier boot of this host. It may have started the process,
    /// and no tombstone outlives a boot for certain.
    pub(super) fn was_rebooted(&self, host: HostId) -> bool {
        let is_other = self.host.is_some_and(|known| known != host);
        self.patience == Some(Patience::Open) && is_other
    }

    /// Sends a Hello with the current wish. An Open names the host of the Greeting.
    pub(super) fn ask(
        &mut self,
        config: &Config,
        link: Link,
        host: Option<HostId>,
        effects: &mut Effects,
    ) {
        let Some(wish) = self.wish(config, host) else { return };
        let Some(attach) = self.attach.next() else {
            return self.refused_for_good(Reason::Exhausted(Counter::AttachNumber), effects);
        };
        if let Wish::Open { host, .. } = &wish {
            self.host = Some(*host);
            self.be_patient(Patience::Open, effects);
        }
        self.attach = attach;
        let hello = Hello {
            version: self.version,
            session: config.session,
            instance: config.instance,
            name: config.name.clone(),
            attach: self.attach,
            tenure: self.tenure,
            wish,
        };
        effects.push(Effect::Send(link, Frame::Hello(hello)));
    }

    pub(super) fn wish(&self, config: &Config, host: Option<HostId>) -> Option<Wish> {
        let incarnation = self.incarnation;
        if self.is_closing {
            let has_exited = self.exit.is_some();
            let scope = if has_exited { Scope::Process } else { Scope::Session };
            return Some(Wish::Close { incarnation, scope });
        }
        if let Some(epoch) = self.epoch {
            return Some(Wish::Resume { incarnation, epoch, next_output: self.output.accepted() });
        }
        if let Some(Claim { expected, from }) = self.claim {
            return Some(Wish::Claim { expected, from });
        }
        let spec = config.spec.clone().unwrap_or_default();
        host.map(|host| Wish::Open { incarnation, host, spec })
    }
}
