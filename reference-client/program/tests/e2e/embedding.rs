//! What a program that runs rejoin as its child relies on.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rejoin_testing::make_program;

use crate::support::{Host, needed, rejoin, rejoin_server};

/// Runs its arguments with its stdin as descriptor 3, where `pidfd_getfd` (438 on every machine) is refused
/// as Docker's usual profile refuses it.
const WITHOUT_PIDFD_GETFD: &str = r#"#!/usr/bin/env python3
import ctypes, os, struct, sys
os.dup2(0, 3)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
load, equal, give = 0x20, 0x15, 0x06
rows = [(load, 0, 0, 0), (equal, 0, 1, 438), (give, 0, 0, 0x00050001), (give, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
program = ctypes.create_string_buffer(struct.pack("HP", len(rows), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
# No new privileges, and then the filter.
for words in [(38, 1, 0, 0, 0), (22, 2, program)]:
    if libc.prctl(*words):
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
if libc.syscall(438, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
    sys.exit("the call is not refused")
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn events_go_to_a_socket_where_the_system_refuses_pidfd_getfd() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    needed("python3");
    let host = Host::start();
    let launcher = host.home().join("launcher");
    make_program(&launcher, WITHOUT_PIDFD_GETFD).unwrap();
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let mut command = Command::new(launcher);
    command.arg(rejoin()).args(["--events", "fd:3"]).args(host.options());
    command.arg("--server").arg(rejoin_server()).args([host.name(), "exit 4"]);
    command.env("HOME", host.home()).stdin(Stdio::from(OwnedFd::from(theirs)));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    drop(command);
    let mut events = String::new();
    ours.read_to_string(&mut events).unwrap();
    let first = events.lines().next().unwrap_or_default();
    assert!(first.starts_with("{\"event\":\"connecting\""), "{events}");
    assert!(events.contains("{\"event\":\"exited\""), "{events}");
}
