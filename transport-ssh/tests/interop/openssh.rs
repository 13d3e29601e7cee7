//! OpenSSH's server, in every configuration that is met.

use rejoin_ssh::{Attempt, Connect as _, Ineligible, Link, LinkErrorKind, SshConnect};
use rejoin_testing::needs;
use rejoin_testing::{KeyKind, SshdBuilder};
use rustix::process::geteuid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::in_time;
use crate::row::{Row, carries, ends, fast, row};

#[tokio::test]
async fn the_default_configuration_is_taken() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    row(async { Row::openssh(|sshd| sshd).await.is_taken().await }).await;
}

async fn host_key_is_taken(kind: KeyKind) {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    row(async { Row::openssh(|sshd| sshd.host_key(kind)).await.is_taken().await }).await;
}

#[tokio::test]
async fn an_ed25519_host_key_is_taken() {
    host_key_is_taken(KeyKind::Ed25519).await;
}

#[tokio::test]
async fn an_ecdsa_host_key_of_256_bits_is_taken() {
    host_key_is_taken(KeyKind::EcdsaP256).await;
}

#[tokio::test]
async fn an_ecdsa_host_key_of_384_bits_is_taken() {
    host_key_is_taken(KeyKind::EcdsaP384).await;
}

#[tokio::test]
async fn an_ecdsa_host_key_of_521_bits_is_taken() {
    host_key_is_taken(KeyKind::EcdsaP521).await;
}

#[tokio::test]
async fn an_rsa_host_key_is_taken() {
    host_key_is_taken(KeyKind::Rsa).await;
}

#[tokio::test]
async fn several_host_keys_are_taken() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    let all = |sshd| KeyKind::ALL.into_iter().rev().fold(sshd, SshdBuilder::host_key);
    row(async { Row::openssh(all).await.is_taken().await }).await;
}

async fn certified_host_key_is_taken(kind: KeyKind) {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    row(async {
        Row::openssh(|sshd| sshd.host_key(kind).host_certificates()).await.is_taken().await;
    })
    .await;
}

#[tokio::test]
async fn a_host_certificate_is_taken() {
    certified_host_key_is_taken(KeyKind::Ed25519).await;
}

#[tokio::test]
async fn a_host_certificate_for_an_rsa_key_is_taken() {
    certified_host_key_is_taken(KeyKind::Rsa).await;
}

#[tokio::test]
async fn a_host_certificate_for_an_ecdsa_key_is_taken() {
    certified_host_key_is_taken(KeyKind::EcdsaP256).await;
}

#[tokio::test]
async fn a_user_certificate_is_taken() {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    row(async {
        let row = Row::openssh(SshdBuilder::user_certificate).await;
        row.is_taken().await;
        let log = row.server.as_ref().unwrap().log();
        let by_key =
            |line: &&String| line.contains("Accepted publickey") && !line.contains("-CERT");
        assert_eq!(log.iter().find(by_key), None);
    })
    .await;
}

#[tokio::test]
async fn aes_gcm_and_a_nist_curve_alone_are_taken() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    let fips = |sshd: SshdBuilder| {
        sshd.config_line("KexAlgorithms ecdh-sha2-nistp256")
            .config_line("Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com")
            .host_key(KeyKind::EcdsaP256)
    };
    row(async { Row::openssh(fips).await.is_taken().await }).await;
}

#[tokio::test]
async fn methods_that_are_not_known_here_are_left_to_ssh() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    row(async {
        for line in ["Ciphers aes256-ctr", "KexAlgorithms ecdh-sha2-nistp384"] {
            let row = Row::openssh(|sshd| sshd.config_line(line)).await;
            assert_eq!(row.is_left_to_ssh().await, Ineligible::Methods, "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_host_that_soon_wants_new_keys_carries_up_to_there_and_ssh_all() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    row(async {
        let row = Row::openssh(|sshd| sshd.config_line("RekeyLimit 1M")).await;
        let connector = row.running("head -c 4000000 /dev/zero; exec cat");
        row.learn(&connector).await;
        for _ in 0..2 {
            let link = in_time("a link", connector.fast().expect("it is not erased")).await;
            let error = ends(link.unwrap()).await;
            assert_eq!(error.message, "the host requested new keys, which only ssh can negotiate");
        }
        let link = in_time("a link", connector.connect(Attempt::Reconnect)).await.unwrap();
        let (mut reader, mut writer, guard) = link.into_parts();
        let mut all = Vec::new();
        in_time("the end of what is sent", writer.shutdown()).await.unwrap();
        in_time("all of it", reader.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), 4_000_000);
        drop((reader, writer, guard));
    })
    .await;
}

#[tokio::test]
async fn pam_is_taken() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    if !geteuid().is_root() {
        eprintln!("PASSED OVER: PAM lets only root start sessions");
        return;
    }
    row(async {
        let row = Row::openssh(|sshd| {
            sshd.config_line("UsePAM yes").config_line("KbdInteractiveAuthentication no")
        });
        row.await.is_taken().await;
    })
    .await;
}

#[tokio::test]
async fn few_logins_at_once_are_enough_and_a_refusal_for_that_is_no_hang() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    row(async {
        let row = Row::openssh(|sshd| sshd.config_line("MaxStartups 1:100:1")).await;
        row.is_taken().await;
        let connector = row.connector();
        row.learn(&connector).await;
        let addr = row.server.as_ref().unwrap().addr();
        let mut somebody = TcpStream::connect(addr).await.unwrap();
        // It has its place from there on.
        in_time("the host speaks", somebody.read_u8()).await.unwrap();
        let link = in_time("a refusal", connector.fast().unwrap()).await;
        let error = link.expect_err("there is no place for it");
        assert_eq!(error.kind, LinkErrorKind::Unreachable, "{error:?}");
        drop(somebody);
        carries(in_time("a link", admitted(&connector)).await).await;
        // Too busy is not another host.
        carries(fast(&connector).await).await;
    })
    .await;
}

/// A link of ssh's, once the host has noticed that there is a place again.
async fn admitted(connector: &SshConnect) -> Link {
    loop {
        let link = connector.connect(Attempt::Reconnect).await.unwrap();
        let (mut reader, mut writer, guard) = link.into_parts();
        let mut back = [0; 5];
        let _ = writer.write_all(b"hello").await;
        if reader.read_exact(&mut back).await.is_ok() {
            return Link::with_post_mortem(reader, writer, guard.post_mortem());
        }
    }
}

#[tokio::test]
async fn a_banner_is_no_part_of_the_bytes() {
    needs!("ssh", "sshd", "ps", "ssh-agent");
    row(async {
        Row::openssh(|sshd| sshd.config_line("Banner /etc/passwd")).await.is_taken().await;
    })
    .await;
}
