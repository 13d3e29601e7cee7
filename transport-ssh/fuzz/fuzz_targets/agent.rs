//! What an agent answers, behind its length and without.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::{agent_answer, agent_keys, agent_signature};

fuzz_target!(|stream: &[u8]| {
    check(stream);
    if let Some(answer) = agent_answer(stream) {
        assert_eq!(answer, stream[4..4 + answer.len()]);
        check(&answer);
    }
});

fn check(answer: &[u8]) {
    if let Some(keys) = agent_keys(answer) {
        // Each stands behind its length, and has a comment.
        assert!(keys.concat().len() + 8 * keys.len() <= answer.len());
    }
    for scheme in ["ssh-ed25519", "rsa-sha2-512"] {
        if let Some(signature) = agent_signature(answer, scheme) {
            assert_eq!(signature.len() + 5, answer.len());
            assert!(signature[4..].starts_with(scheme.as_bytes()));
        }
    }
}
