//! Which server programs are taken, and from where.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// The least that is taken for a program: an ELF head for this machine.
const X86: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";

/// What ELF calls this machine.
const ELF_MACHINE: u8 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

fn program(path: &Path, machine: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut head = X86.to_vec();
    head[18] = machine;
    head.resize(64, 0);
    fs::write(path, head).unwrap();
}

fn store(root: &Path, with_variable: bool) -> ServerStore {
    released_with(root, with_variable, Vec::new())
}

/// The same in a client that was built with the digests of its release.
fn released_with(root: &Path, with_variable: bool, digests: Vec<String>) -> ServerStore {
    let root = root.to_owned();
    let program = root.join("prefix/bin/rejoin");
    let variable = move |name: &str| match name {
        VARIABLE => with_variable.then(|| root.join("named").into()),
        "HOME" => Some(root.join("home").into()),
        _ => None,
    };
    ServerStore::new(variable, Some(program), digests).this_program("__server")
}

#[test]
fn folders_count_in_their_order_and_each_platform_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    program(&at("named/rejoin-server-linux-aarch64"), 183);
    program(&at("prefix/share/rejoin/rejoin-server-linux-aarch64"), 183);
    program(&at("prefix/share/rejoin/rejoin-server-linux-riscv64"), 243);
    program(&at("home/.local/share/rejoin/servers/rejoin-server-linux-s390x"), 0);
    program(&at("home/.local/share/rejoin/servers/notes"), 62);
    let found = |with_variable| {
        let servers = store(root.path(), with_variable).all();
        let found = servers.iter().filter(|server| server.platform().machine() != "x86_64");
        found.map(|server| server.path().to_owned()).collect::<Vec<_>>()
    };
    let shared = at("prefix/share/rejoin/rejoin-server-linux-riscv64");
    assert_eq!(found(true), [at("named/rejoin-server-linux-aarch64"), shared.clone()]);
    assert_eq!(found(false), [at("prefix/share/rejoin/rejoin-server-linux-aarch64"), shared]);
}

#[test]
fn no_folder_is_looked_into_that_may_be_anybodys() {
    let folders = |variable: fn(&str) -> Option<OsString>, program: Option<&str>| {
        let store = ServerStore::new(variable, program.map(PathBuf::from), Vec::new());
        (store.named, store.folders)
    };
    assert_eq!(folders(|name| (name == "HOME").then(OsString::new), None), (None, vec![]));
    let named = Some(PathBuf::from("here"));
    assert_eq!(folders(|_| Some("here".into()), None), (named, vec![]), "only what the user names");
    assert_eq!(folders(|_| None, Some("/tmp/unpacked/rejoin")), (None, vec![]));
    let shared = PathBuf::from("/usr/local/share/rejoin");
    assert_eq!(folders(|_| None, Some("/usr/local/bin/rejoin")), (None, vec![shared]));
}

#[test]
fn a_program_for_another_machine_than_its_name_says_is_told_and_not_used() {
    let root = tempfile::tempdir().unwrap();
    program(&root.path().join("named/rejoin-server-linux-aarch64"), 62);
    let store = store(root.path(), true);
    let aarch64 = Platform::new("Linux", "aarch64").unwrap();
    assert!(store.all().iter().all(|server| *server.platform() != aarch64));
    let advice = store.advice(&aarch64);
    assert!(advice.contains("--target aarch64-unknown-linux-musl"), "{advice}");
    assert!(advice.contains("home/.local/share/rejoin/servers/rejoin-server-linux-aarch64"));
    assert!(advice.ends_with("rejoin-server-linux-aarch64: it is a program for x86_64)"));
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn machine() -> String {
    rustix::system::uname().machine().to_str().unwrap().to_owned()
}

/// The paths of the servers for a machine: one or none.
fn servers_for(store: &ServerStore, machine: &str) -> Vec<PathBuf> {
    let servers = store.all();
    let fitting = servers.iter().filter(|server| server.platform().machine() == machine);
    fitting.map(|server| server.path().to_owned()).collect()
}

/// Each place where servers are looked for, with the machine that one there is for.
fn places(root: &Path) -> [(PathBuf, String); 4] {
    let (name, riscv64) = ("rejoin-server-linux-riscv64", "riscv64".to_owned());
    [
        (root.join("named").join(name), riscv64.clone()),
        (root.join("prefix/share/rejoin").join(name), riscv64.clone()),
        (root.join("home/.local/share/rejoin/servers").join(name), riscv64),
        (root.join("prefix/bin/rejoin-server"), machine()),
    ]
}

#[test]
fn a_server_that_others_can_replace_is_used_from_nowhere_and_reported() {
    for number in 0..4 {
        let root = tempfile::tempdir().unwrap();
        let (path, machine) = &places(root.path())[number];
        program(path, if number == 3 { ELF_MACHINE } else { 243 });
        let store = store(root.path(), true);
        assert_eq!(servers_for(&store, machine), std::slice::from_ref(path));
        let folder = path.parent().unwrap();
        for at_fault in [folder, path, folder.parent().unwrap()] {
            set_mode(at_fault, 0o777);
            let found = servers_for(&store, machine);
            assert!(!found.contains(path), "{} with {}", path.display(), at_fault.display());
            let [DeployEvent::Unsafe { what }] = &store.left_out()[..] else {
                panic!("{:?}", store.left_out())
            };
            let at_fault_canonical = at_fault.canonicalize().unwrap();
            let why =
                format!("other users can write to {} (mode 0777", at_fault_canonical.display());
            assert!(what.contains(&why), "{what}");
            let advice = store.advice(&Platform::new("Linux", machine).unwrap());
            assert!(advice.contains(&why), "{advice}");
            set_mode(at_fault, 0o755);
        }
    }
}

#[test]
fn the_program_that_runs_goes_where_no_server_stands_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let running = store(root.path(), true).all();
    let expected: &[_] = &[Path::new(RUNNING)];
    assert_eq!(running.iter().map(ServerFile::path).collect::<Vec<_>>(), expected);
}

#[test]
fn with_the_digests_of_a_release_only_its_servers_are_found_by_search() {
    let root = tempfile::tempdir().unwrap();
    let digest_of = |path: &Path| {
        let platform = Platform::new("Linux", "riscv64").unwrap();
        ServerFile::load(path, platform, VERSION, "").unwrap().sum().to_owned()
    };
    for (number, (path, machine)) in places(root.path()).into_iter().enumerate() {
        program(&path, if number == 3 { ELF_MACHINE } else { 243 });
        let digest = digest_of(&path);
        let found = |digests: Vec<String>| {
            let store = released_with(root.path(), true, digests);
            let is_found = servers_for(&store, &machine).contains(&path);
            (is_found, store)
        };
        assert!(found(vec!["0".repeat(64), digest.clone()]).0, "{}", path.display());
        let (is_found, store) = found(vec!["0".repeat(64)]);
        assert_eq!(is_found, number == 0, "named by the user: {}", path.display());
        if !is_found {
            let [DeployEvent::Unused { what }] = &store.left_out()[..] else {
                panic!("{:?}", store.left_out())
            };
            assert!(what.contains(&format!("{}: not a server of this release", path.display())));
            let advice = store.advice(&Platform::new("Linux", &machine).unwrap());
            assert!(
                advice.contains("in a folder that REJOIN_SERVERS names (") && advice.contains(what)
            );
        }
        fs::remove_file(&path).unwrap();
    }
}
