//! Settings that decide what is run: in the configuration file, and as options.

use crate::row::{Row, row};

const LOGIN: &str = "echo from the shell; exit 4\n";

pub(super) fn rows() -> Vec<Row> {
    [remote_command(), stdin_and_background(), session_type(), local_command(), forwarding()]
        .concat()
}

fn remote_command() -> Vec<Row> {
    vec![
        row("RemoteCommand runs, and its status counts").config("RemoteCommand echo hi; exit 5"),
        row("RemoteCommand expands %n %p %h %r").config("RemoteCommand echo %n %p %h %r"),
        row("RemoteCommand expands %C %d %i").config("RemoteCommand echo %C %d %i"),
        row("RemoteCommand expands %k %L %l %u %%").config("RemoteCommand echo %k %L %l %u %%"),
        // Known from 9.6 on.
        row("RemoteCommand with %j").config("RemoteCommand echo [%j]"),
        row("RemoteCommand with an unknown token").config("RemoteCommand echo %Z"),
        row("RemoteCommand leaves variables to the host")
            .config("RemoteCommand echo $HOME ${X:-x}"),
        row("RemoteCommand with quotes").config("RemoteCommand \"echo\" 'a  b' \"c  d\" # e"),
        row("RemoteCommand and a command").config("RemoteCommand echo a").command("echo b"),
        row("RemoteCommand none and a command")
            .config("RemoteCommand none")
            .command("echo b; exit 2"),
        row("RemoteCommand none alone").config("RemoteCommand none").stdin(LOGIN),
        row("RemoteCommand as an option expands").options(["-oRemoteCommand=echo %h %n"]),
        row("RemoteCommand as an option wins")
            .config("RemoteCommand echo file")
            .options(["-oRemoteCommand=echo option"]),
        row("RemoteCommand none as an option turns it off")
            .config("RemoteCommand echo file")
            .options(["-o", "RemoteCommand none"])
            .command("echo typed"),
        row("RemoteCommand reads stdin").config("RemoteCommand tr a-z A-Z").stdin("text\n"),
        row("RemoteCommand of a Match block")
            .head("Match originalhost lab exec true\n RemoteCommand echo matched"),
        row("Match exec is false")
            .head("Match exec false\n RemoteCommand echo no")
            .command("echo y"),
        row("RemoteCommand from an included file")
            .config("Include {config}.more")
            .command("echo y"),
    ]
}

fn stdin_and_background() -> Vec<Row> {
    vec![
        row("StdinNull yes").config("StdinNull yes").command("cat; echo done").stdin("lost\n"),
        row("StdinNull no").config("StdinNull no").command("cat").stdin("kept\n"),
        row("StdinNull true as an option")
            .options(["-oStdinNull=true"])
            .command("wc -c")
            .stdin("x"),
        row("StdinNull bogus").options(["-oStdinNull=bogus"]).command("true"),
        row("-n").options(["-n"]).command("cat; echo done").stdin("lost\n"),
        row("StdinNull and a login shell").config("StdinNull yes").stdin(LOGIN),
        row("-f goes to the background")
            .options(["-f"])
            .command("cat; sleep 0.2; echo later; exit 3")
            .stdin("lost\n"),
        row("-f without a command").options(["-f"]),
        row("ForkAfterAuthentication yes")
            .config("ForkAfterAuthentication yes")
            .command("echo later; exit 3"),
        row("ForkAfterAuthentication true as an option")
            .options(["-oForkAfterAuthentication=true"])
            .command("echo later"),
        row("ForkAfterAuthentication without a command").config("ForkAfterAuthentication yes"),
        row("ForkAfterAuthentication with a RemoteCommand")
            .config("ForkAfterAuthentication yes\nRemoteCommand echo later"),
        row("-f and a login that is refused")
            .options(["-f", "-oPubkeyAuthentication=no"])
            .command("true")
            .differs("rejoin says what a person has to do")
            .says("authentication needs you: "),
    ]
}

fn session_type() -> Vec<Row> {
    vec![
        row("SessionType default").config("SessionType default").command("echo hi"),
        row("SessionType bogus").config("SessionType bogus").command("echo hi"),
        row("SessionType subsystem").config("SessionType subsystem").command("sftp"),
        row("SessionType subsystem and a RemoteCommand")
            .config("SessionType subsystem\nRemoteCommand sftp"),
        row("SessionType subsystem without a command").config("SessionType subsystem").stdin(LOGIN),
        row("-s").options(["-s"]).command("sftp"),
        row("-s without a command").options(["-s"]),
        row("-s and a subsystem that is not there")
            .options(["-s"])
            .command("nosuch")
            .differs("a process that cannot be started has the status 127, as from a shell")
            .status(127)
            .says("this host knows no subsystem nosuch"),
        row("-N and -s").options(["-N", "-s"]).command("sftp"),
        row("SessionType none and -s").config("SessionType none").options(["-s"]).command("sftp"),
    ]
}

fn local_command() -> Vec<Row> {
    let local = |name| row(name).command("echo remote");
    vec![
        local("LocalCommand runs first, with its tokens expanded").config(
            "PermitLocalCommand yes\nLocalCommand echo %n %p %h %r %T %%T %k %L; echo err >&2",
        ),
        local("LocalCommand is not permitted").config("LocalCommand echo local"),
        local("PermitLocalCommand alone").config("PermitLocalCommand yes"),
        local("LocalCommand as an option")
            .options(["-oPermitLocalCommand=true", "-oLocalCommand=echo local"]),
        local("LocalCommand fails").config("PermitLocalCommand yes\nLocalCommand exit 9"),
        local("LocalCommand with an unknown token")
            .config("PermitLocalCommand yes\nLocalCommand echo %Z")
            .differs("rejoin finds out before it connects, and says of which setting it is")
            .says("LocalCommand: "),
        row("LocalCommand shares stdin")
            .config("PermitLocalCommand yes\nLocalCommand read line; echo local $line")
            .command("cat")
            .stdin("first\n"),
        row("LocalCommand and StdinNull")
            .config("PermitLocalCommand yes\nLocalCommand cat\nStdinNull yes")
            .command("cat; echo done")
            .stdin("line\n"),
        local("LocalCommand is not run where the login is refused")
            .config("PermitLocalCommand yes\nLocalCommand echo local\nPubkeyAuthentication no")
            .differs("rejoin says what a person has to do")
            .says("authentication needs you: "),
    ]
}

fn forwarding() -> Vec<Row> {
    let local = "127.0.0.1:{busy}:127.0.0.1:1";
    vec![
        row("a port in use is a warning").options(["-L", local]).command("echo ran"),
        row("ExitOnForwardFailure and a port in use")
            .config("ExitOnForwardFailure yes")
            .options(["-L", local])
            .command("echo ran")
            .differs("rejoin says in one line what ssh says in three")
            .says("Address already in use: Could not request local forwarding."),
        row("ExitOnForwardFailure as an option, and the host's port in use")
            .options(["-oExitOnForwardFailure=yes", "-R", local])
            .command("echo ran")
            .differs("each line of rejoin's own begins with its name")
            .says("rejoin: Error: remote port forwarding failed for listen port"),
        row("ExitOnForwardFailure, -N, and a port in use")
            .options(["-oExitOnForwardFailure=yes", "-N", "-L", local])
            .differs("rejoin says in one line what ssh says in three")
            .says("Could not request local forwarding."),
        row("ExitOnForwardFailure and a port that is free")
            .config("ExitOnForwardFailure yes\nLocalForward 127.0.0.1:0 127.0.0.1:1")
            .command("echo ran"),
    ]
}
