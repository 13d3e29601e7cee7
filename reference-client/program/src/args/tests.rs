//! Real command lines, as programs that run ssh write them.

use std::ffi::OsString;
use std::time::Duration;

use crate::args::ssh_options::SessionKind;
use crate::args::ssh_options::TerminalWish;
use crate::args::{Action, Cli, Run, WhenLost, parse};

fn cli(line: &[&str]) -> Cli {
    parse(line.iter().map(OsString::from).collect()).unwrap_or_else(|error| panic!("{error}"))
}

fn run(line: &[&str]) -> Run {
    let cli = cli(line);
    assert!(cli.action.is_none(), "{:?}", cli.action);
    cli.run
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[track_caller]
fn assert_run(line: &[&str], handed_on: &[&str], destination: &str, command: &[&str]) -> Run {
    let run = run(line);
    assert_eq!(run.link.ssh_options.handed_on(), words(handed_on));
    assert_eq!(run.destination, Some(destination.into()));
    assert_eq!(run.command, words(command));
    run
}

#[test]
fn a_destination_alone_is_a_login_shell() {
    assert_run(&["host"], &[], "host", &[]);
    assert_run(&["ssh://me@host:2222"], &[], "ssh://me@host:2222", &[]);
}

#[test]
fn options_may_stand_between_destination_and_command_but_not_behind_it() {
    assert_run(&["host", "-p", "22", "ls", "-l", "-p"], &["-p", "22"], "host", &["ls", "-l", "-p"]);
    assert_run(&["-4", "host", "-C", "x"], &["-4", "-C"], "host", &["x"]);
    assert_run(&["host", "x", "--", "--help"], &[], "host", &["x", "--", "--help"]);
}

#[test]
fn a_double_dash_ends_the_options() {
    assert_run(&["--", "host", "-p", "22"], &[], "host", &["-p", "22"]);
    assert_run(&["host", "--", "-x"], &[], "host", &["-x"]);
    assert_run(&["-p", "1", "--", "ls"], &["-p", "1"], "ls", &[]);
}

#[test]
fn letters_are_combined_and_values_attached_as_getopt_has_it() {
    let run = assert_run(
        &["-4Cp22", "-oA=b", "-o", "C d", "-ttl", "-me", "host"],
        &["-4", "-C", "-p", "22", "-o", "A=b", "-o", "C d", "-l", "-me"],
        "host",
        &[],
    );
    assert_eq!(run.link.ssh_options.terminal(), TerminalWish::Force);
}

#[test]
fn the_order_of_options_is_kept_for_the_first_value_counts() {
    let line = ["-p", "1", "-o", "Port=2", "-p", "3", "-o", "Port=4", "host"];
    assert_run(&line, &line[..8], "host", &[]);
}

#[test]
fn every_letter_of_openssh_is_known() {
    let flags = "1246AaCfGgKkMNnqsTtVvXxYy";
    let with_value = "BbcDEeFIiJLlmOoPpQRSWw";
    for letter in flags.chars() {
        let run = run(&[&format!("-{letter}"), "host"]);
        assert!(run.link.ssh_options.has(letter) && run.destination.is_some(), "-{letter}");
    }
    for letter in with_value.chars() {
        for line in [vec![format!("-{letter}"), "-v".into()], vec![format!("-{letter}-v")]] {
            let line: Vec<&str> = line.iter().map(String::as_str).chain(["host"]).collect();
            let run = run(&line);
            assert!(run.link.ssh_options.has(letter), "-{letter}");
            assert!(!run.link.ssh_options.has('v'), "-{letter}");
            assert_eq!(run.destination, Some("host".into()), "-{letter}");
        }
    }
}

#[test]
fn git_fetches() {
    let run = assert_run(
        &["-o", "SendEnv=GIT_PROTOCOL", "git@host", "git-upload-pack 'a/b.git'"],
        &["-o", "SendEnv=GIT_PROTOCOL"],
        "git@host",
        &["git-upload-pack 'a/b.git'"],
    );
    assert!(!run.link.ssh_options.is_left_to_ssh());
    assert_run(
        &["-o", "SendEnv=GIT_PROTOCOL", "-4", "-p", "2222", "host", "git-receive-pack 'x'"],
        &["-o", "SendEnv=GIT_PROTOCOL", "-4", "-p", "2222"],
        "host",
        &["git-receive-pack 'x'"],
    );
}

#[test]
fn git_probes_what_kind_of_ssh_it_has() {
    let run = run(&["-G", "-4", "-p", "2222", "host"]);
    assert!(run.link.ssh_options.is_left_to_ssh());
    assert_eq!(run.ssh_words(), words(&["-G", "-4", "-p", "2222", "--", "host"]));
}

#[test]
fn own_options_are_not_for_the_ssh_that_takes_over() {
    let run = run(&["--server", "/opt/s", "-G", "--window=1M", "-t", "host", "-n", "cmd", "-x"]);
    assert_eq!(run.ssh_words(), words(&["-G", "-t", "-n", "--", "host", "cmd", "-x"]));
}

#[test]
fn rsync_copies() {
    let server = ["rsync", "--server", "-logDtpre.iLsfxCIvu", ".", "big/"];
    assert_run(&[&["-l", "me", "host"], &server[..]].concat(), &["-l", "me"], "host", &server);
    assert_run(&[&["host"], &server[..]].concat(), &[], "host", &server);
}

#[test]
fn sftp_asks_for_a_subsystem() {
    let options = [
        "-oForwardX11 no",
        "-oPermitLocalCommand no",
        "-oClearAllForwardings yes",
        "-oForwardAgent no",
        "-oPort 2222",
        "-oProtocol 2",
    ];
    let line = [&options[..], &["-l", "me", "-s", "--", "host", "sftp"]].concat();
    let run = run(&line);
    assert_eq!(run.link.ssh_options.session(), SessionKind::Subsystem);
    assert_eq!(run.destination, Some("host".into()));
    assert_eq!(run.command, words(&["sftp"]));
    assert_eq!(run.link.ssh_options.handed_on()[..2], words(&["-o", "ForwardX11 no"])[..]);
    assert_eq!(run.link.ssh_options.setting("port"), Some("2222".into()));
}

#[test]
fn scp_copies_by_either_protocol() {
    let options = [
        "-x",
        "-oPermitLocalCommand=no",
        "-oClearAllForwardings=yes",
        "-oRemoteCommand=none",
        "-oRequestTTY=no",
        "-oForwardAgent=no",
    ];
    let modern = run(&[&options[..], &["-l", "me", "-s", "--", "host", "sftp"]].concat());
    assert_eq!(modern.link.ssh_options.session(), SessionKind::Subsystem);
    assert_eq!(modern.link.ssh_options.terminal(), TerminalWish::No);
    let handed_on = modern.link.ssh_options.handed_on();
    assert!(!handed_on.contains(&"RequestTTY=no".into()), "{handed_on:?}");
    let old = run(&[&options[..], &["--", "host", "scp -t ."]].concat());
    assert_eq!(old.link.ssh_options.session(), SessionKind::Process);
    assert_eq!(old.command, words(&["scp -t ."]));
}

#[test]
fn of_t_and_capital_t_the_last_counts() {
    let wish = |line: &[&str]| run(&[line, &["h"]].concat()).link.ssh_options.terminal();
    assert_eq!(wish(&[]), TerminalWish::Auto);
    assert_eq!(wish(&["-t"]), TerminalWish::Yes);
    assert_eq!(wish(&["-t", "-t"]), TerminalWish::Force);
    assert_eq!(wish(&["-tt"]), TerminalWish::Force);
    assert_eq!(wish(&["-T", "-t"]), TerminalWish::Yes);
    assert_eq!(wish(&["-t", "-T"]), TerminalWish::No);
    assert_eq!(wish(&["-o", "RequestTTY force"]), TerminalWish::Force);
    assert_eq!(wish(&["-oRequestTTY=no", "-oRequestTTY=yes"]), TerminalWish::No);
    assert_eq!(wish(&["-oRequestTTY=no", "-t"]), TerminalWish::Yes);
    assert_eq!(wish(&["-t", "-oRequestTTY=no"]), TerminalWish::Yes);
}

#[test]
fn settings_are_read_as_ssh_reads_them() {
    for setting in ["Key=v w", "key v w", "KEY = v w", "Key \"v w\"", " Key=\"v w\" "] {
        let run = run(&["-o", setting, "h"]);
        assert_eq!(run.link.ssh_options.setting("Key"), Some("v w".into()), "{setting}");
    }
    let run = run(&["-oStdinNull=yes", "-oEscapeChar=none", "-oSessionType=none", "h"]);
    let options = &run.link.ssh_options;
    assert!(options.is_stdin_null() && !options.is_left_to_ssh());
    assert_eq!(options.session(), SessionKind::Nothing);
    assert_eq!(options.escape(), Some("none".into()));
    assert_eq!(options.handed_on(), words(&[]));
}

#[test]
fn own_options_have_values_with_units() {
    let line = ["--retention", "12h", "--window=1M", "--drop-oldest", "--exec", "--env=A=b c"];
    let rest = ["--directory", "/srv", "--on-loss", "fail", "--give-up", "90s", "host", "x y", "z"];
    let run = assert_run(&[&line[..], &rest[..]].concat(), &[], "host", &["x y", "z"]);
    let process = &run.process;
    assert!(process.exec && process.drop_oldest);
    assert_eq!((process.window, process.retention), (1 << 20, Duration::from_hours(12)));
    assert_eq!(process.env[0].value, b"b c");
    assert_eq!(process.directory, Some("/srv".into()));
    assert_eq!(run.session.give_up, Some(Duration::from_secs(90)));
    assert_eq!(run.on_loss, Some(WhenLost::Fail));
}

#[test]
fn events_go_to_a_file_or_a_descriptor() {
    let path = |value: &str| run(&["--events", value, "h"]).session.events_path();
    assert_eq!(path("log.jsonl"), Some("log.jsonl".into()));
    assert_eq!(path("fd:3"), Some("/dev/fd/3".into()));
    assert_eq!(run(&["h"]).session.events_path(), None);
}

#[test]
fn a_subcommand_is_found_behind_options_but_not_behind_a_destination() {
    for line in [&["-p", "22", "ls", "host"][..], &["ls", "-p22", "host"], &["ls", "host", "-p22"]]
    {
        let Some(Action::Ls(list)) = cli(line).action else { panic!("{line:?}") };
        assert_eq!(list.destination, "host");
        assert_eq!(list.link.ssh_options.handed_on(), words(&["-p", "22"]));
    }
    assert_run(&["host", "ls"], &[], "host", &["ls"]);
    assert_run(&["-p", "ls", "host"], &["-p", "ls"], "host", &[]);
    assert_run(&["--server", "ls", "host"], &[], "host", &[]);
    assert_run(&["user@ls", "x"], &[], "user@ls", &["x"]);
}

#[test]
fn a_subcommands_own_options_may_stand_in_front_of_it() {
    let Some(Action::Attach(attach)) = cli(&["--take-over", "attach", "host", "1a2b"]).action
    else {
        panic!("no attach")
    };
    assert!(attach.take_over);
    assert_eq!(attach.session.as_deref(), Some("1a2b"));
    assert!(parse(words(&["--retention", "1d", "ls", "host"])).is_err());
    assert!(parse(words(&["kill", "host"])).is_err());
    assert!(parse(words(&["kill", "--all", "host", "1a2b"])).is_err());
    assert!(parse(words(&["kill", "--yes", "host", "1a2b"])).is_err());
    let Some(Action::Kill(kill)) = cli(&["kill", "host", "1a2b", "3c4d"]).action else {
        panic!("no kill")
    };
    assert_eq!(kill.sessions, ["1a2b", "3c4d"]);
    assert!(matches!(cli(&["prune", "-p22", "host"]).action, Some(Action::Prune(_))));
}

#[test]
fn what_is_unknown_is_an_error() {
    for line in [&["--nonsense", "h"][..], &["-Z", "h"], &["--window", "1", "h"], &["-p"]] {
        assert!(parse(words(line)).is_err(), "{line:?}");
    }
}

#[test]
fn bytes_that_are_no_text_pass() {
    use std::os::unix::ffi::OsStringExt as _;
    let odd = OsString::from_vec(b"\xff\xfe".to_vec());
    let cli = parse(vec!["-i".into(), odd.clone(), "h".into(), odd.clone()]).unwrap();
    assert_eq!(cli.run.link.ssh_options.handed_on(), vec!["-i".into(), odd.clone()]);
    assert_eq!(cli.run.command, vec![odd]);
}

#[test]
fn the_help_of_a_subcommand_says_more_than_its_line_in_the_list() {
    use clap::CommandFactory as _;
    let command = Cli::command();
    for name in ["ls", "attach", "kill", "prune"] {
        let subcommand = command.find_subcommand(name).unwrap();
        let [about, long] = [subcommand.get_about(), subcommand.get_long_about()]
            .map(|text| text.map(ToString::to_string).unwrap_or_default());
        assert!(!about.is_empty() && long.len() > about.len(), "{name}: {about:?}, {long:?}");
    }
}

#[test]
fn the_command_line_describes_itself_without_contradictions() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}
