use super::*;

const SECRET: &str = "5ec2e7";
/// What ssh -v says of a login, without the lines in between.
const SAID: &str = "\
OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.19 27 Jan 2026
debug1: Connecting to localhost [127.0.0.1] port 22.
5ec2e7 ORDER
debug1: SSH2_MSG_KEXINIT sent
5ec2e7 HOSTNAME AAAAC2s=
debug1: Host 'localhost' is known and matches the ED25519 host key.
debug1: Will attempt key: /home/u/.ssh/id_rsa RSA SHA256:rsa
debug1: Will attempt key: u@machine ED25519 SHA256:one agent
debug1: Will attempt key: /home/u/.ssh/a file ED25519-CERT SHA256:two explicit agent
debug1: SSH2_MSG_SERVICE_ACCEPT received
debug1: Offering public key: u@machine ED25519 SHA256:one agent
debug1: Server accepts key: /home/u/.ssh/a file ED25519-CERT SHA256:two explicit agent
Authenticated to localhost ([127.0.0.1]:22) using \"publickey\".";

fn heard(said: &str) -> Heard {
    let mut heard = Heard::new(SECRET.to_owned());
    said.lines().for_each(|line| heard.line(line));
    heard
}

#[test]
fn the_pin_is_the_key_that_ssh_judged_and_the_users_key_the_one_that_the_host_accepted() {
    let login = heard(SAID).into_login().unwrap();
    assert_eq!(login.pin, Pin(b"\0\0\0\x0bk".to_vec()));
    assert_eq!(login.key, Accepted { is_certificate: true, fingerprint: "two".to_owned() });
}

#[test]
fn two_host_keys_or_none_are_no_pin() {
    let again = format!("{SAID}\n{SECRET} HOSTNAME AAAAC2s=");
    assert!(heard(&again).into_login().is_ok());
    let other = format!("{SAID}\n{SECRET} HOSTNAME AAAAC2w=");
    assert_eq!(heard(&other).into_login(), Err(Ineligible::NoPin));
    let none = SAID.replace("HOSTNAME", "ADDRESS");
    assert_eq!(heard(&none).into_login(), Err(Ineligible::NoPin));
}

#[test]
fn nothing_that_a_host_prints_names_a_host_key_or_one_of_the_users_keys() {
    let banner = "5ec2e8 HOSTNAME AAAAC2w=\n\
                  debug1: Will attempt key: x ED25519 SHA256:mine agent\n\
                  debug1: Server accepts key: x ED25519 SHA256:mine agent\n";
    let (before, after) = SAID.split_at(SAID.find("debug1: Offering").unwrap());
    let login = heard(&format!("{before}{banner}{after}")).into_login().unwrap();
    assert_eq!(login, heard(SAID).into_login().unwrap());
    let only_banner = heard(&format!("{before}{banner}"));
    assert_eq!(only_banner.into_login(), Err(Ineligible::NoKey));
}

#[test]
fn a_key_that_the_agent_does_not_have_is_none_to_sign_with() {
    let file = SAID.replace("two explicit agent", "two explicit");
    assert_eq!(heard(&file).into_login(), Err(Ineligible::NoKey));
}

#[test]
fn an_ssh_that_does_not_know_the_option_is_too_old_and_other_failures_are_told() {
    let old = heard("command-line: line 0: Bad configuration option: knownhostscommand");
    assert_eq!(old.into_failure(), Ineligible::NoPin);
    let denied = heard("debug1: x\nu@h: Permission denied (publickey).\n");
    let told = Ineligible::Login("u@h: Permission denied (publickey).".to_owned());
    assert_eq!(denied.into_failure(), told);
}

#[test]
fn keys_are_known_by_their_fingerprints_and_certificates_by_that_of_their_key() {
    let plain = Writer::new().string("ssh-ed25519").string([7; 32]).finish();
    let certificate = Writer::new().string("ssh-ed25519-cert-v01@openssh.com");
    let certificate = certificate.string("nonce").string([7; 32]).string("and more").finish();
    let security = Writer::new().string("sk-ssh-ed25519@openssh.com").string([8; 32]).finish();
    let fingerprint = |blob: &[u8]| STANDARD_NO_PAD.encode(Sha256::digest(blob));
    let of = |is_certificate, blob: &[u8]| {
        let key = Accepted { is_certificate, fingerprint: fingerprint(blob) };
        let login = Login { pin: Pin(Vec::new()), key };
        login.user_key(vec![b"odd".to_vec(), certificate.clone(), plain.clone(), security.clone()])
    };
    assert_eq!(of(false, &plain).unwrap().blob, plain);
    let with_certificate = of(true, &plain).unwrap();
    assert_eq!(with_certificate.blob, certificate);
    assert_eq!(with_certificate.algorithm, "ssh-ed25519-cert-v01@openssh.com");
    assert_eq!(of(false, &security), Err(Ineligible::SecurityKey));
    assert_eq!(of(false, b"another"), Err(Ineligible::NoKey));
}

#[test]
fn an_rsa_host_key_is_shown_under_the_kinds_that_ssh_allows() {
    let pin = Pin(Writer::new().string("ssh-rsa").string([1]).finish());
    let resolved =
        Resolved::of("hostname h\nport 22\nhostkeyalgorithms rsa-sha2-256,ssh-ed25519,ssh-rsa")
            .unwrap();
    let lists = |names: &[&str]| Lists {
        host_keys: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Lists::default()
    };
    let theirs = lists(&["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
    let expected = HostKeyAlgorithm::plain(Scheme::RsaSha256);
    assert_eq!(pin.algorithm(&resolved, &theirs), Some(expected));
    assert_eq!(pin.algorithm(&resolved, &lists(&["ssh-ed25519"])), None);
}
