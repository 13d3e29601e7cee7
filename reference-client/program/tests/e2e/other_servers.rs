//! Hosts whose SSH server is not OpenSSH's.

use rejoin_testing::{Agent, ServerKind, are_installed};

use crate::support::{Host, until};

/// More than all that is kept on the way, in pieces of which each is cut off in its midst.
fn pieces() -> Vec<String> {
    let piece = |start: u32| {
        let lines: Vec<_> = (start..start + 60_000).map(|number| number.to_string()).collect();
        lines.join("\n") + "\n"
    };
    (0..4).map(|number| piece(number * 60_000)).collect()
}

/// A session with three cuts, of which nothing comes changed, twice or not at all; and what is told of the
/// fast lane before.
fn comes_back(other: ServerKind, options: &[&str], told: &str) -> Option<String> {
    let programs = ["ssh", "ps", "ssh-agent", "ssh-add", "ssh-keygen"];
    if !are_installed(&programs) || !other.is_installed() {
        return None;
    }
    let host = Host::of(other);
    let agent = Agent::start(&host.sshd_file("user_key")).unwrap();
    let plan = host.plan().with(["-v"]).with(options).with(agent.ssh_options());
    let mut client = plan.run("cat; echo on stderr >&2; exit 7");
    client.event("attached");
    until(told, || client.stderr().contains(told));
    let (pieces, mut length) = (pieces(), 0);
    for piece in &pieces[..3] {
        client.write(piece);
        host.cut();
        length += piece.len();
        client.until_written(length);
    }
    client.write(&pieces[3]);
    let (status, output) = client.finish();
    assert_eq!(status, 7);
    assert!(output == pieces.concat().as_bytes(), "the bytes came back changed");
    let stderr = client.stderr();
    assert_eq!(stderr.matches("on stderr").count(), 1, "{stderr}");
    Some(stderr)
}

#[test]
fn a_session_on_dropbear_comes_back_over_the_fast_lane_alone() {
    let lane = ["--lane", "fast"];
    let Some(told) = comes_back(ServerKind::Dropbear, &lane, "rejoin: the fast lane is ready")
    else {
        return;
    };
    assert_eq!(told.matches("rejoin: connected over the fast lane").count(), 3, "{told}");
}

#[test]
fn a_session_on_dropbear_comes_back_over_the_fast_lane_beside_ssh() {
    let Some(told) = comes_back(ServerKind::Dropbear, &[], "rejoin: the fast lane is ready") else {
        return;
    };
    assert!(!told.contains("the fast lane failed"), "{told}");
}

#[test]
fn a_session_on_a_server_that_is_left_to_ssh_comes_back_with_ssh() {
    let why = "rejoin: no fast lane: its ssh server is not known to accept a command together with the login";
    let Some(told) = comes_back(ServerKind::Asyncssh, &[], why) else { return };
    assert!(!told.contains("over the fast lane"), "{told}");
}
