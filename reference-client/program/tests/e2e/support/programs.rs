//! The programs under test, and those that tests need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The client.
pub(crate) fn rejoin() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rejoin"))
}

/// The server, built once: it belongs to another package, which cargo does not build for these
/// tests by itself.
pub(crate) fn rejoin_server() -> &'static Path {
    static SERVER: OnceLock<PathBuf> = OnceLock::new();
    SERVER.get_or_init(build_server)
}

/// Makes a program shorter by what only a debugger reads.
pub(crate) fn stripped(program: &Path, to: &Path) {
    let made = Command::new("strip").arg("-o").arg(to).arg(program).status();
    if !made.is_ok_and(|made| made.success()) {
        std::fs::copy(program, to).expect("the program can be copied");
    }
}

/// Into the folder where the client is, with its profile.
fn build_server() -> PathBuf {
    let folder = rejoin().parent().expect("programs stand in a folder");
    let target = folder.parent().expect("the folder of a profile stands in another");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "rejoin-server", "--features", "record"])
        .args(["--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "rejoin-server cannot be built");
    folder.join("rejoin-server")
}

/// Fails with a clear message where a program is missing that a test needs.
#[track_caller]
pub(crate) fn needed(program: &str) {
    let mut asked = Command::new("sh");
    asked.args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null());
    let is_there = asked.status().is_ok_and(|status| status.success());
    assert!(is_there, "this test needs the program {program}: install it");
}
