//! The environment of a session, beside ssh: it starts from what sshd gave, whatever the files of the
//! login shell that connects have exported.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rejoin_testing::can_change_login_shells;

use crate::deploy::ServerStore;
use crate::support::{Host, rejoin, rejoin_server};

/// Sets itself up once, as scripts of Nix and others do, and counts how often it is read.
const POSIX: &str = "export READ=x$READ\n\
    [ -n \"$IS_SET_UP\" ] || PATH=$HOME/tools:$PATH\nexport IS_SET_UP=1 PATH\n";
const FISH: &str = "set -gx READ \"x$READ\"\n\
    set -q IS_SET_UP; or set -gx PATH $HOME/tools $PATH\nset -gx IS_SET_UP 1\n";
const CSH: &str = "if ( ! $?READ ) setenv READ ''\nsetenv READ x$READ\n\
    if ( ! $?IS_SET_UP ) setenv PATH $HOME/tools:$PATH\nsetenv IS_SET_UP 1\n";

/// Files that shells read, each by its name in the home folder.
const FILES: [(&str, &str); 6] = [
    (".bashrc", POSIX),
    (".bash_profile", ". ~/.bashrc\n"),
    (".profile", POSIX),
    (".zshenv", POSIX),
    // Without one, zsh has questions.
    (".zshrc", ""),
    (".cshrc", CSH),
];

/// What may differ: ports, the terminal, and what names the session. A shell notes in `_` what it ran.
/// sshd starts the shell in the user's real home folder, and rejoin in the one that `HOME` names, which
/// is another one only here.
fn may_differ(name: &str) -> bool {
    let names = ["SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "_", "PWD", "OLDPWD"];
    names.contains(&name) || name.starts_with("REJOIN_")
}

type Variables = BTreeMap<String, String>;

/// The environment that a command sees (or what is typed into a login shell) through a program.
fn seen(host: &Host, program: &Command, is_login: bool) -> Variables {
    let file = host.home().join("seen");
    let mut command = Command::new(program.get_program());
    command.args(program.get_args()).args(is_login.then_some("-tt"));
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.args(host.options()).arg(host.name()).env("HOME", host.home());
    command.env_remove("SSH_AUTH_SOCK").env("TERM", "dumb").stdin(Stdio::piped());
    let line = format!("env >{}", file.display());
    if !is_login {
        command.arg(&line);
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    if is_login {
        write!(input, "{line}\nexit\n").unwrap();
    } else {
        drop(input);
    }
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    let variables = text.lines().filter_map(|line| line.split_once('='));
    let kept = variables.filter(|(name, _)| !may_differ(name));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn host_with(shell: &str) -> Host {
    let host = Host::with(|sshd| sshd.login_shell(shell));
    for (name, text) in FILES {
        fs::write(host.home().join(name), text).unwrap();
    }
    fs::create_dir_all(host.home().join(".config/fish")).unwrap();
    fs::write(host.home().join(".config/fish/config.fish"), FISH).unwrap();
    host
}

#[test]
fn a_session_has_the_environment_that_it_has_through_ssh() {
    rejoin_testing::needs!("ssh", "sshd", "ps", "bash", "dash", "zsh", "fish", "tcsh");
    if !can_change_login_shells() {
        return;
    }
    for shell in ["bash", "dash", "zsh", "fish", "tcsh"] {
        let host = host_with(&format!("/bin/{shell}"));
        let shelf = ServerStore::new(&host);
        let (mut ours, mut deployed) = (Command::new(rejoin()), Command::new(rejoin()));
        ours.arg("--server").arg(rejoin_server());
        deployed.env("REJOIN_SERVERS", &shelf.0);
        for is_login in [false, true] {
            let [ssh, ours, deployed] = [&Command::new("ssh"), &ours, &deployed]
                .map(|program| seen(&host, program, is_login));
            assert_eq!(ssh["SHELL"], format!("/bin/{shell}"));
            assert!(ssh["MAIL"].ends_with(&format!("/{}", ssh["USER"])), "{ssh:?}");
            // dash reads a file at a login only.
            let is_read = is_login || shell != "dash";
            assert_eq!(ssh.get("READ").map(String::as_str), is_read.then_some("x"), "{shell}");
            assert_eq!(ours, ssh, "{shell}, login shell: {is_login}");
            assert_eq!(deployed, ssh, "{shell}, login shell: {is_login}, deployed");
        }
    }
}
