//! How the host is found, and how it may fail.

use crate::row::{Row, row};

const OWN_WORDS: &str = "each line of rejoin's own begins with its name, and says what to do";

pub(super) fn rows() -> Vec<Row> {
    [ways(), options(), failures()].concat()
}

fn ways() -> Vec<Row> {
    let hi = |name| row(name).command("echo hi; exit 3");
    vec![
        hi("a name from the configuration"),
        hi("an address").destination("127.0.0.1"),
        hi("a URI").destination("ssh://127.0.0.1:{port}"),
        hi("a user from the configuration that is not there")
            .config("User nobody-of-that-name")
            .differs("rejoin says what a person has to do")
            .says("authentication needs you: "),
        hi("a proxy command").config("ProxyCommand ssh -F {config} -W 127.0.0.1:{port} gate"),
        hi("a jump host")
            .config("ProxyJump gate")
            .head("Host gate\n HostKeyAlias rejoin-test-host"),
        hi("a master that is wanted is not needed")
            .config("ControlMaster auto\nControlPath {dir}/%C\nControlPersist no"),
        hi("a Match block with the port")
            .head("Match host lab\n Port {port}")
            .config("Port {port}"),
        hi("an include").head("Include {config}.more"),
        hi("a banner-less host, quietly").options(["-q"]),
        hi("compression").options(["-C"]),
        hi("IPv4").options(["-4"]),
        hi("IPv6 is not there").options(["-6"]).differs(OWN_WORDS).says("rejoin: "),
    ]
}

fn options() -> Vec<Row> {
    let hi = |name| row(name).command("echo hi");
    vec![
        hi("-a -x -k -1 -2").options(["-a", "-x", "-k", "-2"]),
        hi("-A without an agent").options(["-A"]),
        hi("-S none").options(["-S", "none"]),
        hi("-p").options(["-p", "{port}"]),
        hi("-o with a space").options(["-o", "ConnectTimeout 5"]),
        hi("-o with quotes").options(["-oRemoteCommand=\"none\""]),
        hi("several letters in one word").options(["-4aTx"]),
        hi("a value behind its letter").options(["-p{port}"]),
        hi("a key file that is not there").options(["-i", "/nonexistent/key"]),
        hi("LogLevel ERROR").config("LogLevel ERROR\nRequestTTY yes")
            .differs("rejoin does not know of a log level in the file, and says that there is no terminal")
            .stderr("Pseudo-terminal will not be allocated because stdin is not a terminal.\n"),
    ]
}

fn failures() -> Vec<Row> {
    let fails = |name| row(name).command("echo ran");
    vec![
        fails("a port where nobody listens")
            .options(["-p", "1"])
            .differs(OWN_WORDS)
            .says("rejoin: "),
        fails("a port where nobody listens, quietly")
            .options(["-q", "-p", "1"])
            .differs("rejoin says why it failed, where ssh says nothing")
            .says("Connection refused"),
        fails("a name that is not there")
            .config("HostName nowhere.invalid")
            .differs(OWN_WORDS)
            .says("Could not resolve hostname nowhere.invalid"),
        fails("a key that is not admitted")
            .config("PubkeyAuthentication no")
            .differs(OWN_WORDS)
            .says("Permission denied (publickey)"),
        fails("a host key that is not known")
            .options(["-oUserKnownHostsFile=/dev/null"])
            .differs(OWN_WORDS)
            .says("the host key is unknown"),
        fails("a setting that is not known").config("NoSuchSetting yes"),
        fails("an option that is not known").options(["-oNoSuchSetting=yes"]),
        fails("a value that is none").options(["-oPort=x"]),
        fails("a cipher that is none").options(["-c", "nosuch"]),
        fails("a proxy command that fails")
            .config("ProxyCommand false")
            .differs(OWN_WORDS)
            .says("rejoin: "),
        row("no destination")
            .no_destination()
            .differs("each shows a usage of its own")
            .says("no destination is given"),
        fails("an unknown letter")
            .options(["-Z"])
            .differs("each shows a usage of its own")
            .says("unknown option -Z"),
    ]
}
