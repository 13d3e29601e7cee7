//! `LocalCommand`, which ssh runs on this end once it is connected. The ssh of a link cannot: its stdin and
//! stdout are the link.

use rejoin_ssh::{SshConfig, SshConfigError};

use crate::ending::Ending;
use crate::ending::Fallible;
use crate::host::query::HostQuery;

/// The command with its tokens replaced: by ssh, which knows them, but for the one that names its tunnel.
pub(crate) async fn expanded(
    query: &HostQuery,
    resolved: &SshConfig,
    command: &str,
) -> Fallible<String> {
    let has_tunnel = resolved.is_set("tunnel");
    let command = without_tunnel(command, has_tunnel).ok_or_else(|| {
        Ending::failed(
            "%T in LocalCommand is not supported: rejoin does not know ssh's tunnel device",
        )
    })?;
    query.expand(resolved, &command).await.map_err(|error| match error {
        SshConfigError::Refused(lines) => {
            Ending::failed(format!("LocalCommand: {}", lines.join(" ")))
        }
        SshConfigError::BadAddress(error) | SshConfigError::Unclear(error) => {
            Ending::failed(format!("LocalCommand: {error}"))
        }
    })
}

/// `%T` is `NONE` for an ssh without a tunnel. None if it has one, whose name only that ssh knows.
fn without_tunnel(command: &str, has_tunnel: bool) -> Option<String> {
    let mut parts = command.split("%%").map(|part| part.replace("%T", "NONE"));
    let first = parts.next().unwrap_or_default();
    let replaced = parts.fold(first, |all, part| all + "%%" + &part);
    (replaced == command || !has_tunnel).then_some(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_the_tunnel_is_replaced_where_there_is_none() {
        let replaced = |command| without_tunnel(command, false);
        assert_eq!(replaced("echo %T %%T %%%T %n"), Some("echo NONE %%T %%NONE %n".to_owned()));
        assert_eq!(without_tunnel("echo %T", true), None);
        assert_eq!(without_tunnel("echo %%T", true), Some("echo %%T".to_owned()));
    }
}
