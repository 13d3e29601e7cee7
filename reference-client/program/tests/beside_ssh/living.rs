//! What cannot be a row: runs that are signalled, cut, or left in the background.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rejoin_testing::{Pid, Signal, SshdBuilder, make_program};
use rustix::process::kill_process;

use crate::program::{Outcome, run};
use crate::row::{Row, row};
use crate::stage::Stage;
use crate::wait::{until, until_some};

/// A run that goes on. Dropping it kills it.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Its status, and all that it has said on stdout and stderr.
    #[track_caller]
    fn end(&mut self) -> (i32, String, String) {
        drop(self.0.stdin.take());
        let status = until_some("it ends", || self.0.try_wait().unwrap());
        let (mut out, mut err) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap()), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that leads to the sshd, as soon as a forwarding is there.
struct Forwarded(u16);

impl Forwarded {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
    }

    fn add_to(&self, command: &mut Command, stage: &Stage) {
        let (from, to) = (self.0, stage.sshd.addr().port());
        command.args(["-N", "-L", &format!("127.0.0.1:{from}:127.0.0.1:{to}")]);
        // ssh warns of it.
        command.args(["-i", "/nonexistent/key"]);
    }

    #[track_caller]
    fn until_open(&self) {
        until("the port leads to the sshd", || {
            let mut greeting = [0; 4];
            TcpStream::connect(("127.0.0.1", self.0))
                .and_then(|mut stream| stream.read_exact(&mut greeting))
                .is_ok_and(|()| greeting == *b"SSH-")
        });
    }
}

/// One of the two, which forwards a port and runs nothing.
fn tunnel(stage: &Stage, program: &Path, own: &[&str], port: &Forwarded) -> Running {
    let folder = stage.folder(&row("a tunnel"));
    let mut command = Command::new(program);
    command.args(own).arg("-F").arg(folder.join("config"));
    port.add_to(&mut command, stage);
    command.arg("lab").env_remove("SSH_AUTH_SOCK");
    Running::start(command)
}

fn rejoin_tunnel(stage: &Stage, port: &Forwarded) -> Running {
    let server = crate::programs::rejoin_server().display().to_string();
    tunnel(stage, crate::programs::rejoin(), &["--server", &server], port)
}

/// Whether the host has a session, to which its client is attached.
fn is_attached(stage: &Stage) -> bool {
    stage.sessions().iter().any(|session| session["state"] == "attached")
}

#[test]
fn a_tunnel_comes_back_and_leaves_nothing_on_the_host() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let (stage, port) = (Stage::start(), Forwarded::new());
    let mut tunnel = rejoin_tunnel(&stage, &port);
    port.until_open();
    // A first connection that fails is the end, as of ssh.
    until("the session is attached", || is_attached(&stage));
    for _ in 0..2 {
        until("a connection is cut", || stage.sshd.kill_sessions(Signal::KILL).unwrap() > 0);
        port.until_open();
    }
    until("the session is attached again", || is_attached(&stage));
    tunnel.signal(Signal::TERM);
    assert_eq!(tunnel.end().0, 0);
    until("the session is gone", || stage.sessions().is_empty());
}

#[test]
fn a_tunnel_that_is_signalled_ends_as_ssh_does() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::start();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let port = Forwarded::new();
        let mut ssh = tunnel(&stage, Path::new("ssh"), &[], &port);
        port.until_open();
        ssh.signal(signal);
        let ssh = ssh.end();
        let mut rejoin = rejoin_tunnel(&stage, &port);
        port.until_open();
        until("the session is attached", || is_attached(&stage));
        rejoin.signal(signal);
        assert_eq!(rejoin.end(), ssh, "{signal:?}");
    }
}

#[test]
fn a_host_that_runs_no_programs_has_ssh_keep_the_tunnel() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::with(|sshd: SshdBuilder| sshd.force_command("/bin/false"));
    let port = Forwarded::new();
    // Without a word about the server program, rejoin finds out what the host lets it do.
    let mut rejoin = tunnel(&stage, crate::programs::rejoin(), &[], &port);
    port.until_open();
    until("ssh has taken over", || {
        fs::read(format!("/proc/{}/cmdline", rejoin.0.id())).unwrap().starts_with(b"ssh\0")
    });
    port.until_open();
    rejoin.signal(Signal::INT);
    let (status, _, said) = rejoin.end();
    assert_eq!(status, 255);
    assert!(said.contains("ssh -N takes over"), "{said}");
}

