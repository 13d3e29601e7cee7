//! Ways to a host that the user's own configuration leads: shared connections, jump hosts, crowds.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rejoin_testing::{Signal, Sshd};

use crate::environment::{ECHO, assert_answers};
use crate::support::{Client, Host, until};
use crate::timeline::{assert_no_details, assert_of_ssh};

const COMMON: &str = "\
Host *
  HostName 127.0.0.1
  GlobalKnownHostsFile /dev/null
  HostKeyAlias rejoin-test-host
  StrictHostKeyChecking yes
  UpdateHostKeys no
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
";

/// What a configuration says of a host: where it is, and the files of its sshd.
fn section(name: &str, port: u16, key: &Path, more: &str) -> String {
    let known_hosts = key.with_file_name("known_hosts");
    let (key, known_hosts) = (key.display(), known_hosts.display());
    format!(
        "Host {name}\n  Port {port}\n  IdentityFile {key}\n  UserKnownHostsFile {known_hosts}\n{more}"
    )
}

pub(crate) fn configuration(host: &Host, sections: &[String]) -> PathBuf {
    let path = host.home().join("config");
    fs::write(&path, [&sections.concat(), COMMON].concat()).unwrap();
    path
}

pub(crate) fn section_of(host: &Host, more: &str) -> String {
    section("inner", host.relay().addr().port(), &host.sshd_file("user_key"), more)
}

/// The connection that others may share, until it is dropped.
struct Master {
    child: Child,
    config: PathBuf,
}

impl Master {
    fn start(config: &Path, socket: &Path) -> Self {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(config).args(["-o", "ControlMaster=yes", "-N", "inner"]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the master listens", || socket.exists());
        Self { child, config: config.into() }
    }

    fn is_running(&self) -> bool {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.config).args(["-O", "check", "inner"]);
        command.stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_living_master_connection_is_neither_used_nor_disturbed() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let socket = host.home().join("m");
    let shared = format!("  ControlMaster auto\n  ControlPath {}\n", socket.display());
    let config = configuration(&host, &[section_of(&host, &shared)]);
    let master = Master::start(&config, &socket);
    assert!(master.is_running());
    let plan = host.plan().with(["--lane", "ssh"]);
    let mut client = plan.configured(&config, "inner").run(ECHO);
    client.line(1);
    assert_eq!(host.relay().connections(), 2, "it has a connection of its own");
    // What shares the master dies with it; this does not.
    drop(master);
    assert_answers(&mut client, 2);
    assert_eq!(client.count("detached"), 0);
    let _ = fs::remove_file(&socket);
    let master = Master::start(&config, &socket);
    host.cut();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 3);
    assert_eq!(client.finish().0, 0);
    drop(master);
}

#[test]
fn a_master_connection_survives_what_comes_and_goes_beside_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let socket = host.home().join("m");
    let shared = format!("  ControlMaster auto\n  ControlPath {}\n", socket.display());
    let config = configuration(&host, &[section_of(&host, &shared)]);
    let master = Master::start(&config, &socket);
    let mut client = host.plan().configured(&config, "inner").run("echo there");
    assert_eq!(client.finish(), (0, b"there\n".to_vec()));
    assert!(master.is_running() && socket.exists());
}

#[test]
fn a_jump_host_may_fail_as_well_as_the_host_behind_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let gate = Sshd::start().unwrap();
    let key = gate.home().with_file_name("user_key");
    let sections =
        [section("gate", gate.addr().port(), &key, ""), section_of(&host, "  ProxyJump gate\n")];
    let config = configuration(&host, &sections);
    let mut client = host.plan().configured(&config, "inner").run(ECHO);
    client.line(1);
    host.cut();
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert!(gate.kill_sessions(Signal::KILL).unwrap() > 0, "nothing went through the jump host");
    client.nth_event("attached", 3);
    assert_answers(&mut client, 3);
    assert_of_ssh(&client.nth_event("timeline", 2));
    assert_no_details(&client);
    assert_eq!(client.finish().0, 0);
}

/// Logins that begin and never go on: each takes one of the places that sshd has for those.
fn loitering(host: &Host, count: usize) -> Vec<TcpStream> {
    let addr = host.sshd().addr();
    let enter = |_| {
        let mut stream = TcpStream::connect(addr).unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"SSH-");
        stream
    };
    (0..count).map(enter).collect()
}

#[test]
fn a_crowd_that_sshd_does_not_let_in_at_once_comes_back() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::with(|sshd| {
        sshd.config_line("MaxStartups 2").config_line("KexAlgorithms curve25519-sha256")
    });
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..4 {
        let client = host.plan().run(ECHO);
        client.line(1);
        clients.push(client);
    }
    let loitering = loitering(&host, 2);
    host.cut();
    for client in &clients {
        client.nth_event("reconnecting", 3);
        assert_eq!(client.count("attached"), 1);
    }
    let refused = |line: &String| line.starts_with("drop connection ");
    assert!(host.sshd().log().iter().any(refused), "nobody was refused");
    drop(loitering);
    for client in &mut clients {
        client.nth_event("attached", 2);
        assert_answers(client, 2);
        assert_eq!(client.finish().0, 0);
    }
}

/// OpenSSH from 9.8 on refuses who connected and did not log in, for a while.
#[test]
fn a_host_that_refuses_for_a_while_is_come_back_to_when_that_is_over() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let penalty = "PerSourcePenalties noauth:5s min:4s";
    if let Err(older) = Sshd::builder().config_line(penalty).start() {
        assert!(older.to_string().contains("Bad configuration option"), "{older}");
        eprintln!("PASSED OVER: this sshd has no penalties");
        return;
    }
    let host = Host::with(|sshd| sshd.config_line(penalty).config_line("LogLevel VERBOSE"));
    let mut client = host.plan().run(ECHO);
    client.line(1);
    drop(loitering(&host, 1));
    let has_logged = |what: &str| host.sshd().log().iter().any(|line| line.contains(what));
    until("the address is penalised", || has_logged("active penalty"));
    host.cut();
    client.nth_event("reconnecting", 3);
    assert_eq!(client.count("attached"), 1);
    assert!(has_logged("drop connection "));
    client.nth_event("attached", 2);
    assert_answers(&mut client, 2);
    assert_eq!(client.finish().0, 0);
}
