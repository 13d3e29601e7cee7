//! Uses files in systemd's format. Where systemd runs, its real output is parsed, too.

use super::*;
use tempfile::TempDir;

const LOGIN: &str = "0::/user.slice/user-1000.slice/session-4.scope\n";

fn host(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn logout(files: &[(&str, &str)], user: &str) -> Logout {
    Logout::of(host(files).path(), LOGIN, user, &|| None)
}

const MAIN: &str = "etc/systemd/logind.conf";
const ENDS: Logout = Logout::Ends { is_lingering: false };

#[test]
fn only_processes_of_a_login_end_with_it() {
    let kills = host(&[(MAIN, "[Login]\nKillUserProcesses=yes\n")]);
    let of = |cgroup| Logout::of(kills.path(), cgroup, "u", &|| None);
    assert_eq!(of(LOGIN), ENDS);
    assert_eq!(of("1:name=systemd:/user.slice/user-1000.slice/session-c2.scope\n0::/\n"), ENDS);
    for outside in [
        "",
        "0::/\n",
        "0::/system.slice/ssh.service\n",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n",
    ] {
        assert_eq!(of(outside), Logout::Stays, "{outside}");
    }
}

#[test]
fn the_settings_in_force_win_over_files() {
    let root = host(&[(MAIN, "[Login]\nKillUserProcesses=no\n")]);
    let told = "KillUserProcesses=yes\nKillOnlyUsers=\nKillExcludeUsers=root\n";
    assert_eq!(Logout::of(root.path(), LOGIN, "u", &|| Some(told.to_owned())), ENDS);
    assert_eq!(Logout::of(root.path(), LOGIN, "root", &|| Some(told.to_owned())), Logout::Stays);
}

#[test]
fn drop_ins_override_the_main_file_in_the_order_of_their_names() {
    let main = (MAIN, "[Login]\n#KillUserProcesses=no\nKillUserProcesses=yes\n");
    assert_eq!(logout(&[main], "u"), ENDS);
    let early = ("usr/lib/systemd/logind.conf.d/10-a.conf", "[Login]\nKillUserProcesses = no\n");
    assert_eq!(logout(&[main, early], "u"), Logout::Stays);
    let late = ("run/systemd/logind.conf.d/20-b.conf", "[Login]\nKillUserProcesses=true\n");
    assert_eq!(logout(&[main, early, late], "u"), ENDS);
    let masked = ("etc/systemd/logind.conf.d/20-b.conf", "");
    assert_eq!(logout(&[main, early, late, masked], "u"), Logout::Stays);
    let other = ("etc/systemd/logind.conf.d/30-c.conf.bak", "[Login]\nKillUserProcesses=yes\n");
    assert_eq!(logout(&[main, early, other], "u"), Logout::Stays);
}

#[test]
fn only_the_main_file_with_the_highest_priority_counts() {
    let vendor = ("usr/lib/systemd/logind.conf", "[Login]\nKillUserProcesses=yes\n");
    assert_eq!(logout(&[vendor], "u"), ENDS);
    assert_eq!(logout(&[vendor, (MAIN, "[Login]\n")], "u"), Logout::Unknown);
}

#[test]
fn users_may_be_named() {
    let text = "[Login]\nKillUserProcesses=no\nKillOnlyUsers=a b\nKillExcludeUsers=b\n";
    let of = |user| logout(&[(MAIN, text)], user);
    assert_eq!([of("a"), of("b"), of("c")], [ENDS, Logout::Stays, Logout::Stays]);
    let all = "[Login]\nKillUserProcesses=yes\n";
    assert_eq!(logout(&[(MAIN, all)], "root"), Logout::Stays);
    let root_too = "[Login]\nKillUserProcesses=yes\nKillExcludeUsers=\n";
    assert_eq!(logout(&[(MAIN, root_too)], "root"), ENDS);
}

#[test]
fn a_default_that_nobody_set_is_unknown() {
    assert_eq!(logout(&[], "u"), Logout::Unknown);
    assert_eq!(logout(&[(MAIN, "[Login]\n#KillUserProcesses=yes\n")], "u"), Logout::Unknown);
}

#[test]
fn starts_a_server_in_a_lasting_scope_or_warns_its_user() {
    let lingering = [(MAIN, "[Login]\nKillUserProcesses=yes\n"), ("var/lib/systemd/linger/u", "")];
    let lingers = logout(&lingering, "u");
    assert_eq!(lingers, Logout::Ends { is_lingering: true });
    assert_eq!(logout(&lingering, ""), ENDS, "nobody knows who this is");
    let launch = Launch::of(lingers, &|| true);
    assert_eq!(launch, Launch { prefix: SCOPE.to_vec(), warning: None });
    let told = |logout, has_scopes: bool| {
        let launch = Launch::of(logout, &|| has_scopes);
        assert!(launch.prefix.is_empty());
        launch.warning.unwrap_or_default()
    };
    assert!(told(lingers, false).contains("systemd-run"));
    assert!(told(ENDS, true).contains("loginctl enable-linger"));
    assert_eq!((told(Logout::Stays, true), told(Logout::Unknown, true)), ("", ""));
}

#[test]
fn an_unanswered_query_times_out() {
    let mut silent = Command::new("sleep");
    silent.arg("1000");
    assert_eq!(output_in_time(silent), None);
    assert_eq!(output_in_time(Command::new("/does/not/exist")), None);
    assert_eq!(output_in_time(Command::new("false")), None);
    let mut says = Command::new("echo");
    says.arg("yes");
    assert_eq!(output_in_time(says), Some("yes\n".to_owned()));
}

/// Only if systemd runs on this host.
#[test]
fn reads_the_settings_of_a_running_logind() {
    let is_there = |path: &&str| Path::new(path).exists();
    let logind = ["/run/systemd/system", "/run/dbus/system_bus_socket", "/run/systemd/seats"];
    if !logind.iter().all(is_there) {
        eprintln!("PASSED OVER: no systemd-logind runs here");
        return;
    }
    let told = ask_logind().expect("loginctl tells the manager's properties");
    assert!(Settings::default().with(&told).kills("nobody").is_some(), "{told}");
}
