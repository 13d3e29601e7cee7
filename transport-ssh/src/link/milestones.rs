//! How far the opening of a link has got, and when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What a connector has reached while it opens a link, in this order. No connector reports all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Milestone {
    /// The address of the host is known, or a proxy command was started.
    Resolved,
    /// There is a connection; behind a proxy, the host has begun to speak.
    Connected,
    /// Both sides have exchanged keys.
    KeysExchanged,
    /// The host has let the user in.
    Authenticated,
    /// The host has been asked to run the command.
    CommandSent,
}

/// Which milestones the opening of one link has reached. Clones share what they note.
#[derive(Clone, Debug, Default)]
pub struct Milestones(Arc<Mutex<Vec<(Milestone, Instant)>>>);

tokio::task_local! {
    static CURRENT: Milestones;
}

impl Milestones {
    /// Runs the opening of a link. Milestones that the connector reaches meanwhile are noted here.
    pub async fn note<T>(&self, opening: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), opening).await
    }

    /// What was reached so far, each milestone once.
    pub fn reached(&self) -> Vec<(Milestone, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Those of the opening that this task is a part of. Whoever spawns another task for it hands them on.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    /// Notes a milestone of the opening that this task is a part of.
    pub(crate) fn reach(milestone: Milestone) {
        Self::current().reached_at(milestone, Instant::now());
    }

    /// Notes a milestone, unless it or a later one was reached before.
    pub fn reached_at(&self, milestone: Milestone, at: Instant) {
        let mut reached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reached.last().is_none_or(|(last, _)| *last < milestone) {
            reached.push((milestone, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_milestone_is_noted_once_and_only_for_its_own_link() {
        let (first, second) = (Milestones::default(), Milestones::default());
        let opening = async {
            Milestones::reach(Milestone::Connected);
            let handed_on = Milestones::current();
            tokio::spawn(async move {
                handed_on.note(async { Milestones::reach(Milestone::Authenticated) }).await;
            })
            .await
            .unwrap();
            Milestones::reach(Milestone::KeysExchanged);
        };
        tokio::join!(first.note(opening), second.note(std::future::ready(())));
        let reached: Vec<_> = first.reached().into_iter().map(|(milestone, _)| milestone).collect();
        assert_eq!(reached, [Milestone::Connected, Milestone::Authenticated]);
        assert!(second.reached().is_empty());
        Milestones::reach(Milestone::Resolved);
    }
}
