use std::os::unix::process::ExitStatusExt as _;

use proptest::prelude::*;

use std::time::SystemTime;

use rejoin_ssh2::wire::Writer;

use super::super::public_key::expiry;
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

fn heard(said: &str) -> LoginObserver {
    let mut heard = LoginObserver::new(SECRET.to_owned());
    said.lines().for_each(|line| heard.line(line));
    heard
}

#[test]
fn the_pin_is_the_key_that_ssh_judged_and_the_users_key_the_one_that_the_host_accepted() {
    let login = heard(SAID).into_login().unwrap();
    assert_eq!(login.pin, PinnedHostKey(b"\0\0\0\x0bk".to_vec()));
    assert_eq!(
        login.key,
        AcceptedKey {
            is_certificate: true,
            fingerprint: "two".to_owned(),
            source: KeySource::Agent
        }
    );
}

#[test]
fn rejects_several_or_no_reported_host_keys() {
    let with = |report: &str| {
        let judged = "debug1: Host 'localhost'";
        heard(&SAID.replace(judged, &format!("{SECRET} {report}\n{judged}"))).into_login()
    };
    assert!(with("HOSTNAME AAAAC2s=").is_ok());
    assert_eq!(with("HOSTNAME AAAAC2w="), Err(Ineligible::NoPin));
    assert_eq!(with("HOSTNAME no-base64!"), Err(Ineligible::NoPin));
    let none = SAID.replace("HOSTNAME", "ADDRESS");
    assert_eq!(heard(&none).into_login(), Err(Ineligible::NoPin));
    // ssh has judged by then: it is not ssh that says so.
    let late = format!("{SAID}\n{SECRET} HOSTNAME AAAAC2w=");
    assert_eq!(heard(&late).into_login(), heard(SAID).into_login());
}

#[test]
fn nothing_that_a_host_prints_names_a_host_key() {
    let (before, after) = SAID.split_at(SAID.find("debug1: Offering").unwrap());
    let banner = "5ec2e8 HOSTNAME AAAAC2w=\n";
    let login = heard(&format!("{before}{banner}{after}")).into_login().unwrap();
    assert_eq!(login, heard(SAID).into_login().unwrap());
    assert_eq!(heard(before).into_login(), Err(Ineligible::NoKey));
}

/// That of OpenSSH 10 chooses its keys only when the host has said what it takes.
#[test]
fn it_does_not_matter_when_ssh_says_which_keys_it_will_try() {
    let is_choice = |line: &&str| line.starts_with("debug1: Will attempt");
    let (choice, others): (Vec<_>, Vec<_>) = SAID.lines().partition(is_choice);
    let others = others.join("\n");
    let accepted = "debug1: SSH2_MSG_SERVICE_ACCEPT received\n";
    let late = others.replace(accepted, &format!("{accepted}{}\n", choice.join("\n")));
    assert_eq!(heard(&late).into_login().unwrap(), heard(SAID).into_login().unwrap());
}

#[test]
fn a_key_that_the_agent_does_not_have_is_in_a_file_or_on_a_device() {
    let of = |place: &str| heard(&SAID.replace("two explicit agent", place)).into_login();
    let file = KeySource::File("/home/u/.ssh/a file".into());
    assert_eq!(of("two explicit").unwrap().key.source, file);
    assert_eq!(of("two").unwrap().key.source, file);
    assert_eq!(of("two token"), Err(Ineligible::NoKey));
    assert_eq!(of("two authenticator"), Err(Ineligible::NoKey));
}

#[test]
fn reports_why_ssh_does_not_log_in_and_whether_it_may_change() {
    let why = |said: &str| heard(said).into_failure(ExitStatus::from_raw(255 << 8));
    let old = why("command-line: line 0: Bad configuration option: knownhostscommand");
    assert_eq!(old, Ineligible::NoPin);
    let denied = why("debug1: x\nu@h: Permission denied (publickey).\n");
    assert_eq!(denied, Ineligible::Login("u@h: Permission denied (publickey).".to_owned()));
    assert!(denied.is_lasting());
    let away = "ssh: connect to host h port 22: Connection refused";
    assert_eq!(why(away), Ineligible::Learning(away.to_owned()));
}

