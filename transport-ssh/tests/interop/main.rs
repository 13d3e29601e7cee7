//! Real SSH servers of several kinds: the fast lane carries, or it is known why it is not taken; and
//! ssh works as ever.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod changes;
#[path = "../common/mod.rs"]
mod common;
mod openssh;
mod others;
mod row;
