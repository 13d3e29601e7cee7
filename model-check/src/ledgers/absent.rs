//! What is answered where no server lives (SPEC section 7.2).

use rejoin_protocol::frame::{Hello, Refused, Wish};
use rejoin_protocol::server::{Config, Effect, Past};
use rejoin_protocol::{ClientName, Frame, Reason, Tenure};

use super::{LedgerResult, require};

/// Whether the answer to a Hello is the true one, given what is known of the session.
///
/// # Errors
/// The property that does not hold.
pub fn judge(config: &Config, past: &Past, hello: &Hello, effects: &[Effect]) -> LedgerResult {
    let answers = effects.iter().filter(|effect| is_answer(effect)).count();
    require(answers == 1, 17, "a Hello does not get one answer")?;
    let mut buried = None;
    for effect in effects {
        match effect {
            Effect::Bury(past) => buried = Some(past),
            Effect::Start { incarnation, tenure, spec, .. } => {
                let asked =
                    Wish::Open { incarnation: *incarnation, host: config.host, spec: spec.clone() };
                require(hello.wish == asked, 8, "a process is started that no Open asked for")?;
                let is_new = past.used.is_none_or(|used| *incarnation > used);
                require(is_new, 5, "an incarnation that was used is started")?;
                let is_entitled = *tenure == hello.tenure && *tenure >= past.tenure;
                require(is_entitled, 12, "a process is started for one who was superseded")?;
            }
            Effect::Send(_, Frame::Refused(refused)) => {
                is_true(config, past, hello, refused)?;
                let is_kept = !past.is_known || buried == Some(past);
                require(is_kept, 5, "a refusal does not write down what is known")?;
            }
            Effect::Send(_, Frame::Closed { attach, ended }) => {
                let said = (*attach, *ended) == (hello.attach, past.ended);
                require(said, 17, "Closed says what was not")?;
                require(buried.is_some_and(|it| is_closed(past, hello, it)), 5, CLOSED)?;
            }
            _ => {}
        }
    }
    Ok(())
}

const CLOSED: &str = "a Close does not write down what it uses up";

fn is_answer(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Start { .. } | Effect::Send(_, Frame::Refused(_) | Frame::Closed { .. })
    )
}

fn is_closed(past: &Past, hello: &Hello, buried: &Past) -> bool {
    let Wish::Close { incarnation, .. } = hello.wish else { return false };
    buried.is_known
        && buried.used == past.used.max(Some(incarnation))
        && buried.tenure == past.tenure.max(hello.tenure)
        && buried.failed == past.failed
}

fn is_true(config: &Config, past: &Past, hello: &Hello, refused: &Refused) -> LedgerResult {
    let counters = &refused.counters;
    let is_exact = (counters.used, counters.tenure) == (past.used, past.tenure)
        && counters.epoch.is_none()
        && refused.attach == hello.attach;
    require(is_exact, 17, "a refusal tells other numbers than are known")?;
    let is_true = general(config, hello, &refused.reason)
        .unwrap_or_else(|| of_past(past, hello, &refused.reason));
    require(is_true, 17, "a refusal where no server lives has another reason than is true")
}

/// Whether a reason that does not depend on the session is true; none if it is another one, or if
/// another one comes first.
pub(super) fn general(config: &Config, hello: &Hello, reason: &Reason) -> Option<bool> {
    let is_other = hello.session != config.session;
    let is_understood = config.versions.contains(hello.version);
    let host = match hello.wish {
        Wish::Open { host, .. } => host,
        _ => config.host,
    };
    let due = if !is_understood {
        Reason::Incompatible { supported: config.versions }
    } else if is_other {
        Reason::Unknown
    } else if host != config.host {
        Reason::DifferentHost { host: config.host }
    } else {
        return None;
    };
    Some(*reason == due)
}

fn of_past(past: &Past, hello: &Hello, reason: &Reason) -> bool {
    let failed = |it: &Wish| match it {
        Wish::Open { incarnation, .. } => past
            .failed
            .as_ref()
            .filter(|(failed, _)| failed == incarnation)
            .map(|(_, error)| error.clone()),
        _ => None,
    };
    let name = ClientName::default();
    let due = match &hello.wish {
        wish if authority(hello, wish) < past.tenure => {
            Reason::Superseded { by: past.tenure, name }
        }
        Wish::Open { incarnation, .. } => match failed(&hello.wish) {
            Some(error) => Reason::SpawnFailed(error),
            None if past.used.is_some_and(|used| *incarnation <= used) => Reason::ProcessGone,
            None => return false,
        },
        Wish::Resume { .. } | Wish::Claim { .. } if past.is_known => Reason::ProcessGone,
        Wish::Resume { .. } | Wish::Claim { .. } | Wish::Unreadable => Reason::Unknown,
        Wish::Close { .. } => return false,
    };
    *reason == due
}

/// The tenure that a wish goes by.
fn authority(hello: &Hello, wish: &Wish) -> Tenure {
    match wish {
        Wish::Close { .. } | Wish::Claim { expected: None, .. } => Tenure(u64::MAX),
        Wish::Claim { expected: Some(holder), .. } => holder.tenure,
        _ => hello.tenure,
    }
}
