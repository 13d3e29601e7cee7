//! Coming back where the fast lane failed: the user is told, and ssh has the session back.

use std::collections::HashMap;
use std::fs;

use rejoin_testing::{Direction, Fault, Piece, ssh_parts};

use crate::fast_lane::{Lane, until_ready, until_told};
use crate::support::Host;

const PARTIAL: &str = "AuthenticationMethods publickey,publickey";
const STRICT: &[u8] = b"kex-strict-s-v00@openssh.com";
/// Of the parts of what a server says first: its lists, and its half of the exchange.
const LISTS: usize = 1;
const REPLY: usize = 2;

/// What is made of a piece of what a server says, with everything that it has said up to its end.
type Change = fn(&mut Piece, &[u8]) -> Option<Fault>;

/// Changes what the server says to the fast lane's own client, in every connection from now on.
fn meddle(host: &Host, change: Change) {
    let mut said: HashMap<(u64, Direction), Vec<u8>> = HashMap::new();
    host.relay().intercept(move |piece| {
        let (connection, way) = (piece.connection, piece.way);
        said.entry((connection, way)).or_default().extend_from_slice(&piece.bytes);
        let client = said.get(&(connection, Direction::ToServer));
        let is_ours = client.is_some_and(|client| client.starts_with(b"SSH-2.0-rejoin"));
        let is_meant = is_ours && way == Direction::ToClient;
        if is_meant { change(piece, &said[&(connection, way)]) } else { None }
    });
}

fn flip(piece: &mut Piece, at: usize) -> Option<Fault> {
    piece.byte(at as u64).into_iter().for_each(|byte| *byte ^= 1);
    None
}

fn forge(piece: &mut Piece, said: &[u8]) -> Option<Fault> {
    let reply = ssh_parts(said).get(REPLY)?.clone();
    let padding = usize::from(said[reply.start + 4]);
    flip(piece, reply.end - padding - 1)
}

fn slacken(piece: &mut Piece, said: &[u8]) -> Option<Fault> {
    let strict = said.windows(STRICT.len()).position(|window| window == STRICT)?;
    flip(piece, strict)
}

/// Within its half of the exchange.
fn fail(piece: &mut Piece, said: &[u8], fault: Fault) -> Option<Fault> {
    let lists = ssh_parts(said).get(LISTS)?.clone();
    piece.ends_at(lists.end as u64 + 10).then_some(fault)
}

fn reset(piece: &mut Piece, said: &[u8]) -> Option<Fault> {
    fail(piece, said, Fault::Reset)
}

fn hush(piece: &mut Piece, said: &[u8]) -> Option<Fault> {
    fail(piece, said, Fault::Silence)
}

/// Comes back to a host that has become so, while ssh waits until what is wrong with the fast lane is told.
fn comes_back(change: impl FnOnce(&Host), told: &str, repair: impl FnOnce(&Host)) {
    let lane = Lane::start();
    let (ssh, hold) = lane.held_ssh();
    let mut client = lane.plan().with(["--ssh".as_ref(), ssh.as_os_str()]).run("cat");
    until_ready(&client);
    let (before, after) = ("0123456789\n".repeat(20_000), "abcdefghij\n".repeat(20_000));
    client.write(&before);
    client.until_written(before.len());
    change(&lane.host);
    fs::write(&hold, "").unwrap();
    lane.host.cut();
    client.write(&after);
    until_told(&client, &format!("rejoin: the fast lane failed: {told}"));
    repair(&lane.host);
    fs::remove_file(&hold).unwrap();
    client.nth_event("attached", 2);
    let (status, output) = client.finish();
    assert_eq!(status, 0);
    assert!(output == (before + &after).as_bytes(), "the bytes came back changed");
}

#[test]
fn a_fast_lane_that_leads_nowhere_is_told_and_ssh_has_the_session_back_whole() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-add");
    let faults: [(Change, &str); 4] = [
        (forge, "the host did not prove that it has the private key of its host key"),
        (slacken, "the host's ssh server does not support strict key exchange"),
        (reset, "the connection was lost: "),
        (hush, "the host did not answer in time"),
    ];
    // Each waits for a session to be calm.
    std::thread::scope(|scope| {
        for (change, told) in faults {
            scope.spawn(move || comes_back(|host| meddle(host, change), told, |_| {}));
        }
        scope.spawn(|| {
            let told = "the host requires more than a key";
            let demand = |host: &Host| host.sshd().reconfigure(PARTIAL).unwrap();
            comes_back(demand, told, |host| {
                host.sshd().reconfigure("AuthenticationMethods publickey").unwrap();
                // What ssh has been given is a connection to the sshd that was.
                host.cut_if_any();
            });
        });
    });
}
