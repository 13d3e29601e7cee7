//! What is said about command lines, hosts and sessions is one line that a person can act on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::life::assert_one_line;
use crate::support::Host;

#[test]
fn reports_an_address_that_ssh_does_not_accept() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for address in ["ssh://h:notaport", "ssh://h:65536", "ssh://user@", "ssh://h/path"] {
        let wrong = |name| host.plan().subcommand(name).to(address);
        for mut client in [host.plan().to(address).run("true"), wrong("ls").run_words::<&str>([])] {
            assert_eq!(client.status(), 255, "{address}");
            let told =
                format!("ssh does not accept the address {address}: use ssh://[user@]host[:port]");
            assert_one_line(&client, &told);
        }
    }
}

#[test]
fn shows_a_banner_in_front_of_output_as_ssh_does() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let banner = tempfile::NamedTempFile::new().unwrap();
    let text = "Authorised use only.\n\n  Be kind.\n";
    fs::write(&banner, text).unwrap();
    let line = format!("Banner {}", banner.path().display());
    let host = Host::with(|sshd| sshd.config_line(line));
    let command = "echo out; echo err >&2; echo more";
    let (file, path) = tempfile::NamedTempFile::new().unwrap().into_parts();
    let both = |program: &mut Command| {
        program.stdout(file.try_clone().unwrap()).stderr(file.try_clone().unwrap());
    };
    let mut ssh = Command::new("ssh");
    both(ssh.args(host.options()).args([host.name(), command]));
    assert!(ssh.status().unwrap().success());
    let read = || fs::read_to_string(&path).unwrap().replace('\r', "");
    let sshs = read();
    assert!(sshs.starts_with(text), "{sshs}");
    let mut client = host.plan().change(both).run(command);
    assert_eq!(client.status(), 0);
    let all = read();
    assert!(all[sshs.len()..].starts_with(text), "{all}");
    assert_eq!(all.len(), 2 * sshs.len(), "{all}");
}

#[test]
fn suggests_the_subcommand_that_an_unknown_host_is_like() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let mut client = host.plan().to("atach").run("lab");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "no such host 'atach'; did you mean 'rejoin attach ");
    assert!(client.stderr().ends_with("lab'?\n"), "{}", client.stderr());
    let mut other = host.plan().to("no-such-host.invalid").run("lab");
    assert_eq!(other.status(), 255);
    assert_one_line(&other, "Could not resolve hostname no-such-host.invalid");
}

#[test]
fn tells_command_lines_that_it_does_not_understand_in_its_own_style() {
    let host = Host::start();
    let mut client = host.plan().with(["--nonsense"]).run("true");
    assert_eq!(client.status(), 255);
    assert_one_line(&client, "rejoin: unknown option --nonsense: see rejoin --help");
    let wrong = host.server().arg("--nonsense").output().unwrap();
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.starts_with("rejoin-server: unexpected argument '--nonsense'"), "{told}");
}

#[test]
fn names_the_server_program_that_is_none() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    for (program, told) in [
        ("/bin/true", "/bin/true ended without output: it is not rejoin-server"),
        ("/bin/false", "/bin/false ended with status 1"),
        ("/bin/echo", "/bin/echo ended with only this output: attach"),
    ] {
        let mut client = host.plan().server(program).run("true");
        assert_eq!(client.status(), 255, "{program}");
        assert_one_line(&client, told);
    }
    let mut listing = host.plan().server("/bin/true").subcommand("ls").run_words::<&str>([]);
    assert_eq!(listing.status(), 255);
    assert_one_line(&listing, "/bin/true ended without output: it is not rejoin-server");
}

#[test]
fn tells_one_way_to_repair_a_registry_that_cannot_be_used() {
    rejoin_testing::needs!("ssh", "sshd", "ps");
    let host = Host::start();
    let registry = host.registry();
    let told = |what: &str, advice: &str| {
        let mut client = host.plan().run("true");
        assert_eq!(client.status(), 255);
        assert_one_line(&client, what);
        assert!(client.stderr().ends_with(&format!(": {advice}\n")), "{}", client.stderr());
    };
    fs::write(&registry, "").unwrap();
    told("is not a folder", "remove it, or name another folder in REJOIN_REGISTRY");
    fs::remove_file(&registry).unwrap();
    fs::create_dir(&registry).unwrap();
    fs::set_permissions(&registry, Permissions::from_mode(0o755)).unwrap();
    let advice = format!("check what is in it, then run: chmod 700 {}", registry.display());
    told("is open to other users (mode 755)", &advice);
    fs::remove_dir(&registry).unwrap();
}
