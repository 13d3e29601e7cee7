//! Two versions of the protocol: both programs in the present one, and in a next one that says the
//! same in other bytes (`tests/next-version`), run against each other.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rejoin_protocol::codec::SERVER_MAGIC;
use rejoin_protocol::frame::Greeting;
use rejoin_protocol::{Frame, HostId, Version, VersionRange};
use rejoin_testing::{Signal, make_program};

use crate::life::assert_one_line;
use crate::support::{Client, Host, Plan, frame_bytes, next_version, rejoin, rejoin_server};

/// Sends lines back, with what it counted.
const COUNT: &str = "i=0; while read -r line; do i=$((i+1)); echo \"$i $line\"; done";

/// The client, the server program on the host, or both.
type Programs = (&'static Path, &'static Path);

fn present() -> Programs {
    (rejoin(), rejoin_server())
}

fn next() -> Programs {
    let (client, server) = next_version();
    (client, server)
}

/// What stands on the host under the server program's name.
struct Installed(PathBuf);

impl Installed {
    fn new(host: &Host, server: &Path) -> Self {
        let installed = Self(host.home().join("rejoin-server"));
        installed.replace(server);
        installed
    }

    fn replace(&self, server: &Path) {
        let fresh = self.0.with_extension("fresh");
        symlink(server, &fresh).unwrap();
        fs::rename(fresh, &self.0).unwrap();
    }

    fn plan<'a>(&self, host: &'a Host, client: &Path) -> Plan<'a> {
        host.plan().program(client).server(self.0.to_str().unwrap())
    }
}

#[track_caller]
fn assert_counts(client: &mut Client, line: usize) {
    client.write("x\n");
    assert_eq!(client.line(line), format!("{line} x"));
}

fn cut(host: &Host, client: &Client, times: usize) {
    host.cut();
    client.nth_event("attached", times);
}

fn understand_each_other(client: &Path, server: &Path) {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let installed = Installed::new(&host, server);
    let mut client = installed.plan(&host, client).run(COUNT);
    assert_counts(&mut client, 1);
    cut(&host, &client, 2);
    assert_counts(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}

#[test]
fn a_client_of_the_next_version_works_with_a_server_of_this_one() {
    understand_each_other(next().0, present().1);
}

#[test]
fn a_client_of_this_version_works_with_a_server_of_the_next_one() {
    understand_each_other(present().0, next().1);
}

#[test]
fn the_next_version_works_with_itself() {
    understand_each_other(next().0, next().1);
}

/// A session is opened in one version; then the server program on the host is replaced, and the
/// connection cut. The client goes on; and a client of the other version takes the session over.
fn survives_a_replacement(before: Programs, after: Programs) {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let installed = Installed::new(&host, before.1);
    let mut first = installed.plan(&host, before.0).run(COUNT);
    assert_counts(&mut first, 1);
    installed.replace(after.1);
    for cuts in 2..4 {
        cut(&host, &first, cuts);
        assert_counts(&mut first, cuts);
    }
    let session = first.session();
    first.signal(Signal::KILL);
    first.status();
    let plan = installed.plan(&host, after.0).subcommand("attach").with(["--take-over"]);
    let mut second = plan.run(&session);
    assert_eq!(second.event("attached")["how"], "claimed");
    second.write("x\n");
    // What the first had no time to acknowledge comes again.
    let repeated = usize::from(second.line(1) == "3 x");
    assert_eq!(second.line(repeated + 1), "4 x");
    cut(&host, &second, 2);
    second.write("x\n");
    assert_eq!(second.line(repeated + 2), "5 x");
    assert_eq!(second.finish().0, 0);
}

#[test]
fn a_session_of_a_server_of_this_version_stays_reachable_after_an_upgrade() {
    survives_a_replacement(present(), next());
}

#[test]
fn a_session_of_a_server_of_the_next_version_stays_reachable_after_a_step_back() {
    survives_a_replacement(next(), present());
}

/// A server that speaks only what has not been written yet.
fn of_the_future(host: &Host) -> PathBuf {
    let only = Version(60);
    let greeting = Greeting {
        versions: VersionRange { min: only, max: only },
        host: HostId { machine: [7; 16], boot: [7; 16] },
        host_name: "tomorrow".to_owned(),
    };
    let said = [&SERVER_MAGIC[..], &frame_bytes(&Frame::Greeting(greeting))].concat();
    fs::write(host.home().join("greeting"), said).unwrap();
    let program = host.home().join("future-server");
    make_program(&program, "#!/bin/sh\ncat ~/greeting -\n").unwrap();
    program
}

#[test]
fn a_host_without_a_common_version_is_told_with_the_side_that_is_older() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let program = of_the_future(&host);
    let mut client = host.plan().server(program.to_str().unwrap()).run("true");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "this rejoin is older than the server on the host");
    assert_eq!(client.event("refused")["reason"], "incompatible");
}
