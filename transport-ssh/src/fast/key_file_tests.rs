use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rejoin_ssh2::wire::Writer;
use rejoin_ssh2::{Cipher, Client, Config, Event, HandshakeMode, HostKeyAlgorithm, Kex};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use rejoin_testing::Sshd;
use rejoin_testing::needs;

#[path = "key_file/rsa_tests.rs"]
mod rsa;

/// How long a login may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Every kind that signs: the name of its signatures, and how ssh-keygen is asked for it.
const KINDS: [(&str, &[&str]); 6] = [
    ("ssh-ed25519", &["-t", "ed25519"]),
    ("ecdsa-sha2-nistp256", &["-t", "ecdsa", "-b", "256"]),
    ("ecdsa-sha2-nistp384", &["-t", "ecdsa", "-b", "384"]),
    ("ecdsa-sha2-nistp521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa-sha2-512", &["-t", "rsa", "-b", "2048"]),
    ("rsa-sha2-256", &["-t", "rsa", "-b", "3072"]),
];

/// A folder with keys that ssh-keygen made.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn make(&self, name: &str, options: &[&str]) -> KeyFile {
        self.make_with("", name, options)
    }

    fn make_with(&self, passphrase: &str, name: &str, options: &[&str]) -> KeyFile {
        let path = self.path(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", passphrase, "-C", "a comment", "-f"]).arg(&path);
        run(command.args(options));
        KeyFile::new(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> KeyFile {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        KeyFile::new(path)
    }

    /// The blob in a line of ssh-keygen's: of a public key, or of a certificate.
    fn blob(&self, name: &str) -> Vec<u8> {
        let line = fs::read_to_string(self.path(name)).unwrap();
        STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()
    }
}

fn run(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).unwrap()
}

fn user_key(blob: Vec<u8>, algorithm: &str) -> UserKey {
    UserKey { blob, algorithm: algorithm.to_owned() }
}

async fn why(file: &KeyFile) -> KeyFileError {
    let error = file.public().await.unwrap_err();
    let why = KeyFileError::of(&error).unwrap_or_else(|| panic!("{error:?}")).clone();
    assert_eq!(error.to_string().lines().count(), 1);
    why
}

/// Logs in with this key and this file's signature, and runs a command.
async fn log_in(sshd: &Sshd, file: &KeyFile, key: &UserKey) {
    let mut client = Client::new(Config {
        user: run(Command::new("id").arg("-un")).trim().to_owned(),
        key: key.clone(),
        command: b"true".to_vec(),
        ciphers: Cipher::ALL.to_vec(),
        handshake: HandshakeMode::Stepwise {
            kex: vec![Kex::Curve25519],
            host_keys: HostKeyAlgorithm::ALL.to_vec(),
        },
    })
    .unwrap();
    let mut stream = TcpStream::connect(sshd.addr()).await.unwrap();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match client.event() {
            Some(Event::HostKey { .. }) => client.accept_host().unwrap(),
            Some(Event::Sign(message)) => {
                let signature = file.sign(key, &message).await.unwrap();
                client.signed(&signature).unwrap();
            }
            Some(Event::Started) => return,
            Some(Event::Authenticated) => {}
            Some(event) => panic!("{}: {event:?}; {:#?}", key.algorithm, sshd.log()),
            None => {
                let output = client.output();
                stream.write_all(output).await.unwrap();
                let count = output.len();
                client.sent(count).unwrap();
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(count > 0, "{}: {:#?}", key.algorithm, sshd.log());
                client.input(&buffer[..count]).unwrap();
            }
        }
    }
}

