use rejoin_ssh2::{Flight, NameLists, Scheme};
use tokio::time::advance;

use super::super::agent::AgentSocket;
use super::*;
use crate::ssh::resolve::SshConfig;

fn host() -> HostProfile {
    let settings = "hostname h\nport 22\naddressfamily any\ntcpkeepalive yes";
    let resolved = SshConfig::of(&format!("{settings}\nidentityagent /run/agent")).unwrap();
    HostProfile {
        route: DialTarget::of(&resolved).unwrap(),
        user: "u".to_owned(),
        pin: PinnedHostKey(vec![1]),
        algorithm: HostKeyAlgorithm::plain(Scheme::Ed25519),
        signer: Signer::Agent(AgentSocket::of(&resolved).unwrap()),
        key: UserKey { blob: vec![2], algorithm: "ssh-ed25519".to_owned() },
        ciphers: vec![Cipher::ChaCha20Poly1305],
        learnt: ServerProfile {
            ident: "SSH-2.0-OpenSSH_9.2".to_owned(),
            lists: NameLists::default(),
            kex: Kex::Curve25519,
            host_key: HostKeyAlgorithm::plain(Scheme::Ed25519),
            flight: Flight::default(),
            is_hostbound: true,
            channel: Some(0),
            window: 0,
        },
        segment: None,
        login: Duration::from_secs(1),
        since: boottime(),
        expiry: None,
    }
}

/// One that has learnt this host.
fn ready(host: HostProfile) -> HostCache {
    let host_cache = HostCache::default();
    let turn = host_cache.begin().unwrap();
    assert!(host_cache.learn(&turn, Arc::new(host)));
    host_cache
}

fn erased() -> Ineligible {
    Ineligible::Erased("why".to_owned())
}

/// How often a host is begun to be learnt in a day, if it is asked for all the time and this comes of it.
async fn attempts(why: Ineligible) -> usize {
    let (host_cache, mut attempts) = (HostCache::default(), 0);
    for _ in 0..24 * 60 {
        if host_cache.begin().is_some() {
            attempts += 1;
            host_cache.fail(&why);
        }
        advance(Duration::from_mins(1)).await;
    }
    attempts
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_not_for_the_fast_lane_is_not_asked_again() {
    for why in [
        Ineligible::Login("Permission denied (password).".to_owned()),
        Ineligible::Signature("timed out".to_owned()),
        Ineligible::SecurityKey,
        Ineligible::NoKey,
        Ineligible::Methods,
        Ineligible::Server("SSH-2.0-other".to_owned()),
    ] {
        assert_eq!(attempts(why.clone()).await, 1, "{why:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_failed_in_passing_is_made_again_each_time_later() {
    // After 10, 20, 40, ... minutes.
    assert_eq!(attempts(Ineligible::Learning("timed out".to_owned())).await, 8);
    assert_eq!(attempts(Ineligible::Agent("gone".to_owned())).await, 8);
}

#[tokio::test(start_paused = true)]
async fn what_was_erased_is_learnt_again_ten_minutes_later_and_then_later_each_time() {
    let host_cache = ready(host());
    advance(Duration::from_hours(1)).await;
    for minutes in [10, 20, 40] {
        host_cache.erase(erased());
        assert!(host_cache.ready().is_none());
        advance(Duration::from_mins(minutes).saturating_sub(Duration::from_secs(1))).await;
        assert!(host_cache.begin().is_none());
        advance(Duration::from_secs(1)).await;
        let turn = host_cache.begin().expect("it is due");
        assert!(host_cache.learn(&turn, Arc::new(host())));
    }
    // As it was predicted: the next time is the first again.
    host_cache.confirm();
    host_cache.erase(erased());
    advance(Duration::from_mins(10)).await;
    assert!(host_cache.begin().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_was_being_learnt_while_it_was_erased_is_not_believed() {
    let host_cache = HostCache::default();
    let turn = host_cache.begin().unwrap();
    host_cache.erase(erased());
    assert!(!host_cache.learn(&turn, Arc::new(host())));
    assert!(host_cache.ready().is_none());
}

#[test]
fn the_third_connection_in_a_row_that_is_lost_is_one_too_many() {
    let host_cache = ready(host());
    assert!(!host_cache.lost() && !host_cache.lost());
    host_cache.confirm();
    assert!(!host_cache.lost() && !host_cache.lost() && host_cache.lost());
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_is_reviewed_and_does_not_last_for_ever() {
    let host_cache = ready(host());
    let after = |hours: u64| boottime() + Duration::from_hours(hours);
    advance(Duration::from_hours(1)).await;
    assert!(host_cache.ready_at(after(11)).is_some() && host_cache.begin_at(after(11)).is_none());
    let turn = host_cache.begin_at(after(13)).expect("it is to be reviewed");
    // A review that fails in passing takes nothing away.
    host_cache.fail(&Ineligible::Learning("timed out".to_owned()));
    assert!(host_cache.ready_at(after(13)).is_some());
    advance(Duration::from_hours(1)).await;
    assert!(host_cache.ready_at(after(25)).is_none() && host_cache.begin_at(after(25)).is_some());
    assert!(host_cache.learn(&turn, Arc::new(host())));
    assert!(host_cache.ready().is_some());
}

#[test]
fn nothing_is_trusted_by_a_certificate_that_has_expired() {
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert!(ready(HostProfile { expiry: at(1_000_000_000), ..host() }).ready().is_none());
    assert!(ready(HostProfile { expiry: at(10_000_000_000), ..host() }).ready().is_some());
}
