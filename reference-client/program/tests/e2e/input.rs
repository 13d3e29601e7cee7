//! What a process reads arrives whole, in order and once.

use std::io::Write as _;
use std::time::Duration;

use rejoin_testing::Random;

use crate::output::assert_same;
use crate::support::{Host, until};

/// Sends `size` random bytes through `cat` over links that are all cut, each after about 300 KB in
/// both directions together.
fn pass_through_cat(size: usize) {
    // Most of a login goes into the exchange of keys, and there is a login for every link.
    let host = Host::with(|sshd| sshd.config_line("KexAlgorithms curve25519-sha256"));
    let mut random = Random::from_env();
    let data: Vec<u8> = (0..size / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    host.relay().cut_plan(move |_| Some(250_000 + random.below(100_000)));
    let mut client = host.plan().run("cat; echo end of input >&2");
    let mut stdin = client.take_stdin();
    let input = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let (status, output) = client.finish_within(Duration::from_mins(5));
    writer.join().unwrap().expect("all input is taken");
    assert_same(&output, &data);
    assert_eq!(client.stderr(), "end of input\n");
    assert_eq!(status, 0);
    let counts = host.relay().counts();
    // Everything travels twice, and no link carries more than 350 KB.
    let fewest = 2 * size as u64 / 350_000;
    assert!(counts.resets >= fewest && counts.resets + 1 >= counts.connections, "{counts:?}");
}

#[test]
fn twenty_megabytes_pass_through_cat_though_cut_every_300_kilobytes() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    pass_through_cat(20 << 20);
}

#[test]
fn input_gets_on_over_links_that_carry_less_than_the_window() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    pass_through_cat(2 << 20);
}

#[test]
fn input_that_comes_during_an_outage_arrives_afterwards_once() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("cat");
    client.event("attached");
    client.write("before\n");
    client.line(1);
    host.relay().refuse(true);
    host.cut();
    client.event("detached");
    client.write("meanwhile\n");
    client.end_input();
    client.nth_event("reconnecting", 2);
    host.relay().refuse(false);
    let (status, output) = client.finish();
    assert_eq!(String::from_utf8_lossy(&output), "before\nmeanwhile\n");
    assert_eq!(status, 0);
}

#[test]
fn a_closed_stdin_is_an_end_of_input() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("cat; echo ended");
    assert_eq!(client.finish(), (0, b"ended\n".to_vec()));
}

#[test]
fn a_stdin_that_was_never_open_is_an_end_of_input() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host
        .plan()
        .change(|command| {
            // As a shell does it: `<&-`.
            let rejoin = command.get_program().to_owned();
            let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", "exec \"$0\" \"$@\" <&-"]).arg(rejoin).args(words);
            shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            *command = shell;
        })
        .run("cat; echo ended");
    assert_eq!(client.finish(), (0, b"ended\n".to_vec()));
}

#[test]
fn n_leaves_stdin_alone() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["-n"]).run("cat; echo ended");
    client.write("not for the process\n");
    assert_eq!(client.finish(), (0, b"ended\n".to_vec()));
}

#[test]
fn a_process_that_does_not_read_stops_the_writer_and_not_the_connection() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let plan = host.plan().with(["--window", "128K"]);
    let mut client = plan.run("until [ -e ~/go ]; do echo tick; sleep 0.05; done; wc -c");
    let mut stdin = client.take_stdin();
    let writer = std::thread::spawn(move || stdin.write_all(&vec![b'x'; 2_000_000]));
    client.line(3);
    let before = client.output_length();
    until("output goes on", || client.output_length() > before);
    assert!(!writer.is_finished(), "two megabytes were taken without a reader");
    host.cut();
    client.nth_event("attached", 2);
    std::fs::write(host.home().join("go"), "").unwrap();
    writer.join().unwrap().expect("all input is taken");
    let (status, output) = client.finish();
    assert!(String::from_utf8_lossy(&output).ends_with("tick\n2000000\n"));
    assert_eq!(status, 0);
}
