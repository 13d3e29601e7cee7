//! The user's keys that ssh would use with a host, by its own configuration.
//!
//! With which of them it has logged in, it says among what the host has it print: there, a host could name
//! any file and any key. One that stands here it may name.

use std::env;
use std::path::{Path, PathBuf};

use super::key_file;
use crate::ssh::resolve::SshConfig;

/// What `IdentityFile`, `CertificateFile` and `IdentitiesOnly` say. Of a file whose name ssh fills in with
/// something that is not known here there is none.
#[derive(Debug)]
pub(super) struct Identities {
    files: Vec<Option<PathBuf>>,
    certificates: Vec<Option<PathBuf>>,
    are_all: bool,
}

impl Identities {
    pub(super) fn of(resolved: &SshConfig) -> Self {
        let named = |key| {
            let names = resolved.get_all(key).filter(|name| *name != "none");
            names.map(|name| filled_in(name, resolved)).collect()
        };
        Self {
            files: named("identityfile"),
            certificates: named("certificatefile"),
            are_all: resolved.is_set("identitiesonly"),
        }
    }

    /// Whether ssh may have a key in a file.
    pub(super) fn may_be_files(&self) -> bool {
        // An unknown path may be any file.
        self.files.iter().any(|path| path.as_ref().is_none_or(|path| path.is_file()))
    }

    /// Whether this file is one of them, by the name that ssh has for it.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.files.iter().flatten().any(|file| file == path)
    }

    /// Those of an agent's keys that ssh would use: all, unless its configuration says which.
    pub(super) async fn among(&self, mut keys: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        if self.are_all {
            let files = self.files.iter().chain(&self.certificates).flatten().cloned().collect();
            let named = key_file::public_halves(files).await;
            keys.retain(|key| named.contains(key));
        }
        keys
    }
}

/// The file that ssh means by a name.
fn filled_in(name: &str, resolved: &SshConfig) -> Option<PathBuf> {
    let (folder, name) = match name.strip_prefix("~/") {
        Some(rest) => (env::home_dir()?, rest),
        None => (PathBuf::new(), name),
    };
    if name.starts_with('~') || name.contains("${") {
        return None;
    }
    let mut parts = name.split('%');
    let mut filled = parts.next()?.to_owned();
    while let Some(part) = parts.next() {
        let Some(token) = part.chars().next() else {
            // Two of them are one.
            filled.push('%');
            filled.push_str(parts.next()?);
            continue;
        };
        filled.push_str(&filling(token, resolved)?);
        filled.push_str(&part[token.len_utf8()..]);
    }
    Some(folder.join(filled))
}

fn filling(token: char, resolved: &SshConfig) -> Option<String> {
    match token {
        'd' => env::home_dir()?.into_os_string().into_string().ok(),
        'h' => resolved.host_name().map(str::to_owned),
        'n' => resolved.get("host").map(str::to_owned),
        'p' => resolved.port().map(|port| port.to_string()),
        'r' => resolved.user().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rejoin_ssh2::wire::Writer;

    use super::*;

    fn identities(settings: &str) -> Identities {
        let front = "host box\nhostname box.example\nport 2222\nuser me\n";
        Identities::of(&SshConfig::of(&format!("{front}{settings}")).unwrap())
    }

    #[test]
    fn a_file_is_known_by_the_name_that_ssh_makes_of_the_configured_one() {
        let has = |name: &str, path: &Path| {
            identities(&format!("identityfile none\nidentityfile {name}")).has_file(path)
        };
        let home = env::home_dir().unwrap();
        assert!(has("/keys/a b", Path::new("/keys/a b")));
        assert!(has("~/.ssh/id_rsa", &home.join(".ssh/id_rsa")));
        assert!(has("%d/%r@%h", &home.join("me@box.example")));
        assert!(has("keys/%n-%p%%", Path::new("keys/box-2222%")));
        assert!(!has("/keys/a", Path::new("/keys/b")));
        assert!(!has("~/.ssh/id_rsa", Path::new("~/.ssh/id_rsa")));
    }

    #[test]
    fn a_name_that_ssh_fills_in_with_something_unknown_is_no_file_here_and_may_be_one_there() {
        for name in ["%k/id", "${KEYS}/id", "~other/id", "id%"] {
            let unclear = identities(&format!("identityfile {name}"));
            assert!(unclear.may_be_files() && !unclear.has_file(Path::new(name)), "{name}");
        }
        assert!(!identities("identityfile /nowhere/id").may_be_files());
        assert!(!identities("identityfile none").may_be_files());
    }

    #[tokio::test]
    async fn uses_only_agent_keys_that_ssh_would_use() {
        let dir = tempfile::tempdir().unwrap();
        let key = |number: u8| Writer::new().string("ssh-ed25519").string([number; 32]).finish();
        let line = |number| format!("ssh-ed25519 {} me\n", STANDARD.encode(key(number)));
        fs::write(dir.path().join("one.pub"), line(1)).unwrap();
        fs::write(dir.path().join("two"), line(2)).unwrap();
        fs::write(dir.path().join("three"), line(3)).unwrap();
        let held = [1, 2, 3, 4].map(key);
        let dir = dir.path().display();
        let files = format!(
            "identityfile {dir}/one\nidentityfile {dir}/two\nidentityfile %k\n\
             certificatefile {dir}/three\n"
        );
        let only = identities(&format!("{files}identitiesonly yes")).among(held.to_vec()).await;
        assert_eq!(only, [1, 2, 3].map(key));
        let all = identities(&format!("{files}identitiesonly no")).among(held.to_vec()).await;
        assert_eq!(all, held);
    }
}
