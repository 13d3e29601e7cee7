//! Parts of a world that a world shares with most of its successors.
//!
//! A step of the world changes one or two parts of it. The others are neither copied nor hashed
//! again: a part is a counted reference with the digest of what it refers to. This is what makes
//! a hundred thousand states a second possible with machines as large as those that ship.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

/// A part of the world. Changed through [`Shared::edit`], and sealed before it is hashed.
#[derive(Clone)]
pub struct Shared<T> {
    value: Arc<T>,
    /// None while the value may have changed: a part is two words, and a world a few hundred bytes.
    digest: Option<NonZeroU64>,
}

impl<T: Clone + Hash> Shared<T> {
    /// A part with this value.
    pub fn new(value: T) -> Self {
        let digest = Some(digest(&value));
        Self { value: Arc::new(value), digest }
    }

    /// The value, to be changed: copied first if another world has it too.
    pub fn edit(&mut self) -> &mut T {
        self.digest = None;
        Arc::make_mut(&mut self.value)
    }

    /// Computes the digest, if the value was changed.
    pub fn seal(&mut self) {
        if self.digest.is_none() {
            self.digest = Some(digest(&*self.value));
        }
    }
}

/// A digest that is the same in every run: counts of unique states are pinned.
pub fn digest<T: Hash>(value: &T) -> NonZeroU64 {
    let mut hasher = ahash::RandomState::with_seeds(1, 2, 3, 4).build();
    value.hash(&mut hasher);
    NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
}

trait Build {
    fn build(&self) -> ahash::AHasher;
}

impl Build for ahash::RandomState {
    fn build(&self) -> ahash::AHasher {
        std::hash::BuildHasher::build_hasher(self)
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Equal values have equal digests, which are derived from all of the value.
impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        debug_assert!(self.digest.is_some(), "hashed before it was sealed");
        state.write_u64(self.digest.map_or(0, NonZeroU64::get));
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value) || *self.value == *other.value
    }
}

impl<T: Eq> Eq for Shared<T> {}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
