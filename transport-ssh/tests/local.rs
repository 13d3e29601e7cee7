//! Links without ssh: commands, Unix sockets, memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::IoSlice;

use common::{Echo, connect, in_time, is_gone, parse_pid, until_gone, why_it_ends, wild_bytes};
use rejoin_ssh::{
    Attempt, CommandConnect, Connect as _, LinkErrorKind, LinkReader, UnixConnect, memory,
};
use rejoin_testing::Random;
use tokio::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, BufReader,
};
use tokio::net::UnixListener;

fn shell(script: &str) -> CommandConnect {
    CommandConnect::new("/bin/sh").args(["-c", script])
}

async fn first_line(reader: &mut BufReader<LinkReader>) -> String {
    let mut line = String::new();
    in_time("a line", reader.read_line(&mut line)).await.expect("a line");
    line
}

#[tokio::test]
async fn a_command_carries_any_bytes_both_ways() {
    let mut echo = Echo::start(&CommandConnect::new("cat"), Attempt::First).await;
    echo.say(&wild_bytes(3 << 20, &mut Random::from_env())).await;
}

#[tokio::test]
async fn a_command_gets_its_arguments_and_environment() {
    let command = shell("printf '%s\\n' \"$1 $REJOIN_X\"; cat").args(["sh", "a b"]);
    let (reader, _writer, _guard) =
        connect(&command.env("REJOIN_X", "x y"), Attempt::First).await.into_parts();
    assert_eq!(first_line(&mut BufReader::new(reader)).await, "a b x y\n");
}

#[tokio::test]
async fn vectored_writes_reach_the_pipe_as_such() {
    let (mut reader, mut writer, _guard) =
        connect(&CommandConnect::new("cat"), Attempt::First).await.into_parts();
    assert!(writer.is_write_vectored());
    let written = writer.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cd")]).await;
    assert_eq!(written.unwrap(), 4);
    let mut back = [0; 4];
    in_time("the echo", reader.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"abcd");
}

#[tokio::test]
async fn shutting_the_writer_down_is_end_of_input() {
    let (mut reader, mut writer, guard) =
        connect(&shell("cat; echo end"), Attempt::First).await.into_parts();
    writer.shutdown().await.unwrap();
    assert!(writer.write_all(b"late").await.is_err());
    let mut all = String::new();
    in_time("the end", reader.read_to_string(&mut all)).await.unwrap();
    assert_eq!(all, "end\n");
    let error = in_time("the post-mortem", guard.post_mortem()).await;
    assert_eq!(error.kind, LinkErrorKind::Closed);
}

#[tokio::test]
async fn the_status_of_a_command_says_why_the_link_ended() {
    for (script, kind) in [
        ("exit 0", LinkErrorKind::Closed),
        ("exit 127", LinkErrorKind::ServerMissing),
        ("exit 126", LinkErrorKind::ServerMissing),
        ("echo why >&2; exit 3", LinkErrorKind::Other),
        ("kill -9 $$", LinkErrorKind::Closed),
    ] {
        let error = why_it_ends(&shell(script), Attempt::Reconnect).await;
        assert_eq!(error.kind, kind, "{script}: {error}");
    }
}

#[tokio::test]
async fn the_last_words_are_in_the_message_and_the_detail() {
    let error = why_it_ends(&shell("echo one >&2; echo two >&2; exit 3"), Attempt::First).await;
    assert_eq!(error.message, "the command ended with status 3 (two)");
    assert_eq!(error.detail, ["one", "two"]);
}

#[tokio::test]
async fn reports_a_missing_program_at_once() {
    let missing = CommandConnect::new("/nonexistent/program");
    let error = missing.connect(Attempt::First).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::ProgramMissing);
    assert!(error.message.contains("/nonexistent/program"), "{error}");
}

#[tokio::test]
async fn a_dropped_link_leaves_no_child_and_no_zombie() {
    let link = connect(&shell("echo $$; exec cat"), Attempt::First).await;
    let (reader, writer, guard) = link.into_parts();
    let mut reader = BufReader::new(reader);
    let pid = parse_pid(&first_line(&mut reader).await);
    assert!(!is_gone(pid));
    drop(guard);
    until_gone(pid).await;
    drop(writer);
}

#[tokio::test]
async fn a_child_that_ignores_being_asked_is_killed_and_reaped() {
    let script = "trap '' TERM; echo $$; while :; do read -r line || sleep 1000; done";
    let (reader, _writer, guard) = connect(&shell(script), Attempt::First).await.into_parts();
    let pid = parse_pid(&first_line(&mut BufReader::new(reader)).await);
    drop(guard);
    until_gone(pid).await;
}

