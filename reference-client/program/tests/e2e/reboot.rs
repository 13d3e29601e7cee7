//! A host that boots anew: what ran on it is gone, and so is the folder of its sessions.
//!
//! A boot is a pid namespace here: its processes end all at once, and the next one has another id.

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::environment::{ECHO, until_notice};
use crate::life::assert_one_line;
use crate::support::{Host, is_alive, until};

/// Runs what a connection asks for within the boot of the moment.
const ENTER: &str =
    "exec nsenter --target $(cat ~/boot) --pid --mount sh -c \"$SSH_ORIGINAL_COMMAND\"";

const NEW_BOOT: [&str; 5] = ["--pid", "--fork", "--mount-proc", "--kill-child", "--"];

/// A boot of a host. It ends when this is dropped.
struct Boot {
    child: Child,
}

impl Boot {
    fn begin(host: &Host) -> Self {
        let mut command = Command::new("unshare");
        // What ends it is the end of its first process, however many others there are.
        let child = command.args(NEW_BOOT).args(["sleep", "infinity"]).spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let first = || fs::read_to_string(&children).unwrap_or_default();
        until("the boot has its first process", || {
            let first = first();
            let pid = first.trim();
            // Until it has become what it is to be, it may still be in the host's own mounts.
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            !pid.is_empty() && command.trim() == "sleep"
        });
        fs::write(host.home().join("boot"), first().trim()).unwrap();
        Self { child }
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Only root makes such namespaces everywhere.
fn can_boot() -> bool {
    let mut command = Command::new("unshare");
    command.args(NEW_BOOT).arg("true").stderr(Stdio::null());
    let can = command.status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("PASSED OVER: this user may not make a pid namespace");
    }
    can
}

/// Runs a process, boots the host anew while its client is away, and tells what pid it had.
fn reboot(host: &Host, client: &crate::support::Client, boot: &mut Boot) {
    let pid = client.number(1);
    assert!(pid < 1000, "{pid} is no pid of a fresh boot");
    let server = host.server_pid();
    host.relay().refuse(true);
    host.cut_if_any();
    *boot = Boot::begin(host);
    until("the server is gone", || !is_alive(server));
    fs::remove_dir_all(host.registry()).unwrap();
    client.event("detached");
    host.relay().refuse(false);
}

#[test]
fn a_reboot_is_told_as_the_loss_that_it_is() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "unshare", "nsenter");
    if !can_boot() {
        return;
    }
    let host = Host::with(|sshd| sshd.force_command(ENTER));
    let mut boot = Boot::begin(&host);
    let mut client = host.plan().run(ECHO);
    reboot(&host, &client, &mut boot);
    assert_eq!(client.event("lost")["reason"], "unknown");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "has booted since");
    assert!(host.registry_names().is_empty());
}

#[test]
fn a_process_that_a_reboot_ended_is_replaced_and_that_is_told() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "unshare", "nsenter");
    if !can_boot() {
        return;
    }
    let host = Host::with(|sshd| sshd.force_command(ENTER));
    let mut boot = Boot::begin(&host);
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(ECHO);
    reboot(&host, &client, &mut boot);
    let replaced = client.event("replaced");
    assert_eq!((&replaced["old"], &replaced["new"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(replaced["reason"], "unknown");
    until_notice(&client, "has booted since");
    assert_eq!(client.nth_event("attached", 2)["incarnation"], 1);
    let pid = client.line(2);
    client.write("word\n");
    assert_eq!(client.line(3), format!("{pid} word"));
    assert_eq!(client.finish().0, 0);
}
