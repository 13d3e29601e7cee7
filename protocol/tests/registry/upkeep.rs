//! The guard and the sweep.

use rejoin_protocol::Incarnation;
use rejoin_protocol::registry::{
    FailureKind, Guard, Kept, Known, Operation, Recorded, Remembered, Standing, Start, Started,
    Sweep, Swept,
};

use crate::common::{EPOCH, OTHER_EPOCH};
use crate::fake::{Fake, recorded, run};

#[test]
fn a_guard_puts_back_what_was_removed() {
    let record = recorded(0, true, EPOCH);
    let guard = || Guard::new(Some(record.clone()));
    let mut fake = Fake::dead(0);
    assert_eq!(run(guard(), &mut fake), Kept::Whole);
    let mut fake = Fake::default();
    assert_eq!(run(guard(), &mut fake), Kept::Mended);
    assert_eq!(fake.done[2..], [Operation::WriteRecord(record.clone()), Operation::Bind]);
    for left in [None, Some(recorded(0, false, EPOCH)), Some(recorded(0, true, OTHER_EPOCH))] {
        let mut fake = Fake::dead(0);
        fake.known.record = left.clone();
        let is_own = left.as_ref().is_some_and(|left| left.epoch == record.epoch);
        assert_eq!(run(guard(), &mut fake) == Kept::Whole, is_own, "{left:?}");
        assert_ne!(fake.has_done(&Operation::WriteRecord(record.clone())), is_own, "{left:?}");
    }
    let standings = vec![Standing::Missing, Standing::Current];
    let mut fake = Fake { standings, ..Fake::default() };
    assert_eq!(run(guard(), &mut fake), Kept::Mended);
    assert!(fake.has_done(&Operation::OpenLock { makes: true }));
    assert!(fake.has_done(&Operation::Adopt));
}

#[test]
fn a_guard_gives_way_to_another_server_and_waits_for_an_attach() {
    let guard = || Guard::new(Some(recorded(0, true, EPOCH)));
    let with = |record: Option<Recorded>, tombstone: Option<u64>, is_held| {
        let used = tombstone.map(Incarnation);
        let tombstone = tombstone.map(|_| Remembered { used, ..Remembered::default() });
        let known =
            Known { has_lock: true, has_entry: true, record, tombstone, ..Known::default() };
        let standings = vec![Standing::Replaced, Standing::Current];
        run(guard(), &mut Fake { known, is_held, standings, ..Fake::default() })
    };
    let theirs = |is_starting| Some(recorded(1, is_starting, OTHER_EPOCH));
    assert_eq!(with(theirs(true), None, true), Kept::Displaced);
    assert_eq!(with(theirs(true), None, false), Kept::Displaced);
    assert_eq!(with(None, Some(1), false), Kept::Displaced);
    assert_eq!(with(theirs(false), None, true), Kept::Waits);
    assert_eq!(with(None, None, true), Kept::Waits);
    assert_eq!(with(None, None, false), Kept::Mended);
}

#[test]
fn a_guard_closes_what_it_opened_and_did_not_adopt_whatever_fails() {
    let theirs = Some(recorded(1, true, OTHER_EPOCH));
    for record in [None, theirs] {
        for is_held in [false, true] {
            for at in 0..9 {
                let known = Known { has_entry: true, record: record.clone(), ..Known::default() };
                let standings = vec![Standing::Missing, Standing::Current];
                let fake = Fake { known, is_held, standings, ..Fake::default() };
                let mut fake = fake.failing(at, FailureKind::Broken);
                let end = run(Guard::new(Some(recorded(0, true, EPOCH))), &mut fake);
                assert!(!fake.has_opened, "at {at}: {end:?} after {:?}", fake.done);
            }
        }
    }
}

/// A sweep holds the lock file that stands in the place of the removed one.
#[test]
fn a_server_that_starts_goes_by_its_own_lock_and_not_by_one_that_another_holds() {
    let standings = vec![Standing::Current, Standing::Missing, Standing::Replaced];
    let mut fake = Fake { is_held: true, standings, ..Fake::default() };
    assert_eq!(run(Start::new(recorded(0, true, EPOCH)), &mut fake), Started::Leaves);
    let last = [Operation::LetGo, Operation::CheckPath, Operation::EndProcess];
    assert!(fake.done.ends_with(&last), "{:?}", fake.done);
}

#[test]
fn a_guard_says_what_failed() {
    for at in 0..4 {
        let mut fake = Fake::default().failing(at, FailureKind::Full);
        let end = run(Guard::new(Some(recorded(0, true, EPOCH))), &mut fake);
        assert!(matches!(end, Kept::Failed(_)), "at {at}: {end:?}");
    }
}

#[test]
fn a_sweep_buries_the_dead_and_forgets_the_old() {
    let mut fake = Fake::dead(4);
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Buried { ended: 2 });
    assert_eq!((fake.used(), fake.known.has_entry), (Some(Incarnation(4)), false));
    let mut fake = Fake::buried(4);
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Nothing);
    assert_eq!(fake.done, [Operation::ReadEntry]);
    let mut fake = Fake::default();
    fake.known.has_lock = true;
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Forgotten);
    assert!(!fake.known.has_lock);
}

#[test]
fn a_sweep_spares_what_is_held_and_a_server_that_may_put_its_lock_back() {
    let mut fake = Fake { is_held: true, ..Fake::dead(4) };
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Nothing);
    let mut fake = Fake::dead(4);
    (fake.known.has_lock, fake.known.is_server_seen) = (false, true);
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Nothing);
    assert_eq!(fake.done, [Operation::ReadEntry]);
}

#[test]
fn a_sweep_removes_an_entry_only_behind_its_tombstone_whatever_fails() {
    for at in 0..9 {
        let mut fake = Fake::dead(4).failing(at, FailureKind::Broken);
        let end = run(Sweep::new(), &mut fake);
        if at < 8 {
            assert!(matches!(end, Swept::Failed(_)), "at {at}: {end:?}");
            assert!(fake.known.has_entry, "at {at}");
        }
    }
}

#[test]
fn a_damaged_tombstone_is_kept_from_when_it_is_seen() {
    let known = Known { has_lock: true, has_damaged_tombstone: true, ..Known::default() };
    let mut fake = Fake { known, ..Fake::default() };
    assert_eq!(run(Sweep::new(), &mut fake), Swept::Nothing);
    assert_eq!(fake.known.tombstone, Some(Remembered::default()));
}