#[tokio::test]
async fn post_mortem_is_bounded_and_leaves_no_process() {
    let script = "echo $$; exec >&-; exec sleep 1000";
    let (reader, _writer, guard) = connect(&shell(script), Attempt::First).await.into_parts();
    let mut reader = BufReader::new(reader);
    let pid = parse_pid(&first_line(&mut reader).await);
    assert_eq!(first_line(&mut reader).await, "");
    let error = in_time("the post-mortem", guard.post_mortem()).await;
    assert_eq!(error.kind, LinkErrorKind::Closed, "{error}");
    assert!(is_gone(pid), "the child was not reaped before the answer");
}

#[tokio::test]
async fn a_helper_that_keeps_stderr_open_does_not_hold_up_the_post_mortem() {
    let error =
        why_it_ends(&shell("sleep 300 >&- <&- & echo $! >&2; exit 3"), Attempt::First).await;
    let helper = parse_pid(&error.detail[0]);
    rustix::process::kill_process(helper, rustix::process::Signal::KILL).unwrap();
    assert_eq!(error.kind, LinkErrorKind::Other);
}

#[tokio::test]
async fn a_flood_on_stderr_does_not_block_the_link() {
    let flood = "head -c 5000000 /dev/zero | tr '\\0' 'x' | fold -w 100 >&2";
    let mut echo = Echo::start(&shell(&format!("{flood}; exec cat")), Attempt::First).await;
    echo.say(&vec![7; 100_000]).await;
}

#[tokio::test]
async fn reports_every_stderr_line_with_its_attempt() {
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let command = shell("printf 'a\\033[2Jb\\nlast' >&2").on_stderr(move |attempt, line| {
        let _ = told.send((attempt, line.to_owned()));
    });
    why_it_ends(&command, Attempt::Reconnect).await;
    for line in ["a[2Jb", "last"] {
        let expected = (Attempt::Reconnect, line.to_owned());
        assert_eq!(in_time("a line", hears.recv()).await, Some(expected));
    }
}

#[tokio::test]
async fn a_unix_socket_carries_bytes_both_ways() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (link, accepted) = tokio::join!(connect_unix(&path), listener.accept());
    let (mut reader, mut writer, _guard) = link.into_parts();
    let (mut far, _) = accepted.unwrap();
    assert!(writer.is_write_vectored());
    writer.write_all(b"there").await.unwrap();
    writer.shutdown().await.unwrap();
    let mut heard = String::new();
    in_time("the end", far.read_to_string(&mut heard)).await.unwrap();
    far.write_all(b"back").await.unwrap();
    drop(far);
    in_time("the end", reader.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "thereback");
}

async fn connect_unix(path: &std::path::Path) -> rejoin_ssh::Link {
    connect(&UnixConnect::new(path), Attempt::First).await
}

#[tokio::test]
async fn a_unix_socket_without_a_listener_is_unreachable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for _ in 0..2 {
        let error = UnixConnect::new(&path).connect(Attempt::First).await.unwrap_err();
        assert_eq!(error.kind, LinkErrorKind::Unreachable, "{error}");
        // The second time, the file is there and nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path));
    }
}

#[tokio::test]
async fn memory_links_carry_bytes_and_each_end_can_cut() {
    let (connector, mut listener) = memory();
    let (mut near_reader, mut near_writer, _) =
        connect(&connector, Attempt::First).await.into_parts();
    let (mut far_reader, far_writer, _) = listener.accept().await.unwrap().into_parts();
    near_writer.write_all(b"there").await.unwrap();
    drop(near_writer);
    let mut heard = String::new();
    in_time("the end", far_reader.read_to_string(&mut heard)).await.unwrap();
    assert_eq!(heard, "there");
    drop(far_writer);
    assert_eq!(in_time("the end", near_reader.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn a_dropped_memory_link_is_cut_for_the_other_end() {
    let (connector, mut listener) = memory();
    let link = connect(&connector, Attempt::First).await;
    let (mut reader, mut writer, guard) = listener.accept().await.unwrap().into_parts();
    drop(link);
    assert_eq!(in_time("the end", reader.read(&mut [0])).await.unwrap(), 0);
    assert!(writer.write_all(b"x").await.is_err());
    assert_eq!(guard.post_mortem().await.kind, LinkErrorKind::Closed);
}

#[tokio::test]
async fn memory_without_a_listener_is_unreachable_and_without_connectors_it_ends() {
    let (connector, listener) = memory();
    drop(listener);
    let error = connector.connect(Attempt::First).await.unwrap_err();
    assert_eq!(error.kind, LinkErrorKind::Unreachable);
    let (connector, mut listener) = memory();
    drop(connector);
    assert!(listener.accept().await.is_none());
}
