//! Files with the user's keys, and what ssh says of them. The lowest bits of an input's first byte say what the
//! others are: a private key's file, what such a file has within its armour, a line of a public key's file, or
//! ssh's words; the next bits say how the key is to sign.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::{certificate, key_line, named_key, private_key};
use rejoin_ssh_fuzz::check_text;

const SCHEMES: [&str; 4] = ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"];

fuzz_target!(|input: &[u8]| {
    let Some((&control, bytes)) = input.split_first() else { return };
    let scheme = SCHEMES[usize::from(control >> 2) % SCHEMES.len()];
    match control & 3 {
        0 => private(bytes, scheme),
        1 => private(&armoured(bytes), scheme),
        2 => public(bytes),
        _ => named(&String::from_utf8_lossy(bytes)),
    }
});

fn armoured(bytes: &[u8]) -> Vec<u8> {
    let encoded = STANDARD.encode(bytes);
    let (begin, end) = ("-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----");
    format!("{begin}\n{encoded}\n{end}\n").into_bytes()
}

fn private(file: &[u8], scheme: &str) {
    match private_key(file, scheme) {
        Ok(halves) => {
            let is_rsa = halves.public.starts_with(b"\0\0\0\x07ssh-rsa");
            assert_eq!(halves.signature.is_some(), !is_rsa || scheme.starts_with("rsa-sha2"));
            assert_eq!(certificate(&halves.public), Ok((None, None)));
        }
        Err(why) => check_text(&why, 1024),
    }
}

fn public(line: &[u8]) {
    let Some(blob) = key_line(line) else { return };
    if let Ok((Some(plain), _)) = certificate(&blob) {
        assert!(plain.len() < blob.len(), "what is within is as long as what it is in");
    }
}

fn named(words: &str) {
    let Some((path, _, fingerprint)) = named_key(words) else { return };
    assert!(!path.as_os_str().is_empty() && !fingerprint.is_empty() && !fingerprint.contains(' '));
}
