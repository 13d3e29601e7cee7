//! What is taken for the user's own, and what is not.

use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

fn root() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    // Links on the way there are not what these tests are about.
    let path = root.path().canonicalize().unwrap();
    (root, path)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A file `program` in a folder `folder`, all of it the user's own.
fn program(root: &Path) -> PathBuf {
    let folder = root.join("folder");
    fs::create_dir(&folder).unwrap();
    set_mode(&folder, 0o755);
    let file = folder.join("program");
    fs::write(&file, "content").unwrap();
    set_mode(&file, 0o755);
    file
}

#[track_caller]
fn refused(path: &Path) -> String {
    open(path).unwrap_err().to_string()
}

#[test]
fn opens_a_file_below_folders_of_ones_own() {
    let (_kept, root) = root();
    let file = program(&root);
    let read = |path: &Path| io::read_to_string(open(path).unwrap()).unwrap();
    assert_eq!(read(&file), "content");
    symlink("folder", root.join("relative")).unwrap();
    symlink(root.join("relative/../folder/program"), root.join("absolute")).unwrap();
    assert_eq!(read(&root.join("absolute")), "content");
    assert_eq!(read(&root.join("relative/./../relative/program")), "content");
    check_folder(&root.join("relative")).unwrap();
}

#[test]
fn refuses_what_others_can_write_to() {
    let (_kept, root) = root();
    let file = program(&root);
    set_mode(&file, 0o757);
    let why = format!("other users can write to {} (mode 0757; chmod go-w)", file.display());
    assert_eq!(refused(&file), why);
    set_mode(&file, 0o755);
    let folder = file.parent().unwrap();
    for mode in [0o757, 0o777, 0o1777] {
        set_mode(folder, mode);
        let start = format!("other users can write to {} (", folder.display());
        assert!(refused(&file).starts_with(&start), "{mode:o}");
        assert!(check_folder(folder).unwrap_err().to_string().starts_with(&start));
    }
}

#[test]
fn a_sticky_folder_is_refused_unless_a_folder_of_ones_own_stands_in_it() {
    let (_kept, root) = root();
    let file = program(&root);
    symlink("folder", root.join("link")).unwrap();
    set_mode(&root, 0o1777);
    open(&file).unwrap();
    check_folder(file.parent().unwrap()).unwrap();
    let start = format!("other users can write to {} (mode 1777", root.display());
    // Another user can have made a hard link to a link of one's own.
    assert!(refused(&root.join("link/program")).starts_with(&start));
    set_mode(&root, 0o777);
    assert!(refused(&file).starts_with("other users can write"));
}

#[test]
fn a_link_leads_to_nothing_that_its_target_would_not() {
    let (_kept, root) = root();
    let file = program(&root);
    symlink(&file, root.join("link")).unwrap();
    open(&root.join("link")).unwrap();
    set_mode(file.parent().unwrap(), 0o777);
    assert!(refused(&root.join("link")).contains("/folder (mode 0777"));
}

#[test]
fn refuses_what_belongs_to_another_user() {
    if !geteuid().is_root() {
        return;
    }
    let (_kept, root) = root();
    let file = program(&root);
    let folder = file.parent().unwrap();
    let give = |path: &Path, user| chown(path, Some(user), None).unwrap();
    for path in [&file, folder] {
        give(path, 65534);
        let why = format!("{} belongs to another user (uid 65534)", path.display());
        assert_eq!(refused(&file), why);
        give(path, 0);
    }
    symlink("program", folder.join("link")).unwrap();
    std::os::unix::fs::lchown(folder.join("link"), Some(65534), None).unwrap();
    assert!(refused(&folder.join("link")).contains("/link belongs to another user"));
    open(&file).unwrap();
}

#[test]
fn nothing_but_a_regular_file_is_opened_or_waited_for() {
    let (_kept, root) = root();
    let file = program(&root);
    let pipe = file.with_file_name("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    assert!(matches!(open(&pipe), Err(Distrust::NoFile(path)) if path == pipe));
    assert!(matches!(open(&root.join("folder")), Err(Distrust::NoFile(_))));
    assert!(open(&root.join("none")).unwrap_err().is_missing());
    assert!(!open(&file.join("below")).unwrap_err().is_unsafe());
    symlink("loop", root.join("loop")).unwrap();
    assert!(matches!(open(&root.join("loop")), Err(Distrust::Failed(..))));
}

#[test]
#[cfg(target_os = "linux")]
fn a_group_counts_as_the_users_if_nobody_else_is_in_it() {
    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/h:/bin/sh\n\
        bob:x:1001:100::/h:/bin/sh\ncarl:x:1002:1002::/h:/bin/sh\ndora:x:1003:1002::/h:/bin/sh\n";
    const GROUPS: &str =
        "root:x:0:\nusers:x:100:\nann:x:1000:ann\nbob:x:1001:ann\ncarl:x:1002:\nstaff:x:50:\n";
    let private = |group, user| is_private(group, user, ACCOUNTS, GROUPS);
    assert!(private(1000, 1000));
    assert!(private(0, 0));
    assert!(!private(1001, 1001), "ann is a member");
    assert!(!private(1002, 1002), "it is the first group of another user, too");
    assert!(!private(100, 1001), "others may have it that are not listed");
    assert!(!private(50, 1000), "it is not named after the user");
    assert!(!private(1000, 1001), "it is another user's");
    assert!(!is_private(1000, 1000, ACCOUNTS, "ann:x:1000:\nother:x:1000:bob\n"), "two names");
    assert!(!is_private(1000, 1000, "", ""), "nobody is listed");
}

#[test]
#[cfg(target_os = "linux")]
fn permissions_of_a_private_group_are_refused_where_a_list_may_give_them_to_others() {
    let (_kept, root) = root();
    let file = program(&root);
    let found = |mode| {
        set_mode(&file, mode);
        fs::metadata(&file).unwrap()
    };
    let group = found(0o775).gid();
    if !is_group_private(&file, group) {
        return; // The user who runs this has no private group.
    }
    open(&file).unwrap();
    // Version 2; the owner, user 65534, the group, the mask: all may do everything; others nothing.
    let entries: [(u16, u32); 5] =
        [(1, u32::MAX), (2, 65534), (4, u32::MAX), (0x10, u32::MAX), (0x20, u32::MAX)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(if tag == 0x20 { 0_u16 } else { 7 }.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&file, "system.posix_acl_access", &list, flags).is_err() {
        return; // Not on this file system.
    }
    assert!(refused(&file).starts_with("other users can write"));
}
