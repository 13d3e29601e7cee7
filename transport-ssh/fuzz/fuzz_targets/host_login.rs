//! What an ssh says that logs in so that its host is learnt, with the helper's report of the host key in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rejoin_ssh::fuzz::{WORD, host_login, user_key};
use rejoin_ssh_fuzz::check_text;

fuzz_target!(|said: &[u8]| {
    match host_login(said, &[user_key()]) {
        Ok((_, key)) => {
            assert_eq!(key.blob, user_key());
            let is_report = |line: &[u8]| line.starts_with(WORD.as_bytes());
            assert!(
                said.split(|byte| *byte == b'\n').any(is_report),
                "the helper has told nothing"
            );
        }
        Err(why) => check_text(&why, 8 * 1024),
    }
});
