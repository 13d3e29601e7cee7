//! Servers that are not OpenSSH's.

use rejoin_ssh::Ineligible;
use rejoin_testing::needs;
use rejoin_testing::{OtherServer, ServerKind, are_installed};

use crate::row::{Row, row};

async fn start(other: ServerKind) -> Row<OtherServer> {
    let server = OtherServer::start(other);
    Row::of(server.unwrap_or_else(|error| panic!("{error}"))).await
}

#[tokio::test]
async fn dropbear_is_taken() {
    needs!("ssh", "ps", "ssh-agent", "ssh-keygen");
    if ServerKind::Dropbear.is_installed() {
        row(async { start(ServerKind::Dropbear).await.is_taken().await }).await;
    }
}

/// Why it is not taken, if it is installed.
async fn left_to_ssh(other: ServerKind) -> Option<Ineligible> {
    let is_installed = are_installed(&["ssh", "ps", "ssh-agent", "ssh-keygen"]);
    if !is_installed || !other.is_installed() {
        return None;
    }
    let mut why = None;
    row(async { why = Some(start(other).await.is_left_to_ssh().await) }).await;
    why
}

/// These end a connection on which a command comes before its channel is confirmed.
#[tokio::test]
async fn asyncssh_is_left_to_ssh_for_what_it_does_not_bear() {
    if let Some(why) = left_to_ssh(ServerKind::Asyncssh).await {
        assert!(matches!(&why, Ineligible::Server(ident) if ident.contains("AsyncSSH")), "{why:?}");
    }
}

#[tokio::test]
async fn russh_is_left_to_ssh_since_nobody_knows_what_it_bears() {
    if let Some(why) = left_to_ssh(ServerKind::Russh).await {
        assert!(matches!(&why, Ineligible::Server(ident) if ident.contains("russh")), "{why:?}");
    }
}

/// Old ones have neither a strict key exchange nor a cipher that is known here; what later ones bear is
/// not known.
fn is_lacking(why: &Ineligible) -> bool {
    matches!(why, Ineligible::Methods | Ineligible::Server(_))
}

#[tokio::test]
async fn paramiko_is_left_to_ssh_for_what_it_lacks() {
    if let Some(why) = left_to_ssh(ServerKind::Paramiko).await {
        assert!(is_lacking(&why), "{why:?}");
    }
}

#[tokio::test]
async fn conch_is_left_to_ssh_for_what_it_lacks() {
    if let Some(why) = left_to_ssh(ServerKind::Conch).await {
        assert!(is_lacking(&why), "{why:?}");
    }
}
