//! `rejoin-server attach` and the servers that it starts, spoken to in raw frames.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod admin;
mod edges;
mod faults;
mod mux;
mod sessions;
mod support;
mod unread;
