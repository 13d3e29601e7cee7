//! The client, and a server that sends any bytes. The first byte of an input says how the client begins (lowest
//! bit) and in what pieces the bytes come (the others).
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh2::{Cipher, Kex};
use rejoin_ssh2_fuzz::{Beginning, User};

fuzz_target!(|input: &[u8]| {
    let Some((&control, stream)) = input.split_first() else { return };
    let hurried = Beginning::Hurried { is_hostbound: true };
    let beginning = if control & 1 == 1 { hurried } else { Beginning::Unhurried };
    let user = User::new(beginning, Kex::Curve25519, Cipher::ChaCha20Poly1305, false);
    let mut user = user.expect("random numbers");
    user.write(10);
    for piece in stream.chunks(1 + usize::from(control >> 1) * 16) {
        user.take_output();
        if user.hear(piece).is_none() {
            break;
        }
    }
    // It would have to sign what this client made up for this run.
    assert!(!user.has_accepted);
});