/// Has an sshd take a key of each of these kinds, and a certificate for another one.
async fn log_in_with(kinds: &[(&str, &[&str])], config_line: &str) {
    let keys = Keys::new();
    keys.make("authority", &["-t", "ed25519"]);
    let mut lines = String::new();
    for (kind, options) in kinds {
        keys.make(kind, options);
        lines += &fs::read_to_string(keys.path(&format!("{kind}.pub"))).unwrap();
        let certified = keys.make(&format!("{kind}-certified"), options).0;
        let user = run(Command::new("id").arg("-un"));
        let mut certify = Command::new("ssh-keygen");
        certify.args(["-q", "-I", "test", "-n", user.trim(), "-s"]).arg(keys.path("authority"));
        run(certify.arg(certified));
    }
    let authorized = keys.write("authorized_keys", lines).0;
    let sshd = Sshd::builder()
        .config_line(format!("AuthorizedKeysFile {}", authorized.display()))
        .config_line(format!("TrustedUserCAKeys {}", keys.path("authority.pub").display()))
        .config_line(config_line)
        .start()
        .unwrap();
    for (kind, _) in kinds {
        let file = KeyFile::new(keys.path(kind));
        let public = file.public().await.unwrap();
        assert_eq!(public, keys.blob(&format!("{kind}.pub")));
        timeout(DEADLINE, log_in(&sshd, &file, &user_key(public, kind))).await.unwrap();

        let file = KeyFile::new(keys.path(&format!("{kind}-certified")));
        let certificate = file.certificate().await.unwrap();
        assert_eq!(certificate, keys.blob(&format!("{kind}-certified-cert.pub")));
        let key = user_key(certificate, &format!("{kind}-cert-v01@openssh.com"));
        timeout(DEADLINE, log_in(&sshd, &file, &key)).await.unwrap();
    }
}

#[tokio::test]
async fn an_sshd_takes_the_signatures_of_every_kind_of_key_and_of_its_certificate() {
    needs!("sshd", "ssh-keygen", "ps");
    log_in_with(&KINDS, "LogLevel DEBUG1").await;
}

#[tokio::test]
async fn explains_why_a_key_file_cannot_be_used() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    let ecdsa = KINDS[1].1;
    assert_eq!(
        why(&keys.make_with("secret", "encrypted", KINDS[0].1)).await,
        KeyFileError::Encrypted
    );
    let pem = |name: &str, passphrase: &str, format: &str| {
        keys.make_with(passphrase, name, &[ecdsa, &["-m", format]].concat())
    };
    assert_eq!(why(&pem("sec1", "", "PEM")).await, KeyFileError::Format);
    assert_eq!(why(&pem("pkcs8", "", "PKCS8")).await, KeyFileError::Format);
    assert_eq!(why(&pem("sec1-encrypted", "secret", "PEM")).await, KeyFileError::Encrypted);
    assert_eq!(why(&pem("pkcs8-encrypted", "secret", "PKCS8")).await, KeyFileError::Encrypted);
    let putty = keys.write("putty", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n");
    assert_eq!(why(&putty).await, KeyFileError::Format);
    let public = keys.write("public", fs::read(keys.path("sec1.pub")).unwrap());
    assert_eq!(why(&public).await, KeyFileError::NoKey);
    assert_eq!(why(&keys.write("empty", "")).await, KeyFileError::NoKey);
    assert_eq!(why(&keys.write("binary", [0xff, 0, 0xff])).await, KeyFileError::NoKey);
}

#[tokio::test]
async fn a_certificate_beside_a_file_that_is_missing_or_none_is_an_error() {
    let keys = Keys::new();
    let file = KeyFile::new(keys.path("key"));
    let error = file.certificate().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let blob = STANDARD.encode(Writer::new().string("a-kind").finish());
    for line in ["", "a-kind", "a-kind !", &format!("another-kind {blob}")] {
        keys.write("key-cert.pub", line);
        let error = file.certificate().await.unwrap_err();
        assert_eq!(KeyFileError::of(&error), Some(&KeyFileError::NoKey), "{line:?}");
    }
    keys.write("key-cert.pub", format!("a-kind {blob} a comment\n"));
    assert_eq!(file.certificate().await.unwrap(), STANDARD.decode(blob).unwrap());
}

/// A file of OpenSSH's with these public and private parts.
fn armoured(public: &[u8], private: &[u8]) -> String {
    let bytes = Writer::new().bytes(b"openssh-key-v1\0").string("none").string("none").string("");
    armour(&bytes.uint32(1).string(public).string(private).finish())
}

fn armour(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n")
}

/// What is between the first and the last line.
fn unarmour(file: &str) -> Vec<u8> {
    let text: String = file.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(text).unwrap()
}

#[tokio::test]
async fn reports_security_keys_and_unknown_types_with_printable_names() {
    let keys = Keys::new();
    let of = |kind: &str| {
        let private = Writer::new().uint32(7).uint32(7).string(kind).string("and more").finish();
        keys.write("key", armoured(&Writer::new().string(kind).finish(), &private))
    };
    assert_eq!(why(&of("sk-ssh-ed25519@openssh.com")).await, KeyFileError::SecurityKey);
    assert_eq!(why(&of("ssh-new")).await, KeyFileError::Kind("ssh-new".to_owned()));
    let long = format!("a\n\x1b[2J{}", "b".repeat(5000));
    let KeyFileError::Kind(shown) = why(&of(&long)).await else { panic!() };
    assert_eq!(shown, format!("a [2J{}", "b".repeat(59)));
}