#[test]
fn keys_are_known_by_their_fingerprints_and_certificates_by_that_of_their_key() {
    let plain = Writer::new().string("ssh-ed25519").string([7; 32]).finish();
    let certificate = Writer::new().string("ssh-ed25519-cert-v01@openssh.com");
    let certificate = certificate.string("nonce").string([7; 32]).string("and more").finish();
    let security = Writer::new().string("sk-ssh-ed25519@openssh.com").string([8; 32]).finish();
    let fingerprint = |blob: &[u8]| STANDARD_NO_PAD.encode(Sha256::digest(blob));
    let of = |is_certificate, blob: &[u8]| {
        let key = AcceptedKey {
            is_certificate,
            fingerprint: fingerprint(blob),
            source: KeySource::Agent,
        };
        let login = ObservedLogin { pin: PinnedHostKey(Vec::new()), key };
        let keys = [b"odd".to_vec(), certificate.clone(), plain.clone(), security.clone()];
        let kinds = ["ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"].map(str::to_owned);
        login.user_key(keys.to_vec(), &kinds)
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
    let pin = PinnedHostKey(Writer::new().string("ssh-rsa").string([1]).finish());
    let resolved =
        SshConfig::of("hostname h\nport 22\nhostkeyalgorithms rsa-sha2-256,ssh-ed25519,ssh-rsa")
            .unwrap();
    let lists = |names: &[&str]| NameLists {
        host_keys: names.iter().map(|name| (*name).to_owned()).collect(),
        ..NameLists::default()
    };
    let theirs = lists(&["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
    let expected = HostKeyAlgorithm::plain(Scheme::RsaSha256);
    assert_eq!(pin.algorithm(&resolved, &theirs), Some(expected));
    assert_eq!(pin.algorithm(&resolved, &lists(&["ssh-ed25519"])), None);
}

#[test]
fn an_rsa_key_signs_as_ssh_allows_it_to() {
    let blob = Writer::new().string("ssh-rsa").string([3]).string([7; 256]).finish();
    let fingerprint = STANDARD_NO_PAD.encode(Sha256::digest(&blob));
    let key = AcceptedKey { is_certificate: false, fingerprint, source: KeySource::Agent };
    let login = ObservedLogin { pin: PinnedHostKey(Vec::new()), key };
    let signs_as = |kinds: &[&str]| {
        let kinds: Vec<_> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        login.user_key(vec![blob.clone()], &kinds).map(|key| key.algorithm)
    };
    assert_eq!(signs_as(&["ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512"]).unwrap(), "rsa-sha2-512");
    assert_eq!(signs_as(&["rsa-sha2-256"]).unwrap(), "rsa-sha2-256");
    assert_eq!(signs_as(&["ssh-rsa"]), Err(Ineligible::UnknownKey("ssh-rsa".to_owned())));
}

#[test]
fn keys_that_all_want_a_touch_are_not_tried() {
    let of = |kind: &str| Writer::new().string(kind).string([7; 32]).finish();
    let touched = [of("sk-ssh-ed25519@openssh.com"), of("sk-ecdsa-sha2-nistp256@openssh.com")];
    assert_eq!(check_keys(&touched), Err(Ineligible::SecurityKey));
    let [first, second] = touched;
    assert_eq!(check_keys(&[first, of("ssh-ed25519"), second]), Ok(()));
    assert!(matches!(check_keys(&[]), Err(Ineligible::Agent(_))));
}

#[test]
fn reads_the_expiry_of_a_certificate() {
    let certificate = |valid_before: u64| {
        let front = Writer::new().string("ssh-ed25519-cert-v01@openssh.com").string("nonce");
        let front = front.string([7; 32]).bytes(&1_u64.to_be_bytes()).uint32(2).string("id");
        let front = front.string("principals").bytes(&0_u64.to_be_bytes());
        front.bytes(&valid_before.to_be_bytes()).string("critical").finish()
    };
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_001);
    assert_eq!(expiry(&certificate(1_800_000_001)), Some(at));
    assert_eq!(expiry(&certificate(u64::MAX)), None, "for ever");
    assert_eq!(expiry(&Writer::new().string("ssh-ed25519").string([7; 32]).finish()), None);
}

fn line() -> impl Strategy<Value = String> {
    let front = prop_oneof![
        Just("debug1: Server accepts key: "),
        Just("debug1: SSH2_MSG_SERVICE_ACCEPT received"),
        Just("5ec2e7 HOSTNAME "),
        Just("5ec2e7 HOSTNAME AAAAC2s="),
        Just("debug1: Server accepts key: /a RSA SHA256:b"),
        Just("debug1: "),
        Just(""),
    ];
    let words =
        prop_oneof![Just("SHA256:"), Just("/a"), Just(" "), Just("agent"), Just("\\"), Just("é")];
    let rest = prop::collection::vec(prop_oneof![words.prop_map(str::to_owned), ".{0,5}"], 0..8);
    (front, rest).prop_map(|(front, rest)| format!("{front}{}", rest.concat()))
}

proptest! {
    #[test]
    fn whatever_ssh_or_its_host_prints_is_read(lines in prop::collection::vec(line(), 0..12)) {
        let mut heard = LoginObserver::new(SECRET.to_owned());
        for line in &lines {
            heard.line(line);
        }
        let has_pin = lines.iter().any(|line| line.starts_with("5ec2e7 HOSTNAME "));
        let is_named = lines.iter().any(|line| line.starts_with("debug1: Server accepts key: "));
        if heard.into_login().is_ok() {
            prop_assert!(has_pin && is_named);
        }
    }
}
