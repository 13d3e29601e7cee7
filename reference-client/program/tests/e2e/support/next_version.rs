//! The programs in a next version of the protocol, built from a workspace that differs from this
//! one in `protocol/src` only.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rejoin_edits::{Edit, apply, edits};

use super::programs::rejoin;

/// What is different in the next version.
const EDITS: &str = include_str!("../../next-version/edits.diff");
const NEXT: &str = include_str!("../../next-version/next.rs");

/// The client and the server, built once.
pub(crate) fn next_version() -> &'static (PathBuf, PathBuf) {
    static PROGRAMS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PROGRAMS.get_or_init(build)
}

fn build() -> (PathBuf, PathBuf) {
    let target = rejoin().ancestors().nth(2).expect("programs stand in a profile's folder");
    let target = target.join("next-version");
    let workspace = target.join("workspace");
    make_workspace(&workspace);
    // Not into the folder of this workspace's programs: cargo would take their packages for these.
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "rejoin-server", "-p", "rejoin"])
        .arg("--target-dir")
        .arg(&target)
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the next version cannot be built");
    (target.join("debug/rejoin"), target.join("debug/rejoin-server"))
}

/// A workspace of links to this one's packages, with a changed copy of one source.
fn make_workspace(to: &Path) {
    let here =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace is around");
    let protocol = to.join("protocol");
    fs::create_dir_all(&protocol).expect("the target folder can be written to");
    link_all(here, to, &["protocol", "target", "Cargo.lock"]);
    // Cargo may write to it.
    fs::copy(here.join("Cargo.lock"), to.join("Cargo.lock")).expect("the lock file can be copied");
    link_all(&here.join("protocol"), &protocol, &["src"]);
    let edits = edits(EDITS).expect("edits.diff is right");
    let edited = copy_edited(&here.join("protocol/src"), &protocol.join("src"), "", &edits);
    assert_eq!(edited, edits.len(), "edits.diff names a file that is not there");
    write_if_new(&protocol.join("src/codec/next.rs"), NEXT);
}

fn link_all(from: &Path, to: &Path, except: &[&str]) {
    for entry in fs::read_dir(from).expect("the workspace can be read") {
        let name = entry.expect("the workspace can be read").file_name();
        let is_hidden = name.to_string_lossy().starts_with('.');
        if is_hidden || except.iter().any(|other| name == *other) {
            continue;
        }
        let link = to.join(&name);
        // It may be of an earlier run.
        let _ = fs::remove_file(&link);
        symlink(from.join(&name), &link).expect("a link can be made");
    }
}

/// Copies a folder, whose files the edits name with `prefix`. Returns how many edits were made.
fn copy_edited(from: &Path, to: &Path, prefix: &str, edits: &[Edit]) -> usize {
    fs::create_dir_all(to).expect("the target folder can be written to");
    let mut made = 0;
    for entry in fs::read_dir(from).expect("the source can be read") {
        let path = entry.expect("the source can be read").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy();
        let (file, to) = (format!("{prefix}{name}"), to.join(&*name));
        if path.is_dir() {
            made += copy_edited(&path, &to, &format!("{file}/"), edits);
            continue;
        }
        let edits: Vec<&Edit> = edits.iter().filter(|edit| edit.file == file).collect();
        let text = fs::read_to_string(&path).expect("the source can be read");
        let text = apply(&text, &edits).unwrap_or_else(|flaw| panic!("edits.diff: {flaw}"));
        write_if_new(&to, &text);
        made += edits.len();
    }
    made
}

/// Cargo builds again what was written again.
fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("the target folder can be written to");
}
