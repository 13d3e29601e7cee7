//! What differs between systems: a client for another system is another folder here.

mod linux;

pub(crate) use linux::battery::is_on_battery;
pub(crate) use linux::network::NetworkChanges;
pub(crate) use rejoin_ssh::boottime;
