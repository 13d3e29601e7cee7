//! A host that was learnt, and has another server by the time that it is wanted.

use rejoin_testing::needs;
use rejoin_testing::{ServerKind, SshdBuilder};

use crate::row::{Row, row};

async fn is_erased(other: ServerKind, change: impl FnOnce(SshdBuilder) -> SshdBuilder) {
    needs!("ssh", "sshd", "ps", "ssh-agent", "ssh-keygen");
    if !other.is_installed() {
        return;
    }
    row(async {
        let mut sshd = Row::openssh(change).await;
        let connector = sshd.connector();
        sshd.learn(&connector).await;
        let openssh = sshd.server.take().unwrap();
        let _other = openssh.replace(other).unwrap_or_else(|error| panic!("{error}"));
        sshd.is_erased(&connector).await;
    })
    .await;
}

#[tokio::test]
async fn dropbear_in_place_of_openssh_is_a_wrong_prediction() {
    is_erased(ServerKind::Dropbear, |sshd| sshd).await;
}

#[tokio::test]
async fn asyncssh_in_place_of_openssh_is_a_wrong_prediction() {
    is_erased(ServerKind::Asyncssh, |sshd| sshd).await;
}

/// It has this exchange: everything is as predicted but what it bears.
#[tokio::test]
async fn asyncssh_with_the_methods_of_the_openssh_before_it_is_a_wrong_prediction() {
    is_erased(ServerKind::Asyncssh, |sshd| sshd.config_line("KexAlgorithms curve25519-sha256"))
        .await;
}

#[tokio::test]
async fn paramiko_in_place_of_openssh_is_a_wrong_prediction() {
    is_erased(ServerKind::Paramiko, |sshd| sshd).await;
}

#[tokio::test]
async fn russh_in_place_of_openssh_is_a_wrong_prediction() {
    is_erased(ServerKind::Russh, |sshd| sshd).await;
}

/// It has all that was needed, and would bear it, too; but nobody has said so.
#[tokio::test]
async fn dropbear_with_the_methods_of_the_openssh_before_it_is_a_wrong_prediction() {
    is_erased(ServerKind::Dropbear, |sshd| {
        sshd.config_line("KexAlgorithms curve25519-sha256")
            .config_line("Ciphers chacha20-poly1305@openssh.com")
    })
    .await;
}
