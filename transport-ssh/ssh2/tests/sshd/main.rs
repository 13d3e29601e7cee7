//! Against the system's own sshd, over a real socket.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod driver;
mod keys;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use rejoin_ssh2::{
    Cipher, Config, EphemeralKey, Error, Event, HandshakeMode, HostKeyAlgorithm, Kex, Scheme,
    ServerProfile, UserKey,
};
use rejoin_testing::needs;
use rejoin_testing::{Sshd, SshdBuilder};
use tempfile::TempDir;

use driver::Driver;
use keys::{Signer, certify, keygen, unbase64};

/// An sshd that admits one user's key.
struct Host {
    sshd: Sshd,
    signer: Signer,
    _dir: TempDir,
}

impl Host {
    fn new(signer: Signer) -> Self {
        Self::with(signer, |builder, _| builder)
    }

    /// One that logs what it negotiates and what it is asked.
    fn talkative() -> Self {
        Self::with(Signer::ed25519(), |builder, _| builder.config_line("LogLevel DEBUG3"))
    }

    fn with(
        signer: Signer,
        configure: impl FnOnce(SshdBuilder, &std::path::Path) -> SshdBuilder,
    ) -> Self {
        let dir = TempDir::new().unwrap();
        let authorized = dir.path().join("authorized_keys");
        fs::write(&authorized, signer.line()).unwrap();
        let builder =
            Sshd::builder().config_line(format!("AuthorizedKeysFile {}", authorized.display()));
        let sshd = configure(builder, dir.path()).start().unwrap();
        Self { sshd, signer, _dir: dir }
    }

    fn config(&self, command: &str, handshake: HandshakeMode) -> Config {
        Config {
            user: user(),
            key: self.signer.key(),
            command: command.as_bytes().to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            handshake,
        }
    }

    fn connect(&self, command: &str, handshake: HandshakeMode) -> Driver {
        Driver::connect(self.sshd.addr(), self.config(command, handshake))
    }

    /// Runs a command to its end.
    fn run(&self, config: Config) -> Result<(Vec<u8>, Option<u32>), Error> {
        let mut driver = Driver::connect(self.sshd.addr(), config);
        driver.start(&self.signer)?;
        driver.finish()
    }

    fn has_logged(&self, text: &str) -> bool {
        self.sshd.log().iter().any(|line| line.contains(text))
    }

