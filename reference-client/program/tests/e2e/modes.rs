//! The modes of the user's terminal, beside ssh: what a program finds in its terminal is the same.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

use crate::support::{Host, Terminal, rejoin, rejoin_server};

/// What `stty` is to change in a new terminal before it is used.
const CHANGES: [&str; 13] = [
    "sane",
    "erase ^H intr ^X",
    "iutf8",
    "-iutf8 ixany",
    "-ixon",
    "9600",
    "-echo -echoe -echok echonl",
    "tab3 -onlcr ocrnl",
    "intr undef eol ^F eol2 ^G swtch ^N lnext ^Z discard ^_ werase ^Y rprnt ^V",
    "quit ^A kill ^B eof ^E start ^P stop ^R susp ^T",
    "ignpar parmrk inpck istrip inlcr igncr -icrnl iuclc ixoff imaxbel brkint",
    "noflsh xcase tostop echoprt -echoctl -echoke -icanon -isig -iexten",
    "-opost olcuc onocr onlret parodd hupcl clocal",
];

/// The programs to compare, with options.
fn programs(options: &[&'static str]) -> [Vec<OsString>; 2] {
    let server = rejoin_server().as_os_str();
    let ssh = vec!["ssh".as_ref()];
    let ours = vec![rejoin().as_os_str(), "--server".as_ref(), server];
    [ssh, ours].map(|words: Vec<&OsStr>| {
        words.into_iter().chain(options.iter().map(OsStr::new)).map(OsStr::to_owned).collect()
    })
}

/// What a command shows in a terminal that `stty` has changed so.
fn shown(host: &Host, change: &str, program: &[OsString], remote: &str, has_input: bool) -> String {
    let (mut person, line) = Terminal::open();
    person.resize(33, 77);
    let changed =
        Command::new("stty").args(change.split(' ')).stdin(line.try_clone().unwrap()).status();
    assert!(changed.unwrap().success(), "{change}");
    let mut command = Command::new("setsid");
    command.arg("--wait").stdin(Stdio::null()).stdout(line.try_clone().unwrap());
    if has_input {
        command.arg("--ctty").stdin(line.try_clone().unwrap());
    }
    command.args(program).args(host.options()).arg(host.name()).arg(remote);
    command.stderr(Stdio::null()).env("HOME", host.home()).env_remove("SSH_AUTH_SOCK");
    let mut child = command.spawn().unwrap();
    // The last copies of the terminal's other side are then the program's own.
    drop((command, line));
    let shown = person.until_closed();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{change}: {shown}");
    shown
}

#[test]
fn a_program_finds_the_modes_of_the_users_terminal_as_through_ssh() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "setsid", "stty");
    let host = Host::start();
    let programs = programs(&["-tt"]);
    let mut seen = Vec::new();
    for change in CHANGES {
        let [ssh, ours] =
            programs.each_ref().map(|words| shown(&host, change, words, "stty -a", true));
        assert!(ssh.contains("rows 33; columns 77;"), "{ssh}");
        assert_eq!(ours, ssh, "{change}");
        assert!(!seen.contains(&ssh), "{change} makes no difference");
        seen.push(ssh);
    }
}

#[test]
fn a_forced_terminal_has_the_modes_that_it_has_through_ssh() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "setsid", "stty");
    let host = Host::start();
    // The size is another matter: rejoin also asks stdout for it.
    let remote = "stty -a | sed 1d";
    for (options, has_input, erase) in [(&["-tt"][..], false, "^?"), (&["-tt", "-n"], true, "^H")] {
        let [ssh, ours] = programs(options).map(|words| {
            shown(&host, "erase ^H iutf8 -ixon", &words, remote, has_input).replace('\r', "")
        });
        assert!(ssh.contains(&format!("erase = {erase};")), "{ssh}");
        assert_eq!(ours, ssh, "{options:?}");
    }
}
