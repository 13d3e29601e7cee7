//! How a Hello is answered (SPEC sections 7.2 to 7.5). Authority (attach number and tenure) is judged before
//! the process that a wish names.

use bytes::Bytes;

use super::{Config, Owner, Past};
use crate::frame::{Hello, Wish};
use crate::ident::Incarnation;
use crate::reason::Reason;

/// The answer if no server lives.
pub(super) enum Absent {
    Start { incarnation: Incarnation, spec: Bytes },
    Refuse(Reason),
    Forget(Past),
}

/// Why a living server objects to a Hello.
pub(super) enum Objection {
    Reason(Reason),
    /// The Hello is from another client instance than the owner.
    OtherInstance,
}

pub(super) fn objection(config: &Config, hello: &Hello) -> Option<Reason> {
    if !config.versions.contains(hello.version) {
        return Some(Reason::Incompatible { supported: config.versions });
    }
    if hello.session != config.session {
        return Some(Reason::Unknown);
    }
    match hello.wish {
        Wish::Open { host, .. } if host != config.host => {
            Some(Reason::DifferentHost { host: config.host })
        }
        _ => None,
    }
}

pub(super) fn judge_absent(past: &Past, config: &Config, hello: &Hello) -> Absent {
    if let Some(reason) = objection(config, hello) {
        return Absent::Refuse(reason);
    }
    if is_superseded(past, hello) {
        let name = crate::ident::ClientName::default();
        return Absent::Refuse(Reason::Superseded { by: past.tenure, name });
    }
    match &hello.wish {
        Wish::Open { incarnation, spec, .. } => judge_open(past, *incarnation, spec),
        Wish::Close { incarnation, .. } => Absent::Forget(forgotten(past, hello, *incarnation)),
        Wish::Resume { .. } | Wish::Claim { .. } if past.is_known => {
            Absent::Refuse(Reason::ProcessGone)
        }
        // An unreadable wish is of a version that was refused before.
        Wish::Resume { .. } | Wish::Claim { .. } | Wish::Unreadable => {
            Absent::Refuse(Reason::Unknown)
        }
    }
}

/// A claimant that names no holder does not know the tenure yet; every other client has to. Anyone may close
/// what is gone, repeatedly, until the answer arrives.
fn is_superseded(past: &Past, hello: &Hello) -> bool {
    match &hello.wish {
        Wish::Claim { expected: None, .. } | Wish::Close { .. } => false,
        Wish::Claim { expected: Some(holder), .. } => holder.tenure < past.tenure,
        _ => hello.tenure < past.tenure,
    }
}

fn judge_open(past: &Past, incarnation: Incarnation, spec: &Bytes) -> Absent {
    if let Some((_, error)) = past.failed.as_ref().filter(|(failed, _)| *failed == incarnation) {
        return Absent::Refuse(Reason::SpawnFailed(error.clone()));
    }
    if is_used(past, incarnation) {
        return Absent::Refuse(Reason::ProcessGone);
    }
    Absent::Start { incarnation, spec: spec.clone() }
}

fn is_used(past: &Past, incarnation: Incarnation) -> bool {
    past.used.is_some_and(|used| incarnation <= used)
}

/// An Open in transit must find its incarnation used up.
fn forgotten(past: &Past, hello: &Hello, incarnation: Incarnation) -> Past {
    Past {
        is_known: true,
        used: past.used.max(Some(incarnation)),
        tenure: past.tenure.max(hello.tenure),
        failed: past.failed.clone(),
        ended: past.ended,
    }
}

/// Whether the Hello is the owner's, with a new attach number.
pub(super) fn judge_owner(config: &Config, owner: &Owner, hello: &Hello) -> Result<(), Objection> {
    if let Some(reason) = objection(config, hello) {
        return Err(Objection::Reason(reason));
    }
    if hello.instance != owner.instance {
        return Err(Objection::OtherInstance);
    }
    if hello.attach <= owner.attach {
        return Err(Objection::Reason(Reason::Stale { last: owner.attach }));
    }
    Ok(())
}

/// Whether a Close may be carried out: any client that is not superseded may end the session, even an
/// instance that never owned it.
pub(super) fn judge_close(config: &Config, owner: &Owner, hello: &Hello) -> Result<(), Reason> {
    if let Some(reason) = objection(config, hello) {
        return Err(reason);
    }
    if hello.tenure < owner.tenure {
        return Err(Reason::Superseded { by: owner.tenure, name: owner.name.clone() });
    }
    if hello.instance == owner.instance && hello.attach <= owner.attach {
        return Err(Reason::Stale { last: owner.attach });
    }
    Ok(())
}
