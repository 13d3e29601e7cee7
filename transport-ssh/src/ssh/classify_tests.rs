//! The messages are OpenSSH's own, as its versions from 7.6 to 10 print them.

use super::*;
use crate::link::exit::command;
use LinkErrorKind::ServerMissing;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

fn exited(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn judged(code: i32, stderr: &str) -> LinkError {
    let lines = stderr.lines().map(str::to_owned).collect();
    ssh(&ChildExit {
        status: Some(exited(code)),
        lines,
        greeting: Vec::new(),
        was_open: false,
        ..ChildExit::default()
    })
}

const CHANGED_KEY: &str = "\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Offending ED25519 key in /home/u/.ssh/known_hosts:3
Host key for example.org has changed and you have requested strict checking.
Host key verification failed.";

#[test]
fn a_failure_of_ssh_itself_is_known_by_its_message() {
    let table: &[(LinkErrorKind, &str)] = &[
        (Unreachable, "ssh: connect to host example.org port 22: Connection refused"),
        (Unreachable, "ssh: connect to host example.org port 22: Connection timed out"),
        (Unreachable, "ssh: connect to host example.org port 22: Operation timed out"),
        (Unreachable, "ssh: connect to host example.org port 22: No route to host"),
        (Unreachable, "ssh: connect to host 10.0.0.1 port 22: Network is unreachable"),
        (Unreachable, "ssh: Could not resolve hostname nowhere: Name or service not known"),
        (Unreachable, "ssh: Could not resolve hostname x: Temporary failure in name resolution"),
        (
            Unreachable,
            "Connection timed out during banner exchange\nConnection to ::1 port 22 timed out",
        ),
        (Unreachable, "Connection to 192.0.2.1 port 22 timed out"),
        (
            Unreachable,
            "kex_exchange_identification: Connection closed by remote host\nConnection closed by 192.0.2.1 port 22",
        ),
        (
            Unreachable,
            "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 192.0.2.1 port 22",
        ),
        (Unreachable, "ssh_exchange_identification: Connection closed by remote host"),
        (Unreachable, "Connection closed by 192.0.2.1 port 22"),
        (Unreachable, "Not allowed at this time\nConnection closed by 192.0.2.1 port 22"),
        (
            Unreachable,
            "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
        ),
        (HostKey, "Host key verification failed."),
        (
            HostKey,
            "No ED25519 host key is known for example.org and you have requested strict checking.\nHost key verification failed.",
        ),
        (HostKey, CHANGED_KEY),
        (
            HostKey,
            "Host key verification failed.\nkex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535",
        ),
        (NeedsUser, "u@example.org: Permission denied (publickey)."),
        (NeedsUser, "u@example.org: Permission denied (publickey,keyboard-interactive)."),
        (
            NeedsUser,
            "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\nDisconnected from 192.0.2.1 port 22",
        ),
        (Refused, "exec request failed on channel 0"),
        (Refused, "channel 0: open failed: administratively prohibited: open failed"),
        (Closed, "Connection to example.org closed by remote host."),
        (Closed, "client_loop: send disconnect: Broken pipe"),
        (Closed, "client_loop: send disconnect: Connection timed out"),
        (
            Closed,
            "Read from remote host 192.0.2.1: Connection reset by peer\nConnection to 192.0.2.1 closed.",
        ),
        (Closed, "Timeout, server example.org not responding."),
        (
            Other,
            "Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa",
        ),
        (Other, "command-line: line 0: Bad configuration option: colour"),
        (Other, "ssh: connect failed: Permission denied"),
        (Other, ""),
    ];
    for (kind, stderr) in table {
        assert_eq!(judged(SSH_FAILED, stderr).kind, *kind, "{stderr}");
    }
}

#[test]
fn a_remote_command_that_cannot_run_is_known_by_its_status_or_its_shell() {
    let table: &[(LinkErrorKind, i32, &str)] = &[
        (ServerMissing, 127, "bash: line 1: rejoin-server: command not found"),
        (ServerMissing, 127, "fish: Unknown command: rejoin-server"),
        (ServerMissing, 127, ""),
        (
            ServerMissing,
            126,
            "bash: ./rejoin-server: cannot execute binary file: Exec format error",
        ),
        (ServerMissing, 1, "rejoin-server: Command not found."),
        (
            ServerMissing,
            1,
            "'rejoin-server' is not recognized as an internal or external command,\noperable program or batch file.",
        ),
        // What csh ends with.
        (ServerMissing, 0, "rejoin-server: Command not found."),
        (ServerMissing, 0, "rejoin finds no rejoin-server-0.1.0"),
        (Closed, 0, "fatal: unrecognized command 'rejoin-server attach'"),
        (Refused, 1, "This account is currently not available."),
        (Refused, 1, "This service allows sftp connections only."),
        (Refused, 128, "fatal: unrecognized command 'rejoin-server attach'"),
        (Closed, 0, ""),
        (Other, 1, "rejoin-server: cannot open the registry"),
        // The remote command's words are not taken for ssh's.
        (Other, 1, "Host key verification failed."),
    ];
    for (kind, code, stderr) in table {
        assert_eq!(judged(*code, stderr).kind, *kind, "{code} {stderr}");
    }
}

#[test]
fn after_bytes_have_arrived_no_message_says_that_the_host_was_not_reached() {
    for stderr in ["Connection reset by 192.0.2.1 port 22", "Host key verification failed.", ""] {
        let lines = stderr.lines().map(str::to_owned).collect();
        let evidence = ChildExit {
            status: Some(exited(SSH_FAILED)),
            lines,
            was_open: true,
            ..ChildExit::default()
        };
        assert_eq!(ssh(&evidence).kind, Closed, "{stderr}");
    }
}

#[test]
fn a_message_says_what_to_do() {
    let changed = judged(SSH_FAILED, CHANGED_KEY).message;
    assert!(changed.contains("has changed"), "{changed}");
    assert!(changed.contains("known_hosts:3"), "{changed}");
    let denied = judged(SSH_FAILED, "u@h: Permission denied (publickey).").message;
    assert_eq!(denied, "authentication needs you: u@h: Permission denied (publickey).");
    let missing = judged(127, "sh: 1: rejoin-server: not found").message;
    assert_eq!(missing, "the server program was not found (sh: 1: rejoin-server: not found)");
}

#[test]
fn an_unknown_failure_has_the_last_line_as_its_message_and_all_as_detail() {
    let error = judged(SSH_FAILED, "first\nlast");
    assert_eq!((error.kind, error.message.as_str()), (Other, "last"));
    assert_eq!(error.detail, ["first", "last"]);
}

#[test]
fn a_port_in_use_is_named_as_the_cause() {
    let said = "bind [127.0.0.1]:80: Address already in use\n\
        channel_setup_fwd_listener_tcpip: cannot listen to port: 80\n\
        Could not request local forwarding.";
    assert_eq!(
        judged(255, said).message,
        "bind [127.0.0.1]:80: Address already in use: Could not request local forwarding."
    );
}

#[test]
fn a_signal_and_an_ssh_that_had_to_be_stopped_are_a_closed_link() {
    for status in [Some(ExitStatus::from_raw(9)), None] {
        let evidence = ChildExit {
            status,
            lines: Vec::new(),
            greeting: Vec::new(),
            was_open: false,
            ..ChildExit::default()
        };
        assert_eq!(ssh(&evidence).kind, Closed);
    }
}

#[test]
fn a_hardware_key_that_waits_for_a_touch_needs_the_user() {
    let lines = vec!["Confirm user presence for key ED25519-SK SHA256:abc".to_owned()];
    assert_eq!(
        ssh(&ChildExit {
            status: None,
            lines,
            greeting: Vec::new(),
            was_open: false,
            ..ChildExit::default()
        })
        .kind,
        NeedsUser
    );
}

#[test]
fn a_local_command_has_no_failures_of_ssh() {
    let lines = vec!["Host key verification failed.".to_owned()];
    let evidence = ChildExit {
        status: Some(exited(SSH_FAILED)),
        lines,
        greeting: Vec::new(),
        was_open: false,
        ..ChildExit::default()
    };
    assert_eq!(command(&evidence).kind, Other);
}

#[test]
fn quotes_a_refusal_on_stdout() {
    let judged = |greeting: &str, stderr: &str| {
        let [greeting, lines] = [greeting, stderr].map(|text| text.lines().map(str::to_owned));
        let (greeting, lines) = (greeting.collect(), lines.collect());
        ssh(&ChildExit {
            status: Some(exited(1)),
            lines,
            greeting,
            was_open: true,
            ..ChildExit::default()
        })
    };
    for told in
        ["This account is currently not available.", "This service allows sftp connections only."]
    {
        let error = judged(told, "");
        let message = format!("this account is not allowed to run the server program: {told}");
        assert_eq!((error.kind, error.message), (Refused, message));
    }
    let message = |greeting, stderr| judged(greeting, stderr).message;
    assert!(message("Welcome!", "").ends_with("status 1 (Welcome!)"));
    assert!(message("Welcome!", "no").ends_with("status 1 (no)"));
    let restricted = "rbash: line 1: /a/b: restricted: cannot specify `/' in command names";
    assert_eq!(judged("", restricted).kind, Refused);
}

#[test]
fn reports_arguments_that_ssh_does_not_accept_without_its_usage() {
    let usage = "usage: ssh [-46AaCfGgKkMNnqsTtVvXxYy] [-B bind_interface]\n           [-w tun]";
    let error = judged(255, usage);
    assert_eq!(error.kind, BadArguments);
    let told = "ssh rejected its arguments; check the destination and the options";
    assert_eq!(error.message, told);
    let error = judged(255, &format!("unknown option -- P\n{usage}"));
    assert!(error.message.contains("arguments (unknown option -- P);"), "{}", error.message);
}