#[tokio::test]
async fn a_file_to_which_others_have_access_is_refused_as_by_ssh() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    let file = keys.make("key", KINDS[0].1);
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&file.0, Permissions::from_mode(mode)).unwrap();
        assert_eq!(why(&file).await, KeyFileError::Exposed, "{mode:o}");
        // ssh-keygen has the same rule.
        let mut ask = Command::new("ssh-keygen");
        let asked = ask.arg("-yf").arg(&file.0).stdin(Stdio::null()).output().unwrap();
        assert!(!asked.status.success(), "{mode:o}");
    }
    fs::set_permissions(&file.0, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(file.public().await.unwrap(), keys.blob("key.pub"));
}

#[tokio::test]
async fn neither_a_pipe_nor_a_folder_nor_a_long_file_is_waited_for_or_read() {
    needs!("mkfifo");
    let keys = Keys::new();
    let pipe = keys.path("pipe");
    run(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe));
    assert_eq!(why(&KeyFile::new(pipe)).await, KeyFileError::NoFile);
    assert_eq!(why(&KeyFile::new(keys.0.path().to_owned())).await, KeyFileError::NoFile);
    assert_eq!(why(&keys.write("long", vec![b'-'; MAX_FILE + 1])).await, KeyFileError::TooLong);
    assert_eq!(why(&keys.write("longest", vec![b'-'; MAX_FILE])).await, KeyFileError::NoKey);
    let error = KeyFile::new(keys.path("nowhere")).public().await.unwrap_err();
    assert_eq!((error.kind(), KeyFileError::of(&error)), (io::ErrorKind::NotFound, None));
}

#[test]
fn a_file_that_ends_early_is_an_error_wherever_it_ends() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    for (kind, options) in KINDS {
        let file = fs::read_to_string(keys.make(kind, options).0).unwrap();
        for end in 0..file.trim_end().len() {
            let early = PrivateKey::parse(&file.as_bytes()[..end]);
            assert!(early.is_err(), "{kind}: {end} of {}", file.len());
        }
        let bytes = unarmour(&file);
        for end in 0..bytes.len() {
            let early = PrivateKey::parse(armour(&bytes[..end]).as_bytes()).map(|_| ());
            assert_eq!(early, Err(KeyFileError::Malformed), "{kind}: {end} of {}", bytes.len());
        }
    }
}

#[test]
fn a_bit_that_is_wrong_is_an_error_or_changes_nothing_that_signs() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    for (kind, options) in KINDS {
        let bytes = unarmour(&fs::read_to_string(keys.make(kind, options).0).unwrap());
        let public = keys.blob(&format!("{kind}.pub"));
        let right = PrivateKey::parse(armour(&bytes).as_bytes()).map_err(|why| why.to_string());
        let signature = right.unwrap().sign(kind, b"message").unwrap();
        for (at, bit) in (0..bytes.len()).zip((0..8).cycle()) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1 << bit;
            if let Ok(key) = PrivateKey::parse(armour(&wrong).as_bytes()) {
                assert_eq!(key.public(), public, "{kind}: byte {at}");
                // Those of ECDSA are never the same.
                let signed = key.sign(kind, b"message").unwrap();
                assert!(kind.starts_with("ecdsa-") || signed == signature, "{kind}: byte {at}");
            }
        }
    }
}

