//! What a command gets, and what is got of it.

use crate::row::{Row, row};

const NEEDS_THE_SHELL: &str =
    "the login shell has to start the server program with the connection as its streams";

pub(super) fn rows() -> Vec<Row> {
    [statuses(), streams(), words(), environment(), rc_files()].concat()
}

fn statuses() -> Vec<Row> {
    vec![
        row("status 0").command("true"),
        row("status 1").command("false"),
        row("status 42").command("exit 42"),
        row("status 255").command("exit 255"),
        row("a program that is not there").command("/nonexistent/program"),
        row("a program that cannot be run").command("/etc/passwd"),
        row("a syntax error").command("echo '"),
        row("a login shell and its status").stdin("echo hi\nexit 9\n"),
        row("a login shell at the end of input").stdin("false\n"),
        row("a shell that ends by a signal")
            .command("kill -9 $$")
            .differs("128 and the signal's number, as from a shell, where ssh has 255 for all")
            .status(137),
        row("a program that ends by a signal").command("(sh -c 'kill -9 $$'; exit $?) 2>/dev/null"),
    ]
}

fn streams() -> Vec<Row> {
    let million = vec![b'x'; 1_000_000];
    vec![
        row("stdout").command("echo out"),
        row("stderr").command("echo err >&2"),
        row("stdout and stderr are apart").command("echo out; echo err >&2; echo more"),
        row("no newline at the end").command("printf text"),
        row("no output").command(":"),
        row("bytes that are no text").command("printf '\\377\\000\\001~.\\r'"),
        row("much output").command("head -c 3000000 /dev/zero | tr '\\0' y"),
        row("much output on stderr").command("head -c 300000 /dev/zero | tr '\\0' y | fold >&2"),
        row("stdin").command("cat").stdin("a line\nno newline"),
        row("much stdin").command("wc -c").stdin(million.clone()),
        row("stdin that nobody reads").command("echo done").stdin(million.clone()),
        row("stdin of which a part is read").command("head -c 3").stdin("abcdef"),
        row("the end of stdin").command("cat >/dev/null; echo end"),
        row("much in both directions").command("cat").stdin(million),
        row("stdout is closed early").command("echo hi; exec >&-; exit 3"),
        row("what stays in the background with the output")
            .command("(sleep 0.3; echo late) & echo now"),
    ]
}

fn words() -> Vec<Row> {
    vec![
        row("words are joined").words(["echo", "a", "b  c"]),
        row("words are the shell's").words(["echo", "$((1+2))", "'x  y'", "|", "cat"]),
        row("an empty word").words(["echo", "", "x"]),
        row("an empty command").words([""]).stdin("echo shell\n"),
        row("options behind the host are the command's").words(["echo", "-n", "-v"]),
        row("-- in front of the host").options(["--"]).command("echo hi"),
        row("lines").command("echo a\necho b"),
        row("a long command").command(LONG),
        row("options behind the host").words(["-T", "-n", "cat"]).stdin("lost\n"),
    ]
}

const LONG: &str = concat!(
    "printf %s 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890 | wc -c"
);

fn environment() -> Vec<Row> {
    let shown = |name, command| row(name).command(command);
    vec![
        shown("HOME", "echo $HOME ~"),
        shown("USER, LOGNAME and SHELL", "echo $USER $LOGNAME $SHELL"),
        shown("PATH", "echo $PATH"),
        shown("umask", "umask"),
        shown("limits", "ulimit -n; ulimit -c"),
        shown("SSH_CONNECTION", "echo ${SSH_CONNECTION%% *} ${SSH_CONNECTION##* }"),
        shown("no SSH_TTY without a terminal", "echo [$SSH_TTY]"),
        shown("SSH_TTY with one", "test $SSH_TTY = $(tty) && echo same").options(["-tt"]),
        shown("SetEnv", "echo $REJOIN_A").config("SetEnv REJOIN_A=x"),
        shown("SetEnv as an option", "echo $LANG").options(["-oSetEnv=LANG=xx"]),
        shown("SetEnv that the host does not accept", "echo [$OTHER]").config("SetEnv OTHER=x"),
        shown("SendEnv", "echo $LC_NAME").config("SendEnv LC_*").environment("LC_NAME", "zz"),
        shown("no SendEnv", "echo [$LC_NAME]").environment("LC_NAME", "zz"),
        shown("TERM without a terminal", "echo [$TERM]"),
        // Of those that the sshd of the tests may have been started to ignore.
        shown("signals are not ignored", "grep SigIgn /proc/self/status | tail -c 8"),
        shown("descriptors", "ls /proc/self/fd | wc -l"),
    ]
}

fn rc_files() -> Vec<Row> {
    vec![
        row("rc: a variable").rc("export FROM_RC=1").command("echo [$FROM_RC]"),
        row("rc: a folder").rc("cd /tmp").command("pwd"),
        row("rc: umask").rc("umask 077").command("umask"),
        row("rc: words on stdout").rc("echo noise").command("echo hi"),
        row("rc: words on stderr").rc("echo noise >&2").command("echo hi"),
        row("rc: words on stderr that the command says as well")
            .rc("echo a >&2; echo b >&2")
            .command("echo a >&2; echo b >&2; echo c >&2"),
        row("rc: blank lines on stderr")
            .rc("printf 'a\\n\\n\\nb\\n\\n' >&2")
            .command("echo hi; echo b >&2"),
        row("rc: words on stderr, with a terminal there")
            .rc("echo noise >&2")
            .options(["-tt"])
            .command("echo hi")
            .differs("the shell that starts the server program has no terminal")
            .stderr("noise\n"),
        row("rc: words on stderr of a command, and a login shell, which reads another file")
            .rc("echo noise >&2")
            .stdin("echo hi")
            .differs("the shell that starts the server program runs a command")
            .stderr(
                "Pseudo-terminal will not be allocated because stdin is not a terminal.\nnoise\n",
            ),
        row("rc: stdin is elsewhere")
            .rc("exec </dev/null")
            .command("echo hi")
            .differs(NEEDS_THE_SHELL)
            .status(255)
            .stdout("")
            .says("standard input is not the connection"),
        row("rc: few files may be open")
            .rc("ulimit -n 6")
            .command("echo hi")
            .differs(NEEDS_THE_SHELL)
            .status(255)
            .stdout("")
            .says("only 6 files may be open here, and 32 are needed"),
        row("rc: the shell ends")
            .rc("exit 3")
            .command("echo hi")
            .differs(NEEDS_THE_SHELL)
            .status(255)
            .says("ended with status 3"),
        row("rc: PATH leads nowhere").rc("PATH=/nonexistent").command("echo $PATH"),
        row("rc: an alias").rc("alias ll='echo ll'").command("type ll >/dev/null 2>&1; echo $?"),
        row("rc: a function").rc("f() { echo f; }").command("f"),
    ]
}
