//! The real programs against a real sshd: what a user of rejoin can rely on.
//!
//! Each test has a host of its own: an sshd, a relay in front of it that does to connections what
//! networks do, and an empty registry. When the test ends, nothing but tombstones may be left of
//! it. Random choices are printed as `REJOIN_SEED`, which repeats them.
//!
//! Needed: openssh-server, procps, tmux, vim, less, git and rsync; for hosts without sshd, dropbear and asyncssh.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod admin;
mod background;
mod bad_hosts;
mod counters;
mod demo;
mod deploy;
mod doctor;
mod dropin;
mod embedding;
mod environment;
mod fast_lane;
mod fd_pass;
mod forwards;
mod frames;
mod housekeeping;
mod input;
mod lane_faults;
mod life;
mod login;
mod login_shells;
mod modes;
mod order;
mod other_servers;
mod output;
mod paths;
mod reboot;
mod recorded;
mod route;
mod screen;
mod security;
mod sharing;
mod sharing_faults;
mod sharing_paths;
mod slow;
mod spare;
mod start;
mod story;
mod support;
mod takeover;
mod terminal;
mod timeline;
mod versions;
mod words;
