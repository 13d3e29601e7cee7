//! The programs on a host, over a registry in memory that fails where a test wants it to.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod attach;
#[path = "../common/mod.rs"]
mod common;
mod fake;
mod server;
mod upkeep;

use common::EPOCH;
use fake::{Fake, recorded};
use rejoin_protocol::registry::{Known, Reaped, Remembered};
use rejoin_protocol::server::Past;
use rejoin_protocol::{Incarnation, SpawnError, SpawnErrorKind, Tenure};

#[test]
fn what_is_found_alive_counts_up_to_what_record_tombstone_or_hello_name() {
    let fold = |known: &Known, found: u64, asked: Option<u64>| {
        let reaped = Reaped { found: Some(Incarnation(found)), ended: 0 };
        known.fold(reaped, asked.map(Incarnation)).used.map(|used| used.0)
    };
    let nothing = Known::default();
    assert_eq!(fold(&nothing, u64::MAX, None), None);
    assert_eq!(fold(&nothing, u64::MAX, Some(3)), Some(3));
    assert_eq!(fold(&nothing, 2, Some(3)), Some(2));
    assert!(nothing.fold(Reaped { found: Some(Incarnation(9)), ended: 0 }, None).is_known);
    let reserved = Known { record: Some(recorded(5, false, EPOCH)), ..Known::default() };
    assert_eq!(fold(&reserved, u64::MAX, None), Some(5));
    assert_eq!(fold(&reserved, 4, None), Some(4));
    let buried = Fake::buried(7).known;
    assert_eq!((fold(&buried, u64::MAX, None), fold(&buried, 4, None)), (Some(7), Some(7)));
}

#[test]
fn a_tombstone_never_goes_backwards_and_a_failed_start_uses_its_incarnation() {
    let failed = |incarnation, message: &str| {
        let error = SpawnError::new(SpawnErrorKind::Other, message);
        Past { failed: Some((Incarnation(incarnation), error)), ..Past::default() }
    };
    let high = Past { used: Some(Incarnation(5)), tenure: Tenure(3), ..Past::default() };
    let high = Remembered::default().with(&high);
    let low = Past { used: Some(Incarnation(2)), tenure: Tenure(1), ..Past::default() };
    assert_eq!(high.clone().with(&low), high);
    let burnt = Remembered::default().with(&failed(3, "old")).with(&failed(3, "new"));
    assert_eq!((burnt.used, &burnt.failed), (Some(Incarnation(3)), &failed(3, "new").failed));
    assert_eq!(burnt.clone().with(&failed(2, "late")).failed, burnt.failed);
    assert_eq!(burnt.clone().with(&Past::default()), burnt);
}
