//! What a process reads arrives whole, in order and once.

use std::io::Write as _;
use std::time::Duration;

use rejoin_ssh::testing::Random;

use crate::output::assert_same;
use crate::support::{Host, until};

/// Sends `size` random bytes through `cat` over so many links that carry about 300 KB each, and
/// then, if that was not enough, over one that carries the rest.
fn pass_through_cat(size: usize, cuts: u64, options: &[&str]) {
    let host = Host::start();
    let mut random = Random::from_env();
    let data: Vec<u8> = (0..size / 8).flat_map(|_| random.next_u64().to_le_bytes()).collect();
    host.relay().cut_plan(move |link| (link < cuts).then(|| 250_000 + random.below(100_000)));
    let mut client = host.plan().with(options).run("cat; echo end of input >&2");
    let mut stdin = client.take_stdin();
    let input = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let (status, output) = client.finish_within(Duration::from_secs(150));
    writer.join().unwrap().expect("all input is taken");
    assert_same(&output, &data);
    assert_eq!(client.stderr(), "end of input\n");
    assert_eq!(status, 0);
    assert!(host.relay().resets() >= cuts.min(10), "{:?}", host.relay().counts());
}

#[test]
fn twenty_megabytes_pass_through_cat_though_cut_every_300_kilobytes() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    pass_through_cat(20 << 20, 40, &[]);
}

#[test]
fn input_gets_on_over_links_that_carry_less_than_the_window() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    pass_through_cat(2 << 20, u64::MAX, &[]);
}

#[test]
fn input_that_comes_during_an_outage_arrives_afterwards_once() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
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
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().run("cat; echo ended");
    assert_eq!(client.finish(), (0, b"ended\n".to_vec()));
}

#[test]
fn a_stdin_that_was_never_open_is_an_end_of_input() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
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
    rejoin_ssh::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().with(["-n"]).run("cat; echo ended");
    client.write("not for the process\n");
    assert_eq!(client.finish(), (0, b"ended\n".to_vec()));
}

#[test]
fn a_process_that_does_not_read_stops_the_writer_and_not_the_connection() {
    rejoin_ssh::needs!("ssh", "sshd", "ps");
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
