//! Who gets a terminal, and what keys do in it.

use crate::row::{Row, row};

const IS_ONE: &str = "test -t 0 && echo tty || echo none";
/// The pause is for the terminal here, which is made raw beside what is shown.
const READY: &str = "stty -echo; sleep 0.3; echo ready; read line; echo [$line]";

pub(super) fn rows() -> Vec<Row> {
    [without_one_here(), with_one_here(), keys()].concat()
}

fn without_one_here() -> Vec<Row> {
    vec![
        row("no terminal for a command").command(IS_ONE),
        row("no terminal for a login shell without one").stdin(IS_ONE),
        row("RequestTTY force").config("RequestTTY force").command(IS_ONE),
        row("RequestTTY yes without one").config("RequestTTY yes").command(IS_ONE),
        row("RequestTTY auto without one").config("RequestTTY auto").command(IS_ONE),
        row("RequestTTY no without one, for a shell").config("RequestTTY no").stdin(IS_ONE),
        row("RequestTTY bogus").options(["-oRequestTTY=bogus"]).command(IS_ONE),
        row("RequestTTY bogus in the file").config("RequestTTY bogus").command(IS_ONE),
        row("RequestTTY true as an option").options(["-oRequestTTY=true"]).command(IS_ONE),
        row("-t without one").options(["-t"]).command(IS_ONE),
        row("-t without one, quietly").options(["-q", "-t"]).command(IS_ONE),
        row("-tt").options(["-tt"]).command(IS_ONE),
        row("the size of a terminal, without one here")
            .options(["-tt"])
            .command("stty size")
            .differs("a terminal has a size, where ssh has none to tell")
            .stdout("24 80\n"),
        row("-tt over RequestTTY no").config("RequestTTY no").options(["-tt"]).command(IS_ONE),
        row("RequestTTY force and StdinNull")
            .config("RequestTTY force\nStdinNull yes")
            .command(IS_ONE),
        row("RequestTTY force and a RemoteCommand")
            .config("RequestTTY force\nRemoteCommand test -t 0 && echo tty; exit 6"),
    ]
}

fn with_one_here() -> Vec<Row> {
    let on = |name| row(name).terminal();
    vec![
        on("a command has no terminal from a terminal").command(IS_ONE),
        on("-t").options(["-t"]).command(IS_ONE),
        on("-t and then -T").options(["-t", "-T"]).command(IS_ONE),
        on("-T and then -t").options(["-T", "-t"]).command(IS_ONE),
        on("-n and -t").options(["-n", "-t"]).command(IS_ONE),
        on("-N has none")
            .options(["-N", "-t", "-oExitOnForwardFailure=yes", "-L", "127.0.0.1:{busy}:h:1"])
            .differs("rejoin says in one line what ssh says in three")
            .says("Could not request local forwarding."),
        on("RequestTTY yes").config("RequestTTY yes").command(IS_ONE),
        on("RequestTTY no").config("RequestTTY no\nRemoteCommand test -t 0 || echo none"),
        on("RemoteCommand counts as a command").config("RemoteCommand test -t 0 || echo none"),
        on("TERM of the terminal")
            .options(["-t"])
            .command("echo $TERM")
            .environment("TERM", "vt220"),
        on("SetEnv names the terminal")
            .config("SetEnv TERM=vt100 LANG=xx")
            .options(["-t"])
            .command("echo $TERM $LANG"),
        on("the exit status of a terminal's process").options(["-t"]).command("exit 7"),
        on("stderr and stdout are one").options(["-t"]).command("echo out; echo err >&2"),
    ]
}

fn keys() -> Vec<Row> {
    let typed = |name, text| row(name).options(["-t"]).command(READY).types("ready", text);
    let leaves = |row: Row| {
        row.differs("to leave is to detach: the process stays, and rejoin says how to come back")
            .status(0)
            .says("the process stays; to come back: ")
    };
    vec![
        typed("a line is typed", "hello\r"),
        typed("two tildes are one", "~~x\r"),
        typed("an escape in the middle of a line is none", "x~.\r"),
        leaves(typed("~. leaves", "~.")),
        leaves(typed("EscapeChar % leaves by %.", "%.").config("EscapeChar %")),
        typed("EscapeChar % leaves tildes alone", "~.\r").config("EscapeChar %"),
        typed("EscapeChar none", "~.\r").config("EscapeChar none"),
        typed("EscapeChar none as an option", "~.\r").options(["-t", "-oEscapeChar=none"]),
        typed("-e none over EscapeChar %", "%.\r").config("EscapeChar %").options(["-t", "-enone"]),
        leaves(typed("-e ^] leaves by ^].", "\x1d.").options(["-t", "-e", "^]"])),
        leaves(typed("EscapeChar ^b in the file", "\x02.").config("EscapeChar ^b")),
        row("-e with two characters").options(["-t", "-eab"]).command(READY).terminal(),
        row("EscapeChar bogus").config("EscapeChar bogus").command("true"),
        row("no escapes without a terminal").command("cat").stdin("~.\n"),
    ]
}
