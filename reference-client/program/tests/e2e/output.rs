//! What a process writes arrives whole, in order and once.

use std::fmt::Write as _;
use std::fs;

use rejoin_testing::Random;

use crate::support::{Host, until};

/// What `seq` prints.
pub(crate) fn numbers(last: usize) -> String {
    (1..=last).fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").expect("a string takes everything");
        text
    })
}

/// Compares without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(output: &[u8], expected: &[u8]) {
    let same = output.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let end = bytes.len().min(same + 30);
        String::from_utf8_lossy(&bytes[same.saturating_sub(30).min(end)..end]).into_owned()
    };
    assert!(
        output == expected,
        "{} bytes of {} expected; from byte {same} on they differ: {:?} is not {:?}",
        output.len(),
        expected.len(),
        around(output),
        around(expected),
    );
}

#[test]
fn output_is_whole_though_the_connection_is_reset_at_random_bytes() {
    const RESETS: u64 = 24;
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let expected = numbers(200_000);
    // Even if every link used up all it may carry, the output would not fit through them.
    let most = expected.len() as u64 / RESETS;
    let host = Host::start();
    let mut random = Random::from_env();
    host.relay().cut_plan(move |link| match link {
        // The first one has to get as far as to ask for something: before that, rejoin ends as ssh does.
        0 => Some(most / 2 + random.below(most / 2)),
        1..RESETS => Some(random.below(most)),
        _ => None,
    });
    let mut client = host.plan().run("seq 200000; exit 7");
    let (status, output) = client.finish_within(std::time::Duration::from_secs(90));
    assert_same(&output, expected.as_bytes());
    assert_eq!(status, 7);
    assert!(host.relay().resets() >= 20, "{:?}", host.relay().counts());
    assert_eq!(client.event("exited")["status"], 7);
    assert_eq!(client.stderr(), "");
}

#[test]
fn both_outputs_stay_separate_and_whole_over_a_cut() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let script = "seq 30000; seq 30000 >&2; until [ -e ~/go ]; do sleep 0.01; done; seq 30000 >&2";
    let mut client = host.plan().run(script);
    client.event("attached");
    host.cut();
    client.nth_event("attached", 2);
    host.cut();
    fs::write(host.home().join("go"), "").unwrap();
    let (status, output) = client.finish();
    assert_same(&output, numbers(30_000).as_bytes());
    assert_same(client.stderr().as_bytes(), numbers(30_000).repeat(2).as_bytes());
    assert_eq!(status, 0);
}

#[test]
fn bytes_are_not_changed() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(host.home().join("bytes"), &bytes).unwrap();
    let mut client = host.plan().run("cat ~/bytes");
    let (status, output) = client.finish();
    assert_same(&output, &bytes);
    assert_eq!(status, 0);
}

#[test]
fn a_flood_while_nobody_is_attached_waits_and_is_whole() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let expected = numbers(1_500_000);
    let host = Host::start();
    let mut client = host.plan().with(["--window", "256K"]).run("read go; seq 1500000");
    client.event("attached");
    client.write("go\n");
    until("some output", || client.output_length() > 0);
    host.relay().refuse(true);
    host.cut();
    client.nth_event("reconnecting", 3);
    let before = client.output_length();
    assert!(before < expected.len(), "the outage came too late to test anything");
    host.relay().refuse(false);
    let (status, output) = client.finish();
    assert_same(&output, expected.as_bytes());
    assert_eq!(status, 0);
}

#[test]
fn dropped_output_is_told_and_the_rest_follows() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let plan = host.plan().with(["--window", "128K", "--drop-oldest"]);
    let mut client = plan.run("until [ -e ~/go ]; do sleep 0.01; done; seq 200000; touch ~/done");
    client.event("attached");
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    fs::write(host.home().join("go"), "").unwrap();
    until("the process does not wait", || host.home().join("done").exists());
    host.relay().refuse(false);
    let (status, output) = client.finish();
    let output = String::from_utf8(output).unwrap();
    assert!(output.ends_with("199999\n200000\n") && output.len() < 200_000, "{}", output.len());
    assert_eq!(status, 0);
}
