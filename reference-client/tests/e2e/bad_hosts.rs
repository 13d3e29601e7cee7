//! Hosts that are not what they should be.

use rejoin_protocol::codec::{IGNORABLE, SERVER_MAGIC};
use rejoin_ssh::testing::make_program;

use crate::support::Host;

/// Bytes as `printf` takes them.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}\\{byte:03o}"))
}

#[test]
fn a_host_that_sends_ignorable_frames_and_never_greets_is_given_up() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let program = host.home().join("ssh");
    let (magic, ignored) = (octal(&SERVER_MAGIC), octal(&[0, 0, 0, 2, IGNORABLE | 0x7e, 0]));
    let script = format!(
        "#!/bin/sh\nfor word; do [ \"$word\" = -G ] && exec ssh \"$@\"; done\n\
         echo dialled >> ~/dials\nprintf '{magic}'\nwhile printf '{ignored}'; do sleep 0.2; done\n"
    );
    make_program(&program, script).unwrap();
    let mut client = host.plan().with(["--ssh", program.to_str().unwrap()]).run("true");
    let gave_up = client.event("gave_up");
    assert_eq!((&gave_up["reason"], client.status()), (&"timeout".into(), 255));
    let dials = std::fs::read_to_string(host.home().join("dials")).unwrap();
    assert_eq!(dials.lines().count(), 1, "the first link is the end, as with ssh");
}
