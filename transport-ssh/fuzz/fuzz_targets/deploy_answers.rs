//! What a host answers while the server program is put on it. The script's lines begin with `rejoin-mark `; the
//! first byte of an input says in what pieces the others come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::script_replies;
use rejoin_ssh_fuzz::{check_text, pieces};

/// The longest line that is understood.
const MAX_LINE: usize = 8 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some((&seed, stream)) = input.split_first() else { return };
    let whole = script_replies([stream]);
    let split = script_replies(pieces(stream, seed));
    // A line that is too long is understood if it comes all at once.
    if stream.len() <= MAX_LINE {
        assert_eq!(whole, split);
    }
    for answered in [whole, split] {
        answered.texts.iter().for_each(|text| check_text(text, MAX_LINE));
        check_text(&answered.noise, 4 * MAX_LINE);
        if let Some(rest) = answered.rest {
            assert!(stream.ends_with(&rest));
        }
    }
});
