//! What is written to the user's streams is in the order of the processes that wrote it.

use std::io::{PipeReader, Read as _, pipe};

use crate::output::{assert_same, numbers};
use crate::support::{Client, Host, Terminal, until};

/// The last line of what the first process writes: about 24 KB, which servers send without being told that
/// earlier output was taken.
const LAST: usize = 5000;

/// The options under which output comes from one link alone, and a lost process is replaced.
const OPTIONS: [&str; 4] = ["--lane", "ssh", "--on-loss", "respawn"];

/// The first process of a session writes much once it is told to, and the second one little.
fn script(start: &str) -> String {
    format!(
        "if mkdir ~/first 2>/dev/null; then read go; {start} seq {LAST}; cat; else echo fresh; cat; fi"
    )
}

/// Has the first process write, and waits until the client has all of it.
fn until_it_has_come(host: &Host, go: impl FnOnce()) {
    let before = host.relay().bytes();
    go();
    let length = numbers(LAST).len() as u64;
    until("the output has come", || host.relay().bytes() > before + length);
}

/// A run whose stdout and stderr are one pipe, which nobody reads yet. It holds 4 KiB.
fn unread(host: &Host, script: &str) -> (Client, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let plan = host.plan().with(OPTIONS).unread();
    let client = plan
        .change(move |command| {
            command.stderr(writer.try_clone().unwrap()).stdout(writer);
        })
        .run(script);
    (client, reader)
}

#[test]
fn the_notice_of_a_fresh_process_stands_between_its_output_and_the_old_ones() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (mut client, mut both) = unread(&host, &script(""));
    client.event("attached");
    until_it_has_come(&host, || client.write("go\n"));
    host.kill_server();
    client.event("replaced");
    client.nth_event("attached", 2);
    client.end_input();
    let mut text = String::new();
    both.read_to_string(&mut text).unwrap();
    assert_eq!(client.status(), 0);
    let (old, rest) = text.split_once("rejoin: the process is gone").expect("a notice");
    // The last piece may have been lost with the server, and ends anywhere.
    assert_same(old.as_bytes(), &numbers(LAST).as_bytes()[..old.len()]);
    assert!(old.len() > 3 * 4096, "too little was unread: {}", old.len());
    let (notice, fresh) = rest.split_once('\n').expect("a line");
    assert!(notice.ends_with("a fresh one is started"), "{notice}");
    assert_eq!(fresh, "fresh\n");
}

#[test]
fn what_the_old_program_made_of_the_terminal_is_undone_where_its_output_ends() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let (mut terminal, client) =
        Terminal::rejoin_with(&host, &OPTIONS, &script("printf '\\033[?1049h';"));
    // The terminal is not read, and holds a few KiB.
    client.event("attached");
    until_it_has_come(&host, || terminal.write("go\n"));
    host.kill_server();
    client.event("replaced");
    client.nth_event("attached", 2);
    let seen = terminal.until_seen("fresh");
    let (old, fresh) = seen.split_once("\x1b[?1049l").expect("the screen is given back");
    assert!(old.contains("\x1b[?1049h") && old.contains("\r\n2000\r\n"), "{old:?}");
    assert!(!fresh.contains("00\r\n"), "{fresh:?}");
    drop(client);
    host.end_sessions();
}