#[test]
fn a_run_in_the_background_leaves_its_terminal_when_the_process_runs() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::start();
    let go = stage.sshd.home().join("go");
    let wait =
        format!("echo begun; while [ ! -e {} ]; do sleep 0.02; done; echo end", go.display());
    let wait: &'static str = wait.leak();
    for is_configured in [false, true] {
        let row = row("in the background").command(wait);
        let row = if is_configured {
            row.config("ForkAfterAuthentication yes")
        } else {
            row.options(["-f"])
        };
        let mut first = Running::start(stage.rejoin(&row));
        let status = until_some("the first one ends", || first.0.try_wait().unwrap());
        assert!(status.success());
        let second = until_some("the second one is in a session of its own", background);
        assert_ne!(second, first.0.id());
        fs::write(&go, "").unwrap();
        assert_eq!(first.end().1, "begun\nend\n");
        fs::remove_file(&go).unwrap();
        until("the second one has ended", || !Path::new(&format!("/proc/{second}")).exists());
    }
}

/// The process of this test's that went to the background, if it leads a session.
fn background() -> Option<u32> {
    let folders = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let file = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = file("stat");
        // Behind the name in parentheses: the state, the parent, the group, the session.
        let session =
            stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(3)?.parse().ok());
        file("cmdline").contains("\0__background\0")
            && file("cmdline").contains("; echo end")
            && session == Some(*pid)
    })
}

#[test]
fn a_local_command_is_run_once_however_often_the_connection_is_made() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::start();
    let row = row("a local command")
        .config("PermitLocalCommand yes\nLocalCommand echo %n >> {dir}/ran")
        .command("read a; echo $a; read b; echo $b");
    let (command, folder) = stage.rejoin_in(&row);
    let mut running = Running::start(command);
    let mut stdin = running.0.stdin.take().unwrap();
    let mut line = [0; 4];
    stdin.write_all(b"one\n").unwrap();
    running.0.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(fs::read_to_string(folder.join("ran")).unwrap(), "lab\n");
    until("the connection is cut", || stage.sshd.kill_sessions(Signal::KILL).unwrap() > 0);
    stdin.write_all(b"two\n").unwrap();
    assert_eq!(running.end().1, "two\n");
    assert_eq!(fs::read_to_string(folder.join("ran")).unwrap(), "lab\n");
}

#[test]
fn a_program_that_tells_no_configuration_is_reported() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::start();
    let row = row("another program").config("RemoteCommand echo not seen").command("echo hi");
    let (mut command, folder) = stage.rejoin_in(&row);
    let other = folder.join("other");
    let script = "#!/bin/sh\ncase \" $* \" in *' -G '*) exit 1 ;; esac\nexec ssh \"$@\"\n";
    make_program(&other, script).unwrap();
    command = with_option(&command, "--ssh", &other);
    let Outcome { status, stdout, stderr } = run(command, &row.stdin);
    assert_eq!((status, stdout.as_str()), (Some(0), "hi\n"));
    assert!(stderr.contains("only the options of the command line count"), "{stderr}");
}

/// The same command with one more option in front.
fn with_option(command: &Command, name: &str, value: &Path) -> Command {
    let mut changed = Command::new(command.get_program());
    changed.arg(name).arg(value).args(command.get_args());
    changed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    changed.env_remove("SSH_AUTH_SOCK");
    changed
}

#[test]
fn rejoin_under_the_name_of_ssh_never_starts_itself_without_end() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let stage = Stage::start();
    let rejoin = crate::programs::rejoin().display();
    let looped = "the ssh in PATH is rejoin";
    let link = |path: &Path| std::os::unix::fs::symlink(crate::programs::rejoin(), path).unwrap();
    let script = |path: &Path, exec| {
        make_program(path, format!("#!/bin/sh\n{exec} '{rejoin}' \"$@\"\n")).unwrap();
    };
    let run_as = |name: &str, words: &[&'static str], make: &dyn Fn(&Path)| {
        let folder: PathBuf = stage.folder(&row("a name"));
        let folder = folder.join(name);
        fs::create_dir(&folder).unwrap();
        make(&folder.join("ssh"));
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut command = stage.rejoin(&Row { command: words.to_vec(), ..row("a name") });
        command.env("PATH", path);
        run(command, &row("nothing").stdin)
    };
    let Outcome { status, stdout, .. } = run_as("link", &["echo", "hi"], &link);
    assert_eq!((status, stdout.as_str()), (Some(0), "hi\n"));
    for (name, exec) in [("becomes", "exec"), ("runs", "")] {
        let make = |path: &Path| script(path, exec);
        let Outcome { status, stderr, .. } = run_as(name, &["echo", "hi"], &make);
        assert_eq!(status, Some(255), "{name}");
        assert!(stderr.contains(looped), "{name}: {stderr}");
    }
}
