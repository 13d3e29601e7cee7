//! What a process puts into the background lives as long as it would under sshd, and no longer than its
//! session where somebody ends that.

use rejoin_testing::Signal;

use crate::support::{Host, is_alive, kill, until};

/// Starts something in the background that writes down its number in the home folder.
fn in_background(launcher: &str, name: &str) -> String {
    format!(
        "{launcher} sh -c 'echo $$ > ~/{name}.new; mv ~/{name}.new ~/{name}; exec sleep 1000' \
         > /dev/null 2>&1 < /dev/null & until [ -e ~/{name} ]; do sleep 0.01; done; "
    )
}

fn pid(host: &Host, name: &str) -> i32 {
    let text = std::fs::read_to_string(host.home().join(name)).unwrap();
    text.trim().parse().unwrap()
}

fn put_down(pids: &[i32]) {
    for pid in pids {
        kill(*pid, Signal::KILL);
    }
    until("they are gone", || !pids.iter().any(|pid| is_alive(*pid)));
}

#[test]
fn daemons_and_what_ignores_hangups_outlive_an_orderly_end() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for option in ["-T", "-tt"] {
        let names = ["daemon", "ignorant"].map(|name| format!("{name}{option}"));
        let starts = [in_background("setsid", &names[0]), in_background("nohup", &names[1])];
        let mut client = host.plan().with([option]).run(&format!("{}exit 3", starts.concat()));
        assert_eq!(client.status(), 3);
        until("the session is forgotten", || host.has_only_tombstones());
        let pids = names.map(|name| pid(&host, &name));
        assert!(pids.iter().all(|pid| is_alive(*pid)), "{option}");
        put_down(&pids);
    }
}

#[test]
fn a_tmux_server_outlives_the_session_that_started_it() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "tmux");
    let host = Host::start();
    let tmux = "env -u TMUX tmux -S ~/tmux";
    let words = format!("{tmux} new -d 'echo $$ > ~/pane; exec sleep 1000'; exit 0");
    let mut client = host.plan().with(["-tt"]).run(&words);
    assert_eq!(client.status(), 0);
    until("the session is forgotten", || host.has_only_tombstones());
    let mut again = host.plan().run(&format!("{tmux} display-message -p -t 0 '#{{pane_pid}}'"));
    let (status, told) = again.finish();
    assert_eq!(
        (status, String::from_utf8(told).unwrap()),
        (0, format!("{}\n", pid(&host, "pane")))
    );
    assert_eq!(host.plan().run(&format!("{tmux} kill-server")).status(), 0);
}

#[test]
fn a_session_that_is_killed_ends_its_daemons_and_says_how_many_processes_that_were() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client =
        host.plan().run(&format!("{}echo there; exec cat", in_background("setsid", "daemon")));
    client.line(1);
    let session = client.session();
    let (status, told) = host.plan().subcommand("kill").run(&session).finish();
    assert_eq!(status, 0);
    let told = String::from_utf8(told).unwrap();
    assert_eq!(told, format!("{} ended (2 processes)\n", &session[..8]));
    assert!(!is_alive(pid(&host, "daemon")));
    client.status();
}

#[test]
fn a_replacement_ends_what_the_lost_process_left_and_no_daemon() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let starts = [in_background("setsid", "daemon"), in_background("", "member")].concat();
    let words = format!("[ -e ~/member ] || {{ {starts} }}; echo there; exec cat");
    let mut client = host.plan().with(["--on-loss", "respawn"]).run(&words);
    client.line(1);
    let (daemon, member) = (pid(&host, "daemon"), pid(&host, "member"));
    host.kill_server();
    client.nth_event("attached", 2);
    assert!(!is_alive(member) && is_alive(daemon));
    assert_eq!(client.finish().0, 0);
    assert!(is_alive(daemon));
    put_down(&[daemon]);
}
