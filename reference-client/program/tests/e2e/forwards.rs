//! Forwards that ssh cannot make, because somebody else has the port: reported, and made when it is free.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rejoin_testing::Signal;
use serde_json::Value;

use crate::environment::{ECHO, assert_answers};
use crate::paths::{Forwards, free_port, said_on};
use crate::route::{configuration, section_of};
use crate::support::{Client, Host, Plan, Terminal, until, until_some};

/// How often sshd has let somebody in.
fn logins(host: &Host) -> usize {
    let log = host.sshd().log();
    log.iter().filter(|line| line.starts_with("Accepted ")).count()
}

/// Where the clients of this host have their sockets.
fn sockets(host: &Host) -> PathBuf {
    let folder = host.home().join("run");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn plan(host: &Host) -> Plan<'_> {
    let folder = sockets(host);
    let plan = host.plan().with(["--lane", "ssh"]);
    plan.change(move |command| _ = command.env("XDG_RUNTIME_DIR", folder))
}

fn left_behind(host: &Host) -> usize {
    fs::read_dir(sockets(host)).unwrap().count()
}

#[track_caller]
fn assert_is_of(event: &Value, side: &str, port: u16) {
    let expected = (Some(side), Some(port.to_string()));
    assert_eq!((event["side"].as_str(), event["listen"].as_str().map(str::to_owned)), expected);
}

/// It ends, and nothing of it stays.
#[track_caller]
fn assert_ends_cleanly(host: &Host, client: &mut Client) {
    assert_eq!(client.finish().0, 0);
    assert_eq!(left_behind(host), 0);
}

/// Takes a port as soon as nobody has it, on all loopback addresses.
fn take(port: u16) -> Vec<TcpListener> {
    let taken = take_one(port);
    // There may be no such address.
    let other = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
    [taken].into_iter().chain(other).collect()
}

/// The same on the one that everybody has.
fn take_one(port: u16) -> TcpListener {
    until_some("the port is free", || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
}

/// Cuts the connection. It comes back when this has been done.
fn meanwhile<T>(host: &Host, client: &Client, done: impl FnOnce() -> T) -> T {
    let before = client.count("attached");
    host.relay().refuse(true);
    host.cut();
    let done = done();
    host.relay().refuse(false);
    client.nth_event("attached", before + 1);
    done
}

#[test]
fn local_ports_that_another_program_has_on_a_reconnect_are_reported_and_made_when_it_gives_them_up()
{
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let mut client = plan(&host).with(forwards.options()).run(ECHO);
    client.line(1);
    let taken = meanwhile(&host, &client, || (take(forwards.local), take_one(forwards.dynamic)));
    // The session does not depend on it.
    assert_answers(&mut client, 2);
    client.nth_event("forward_missing", 2);
    for (event, port) in
        client.events_named("forward_missing").iter().zip([forwards.local, forwards.dynamic])
    {
        assert_is_of(event, "local", port);
        assert_eq!(event["reason"], "Address already in use", "{event}");
        assert_eq!(event["is_retried"], true, "{event}");
    }
    assert_eq!(client.count("forward_made"), 0);
    drop(taken);
    client.nth_event("forward_made", 2);
    forwards.assert_all_work();
    assert_eq!((logins(&host), client.count("forward_missing")), (2, 2));
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn a_port_that_an_old_connection_holds_on_the_host_is_reported_once_and_made_when_that_is_gone() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let mut client = plan(&host).with(forwards.options()).run(ECHO);
    client.line(1);
    assert!(host.sshd().kill_sessions(Signal::STOP).unwrap() > 0, "no connection is there");
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 2);
    let missing = client.event("forward_missing");
    assert_is_of(&missing, "remote", forwards.remote);
    assert_eq!(missing["is_retried"], true, "{missing}");
    // Another connection that finds it so: still the same absence.
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 3);
    assert_eq!(client.count("forward_made"), 0);
    host.sshd().kill_sessions(Signal::CONT).unwrap();
    let made = client.event("forward_made");
    assert_is_of(&made, "remote", forwards.remote);
    forwards.assert_all_work();
    assert_eq!((logins(&host), client.count("forward_missing")), (3, 1));
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn a_forward_that_a_new_connection_has_is_reported_as_made() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let plan = plan(&host).with(["-o", &format!("LocalForward={} h:1", forwards.dynamic)]);
    let taken = take(forwards.dynamic);
    let mut client = plan.run(ECHO);
    client.line(1);
    let missing = client.event("forward_missing");
    assert_is_of(&missing, "local", forwards.dynamic);
    meanwhile(&host, &client, || drop(taken));
    client.event("forward_made");
    assert_eq!(logins(&host), 2);
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn forwards_of_every_kind_are_made_while_the_first_connection_lasts() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let greeter = Forwards::new().greeter;
    let ports = [(); 5].map(|()| free_port());
    let [any, one, other, there, proxy] = ports;
    let [here_path, there_path] = ["here", "there"].map(|name| host.home().join(name));
    let options = [
        format!("-L*:{any}:127.0.0.1:{greeter}"),
        format!("-L127.0.0.1:{one}:127.0.0.1:{greeter}"),
        format!("-Llocalhost:{other}:127.0.0.1:{greeter}"),
        format!("-R127.0.0.1:{there}:127.0.0.1:{greeter}"),
        format!("-R{proxy}"),
        format!("-L{}:127.0.0.1:{greeter}", here_path.display()),
        format!("-R{}:127.0.0.1:{greeter}", there_path.display()),
    ];
    let taken = ports.map(take);
    let paths = [&here_path, &there_path].map(|path| UnixListener::bind(path).unwrap());
    let mut client = plan(&host).with(&options).run(ECHO);
    client.line(1);
    client.nth_event("forward_missing", options.len());
    for event in client.events_named("forward_missing") {
        assert_eq!(event["is_retried"], true, "{event}");
    }
    drop((taken, paths));
    for path in [&here_path, &there_path] {
        fs::remove_file(path).unwrap();
    }
    client.nth_event("forward_made", options.len());
    for port in [any, one, other, there] {
        assert_eq!(said_on(port, b"").as_deref(), Some(&b"hello"[..]), "port {port}");
    }
    // SOCKS 4: connect to the greeter here.
    let [high, low] = greeter.to_be_bytes();
    let said = said_on(proxy, &[4, 1, high, low, 127, 0, 0, 1, 0]);
    assert_eq!(said.as_deref().and_then(|said| said.get(8..)), Some(&b"hello"[..]), "{said:?}");
    for path in [here_path, there_path] {
        let mut said = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello", "{}", path.display());
    }
    assert_eq!(logins(&host), 1);
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn a_forward_of_the_configuration_file_is_made_from_the_second_connection_on() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let Forwards { greeter, local, .. } = Forwards::new();
    let line = format!("  LocalForward {local} 127.0.0.1:{greeter}\n");
    let config = configuration(&host, &[section_of(&host, &line)]);
    let taken = take(local);
    let mut client = plan(&host).configured(&config, "inner").run(ECHO);
    client.line(1);
    let missing = client.event("forward_missing");
    assert_is_of(&missing, "local", local);
    assert_eq!(missing["is_retried"], false, "{missing}");
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 2);
    drop(taken);
    client.event("forward_made");
    assert_eq!(said_on(local, b"").as_deref(), Some(&b"hello"[..]));
    assert_eq!((logins(&host), client.count("forward_missing")), (2, 1));
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn whoever_reads_along_sees_a_line_for_a_missing_forward_and_one_when_it_is_made() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let (mut person, line) = Terminal::open();
    let folder = sockets(&host);
    let plan = host.plan().with(["--lane", "ssh"]).with(forwards.options());
    let plan = plan.change(move |command| {
        command.stderr(line).env("XDG_RUNTIME_DIR", folder);
    });
    let mut client = plan.run(ECHO);
    client.line(1);
    let taken = meanwhile(&host, &client, || take(forwards.local));
    client.event("forward_missing");
    drop(taken);
    client.event("forward_made");
    assert_ends_cleanly(&host, &mut client);
    let (seen, port) = (person.until_closed(), forwards.local);
    for line in [
        format!("port {port} here is not forwarded (Address already in use); rejoin keeps trying"),
        format!("port {port} here is forwarded now"),
    ] {
        assert_eq!(seen.matches(&format!("rejoin: {line}\r")).count(), 1, "{seen:?}");
    }
}