#[test]
fn a_public_half_of_another_key_is_an_error_in_both_places() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    for (kind, options) in KINDS {
        let file = fs::read_to_string(keys.make(kind, options).0).unwrap();
        keys.make("other", options);
        let (own, other) = (keys.blob(&format!("{kind}.pub")), keys.blob("other.pub"));
        fs::remove_file(keys.path("other")).unwrap();
        fs::remove_file(keys.path("other.pub")).unwrap();
        let bytes = unarmour(&file);
        // Behind the kind, which is the same.
        let (half, others) = (&own[own.len() - 32..], &other[other.len() - 32..]);
        let places: Vec<usize> =
            (0..bytes.len() - 32).filter(|at| bytes[*at..].starts_with(half)).collect();
        assert!(places.len() >= 2, "{kind}");
        for at in &places[..2] {
            let mut wrong = bytes.clone();
            wrong[*at..at + 32].copy_from_slice(others);
            let parsed = PrivateKey::parse(armour(&wrong).as_bytes()).map(|_| ());
            assert_eq!(parsed, Err(KeyFileError::Malformed), "{kind}: {at}");
        }
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_signs_no_more_for_its_old_key() {
    needs!("ssh-keygen");
    let keys = Keys::new();
    let file = keys.make("key", KINDS[0].1);
    let key = user_key(file.public().await.unwrap(), KINDS[0].0);
    file.sign(&key, b"message").await.unwrap();
    let other = keys.make("other", KINDS[0].1);
    assert!(file.has(&key).await.unwrap());
    fs::rename(&other.0, &file.0).unwrap();
    assert!(!file.has(&key).await.unwrap());
    let error = file.sign(&key, b"message").await.unwrap_err();
    assert_eq!(KeyFileError::of(&error), Some(&KeyFileError::OtherKey));
    let odd = user_key(b"odd".to_vec(), KINDS[0].0);
    let error = file.sign(&odd, b"message").await.unwrap_err();
    assert_eq!(KeyFileError::of(&error), Some(&KeyFileError::OtherKey));
    fs::remove_file(&file.0).unwrap();
    let error = file.sign(&key, b"message").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_file_is_named_by_the_path_in_front_unless_an_agent_or_a_device_has_its_key() {
    let path = |words: &str| NamedKey::parse(words).map(|named| named.path);
    let found = |words: &str| path(words).unwrap().into_os_string().into_string().unwrap();
    assert_eq!(found("/home/u/.ssh/id_ed25519 ED25519 SHA256:one"), "/home/u/.ssh/id_ed25519");
    assert_eq!(found("a key ECDSA SHA256:one explicit"), "a key");
    let like_an_agents = "/k RSA SHA256:two agent ED25519 SHA256:one explicit";
    assert_eq!(found(like_an_agents), "/k RSA SHA256:two agent");
    assert_eq!(found("/k\\303\\274\\\\\\011 ED25519 SHA256:one"), "/k\u{fc}\\\t");

    let certificate = NamedKey::parse("/home/u/k ED25519-CERT SHA256:one explicit").unwrap();
    assert!(certificate.is_certificate && certificate.fingerprint == "one", "{certificate:?}");
    assert!(!NamedKey::parse("/k-CERT ED25519 SHA256:one").unwrap().is_certificate);

    for words in [
        "/home/u/k ED25519 SHA256:one explicit agent",
        "u@machine ED25519 SHA256:one agent",
        "/usr/lib/token.so RSA SHA256:one token",
        "/home/u/k ED25519-SK SHA256:one explicit authenticator",
        "/home/u/k ED25519 SHA256:one explicit new",
        // Without a public key, and with another hash.
        "/home/u/k  explicit",
        "/home/u/k ED25519 MD5:00:11 explicit",
        "SHA256:one",
        " ED25519 SHA256:one",
        "/k ED25519 SHA256:",
        "/k\\ ED25519 SHA256:one",
        "/k\\477 ED25519 SHA256:one",
    ] {
        assert_eq!(NamedKey::parse(words), None, "{words:?}");
    }
}

#[tokio::test]
async fn the_path_that_a_real_ssh_names_leads_to_the_key_that_it_used() {
    needs!("ssh", "sshd", "ssh-keygen", "ps");
    let sshd = Sshd::start().unwrap();
    let keys = Keys::new();
    let odd = keys.path("a key \u{fc} \\101 ED25519 SHA256:x agent");
    fs::copy(sshd.user_key(), &odd).unwrap();
    let mut ssh = Command::new("ssh");
    // The first `-i` is what ssh tries first.
    ssh.args(["-v", "-i"]).arg(&odd).args(sshd.ssh_options(sshd.addr().port()));
    let public = KeyFile::new(odd.clone()).public().await.unwrap();
    let ran = ssh.args([sshd.destination(), "true"]).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    for front in ["debug1: Will attempt key: ", "debug1: Server accepts key: "] {
        let told = said.lines().find_map(|line| line.strip_prefix(front));
        let named = NamedKey::parse(told.unwrap()).unwrap_or_else(|| panic!("{told:?}"));
        assert_eq!((&named.path, named.is_certificate), (&odd, false));
        let file = KeyFile::new(named.path);
        assert_eq!(file.public().await.unwrap(), public);
    }
}
