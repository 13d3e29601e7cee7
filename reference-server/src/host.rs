//! The identity of this host, its boot, and its uptime.

use std::fs;
use std::io;
use std::time::Duration;

use rejoin_protocol::HostId;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::fnv;
use crate::procfs;

/// Replaces `/etc/machine-id`, for containers that share a machine id. Any text; 32 hexadecimal
/// digits are taken as they are.
pub const MACHINE_ID_VARIABLE: &str = "REJOIN_MACHINE_ID";

const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The pid namespace of the host itself (`PROC_PID_INIT_INO` of the kernel).
const HOST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// This machine and its current boot.
///
/// In a container the boot is identified by the pid namespace: the container's processes end with
/// it, while the host's boot id is the same for all containers.
///
/// # Errors
/// The host is short of a resource at the moment, so that its identity cannot be read. A guess
/// could take it for another host, or miss a reboot.
pub fn host_id() -> io::Result<HostId> {
    let mut boot = boot_id()?;
    let namespace = unless_short(fs::read_link("/proc/self/ns/pid"))?.unwrap_or_default();
    if namespace.as_os_str() != HOST_PID_NAMESPACE && !namespace.as_os_str().is_empty() {
        let first = unless_short(fs::read("/proc/1/stat"))?.unwrap_or_default();
        let born = procfs::start_in(&String::from_utf8_lossy(&first)).unwrap_or_default();
        let mark = fnv::hash128(format!("{} {born}", namespace.display()).as_bytes());
        boot.iter_mut().zip(mark).for_each(|(byte, mark)| *byte ^= mark);
    }
    Ok(HostId { machine: machine_id()?, boot })
}

/// The kernel's id of this boot; zeros if the kernel provides no id.
///
/// # Errors
/// As for [`host_id`].
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = unless_short(fs::read_to_string("/proc/sys/kernel/random/boot_id"))?;
    Ok(text.and_then(|text| parse_id(&text)).unwrap_or_default())
}

/// The result, or `None` if it can never be read. Fails if the host is only short of a resource.
fn unless_short<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if is_short(&error) => Err(error),
        read => Ok(read.ok()),
    }
}

/// Whether the error is temporary.
pub(crate) fn is_short(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN)
    )
}

/// The number of descriptors that an attach program and a session's server with two links need.
const MIN_DESCRIPTORS: u64 = 32;

/// Checks that this program may open enough files. With too few, every failure would look
/// temporary.
///
/// # Errors
/// The limit is too low.
pub(crate) fn require_descriptors() -> io::Result<()> {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < MIN_DESCRIPTORS => Err(io::Error::other(format!(
            "only {limit} files may be open here, and {MIN_DESCRIPTORS} are needed: look for ulimit -n in \
             the start-up files of the login shell"
        ))),
        _ => Ok(()),
    }
}

/// The host name, for display.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The time since boot, including time asleep. Clock changes do not affect it.
pub fn boottime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}

fn machine_id() -> io::Result<[u8; 16]> {
    if let Ok(given) = std::env::var(MACHINE_ID_VARIABLE)
        && !given.is_empty()
    {
        return Ok(parse_id(&given).unwrap_or_else(|| fnv::hash128(given.as_bytes())));
    }
    for file in MACHINE_ID_FILES {
        let text = unless_short(fs::read_to_string(file))?;
        if let Some(id) = text.and_then(|text| parse_id(&text)) {
            return Ok(id);
        }
    }
    Ok(fnv::hash128(host_name().as_bytes()))
}

/// 32 hexadecimal digits, with or without the dashes of a UUID. All zeros are not an id.
fn parse_id(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|character| *character != '-').collect();
    let id: rejoin_protocol::SessionId = digits.parse().ok()?;
    Some(*id.as_bytes()).filter(|bytes| *bytes != [0; 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_ids_with_and_without_dashes() {
        let plain = parse_id("00112233445566778899aabbccddeeff\n").unwrap();
        assert_eq!(parse_id("00112233-4455-6677-8899-aabbccddeeff"), Some(plain));
        assert_eq!(parse_id("uninitialized"), None);
        assert_eq!(parse_id("00000000000000000000000000000000"), None);
    }

    #[test]
    fn host_id_is_stable() {
        let host = host_id().unwrap();
        assert_eq!(host_id().unwrap(), host);
        assert_ne!(host.boot, [0; 16]);
    }

    #[test]
    fn boot_time_is_not_behind_the_uptime() {
        let uptime = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(boottime().as_secs_f64() + 0.02 >= uptime);
    }
}
