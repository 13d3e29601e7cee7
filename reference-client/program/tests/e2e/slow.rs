//! A client whose output nobody reads: the process waits, memory stays bounded, nothing is lost.

use std::process::Stdio;

use rejoin_testing::Signal;

use crate::output::assert_same;
use crate::support::{Client, Host, is_alive, memory, until};

/// What a process may have in memory beyond what it had before, in KiB: the window of 4 MiB, once
/// in each side's log and once more on its way, with room to spare.
const GROWTH: u64 = 32 * 1024;

/// Much more than fits anywhere on the way.
const SIZE: usize = 64 << 20;

/// Writes, and marks each MiB.
fn flood(host: &Host) -> Client {
    let script = "i=0; while [ $i -lt 64 ]; do head -c 1048576 /dev/zero; i=$((i+1)); \
        echo $i > ~/written; done";
    let mut client = host.plan().unread().run(&format!("read go; {script}"));
    client.event("attached");
    client.write("go\n");
    client
}

fn written(host: &Host) -> String {
    std::fs::read_to_string(host.home().join("written")).unwrap_or_default()
}

/// Waits until the process has been waiting for a while.
fn until_blocked(host: &Host) {
    let mut last = (written(host), std::time::Instant::now());
    until("the process waits", || {
        let now = written(host);
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        last.1.elapsed() > std::time::Duration::from_secs(1)
    });
}

#[test]
fn a_reader_who_does_not_read_blocks_the_process_and_bounds_memory() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = flood(&host);
    let server = host.server_pid();
    let before = (memory(client.pid()), memory(server));
    until_blocked(&host);
    let progress: usize = written(&host).trim().parse().unwrap_or(0);
    assert!(progress < 32, "{progress} MiB were taken from a process that nobody reads");
    let after = (memory(client.pid()), memory(server));
    for (before, after) in [(before.0, after.0), (before.1, after.1)] {
        eprintln!("{} KiB became {} KiB, {} at most", before.now, after.now, after.most);
        assert!(after.most <= before.now + GROWTH, "{before:?} became {after:?}");
    }
    host.cut();
    client.nth_event("attached", 2);
    assert!(is_alive(server));
    let (status, output) = client.finish();
    assert_same(&output, &vec![0; SIZE]);
    assert_eq!(status, 0);
}

#[test]
fn a_reader_who_goes_away_ends_the_process_as_a_closed_pipe_does() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().unread().run("echo $$ > ~/pid; yes");
    let pid = || std::fs::read_to_string(host.home().join("pid")).ok()?.trim().parse().ok();
    until("the process runs", || pid().is_some());
    let pid: i32 = pid().unwrap();
    client.close_stdout();
    assert_eq!(client.status(), 128 + 13);
    until("the process is gone", || !is_alive(pid));
    assert_eq!(client.stderr(), "");
}

#[test]
fn a_process_that_was_there_before_stays_when_what_it_writes_cannot_be_written() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut first = host.plan().run("exec yes");
    let server = host.server_pid();
    first.until_written(1);
    first.signal(Signal::TERM);
    assert_eq!(first.status(), 128 + 15);
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, nobody) = std::io::pipe().unwrap();
    drop(reader);
    for (stdout, status) in [(Stdio::from(full()), 255), (Stdio::from(nobody), 128 + 13)] {
        let plan = host.plan().subcommand("attach").change(|command| {
            command.stdout(stdout);
        });
        let mut back = plan.run_words::<&str>([]);
        assert_eq!(back.status(), status, "{}", back.stderr());
        assert!(back.stderr().contains("the process stays; to come back:"), "{}", back.stderr());
        host.until_session_is("detached");
        assert_eq!(host.server_pid(), server);
    }
    host.end_sessions();
}

#[test]
fn a_list_that_nobody_reads_ends_as_a_closed_pipe_does() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let plan = host.plan().subcommand("ls").change(|command| {
        command.stdout(writer);
    });
    let mut client = plan.run_words::<&str>([]);
    assert_eq!(client.status(), 128 + 13);
    assert_eq!(client.stderr(), "");
}