    /// The log comes through a pipe, behind what it tells of.
    fn await_log(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.has_logged(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {:#?}", self.sshd.log());
            std::thread::yield_now();
        }
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn unhurried() -> HandshakeMode {
    HandshakeMode::Stepwise { kex: Kex::ALL.to_vec(), host_keys: HostKeyAlgorithm::ALL.to_vec() }
}

fn predicted(kex: Kex, channel: Option<u32>) -> HandshakeMode {
    HandshakeMode::Predicted {
        ephemeral: EphemeralKey::generate(kex).unwrap(),
        host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
        is_hostbound: true,
        channel,
        ahead: 0,
    }
}

fn learn(host: &Host) -> ServerProfile {
    let mut driver = host.connect("true", unhurried());
    driver.start(&host.signer).unwrap();
    driver.client.learnt().unwrap().clone()
}

#[test]
fn what_an_unhurried_connection_taught_makes_the_next_one_take_two_flights() {
    needs!("sshd", "ssh-keygen");
    let host = Host::talkative();
    let (kex, host_keys) = (vec![Kex::Curve25519], HostKeyAlgorithm::ALL.to_vec());
    let mut driver = host.connect("true", HandshakeMode::Stepwise { kex, host_keys });
    driver.start(&host.signer).unwrap();
    assert!(driver.flights > 4, "{}", driver.flights);
    let learnt = driver.client.learnt().unwrap().clone();
    assert!(learnt.ident.starts_with("SSH-2.0-OpenSSH_"), "{}", learnt.ident);
    assert!(learnt.lists.is_strict());
    assert!(learnt.flight.needed > 0 && learnt.flight.whole > learnt.flight.needed, "{learnt:?}");

    let channel = learnt.predicted_channel();
    assert!(channel.is_some());
    let mut driver = host.connect("echo hello", predicted(learnt.kex, channel));
    driver.start(&host.signer).unwrap();
    assert_eq!(driver.flights, 2);
    assert_eq!(driver.client.learnt(), Some(&learnt));
    assert_eq!(driver.finish().unwrap(), (b"hello\n".to_vec(), Some(0)));
    host.await_log("will use strict KEX ordering");
    assert!(learnt.is_hostbound, "OpenSSH's are from 8.9 on");
    host.await_log("method publickey-hostbound-v00@openssh.com");
    host.await_log(concat!("remote software version rejoin_", env!("CARGO_PKG_VERSION")));
}

#[test]
fn input_goes_with_the_login_and_counts_in_the_window_that_the_server_grants_later() {
    needs!("sshd", "ssh-keygen");
    let host = Host::new(Signer::ed25519());
    let learnt = learn(&host);
    assert_eq!(learnt.predicted_window(), 16 * 1024, "{learnt:?}");
    let mut handshake = predicted(learnt.kex, learnt.predicted_channel());
    if let HandshakeMode::Predicted { ahead, .. } = &mut handshake {
        *ahead = learnt.predicted_window();
    }
    let mut driver = host.connect("cat", handshake);
    // More than the window, to which what went ahead counts.
    let text: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let mut written = driver.client.write(&text).unwrap();
    driver.start(&host.signer).unwrap();
    assert_eq!(driver.flights, 2);
    let mut output = Vec::new();
    while written < text.len() {
        written += driver.client.write(&text[written..]).unwrap();
        if let Some(Event::Data(data)) = driver.next().unwrap() {
            output.extend_from_slice(&data);
            driver.client.consumed(data.len()).unwrap();
        }
    }
    driver.client.finish().unwrap();
    let (rest, status) = driver.finish().unwrap();
    output.extend_from_slice(&rest);
    assert!(output == text, "the bytes came back changed");
    assert_eq!(status, Some(0));
    assert!(!host.has_logged("rcvd too much data"), "{:#?}", host.sshd.log());
}

#[test]
fn every_kind_of_user_key_logs_in() {
    needs!("sshd", "ssh-keygen");
    let signers = [
        Signer::ed25519(),
        Signer::ecdsa(),
        Signer::rsa("rsa-sha2-256"),
        Signer::rsa("rsa-sha2-512"),
    ];
    for signer in signers {
        let host = Host::new(signer);
        for handshake in [unhurried(), predicted(Kex::Curve25519, Some(0))] {
            let ran = host.run(host.config("exit 7", handshake));
            assert_eq!(ran, Ok((vec![], Some(7))), "{}", host.signer.key().algorithm);
        }
    }
}

#[test]
fn a_certificate_of_the_user_logs_in() {
    needs!("sshd", "ssh-keygen");
    let (signer, dir) = (Signer::ed25519(), TempDir::new().unwrap());
    let (authority, key) = (dir.path().join("authority"), dir.path().join("key.pub"));
    keygen(&authority, &["-t", "ed25519"]);
    fs::write(&key, signer.line()).unwrap();
    certify(&authority, &key, &["-n", &user()]);
    let certificate = fs::read_to_string(dir.path().join("key-cert.pub")).unwrap();
    let (algorithm, rest) = certificate.split_once(' ').unwrap();
    let blob = unbase64(rest.split_once(' ').unwrap().0);
    let certified = UserKey { blob, algorithm: algorithm.to_owned() };

    // The key itself is not admitted.
    let host = Host::with(Signer::ed25519(), |builder, _| {
        builder.config_line(format!("TrustedUserCAKeys {}.pub", authority.display()))
    });
    let config = host.config("exit 5", predicted(Kex::Curve25519, Some(0)));
    let mut driver = Driver::connect(host.sshd.addr(), Config { key: certified, ..config });
    driver.start(&signer).unwrap();
    assert_eq!(driver.finish(), Ok((vec![], Some(5))));
}

#[test]
fn every_kind_of_host_key_is_verified() {
    needs!("sshd", "ssh-keygen");
    let kinds = [
        ("ed25519", &["-t", "ed25519"][..]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
    ];
    let host = Host::with(Signer::ed25519(), |mut builder, dir| {
        let authority = dir.join("authority");
        keygen(&authority, &["-t", "ed25519"]);
        for (name, options) in kinds {
            let key = dir.join(name);
            keygen(&key, options);
            certify(&authority, &key, &["-h"]);
            builder = builder
                .config_line(format!("HostKey {}", key.display()))
                .config_line(format!("HostCertificate {}-cert.pub", key.display()));
        }
        builder
    });
    for kind in HostKeyAlgorithm::ALL {
        let handshake =
            HandshakeMode::Stepwise { kex: vec![Kex::Curve25519], host_keys: vec![kind] };
        assert_eq!(host.run(host.config("true", handshake)), Ok((vec![], Some(0))), "{kind:?}");
    }
}

#[test]
fn every_key_exchange_and_cipher_carries_data() {
    needs!("sshd", "ssh-keygen");
    let host = Host::new(Signer::ed25519());
    let learnt = learn(&host);
    let has = |kex: &Kex| learnt.lists.first_kex(&[*kex]).is_some();
    let (had, missing): (Vec<Kex>, Vec<Kex>) = Kex::ALL.into_iter().partition(has);
    assert!(had.len() >= 3, "{had:?}");
    let lines: Vec<String> = (1..=20_000).map(|number: u32| number.to_string()).collect();
    let expected = format!("{}\n", lines.join("\n")).into_bytes();
    for kex in had {
        for cipher in Cipher::ALL {
            let ciphers = vec![cipher];
            let config = host.config("seq 20000", predicted(kex, Some(0)));
            let (output, status) = host.run(Config { ciphers, ..config }).unwrap();
            assert!(output == expected && status == Some(0), "{kex:?} {cipher:?}");
        }
    }
    for kex in missing {
        eprintln!("PASSED OVER: this sshd has no {kex:?}");
    }
}

const TOTAL: usize = 30 << 20;

#[test]
fn thirty_megabytes_come_back_whole() {
    needs!("sshd", "ssh-keygen");
    let host = Host::new(Signer::ed25519());
    let mut driver = host.connect("cat; exit 3", predicted(Kex::Curve25519, Some(0)));
    let byte = |at: usize| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ at.to_le_bytes()[2];
    let (mut written, mut read, mut status) = (0, 0, None);
    let mut has_finished = false;
    loop {
        while driver.client.writable() > 0 && written < TOTAL {
            let end = TOTAL.min(written + driver.client.writable());
            let piece: Vec<u8> = (written..end).map(byte).collect();
            written += driver.client.write(&piece).unwrap();
        }
        if written == TOTAL && !std::mem::replace(&mut has_finished, true) {
            driver.client.finish().unwrap();
        }
        match driver.next().unwrap().unwrap() {
            Event::HostKey { .. } => driver.client.accept_host().unwrap(),
            Event::Sign(message) => driver.client.signed(&host.signer.sign(&message)).unwrap(),
            Event::Data(data) => {
                let is_same = data.iter().enumerate().all(|(at, found)| *found == byte(read + at));
                assert!(is_same, "within {} bytes after {read}", data.len());
                read += data.len();
                driver.client.consumed(data.len()).unwrap();
            }
            Event::Exit(found) => status = Some(found),
            Event::Closed => break,
            Event::Authenticated | Event::Started | Event::Eof => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((read, status), (TOTAL, Some(3)));
}

#[test]
fn reports_stderr_and_signals() {
    needs!("sshd", "ssh-keygen");
    let host = Host::new(Signer::ed25519());
    let mut driver = host.connect("echo oops >&2; kill -TERM $$", unhurried());
    driver.start(&host.signer).unwrap();
    let (mut stderr, mut signal) = (Vec::new(), None);
    loop {
        match driver.next().unwrap().unwrap() {
            Event::Stderr(data) => stderr.extend_from_slice(&data),
            Event::Signal(name) => signal = Some(name),
            Event::Closed => break,
            Event::Eof => {}
            event => panic!("{event:?}"),
        }
    }
    assert_eq!((&stderr[..], signal.as_deref()), (&b"oops\n"[..], Some("TERM")));
}

#[test]
fn a_server_that_wants_new_keys_ends_it() {
    needs!("sshd", "ssh-keygen");
    let host =
        Host::with(Signer::ed25519(), |builder, _| builder.config_line("RekeyLimit 1M none"));
    let handshake = predicted(Kex::Curve25519, Some(0));
    let mut driver = host.connect("head -c 3000000 /dev/zero", handshake);
    driver.start(&host.signer).unwrap();
    let mut read = 0;
    loop {
        match driver.next().unwrap().unwrap() {
            Event::Data(data) => {
                read += data.len();
                driver.client.consumed(data.len()).unwrap();
            }
            Event::Rekey => break,
            event => panic!("{event:?}"),
        }
    }
    assert!(read < 3_000_000 && driver.client.is_over(), "{read}");
}

#[test]
fn sends_nothing_about_the_user_to_a_host_that_is_not_accepted() {
    needs!("sshd", "ssh-keygen");
    let host = Host::talkative();
    let mut driver = host.connect("true", predicted(Kex::Curve25519, Some(0)));
    assert!(matches!(driver.next(), Ok(Some(Event::HostKey { .. }))));
    drop(driver);
    // What it says when the client has gone.
    host.await_log("Connection closed by");
    assert!(!host.has_logged("userauth-request"), "{:#?}", host.sshd.log());

    // That it would be said.
    host.run(host.config("true", predicted(Kex::Curve25519, Some(0)))).unwrap();
    host.await_log("userauth-request");
}

#[test]
fn reports_a_key_that_is_not_accepted() {
    needs!("sshd", "ssh-keygen");
    let host = Host::new(Signer::ed25519());
    let stranger = Signer::ed25519();
    let config = host.config("true", predicted(Kex::Curve25519, Some(0)));
    let mut driver = Driver::connect(host.sshd.addr(), Config { key: stranger.key(), ..config });
    loop {
        match driver.next().unwrap().unwrap() {
            Event::HostKey { .. } => driver.client.accept_host().unwrap(),
            Event::Sign(message) => driver.client.signed(&stranger.sign(&message)).unwrap(),
            Event::AuthFailed { methods, partial } => {
                assert_eq!((&methods[..], partial), (&["publickey".to_owned()][..], false));
                break;
            }
            event => panic!("{event:?}"),
        }
    }
    assert!(driver.client.is_over() && driver.client.learnt().is_none());
}

#[test]
fn reports_a_key_that_is_not_sufficient() {
    needs!("sshd", "ssh-keygen");
    let host = Host::with(Signer::ed25519(), |builder, _| {
        builder.config_line("AuthenticationMethods publickey,publickey")
    });
    let mut driver = host.connect("true", predicted(Kex::Curve25519, Some(0)));
    loop {
        match driver.next().unwrap().unwrap() {
            Event::HostKey { .. } => driver.client.accept_host().unwrap(),
            Event::Sign(message) => {
                driver.client.signed(&host.signer.sign(&message)).unwrap();
            }
            Event::AuthFailed { partial, .. } => {
                assert!(partial);
                break;
            }
            event => panic!("{event:?}"),
        }
    }
}

#[test]
fn reports_a_wrong_prediction() {
    needs!("sshd", "ssh-keygen");
    let host = Host::with(Signer::ed25519(), |builder, _| {
        builder.config_line("KexAlgorithms ecdh-sha2-nistp256")
    });
    let failed = host.run(host.config("true", predicted(Kex::Curve25519, Some(0))));
    let missing = rejoin_ssh2::Misprediction::Missing(rejoin_ssh2::Method::Kex);
    assert_eq!(failed, Err(Error::Mispredicted(missing)));

    let failed = host.run(host.config("true", predicted(Kex::NistP256, Some(5))));
    let channel = rejoin_ssh2::Misprediction::Channel { predicted: 5, found: 0 };
    assert!(
        matches!(&failed, Err(Error::Mispredicted(found)) if *found == channel)
            || matches!(&failed, Err(Error::Disconnected { .. })),
        "{failed:?}"
    );
}
