//! What `ssh -G` prints, and behind the first zero byte what it logs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::{resolved, settings};
use rejoin_ssh_fuzz::split_at_first;

/// The longest list of methods that is offered.
const MOST_METHODS: usize = 8;

fuzz_target!(|input: &[u8]| {
    let (printed, logged) = split_at_first(input, 0);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let Some(resolved) = resolved(&text(printed), &text(logged)) else { return };
    assert!(resolved.host_name().is_some_and(|name| !name.is_empty()));
    assert!(resolved.port().is_some_and(|port| port > 0));
    let settings = settings(&resolved, b"\0\0\0\x0bssh-ed25519");
    assert!(settings.host_key_kinds <= 1);
    assert!(!(settings.has_route && resolved.is_set("proxycommand")));
    assert!(!(settings.has_route && resolved.is_conditional()));
    if let Some((kex, ciphers)) = settings.offered {
        assert!((1..=MOST_METHODS).contains(&kex), "{kex} key exchanges");
        assert!(ciphers > 0);
    }
    for kind in settings.user_key_kinds.into_iter().flatten() {
        assert!(!kind.is_empty() && !kind.starts_with("sk-"));
    }
});
