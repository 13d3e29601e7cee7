//! The files of a private SSH server, and what a client has to know of them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const HOST_KEY_ALIAS: &str = "rejoin-test-host";
const HOST_KEY: &str = "host_key";

/// A kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA over the curve P-256.
    EcdsaP256,
    /// ECDSA over the curve P-384.
    EcdsaP384,
    /// ECDSA over the curve P-521.
    EcdsaP521,
    /// RSA of 3072 bits.
    Rsa,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Rsa];

    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Ed25519 => &["-t", "ed25519"],
            Self::EcdsaP256 => &["-t", "ecdsa", "-b", "256"],
            Self::EcdsaP384 => &["-t", "ecdsa", "-b", "384"],
            Self::EcdsaP521 => &["-t", "ecdsa", "-b", "521"],
            Self::Rsa => &["-t", "rsa", "-b", "3072"],
        }
    }
}

/// A folder with a server's host keys, the key by which it admits its user, and an empty home directory.
#[derive(Debug)]
pub struct ServerFiles(TempDir);

impl ServerFiles {
    /// Ones with these kinds of host keys, all of which the client knows.
    pub(super) fn make(host_keys: &[KeyKind]) -> io::Result<Self> {
        let files = Self(TempDir::with_prefix("rejoin-sshd-")?);
        fs::DirBuilder::new().mode(0o700).create(files.home())?;
        for (number, &kind) in host_keys.iter().enumerate() {
            make_key(&files.path(&host_key_name(number)), kind)?;
        }
        make_key(&files.user_key(), KeyKind::Ed25519)?;
        fs::copy(files.path("user_key.pub"), files.path("authorized_keys"))?;
        let known = |path: PathBuf| {
            let key = fs::read_to_string(path.with_extension("pub"))?;
            Ok(format!("{HOST_KEY_ALIAS} {key}"))
        };
        let known = files.host_keys().into_iter().map(known).collect::<io::Result<String>>()?;
        fs::write(files.path("known_hosts"), known)?;
        Ok(files)
    }

    pub(super) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The private host keys.
    pub(super) fn host_keys(&self) -> Vec<PathBuf> {
        let paths = (0..).map(|number| self.path(&host_key_name(number)));
        paths.take_while(|path| path.exists()).collect()
    }

    /// Certifies the host keys. The client then knows only the authority.
    pub(super) fn certify_host(&self) -> io::Result<()> {
        let authority = self.authority()?;
        for key in self.host_keys() {
            self.certify(&["-h", "-n", HOST_KEY_ALIAS], &key)?;
        }
        let known = format!("@cert-authority {HOST_KEY_ALIAS} {authority}");
        fs::write(self.path("known_hosts"), known)
    }

    /// Certifies the user's key. The server then accepts only the certificate.
    pub(super) fn certify_user(&self) -> io::Result<()> {
        self.authority()?;
        self.certify(&["-n", &user_name()?], &self.user_key())?;
        fs::write(self.path("authorized_keys"), "")
    }

    /// The public key of the authority.
    fn authority(&self) -> io::Result<String> {
        let path = self.path("authority");
        if !path.exists() {
            make_key(&path, KeyKind::Ed25519)?;
        }
        fs::read_to_string(path.with_extension("pub"))
    }

    fn certify(&self, options: &[&str], key: &Path) -> io::Result<()> {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-I", "rejoin-test"]).args(options).arg("-s");
        run(keygen.arg(self.path("authority")).arg(key.with_extension("pub"))).map(drop)
    }

    /// The home directory of the server's sessions.
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The private key, without a passphrase, by which the server admits its user.
    pub fn user_key(&self) -> PathBuf {
        self.path("user_key")
    }

    /// The options with which ssh reaches the server at a loopback port - its own or a relay's - with its
    /// key and without any configuration of the user's. Of an `-o` option, ssh takes the first value:
    /// put other ones in front.
    pub fn ssh_options(&self, port: u16) -> Vec<OsString> {
        let mut options: Vec<OsString> = ["-F", "none", "-p"].map(OsString::from).into();
        options.push(port.to_string().into());
        options.push("-i".into());
        options.push(self.user_key().into());
        let known_hosts = self.path("known_hosts");
        let settings = [
            format!("UserKnownHostsFile=\"{}\"", known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={HOST_KEY_ALIAS}"),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
        ];
        options.extend(settings.into_iter().flat_map(|setting| ["-o".into(), setting.into()]));
        options
    }
}

/// The first has the name that it has where there are no others.
fn host_key_name(number: usize) -> String {
    if number == 0 { HOST_KEY.to_owned() } else { format!("{HOST_KEY}_{number}") }
}

pub(super) fn make_key(path: &Path, kind: KeyKind) -> io::Result<()> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-N", "", "-C", "rejoin-test"]).args(kind.options());
    run(keygen.arg("-f").arg(path)).map(drop)
}

/// As which the server's sessions run, like everything else here.
pub(super) fn user_name() -> io::Result<String> {
    Ok(run(Command::new("id").arg("-un"))?.trim().to_owned())
}

/// The output of a program that must succeed.
pub(super) fn run(command: &mut Command) -> io::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ran = command.stdin(Stdio::null()).output().map_err(|error| needed(&name, &error))?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(io::Error::other(format!("{name}: {}", String::from_utf8_lossy(&ran.stderr))))
}

pub(super) fn needed(program: &str, error: &io::Error) -> io::Error {
    let message = format!("this test needs {program} (.ci/run installs it): {error}");
    io::Error::new(error.kind(), message)
}
