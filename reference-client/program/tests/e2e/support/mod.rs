//! What the tests stand on.

mod client;
mod echo;
mod host;
mod judge;
mod next_version;
mod processes;
mod programs;
mod raw;
mod sharing;
mod steering;
mod terminal;
mod tmux;
mod wait;

pub(crate) use client::{Client, Plan};
pub(crate) use echo::Echo;
pub(crate) use host::Host;
pub(crate) use judge::judge;
pub(crate) use next_version::next_version;
pub(crate) use processes::{command_lines, is_alive, kill, memory, processes};
pub(crate) use programs::{needed, rejoin, rejoin_server, stripped};
pub(crate) use raw::{Raw, Wishes, frame_bytes};
pub(crate) use sharing::{Sharing, Talk};
pub(crate) use steering::{EVIL, is_steering};
pub(crate) use terminal::Terminal;
pub(crate) use tmux::Tmux;
pub(crate) use wait::{LIMIT, until, until_some, within};
