//! What the machines promise, the programs keep: every step of both drivers in real runs is
//! recorded, stepped again, and judged by the protocol's rules.

use std::fs;
use std::time::Duration;

use rejoin_protocol::{Frame, Seq};
use rejoin_testing::{Random, Signal};

use crate::output::{assert_same, numbers};
use crate::support::{Client, Host, Wishes, frame_bytes, is_alive, judge, until, within};

#[test]
fn output_over_many_resets_holds_every_rule() {
    const RESETS: u64 = 12;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut random = Random::from_env();
    host.relay().cut_plan(move |link| (link < RESETS).then(|| 30_000 + random.below(60_000)));
    let count = "i=0; until [ -e ~/go ]; do i=$((i+1)); echo $i; done";
    let mut client = host.plan().run(&format!("{count}; exit 7"));
    within(Duration::from_secs(90), "all resets", || host.relay().resets() >= RESETS);
    fs::write(host.home().join("go"), "").unwrap();
    let (status, output) = client.finish_within(Duration::from_secs(90));
    let last = output.split(|byte| *byte == b'\n').count() - 1;
    assert_same(&output, numbers(last).as_bytes());
    assert_eq!(status, 7);
    let report = judge(&host);
    assert!(report.cuts >= 10 && report.resumes >= 3, "{report}");
    assert_eq!(report.delivered_bytes, output.len() as u64, "{report}");
    assert_eq!((report.starts, report.exits, report.process_exits), (1, 1, 1), "{report}");
    assert_eq!((report.ended_clients, report.ended_servers), (1, 1), "{report}");
    assert!(report.server_items_sent > report.delivered, "nothing was sent again: {report}");
}

#[test]
fn input_over_many_cuts_holds_every_rule() {
    const CUTS: u64 = 10;
    const SIZE: usize = 1 << 20;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut random = Random::from_env();
    let data: Vec<u8> = (0..SIZE / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    host.relay().cut_plan(move |link| (link < CUTS).then(|| 150_000 + random.below(50_000)));
    let mut client = host.plan().run("cat");
    let mut stdin = client.take_stdin();
    let input = data.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let (status, output) = client.finish_within(Duration::from_secs(90));
    writer.join().unwrap().expect("all input is taken");
    assert_same(&output, &data);
    assert_eq!(status, 0);
    let report = judge(&host);
    assert!(report.cuts >= 10 && report.resumes >= 3, "{report}");
    let size = SIZE as u64;
    assert_eq!((report.put_in_bytes, report.handed_over_bytes), (size, size), "{report}");
    assert_eq!(report.delivered_bytes, size, "{report}");
    assert!(report.items_sent > report.handed_over, "nothing was sent again: {report}");
}

/// Answers every line with its pid.
const ECHO: &str = "echo $$; while read line; do echo \"$$ $line\"; done";

/// Waits for the answer to a line.
#[track_caller]
fn ask(client: &mut Client, line: &str) {
    client.write(format!("{line}\n"));
    until("the answer", || client.output().contains(&format!(" {line}\n")));
}

#[test]
fn a_server_killed_while_attached_and_its_replacement_hold_every_rule() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(ECHO);
    ask(&mut client, "first");
    host.kill_server();
    client.event("replaced");
    client.nth_event("attached", 2);
    ask(&mut client, "second");
    assert_eq!(client.finish().0, 0);
    let report = judge(&host);
    assert_eq!((report.servers, report.starts, report.replacements), (2, 2, 1), "{report}");
    assert_eq!((report.ended_servers, report.exits), (1, 1), "{report}");
    assert!(report.cuts >= 1, "{report}");
}

#[test]
fn an_exit_during_an_outage_holds_every_rule() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let script = "echo $$; until [ -e ~/go ]; do sleep 0.01; done; echo last words; exit 5";
    let mut client = host.plan().run(script);
    let pid = client.number(1);
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    fs::write(host.home().join("go"), "").unwrap();
    until("the process has ended", || !is_alive(pid));
    client.nth_event("reconnecting", 2);
    host.relay().refuse(false);
    assert_eq!(client.finish().0, 5);
    let report = judge(&host);
    assert!(report.cuts >= 2 && report.server_cuts >= 1, "{report}");
    assert_eq!((report.exits, report.process_exits, report.delivered), (1, 1, 3), "{report}");
}

#[test]
fn a_takeover_holds_every_rule() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut first = host.plan().run(ECHO);
    ask(&mut first, "mine");
    let plan = host.plan().subcommand("attach").with(["--take-over"]);
    let mut second = plan.run(&first.session()[..8]);
    second.event("attached");
    first.event("superseded");
    assert_eq!(first.status(), 255);
    ask(&mut second, "not any more");
    assert_eq!(second.finish().0, 0);
    let report = judge(&host);
    assert_eq!((report.clients, report.servers, report.starts), (2, 1, 1), "{report}");
    assert_eq!((report.takeovers, report.claims, report.superseded), (1, 1, 1), "{report}");
    assert_eq!((report.handed_over, report.ended_clients), (3, 2), "{report}");
}

#[test]
fn a_killed_sshd_session_holds_every_rule() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut client = host.plan().run(ECHO);
    for (number, line) in ["one", "two", "three"].into_iter().enumerate() {
        ask(&mut client, line);
        assert!(host.sshd().kill_sessions(Signal::KILL).unwrap() > 0, "no connection is there");
        client.nth_event("attached", number + 2);
    }
    ask(&mut client, "four");
    assert_eq!(client.finish().0, 0);
    let report = judge(&host);
    assert_eq!((report.cuts, report.resumes, report.starts), (3, 3, 1), "{report}");
    assert!(report.server_cuts >= 3, "{report}");
}

#[test]
fn a_failed_start_holds_every_rule() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut client = host.plan().with(["--exec"]).run("/does/not/exist");
    assert_eq!(client.finish().0, 127);
    let report = judge(&host);
    assert_eq!((report.starts, report.failed_starts, report.refusals), (1, 1, 1), "{report}");
    assert_eq!((report.attaches, report.delivered, report.ended_servers), (0, 0, 1), "{report}");
}

#[test]
fn what_a_link_brings_behind_its_detach_is_ignored() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording();
    let mut wishes = Wishes::new();
    let (mut link, welcome) = wishes.opened(&host, "cat");
    let again = wishes.resume(&welcome, Seq(0));
    // At once, so that the second frame is read together with the first.
    link.send(&[frame_bytes(&Frame::Detach), frame_bytes(&again)].concat());
    link.rest();
    host.until_session_is("detached");
    host.end_sessions();
    let report = judge(&host);
    assert_eq!((report.servers, report.starts), (1, 1), "{report}");
}

#[test]
fn a_recording_is_cut_at_its_limit_and_judged_as_far_as_it_goes() {
    const SIZE: usize = 4_000_000;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::recording_in_part();
    let mut client = host.plan().run(&format!("head -c {SIZE} /dev/zero | tr '\\0' x"));
    let (status, output) = client.finish_within(Duration::from_secs(90));
    assert_eq!((status, output.len()), (0, SIZE));
    let report = judge(&host);
    assert_eq!((report.clients, report.servers, report.cut, report.torn), (1, 1, 2, 0), "{report}");
    assert_eq!((report.attaches, report.exits), (1, 0), "{report}");
    assert!(report.delivered_bytes > 0 && report.delivered_bytes < SIZE as u64, "{report}");
}