#[test]
fn with_exit_on_forward_failure_a_first_connection_fails_as_that_of_ssh() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let taken = take(forwards.local);
    let exits = ["-o", "ExitOnForwardFailure=yes"];
    let mut client = plan(&host).with(exits).with(forwards.options()).run(ECHO);
    assert_eq!(client.status(), 255);
    assert_eq!((client.count("attached"), client.count("forward_missing")), (0, 0));
    assert_eq!(left_behind(&host), 0);
    drop(taken);
    let mut client = plan(&host).with(exits).with(forwards.options()).run(ECHO);
    client.line(1);
    forwards.assert_all_work();
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn a_session_without_forwards_has_no_socket_and_no_host_is_believed_about_other_ports() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let says = "Warning: remote port forwarding failed for listen port 8080";
    let host = Host::with(|sshd| {
        sshd.force_command(&format!("echo '{says}' >&2; eval \"$SSH_ORIGINAL_COMMAND\""))
    });
    let mut client = plan(&host).run(ECHO);
    client.line(1);
    assert_eq!(left_behind(&host), 0);
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 2);
    assert_eq!(left_behind(&host), 0);
    assert_eq!(client.count("forward_missing"), 0);
    assert_ends_cleanly(&host, &mut client);
    // Those who forward something else do not believe it, either.
    let forwards = Forwards::new();
    let mut client = plan(&host).with(forwards.options()).run(ECHO);
    client.line(1);
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 2);
    assert_eq!(client.count("forward_missing"), 0);
    assert_ends_cleanly(&host, &mut client);
}

#[test]
fn a_connection_with_forwards_ends_with_its_session_and_takes_its_socket_along() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let forwards = Forwards::new();
    let mut client = plan(&host).with(forwards.options()).run(ECHO);
    client.line(1);
    assert_eq!(left_behind(&host), 1);
    meanwhile(&host, &client, || {});
    assert_answers(&mut client, 2);
    until("the socket of the first is gone", || left_behind(&host) == 1);
    assert_ends_cleanly(&host, &mut client);
    until("the connection is gone", || host.sshd().sessions().unwrap().is_empty());
}
